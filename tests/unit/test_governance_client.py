"""`propose`, `proposals`, `vote`, `withdraw`, `parameters`: routes on a real ledger, commands, and what the operator is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from chain.contracts.governance import (
    AddValidator,
    Ban,
    GovernanceCode,
    ParamValue,
    Propose,
    RemoveValidator,
    SetParameters,
    Upgrade,
    VoteProposal,
    proposal_key,
    proposals,
)
from chain.crypto import address
from chain.errors import Reject
from chain.ledger.transition import params_of
from client.api.submit import try_out
from client.config import Config
from client.contracts.governance.views import describe, view
from client.contracts.governance.watching import NEWER, WAITS, ProposalWatch
from client.work.events import Chain, Changed
from client.work.machine import Recalled
from tests.unit.api_kit import Api, serving
from tests.unit.client_fake_api import OTHER, OWN, Fake
from tests.unit.governance_kit import Council
from tests.unit.ledger_kit import id_of

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


@pytest.mark.parametrize(
    ("text", "value"),
    [("job_key=30s", 30_000), ("job_key=2m", 120_000), ("job_key=1.5h", 5_400_000), ("job_key=1d", 86_400_000), ("quota=07", 7)],
)
def test_a_parameter_takes_a_number_or_a_length_of_time(api: Fake, run: Any, text: str, value: int) -> None:
    api.answers["POST /v1/proposals"] = {"tx": "ab" * 32, "status": "pending"}
    assert run("propose", "parameters", text, "--wait", "0").code == 0
    assert api.bodies("POST", "/v1/proposals")[-1]["values"] == {text.partition("=")[0]: value}


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
