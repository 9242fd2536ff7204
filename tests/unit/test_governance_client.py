"""`propose`, `proposals`, `vote`, `withdraw`, `parameters`: routes on a real ledger, commands, and what the operator is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.governance import (
    AddValidator,
    Admit,
    Ban,
    GovernanceCode,
    LiftBan,
    ParamValue,
    Propose,
    Remove,
    RemoveValidator,
    SetParameters,
    SetVerifier,
    Upgrade,
    VoteProposal,
    Withdraw,
    proposal_key,
    proposals,
)
from learningchain.chain.contracts.job.records import NUMBER as JOB
from learningchain.chain.crypto import address
from learningchain.chain.errors import Reject
from learningchain.chain.ledger.transition import params_of
from learningchain.client.api.ending import EndingQuery
from learningchain.client.api.errors import RequestError
from learningchain.client.api.following import Followers
from learningchain.client.api.submit import try_out
from learningchain.client.config import Config
from learningchain.client.contracts.governance import api as routes
from learningchain.client.contracts.governance.api import build_action
from learningchain.client.contracts.governance.http.schema import ProposalRequest
from learningchain.client.contracts.governance.http.views import describe, view
from learningchain.client.contracts.governance.roles import watching
from learningchain.client.contracts.governance.roles.watching import NEWER, WAITS, ProposalWatch
from learningchain.client.work.events import Chain, Changed
from learningchain.client.work.machine import Recalled
from tests.unit.api_kit import Api, serving
from tests.unit.client_fake_api import OTHER, OWN, Fake
from tests.unit.governance_kit import Council
from tests.unit.ledger_kit import id_of, key_of

pytest_plugins = ["tests.unit.client_cli_kit"]
ID = "4be2" * 16
OPEN: dict[str, Any] = {
    "proposal": ID,
    "action": "add-validator",
    "text": f"add the validator {OTHER}",
    "proposer": OWN,
    "since": 0,
    "expires": 1_700_000_060_000,
    "yes": [OWN],
    "no": [],
    "validators": 4,
    "needed": 3,
    "own_word": None,
    "may": ["yes", "no"],
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


# --- commands -----------------------------------------------------------------------------------------------------------------


def test_open_proposals_are_listed_with_what_they_need(api: Fake, run: Any) -> None:
    api.answers["GET /v1/proposals"] = [OPEN]
    ran = run("proposals")
    assert ran.code == 0 and "1 of 3" in ran.out and "yes or no" in ran.out and ID[:12] in ran.out
    assert "learningchain vote" in ran.err
    assert run("proposals", "--json").json == [OPEN]


@pytest.mark.parametrize(
    ("typed", "body"),
    [
        (["add-validator", OTHER], {"account": OTHER}),
        (["verifier", OTHER, "on"], {"account": OTHER, "on": True}),
        (["admit", "02" + "ab" * 32], {"key": "02" + "ab" * 32}),
        (["upgrade", "2", "900"], {"version": 2, "height": 900}),
        (["parameters", "job_reveal=5s", "job_key=7000"], {"values": {"job_reveal": 5_000, "job_key": 7_000}}),
    ],
)
def test_a_proposal_is_made(api: Fake, run: Any, typed: list[str], body: dict[str, Any]) -> None:
    api.answers["POST /v1/proposals"] = {"tx": "ab" * 32, "status": "pending"}
    ran = run("propose", *typed, "--expires", "1d", "--wait", "0")
    assert ran.code == 0, ran.err
    assert api.bodies("POST", "/v1/proposals")[-1] == {"action": typed[0], "expires_s": 86_400.0, **body}


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("proposal.voted", "open until more than two thirds"),
        ("proposal.accepted", "the proposal is accepted"),
        ("proposal.rejected", "the proposal is rejected"),
        ("proposal.failed", "ended without effect"),
        ("proposal.waits", "with the next block"),
    ],
)
def test_a_word_says_what_it_made_of_the_proposal(api: Fake, run: Any, topic: str, said: str) -> None:
    """Nobody finds a proposal that is decided on the list of the open ones."""
    events = [{"type": "noted", "topic": name, "ref": ID, "data": {}} for name in ("proposal.voted", topic)]
    api.answers["GET /v1/proposals"] = [OPEN]
    final = {"tx": "ab" * 32, "status": "final", "height": 7, "index": 0, "code": 0, "code_name": "OK", "events": events}
    api.answers["POST /v1/votes"] = api.answers["POST /v1/proposals"] = final
    assert said in run("vote", "4be2", "yes").out
    assert said in run("propose", "ban", OTHER).out


def test_parameters_are_listed_with_the_bounds_of_a_change(api: Fake, run: Any) -> None:
    one = {"name": "heartbeat", "contract": "ledger", "value": 10_000, "unit": "ms", "low": 1_000, "high": 600_000}
    api.answers["GET /v1/parameters"] = [one, one | {"name": "bandwidth_window", "low": None, "high": None}]
    ran = run("parameters")
    assert "1000 (1 s) to 600000 (10 min)" in ran.out and "never" in ran.out
    money = {"name": "job_min_bounty", "contract": "job", "unit": "micro-credits", "value": 1_500_000, "low": 10, "high": 10**12}
    api.answers["GET /v1/parameters"] = [money]
    assert "1500000 (1.5 credits)" in run("parameters").out, "who means credits and types them would ask for a millionth"


# --- routes -------------------------------------------------------------------------------------------------------------------


async def test_parameters_in_force_are_served(served: Api) -> None:
    found = {one["name"]: one for one in await served.get("/v1/parameters")}
    assert found["bandwidth_window"]["low"] is None
    assert (found["job_reveal"]["contract"], found["job_reveal"]["unit"]) == ("job", "ms")
    credits = {name for name, one in found.items() if one["unit"] == "micro-credits"}
    predictions = {"pred_sub", "pred_epoch_sub", "pred_stake", "pred_deposit", "pred_fee", "pred_row"}
    assert credits == {"job_min_bounty", "block_reward"} | predictions
    assert describe(SetParameters(0, [ParamValue("heartbeat", 90_000)])) == "set heartbeat to 90000 (1 min 30 s)"
    assert describe(SetParameters(3, [ParamValue("job_min_bounty", 20)])) == "set job_min_bounty to 20 (0.00002 credits)"
    assert found["proposal_life"]["high"] > found["proposal_life"]["value"]


async def test_who_is_no_validator_proposes_nothing(served: Api) -> None:
    account = address(served.node.ledger.ids["n1"])
    refused = await served.refused("POST", "/v1/proposals", 409, json={"action": "ban", "account": account})
    assert refused["code"] == GovernanceCode.NOT_A_VALIDATOR
    assert await served.get("/v1/proposals") == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"action": "ban"}, "account is missing"),
        ({"action": "parameters", "values": {}}, "values is missing"),
        ({"action": "parameters", "values": {"none": 1}}, "no parameter none"),
        ({"action": "parameters", "values": {"quota": 99, "job_key": 9_000}}, "one contract"),
        ({"action": "admit", "key": "00" * 33}, "not a compressed"),
    ],
)
async def test_a_proposal_that_lacks_something_is_refused(served: Api, body: dict[str, Any], why: str) -> None:
    refused = await served.refused("POST", "/v1/proposals", 400, json=body)
    assert why in refused["message"]


@pytest.mark.parametrize(("ahead", "code"), [(1, GovernanceCode.BAD_UPGRADE), (2, None)])
def test_a_message_is_tried_out_in_the_block_that_comes_next(ahead: int, code: int | None) -> None:
    """LC-GOV-9: at its height, as which it would be refused, or not."""
    council = Council()
    ledger: Any = SimpleNamespace(
        state=council.state, params=params_of(council.state), clock=council.clock, own_id=id_of("v1"), height=council.height
    )
    op = Propose(Upgrade(2, council.height + ahead), council.clock + 60_000)
    if code is None:
        assert try_out(ledger, op) == 0
    else:
        with pytest.raises(Reject) as refused:
            try_out(ledger, op)
        assert refused.value.code == code
    assert council.codes(council.tx("v1", op)) == [code or 0], "as the block says"


NEW_KEY = key_of("newcomer").public
WHO = id_of("alice")


@pytest.mark.parametrize(
    ("body", "action", "text"),
    [
        ({"action": "remove"}, Remove(WHO), "remove the member "),
        ({"action": "ban"}, Ban(WHO), "ban "),
        ({"action": "lift-ban"}, LiftBan(WHO), "lift the ban of "),
        ({"action": "add-validator"}, AddValidator(WHO), "add the validator "),
        ({"action": "remove-validator"}, RemoveValidator(WHO), "remove the validator "),
        ({"action": "verifier", "on": True}, SetVerifier(WHO, True), "give the verifier flag to "),
        ({"action": "verifier", "on": False}, SetVerifier(WHO, False), "take the verifier flag from "),
        ({"action": "admit", "key": NEW_KEY.hex()}, Admit(NEW_KEY), "admit "),
        ({"action": "upgrade", "version": 3, "height": 0}, Upgrade(3, 0), "begin version 3 of the protocol at block 0"),
        (
            {"action": "parameters", "values": {"job_reveal": 9_000, "job_key": 8_000}},
            SetParameters(JOB, [ParamValue("job_key", 8_000), ParamValue("job_reveal", 9_000)]),
            "set job_key to 8000 (8 s), job_reveal to 9000 (9 s)",
        ),
        (
            {"action": "parameters", "values": {"heartbeat": 5}},
            SetParameters(0, [ParamValue("heartbeat", 5)]),
            "set heartbeat to 5 ms",
        ),
    ],
    ids=lambda value: value.get("action") if isinstance(value, dict) else "",
)
def test_each_action_is_what_was_asked_for_in_words_that_say_so(body: dict[str, Any], action: Any, text: str) -> None:
    account: dict[str, Any] = {} if body["action"] in ("admit", "upgrade", "parameters") else {"account": address(WHO)}
    built = build_action(ProposalRequest(**body, **account))
    assert built == action and describe(built).startswith(text)
    if account:
        assert address(WHO) in describe(built)


def test_a_proposal_is_shown_with_the_words_of_the_present_validators() -> None:
    council = Council()
    ref = council.open(Ban(id_of("alice")), "v1")
    council.vote(ref, False, "v2")
    shown = view(council.state, ref, id_of("v3"))
    record = council.record(ref)
    assert shown is not None and record is not None
    assert (shown["proposal"], shown["action"], shown["proposer"]) == (ref.hex(), "ban", address(id_of("v1")))
    assert (shown["yes"], shown["no"]) == ([address(id_of("v1"))], [address(id_of("v2"))])
    assert (shown["validators"], shown["needed"]) == (4, 3)
    assert (shown["since"], shown["expires"]) == (record.since, record.expires)
    words = {name: view(council.state, ref, id_of(name)) for name in ("v1", "v2", "v3", "alice")}
    assert {name: (one["own_word"], one["may"]) for name, one in words.items() if one} == {
        "v1": ("yes", ["no"]),
        "v2": ("no", ["yes"]),
        "v3": (None, ["yes", "no"]),
        "alice": (None, []),
    }
    assert view(council.state, bytes(32), id_of("v1")) is None
    council.state.commit([(proposal_key(ref), msgspec.structs.replace(record, turn=council.clock + 1))], council.state.tree)
    decided = view(council.state, ref, id_of("v3"))
    assert decided is not None and decided["may"] == [], "it is decided and waits for its turn: no word changes it"


def test_who_is_no_validator_any_more_is_not_shown_with_a_word() -> None:
    """Its word counts no more: three that are shown would be a quorum of four, and nothing would happen."""
    council = Council()
    ref = council.open(Ban(id_of("alice")), "v1")
    council.vote(ref, False, "v2")
    council.decide(RemoveValidator(id_of("v1")), "v2", "v3", "v4")
    shown = view(council.state, ref, id_of("v3"))
    assert shown is not None and (shown["validators"], shown["yes"], shown["no"]) == (3, [], [address(id_of("v2"))])


async def test_all_open_proposals_are_listed_and_others_have_the_loop_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "AT_ONCE", 2)
    council = Council()
    for name, life in (("alice", 90_000), ("bob", 70_000), ("carol", 80_000)):
        council.open(SetVerifier(id_of(name), True), "v1", life=life)
    ledger = SimpleNamespace(state=council.state, own_id=id_of("v2"))
    followers = Followers(council.state, [routes.OpenProposals])
    await followers.all_settled()
    context = SimpleNamespace(followers=followers)
    call: Any = SimpleNamespace(node=SimpleNamespace(ledger=ledger), context=context, query=EndingQuery())
    turns: list[int] = []
    other = asyncio.create_task(_count(turns))
    found = await routes.list_proposals(call)
    other.cancel()
    assert len(found) == 3 and len(turns) == 1
    assert [one["expires"] for one in found] == sorted(one["expires"] for one in found), "the one that expires first first"


async def _count(turns: list[int]) -> None:
    while True:
        turns.append(1)
        await asyncio.sleep(0)


async def test_a_proposal_is_open_for_as_long_as_was_asked(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    async def sent(_call: Any, what: str, op: Any) -> Any:
        made.append((what, op))
        raise RequestError(409, "rejected", "ENOUGH", "It was seen, and that is enough for this test")

    monkeypatch.setattr(routes, "submit", sent)
    body = {"action": "ban", "account": address(WHO), "expires_s": 90.5}
    await served.refused("POST", "/v1/proposals", 409, json=body)
    await served.refused("POST", "/v1/votes", 409, json={"proposal": ID, "yes": False})
    await served.refused("POST", "/v1/withdrawals", 409, json={"proposal": ID})
    await served.refused("POST", "/v1/votes", 400, json={"proposal": "zz" * 32, "yes": False})
    ref = bytes.fromhex(ID)
    assert [op for _, op in made] == [
        Propose(Ban(WHO), served.node.ledger.clock + 90_500),
        VoteProposal(ref, False),
        Withdraw(ref),
    ]
    assert [what[:12] for what, _ in made] == ["The proposal", "The vote on ", "The withdraw"]


def test_a_proposal_that_two_begin_alike_is_named_whole(api: Fake, run: Any) -> None:
    other = "4be3" * 16
    api.answers["GET /v1/proposals"] = [OPEN, OPEN | {"proposal": other}]
    api.answers["POST /v1/votes"] = api.answers["POST /v1/withdrawals"] = {"tx": "ab" * 32, "status": "pending"}
    ran = run("vote", "4be", "yes")
    assert ran.code == 2 and "2 open proposals begin with '4be'" in ran.err
    ran = run("withdraw", "ff")
    assert ran.code == 2 and "No open proposal begins with 'ff'" in ran.err
    assert not api.bodies("POST", "/v1/votes") and not api.bodies("POST", "/v1/withdrawals")
    assert "on its way" in run("withdraw", "4BE3", "--wait", "0").out
    assert api.bodies("POST", "/v1/withdrawals") == [{"proposal": other}]
    api.answers["GET /v1/proposals"] = []
    assert run("vote", ID, "yes", "--wait", "0").code == 0, "a whole id is not looked up"
    assert api.bodies("POST", "/v1/votes") == [{"proposal": ID, "yes": True}]
    api.answers["POST /v1/withdrawals"] = {
        "tx": "ab" * 32,
        "status": "final",
        "height": 7,
        "index": 0,
        "code": 0,
        "code_name": "OK",
    }
    assert "is withdrawn" in run("withdraw", ID).out


@pytest.mark.parametrize(
    ("text", "value"),
    [("job_key=30s", 30_000), ("job_key=2m", 120_000), ("job_key=1.5h", 5_400_000), ("job_key=1d", 86_400_000), ("quota=07", 7)],
)
def test_a_parameter_takes_a_number_or_a_length_of_time(api: Fake, run: Any, text: str, value: int) -> None:
    api.answers["POST /v1/proposals"] = {"tx": "ab" * 32, "status": "pending"}
    assert run("propose", "parameters", text, "--wait", "0").code == 0
    assert api.bodies("POST", "/v1/proposals")[-1]["values"] == {text.partition("=")[0]: value}


def test_a_parameter_is_given_one_value(api: Fake, run: Any) -> None:
    ran = run("propose", "parameters", "quota=1", "job_key=5s", "quota=2")
    assert ran.code == 2 and "quota stands there twice" in ran.err and not api.bodies("POST", "/v1/proposals")


@pytest.mark.parametrize("text", ["quota=-1", "quota=1.5", "quota=", "quota=٣x", "quota=1e3"])
def test_whatever_else_is_no_value(api: Fake, run: Any, text: str) -> None:
    ran = run("propose", "parameters", text)
    assert ran.code == 2 and "no NAME=VALUE" in ran.err and not api.bodies("POST", "/v1/proposals")


def test_who_may_say_nothing_more_is_not_asked_for_a_word(api: Fake, run: Any) -> None:
    for may, own, shown, asked in ((["no"], "yes", "yes", False), ([], None, "-", False), (["yes", "no"], None, "yes or no", True)):
        api.answers["GET /v1/proposals"] = [OPEN | {"may": may, "own_word": own, "yes": [OWN, OTHER], "no": [OWN]}]
        ran = run("proposals")
        assert ran.out.rstrip().endswith(shown) and "2 of 3" in ran.out
        assert ("Say your word" in ran.err) is asked


# --- what the operator is told --------------------------------------------------------------------------------------------------


def notices(council: Council, watch: ProposalWatch) -> list[tuple[str, str]]:
    keys = tuple(b"op/" + ref for ref, _ in proposals(council.state))
    watch.handle(Changed(council.state, keys))
    watch.handle(Chain(council.state, council.clock))
    return [(notice.topic, notice.text) for notice in watch.notices()]


def test_a_validator_is_told_of_a_proposal_until_it_has_spoken() -> None:
    council = Council()
    watches = [ProposalWatch(Recalled(id_of(name), b"", Config().work, bytes)) for name in ("v1", "v2", "alice")]
    ref = council.open(AddValidator(id_of("alice")), "v1")
    own, other, nobody = (notices(council, watch) for watch in watches)
    assert own == nobody == []
    assert [topic for topic, _ in other] == [WAITS] and f"learningchain vote {ref.hex()[:12]}" in other[0][1]
    council.codes(council.tx("v2", VoteProposal(ref, False)))
    assert notices(council, watches[1]) == []


def test_an_operator_is_told_of_a_protocol_that_its_program_does_not_know() -> None:
    council = Council()
    council.decide(Upgrade(2, council.height + 50), "v1", "v2", "v3")
    watch = ProposalWatch(Recalled(id_of("alice"), b"", Config().work, bytes))
    ((topic, text),) = notices(council, watch)
    assert topic == NEWER and "Install" in text


def test_so_many_proposals_are_told_of_and_one_that_ended_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    council = Council()
    watch = ProposalWatch(Recalled(id_of("v2"), b"", Config().work, bytes))
    refs = [council.open(SetVerifier(id_of(name), True), "v1") for name in ("alice", "bob")]
    assert len(notices(council, watch)) == 2
    assert [one.ref for one in watch.notices()] == sorted(refs)
    monkeypatch.setattr(watching, "MOST", 1)
    assert len(notices(council, watch)) == 1
    monkeypatch.setattr(watching, "MOST", 64)
    council.vote(refs[0], True, "v2", "v3")
    watch.handle(Changed(council.state, (), anew=True))
    watch.handle(Chain(council.state, council.clock))
    assert [one.ref for one in watch.notices()] == [refs[1]], "where everything is looked at anew, too"
