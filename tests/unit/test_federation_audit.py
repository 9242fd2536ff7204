"""`fed audit`: what a stranger recomputes of a federation; whatever is told otherwise than it was signed is named."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation.messages import AggregationRule, FileCode
from learningchain.chain.contracts.federation.records import EndReason, RosterEntry, VoidReason
from learningchain.chain.crypto import address
from learningchain.chain.types import LogEvent, TransferEvent, cid_text
from learningchain.client.contracts.federation.arithmetic.places import CQ
from learningchain.client.contracts.federation.arithmetic.summing import Rule, divisor, next_model
from learningchain.client.contracts.federation.audit.evidence import FederationEvidence, FederationWatch
from learningchain.client.contracts.federation.audit.findings import AuditVerdict
from learningchain.client.contracts.federation.audit.judging import audit_federation
from learningchain.client.contracts.federation.audit.models import model_faults
from learningchain.client.contracts.federation.audit.payments import PaymentsAudit
from learningchain.client.contracts.federation.audit.replay import AuditedSum, FederationAudit
from learningchain.client.contracts.federation.cli import auditing
from learningchain.client.receipts.audit import Audit
from learningchain.client.sdk.types import NotFoundError
from tests.federation.generate import Player
from tests.federation.generate_cells import CellPlayer
from tests.federation_evidence import evidence_of
from tests.unit.api_kit import FakeLedger, serving, sha
from tests.unit.federation_play import FederationPlay, cid, helpers_serve
from tests.unit.test_api_federations import SECOND, opened
from tests.unit.test_job_audit import keep

pytest_plugins = ["tests.unit.client_cli_kit"]

USED, WRONG = FileCode.USED, FileCode.WRONG
OTHER = b"\x07" * 20


# --- what holds ----------------------------------------------------------------------------------------------------------------


def test_of_random_federations_nothing_differs() -> None:
    """With liars, silence, bans, benches, disputes and ends of every kind: no ledger of the real handlers is accused."""
    items: set[str] = set()
    for seed, player in (*((seed, Player) for seed in range(120)), *((seed, CellPlayer) for seed in range(30))):
        for evidence in evidence_of(seed, player):
            audit = audit_federation(evidence)
            wrong = [one for one in audit.findings if one.verdict == AuditVerdict.DIFFERS]
            assert audit.holds and not wrong, (player.__name__, seed, wrong)
            items |= {one.item for one in audit.findings}
    assert items == ITEMS - {"model"} | OF_CELLS


OF_CELLS = {"cells", "misses", "excluded", "directions"}
ITEMS = {
    *("terms", "escrow", "members", "start", "draw", "files", "deciding", "screen", "codes", "void", "sum", "fees"),
    *("measurement", "settlement", "pay", "end", "loss", "model"),
}


async def _played(folder: Path) -> tuple[FakeLedger, str]:
    """Three owners, one of them refused, an attempt with too few, progress, the target reached."""
    async with serving(folder) as api:
        ledger = api.node.ledger
        helpers_serve(ledger)
        play = FederationPlay(ledger, await opened(api, unvetted=None))
        play.join("n1", "n2", "n3")
        play.begin(0)
        play.measure(2 * SECOND)
        _round(play, 1, 2 * SECOND, WRONG)
        play.begin(2)
        play.train("n1")
        _round(play, 2, 3 * SECOND // 2 + 7, USED)
        _round(play, 3, SECOND, USED)
        ledger.block()
        return ledger, play.id.hex()


def _round(play: FederationPlay, r: int, loss: int, last: FileCode) -> None:
    play.begin(r)
    play.train("n1", "n2", "n3")
    play.screen(USED, USED, last)
    play.sum(f"model {r}")
    play.measure(loss)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[FakeLedger, str, Path, FederationEvidence]:
    """The ledger, the federation, a node that kept its blocks, and what executing these gives."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "api").mkdir(mode=0o700)
    ledger, federation = asyncio.run(_played(folder / "api"))
    store = keep(folder / "node", ledger)
    watch = FederationWatch(federation[:8], FederationEvidence(ledger.chain_id))
    found = asyncio.run(Audit(store, ledger.genesis, again=True, watch=watch).run(lambda height: None))
    store.close()
    assert not found.fault and found.last == ledger.height - 1, "it ends with the federation"
    return ledger, federation, folder / "node", watch.evidence


def test_what_was_played_holds_and_says_what_nobody_can_check(audited: Any) -> None:
    ledger, _, _, evidence = audited
    audit = audit_federation(evidence)
    assert [one for one in audit.findings if one.verdict == AuditVerdict.DIFFERS] == []
    unchecked = [(one.item, one.round, one.why.split(":")[0]) for one in audit.findings if one.verdict == AuditVerdict.UNCHECKED]
    assert unchecked[0] == ("codes", 1, "2 USED, 1 WRONG")
    assert {item for item, *_ in unchecked} == {"codes", "loss"}
    share = 100 * 10**6
    assert sum(audit.shares.values()) == share and audit.shares.keys() == {ledger.ids[name] for name in ("n1", "n2", "n3")}
    assert [(one.r, one.accepted) for one in audit.sums] == [(1, 2), (2, 3), (3, 3)]


# --- what was tampered with ----------------------------------------------------------------------------------------------------

Tamper = Callable[[FederationEvidence], None]


def events(topic: str, nth: int, change: Callable[[Any], list[Any]]) -> Tamper:
    """The nth log event of a topic, or transfer of a reason, becomes these."""

    def tamper(evidence: FederationEvidence) -> None:
        left = nth
        for at, step in enumerate(evidence.steps):
            for place, event in enumerate(step.events):
                if topic != (event.topic if isinstance(event, LogEvent) else event.reason):
                    continue
                if not left:
                    rest = step.events[:place] + tuple(change(event)) + step.events[place + 1 :]
                    evidence.steps[at] = dataclasses.replace(step, events=rest)
                    return
                left -= 1
        raise LookupError(topic)

    return tamper


def tell(topic: str, at: int, value: Any, nth: int = 0) -> Tamper:
    """Another datum in an event; a function makes it of the old one."""

    def change(event: LogEvent) -> list[Any]:
        data = list(event.data)
        data[at] = value(data[at]) if callable(value) else value
        return [replace(event, data=data)]

    return events("fed." + topic, nth, change)


def swap(topic: str, first: int, nth: int = 0) -> Tamper:
    def change(event: LogEvent) -> list[Any]:
        data = list(event.data)
        data[first], data[first + 1] = data[first + 1], data[first]
        return [replace(event, data=data)]

    return events("fed." + topic, nth, change)


def pay(reason: str, nth: int = 0, **changes: Any) -> Tamper:
    return events("fed." + reason, nth, lambda event: [replace(event, **changes)])


def drop(topic: str, nth: int = 0) -> Tamper:
    return events("fed." + topic, nth, lambda event: [])


def signed(kind: type, change: Callable[[Any], Any], count: int = 1, **step_changes: Any) -> Tamper:
    """The first messages of a kind are others, or of another sender; None: they were never sent."""

    def tamper(evidence: FederationEvidence) -> None:
        left = count
        for at, step in enumerate(evidence.steps):
            if left and any(isinstance(one, kind) for one in step.messages):
                said = tuple(new for one in step.messages if (new := change(one) if isinstance(one, kind) else one) is not None)
                evidence.steps[at] = dataclasses.replace(step, messages=said, **step_changes)
                left -= 1
        assert not left, kind

    return tamper


def other(one: Any) -> Any:
    return one


def stranger(evidence: FederationEvidence) -> None:
    evidence.rosters[2] = (*evidence.rosters[2], RosterEntry(OTHER, 5, True))


def recorded(evidence: FederationEvidence) -> None:
    who, member = evidence.members[0]
    evidence.members[0] = who, replace(member, paid=member.paid + 1)


def another_best(evidence: FederationEvidence) -> None:
    assert evidence.record is not None
    evidence.record = replace(evidence.record, best_model=cid("else"))


def no_terms(evidence: FederationEvidence) -> None:
    evidence.terms = None


def cheap(amount: int) -> Callable[[TransferEvent], list[Any]]:
    return lambda event: [replace(event, amount=event.amount + amount)]


def lying(one: m.OpenMeasure) -> m.OpenMeasure:
    """Another leaf than the one that is under the root."""
    (opening,) = one.opening
    return replace(one, opening=[replace(opening, leaves=[opening.leaves[0] + 1, *opening.leaves[1:]])])


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "terms that nobody signed": (no_terms, "terms"),
    "another bounty": (tell("opened", 1, 99), "terms"),
    "another sponsor": (tell("opened", 0, OTHER), "terms"),
    "less locked": (events("fed.bounty.locked", 0, cheap(-1)), "escrow"),
    "more burned": (events("fed.kept", 0, cheap(1)), "escrow"),
    "joined by another's signature": (signed(m.JoinFederation, other, sender=OTHER), "members"),
    "joined unasked": (signed(m.JoinFederation, lambda one: None), "members"),
    "joined with another's data": (signed(m.JoinFederation, lambda one: replace(one, digest=sha("same")), 2), "members"),
    "an index twice": (tell("joined", 1, 0, nth=1), "members"),
    "a start that nobody signed": (signed(m.StartRound, other, sender=OTHER), "start"),
    "a start of another round": (tell("started", 0, 2, nth=1), "start"),
    "a start that is counted twice": (tell("started", 1, 1, nth=1), "start"),
    "a stranger in the roster": (stranger, "start"),
    "another order of the panel": (swap("panel", 1), "draw"),
    "another order of the aggregators": (swap("drawn", 3), "draw"),
    "another hash of a file": (tell("file", 2, cid("else")), "files"),
    "a file of another": (tell("file", 1, OTHER), "files"),
    "a file for another's signature": (signed(m.CommitUpdate, other, sender=OTHER), "files"),
    "a second file": (events("fed.file", 0, lambda one: [one, one]), "files"),
    "a file that is not counted": (tell("collect", 2, 2), "files"),
    "a bitmap that denies": (signed(m.HaveUpdates, lambda one: replace(one, files=b"\x03")), "deciding"),
    "other files that count": (tell("rows", 2, 2), "deciding"),
    "others decide": (swap("rows", 3), "deciding"),
    "a code that nobody said": (tell("code", 3, int(USED), nth=2), "screen"),
    "an update that was left out": (tell("code", 5, 0), "screen"),
    "points that nobody gave": (tell("code", 4, 9), "screen"),
    "a code too few": (drop("code"), "screen"),
    "Screens that differ": (signed(m.ScreenUpdates, lambda one: replace(one, digest=sha(id(one))), 3), "screen"),
    "another norm": (tell("screened", 4, 5), "screen"),
    "a bench from nowhere": (
        events("fed.screened", 0, lambda one: [replace(one, topic="fed.benched", data=[OTHER, 7]), one]),
        "screen",
    ),
    "another model": (tell("summed", 2, cid("else")), "sum"),
    "another delta": (tell("summed", 3, cid("else")), "sum"),
    "another clip": (tell("summed", 4, lambda clip: clip + 1), "sum"),
    "sums that differ": (signed(m.SumUpdates, lambda one: replace(one, model=cid("else")), 2), "sum"),
    "an aggregator's fee to another": (pay("aggregator", target=OTHER), "fees"),
    "a fee a micro-credit higher": (events("fed.aggregator", 1, cheap(1)), "fees"),
    "a fee that was never paid": (drop("aggregator"), "fees"),
    "a fee out of the bounty": (pay("panel.fee", source=b"elsewhere" * 4), "fees"),
    "another reason of a void": (tell("void", 2, int(VoidReason.SPLIT)), "void"),
    "another loss of a vote": (tell("vote", 4, 1), "measurement"),
    "a vote of another": (tell("vote", 2, OTHER), "measurement"),
    "another salt": (signed(m.OpenMeasure, lambda one: replace(one, salt=sha("salt"))), "measurement"),
    "another commitment": (signed(m.CommitMeasure, lambda one: replace(one, commitment=sha("else"))), "measurement"),
    "leaves that do not hold": (signed(m.OpenMeasure, lying), "measurement"),
    "another measured loss": (tell("measured", 3, SECOND), "measurement"),
    "others count": (swap("measured", 4), "measurement"),
    "a seat that was not paid": (drop("panel.fee"), "fees"),
    "progress that was none": (tell("settled", 1, 1), "settlement"),
    "another best loss": (tell("settled", 3, 5, nth=1), "settlement"),
    "another pot": (tell("settled", 4, lambda pot: pot + 1, nth=1), "settlement"),
    "a share a micro-credit higher": (events("fed.share", 0, cheap(1)), "pay"),
    "a share to another": (pay("share", target=OTHER), "pay"),
    "a share that was never paid": (drop("share", nth=2), "pay"),
    "another sum in a member's record": (recorded, "pay"),
    "another end": (tell("ended", 0, int(EndReason.ABANDONED)), "end"),
    "another best at the end": (tell("ended", 1, 0), "end"),
    "another best model at the end": (another_best, "end"),
    "another sum at the end": (tell("ended", 2, 0), "end"),
    "less given back": (events("fed.fees.back", 0, cheap(-1)), "escrow"),
    "a payment that nothing asks for": (
        events("fed.ended", 0, lambda one: [TransferEvent("fed.gift", one.ref + b"fB", OTHER, 1, one.ref), one]),
        "escrow",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_tampered_with_is_named(audited: Any, name: str) -> None:
    tamper, item = TAMPERED[name]
    evidence = copy.copy(audited[3])
    evidence.steps, evidence.rosters, evidence.members = list(evidence.steps), dict(evidence.rosters), list(evidence.members)
    tamper(evidence)
    audit = audit_federation(evidence)
    assert not audit.holds
    wrong = {one.item for one in audit.findings if one.verdict == AuditVerdict.DIFFERS}
    assert item in wrong, wrong


def test_every_item_that_can_differ_was_seen_to() -> None:
    assert {item for _, item in TAMPERED.values()} == ITEMS - {"model", "codes", "loss"}


# --- models --------------------------------------------------------------------------------------------------------------------


def safetensors_file(values: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    header = b'{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (len(values), 4 * len(values))
    return struct.pack("<Q", len(header)) + header + values.astype("<f4").tobytes()


@pytest.mark.parametrize("rule", ["mean", "krum", "trimmed", "median"])
@pytest.mark.parametrize("accepted", [1, 2, 5, 128])
def test_a_model_lies_where_its_delta_puts_it_and_none_that_was_moved_does(rule: Rule, accepted: int) -> None:
    """LC-FILE-34, 35: by one step of a float in one value."""
    rng = np.random.default_rng(accepted)
    base = rng.normal(size=70_000).astype(np.float32)
    q, clip = divisor(rule, accepted), 10**9
    total = rng.integers(-q * CQ, q * CQ, len(base), np.int64)
    made = list(next_model(base, [total[:65_536], total[65_536:]], clip, q))
    delta, after = b"".join(one.delta for one in made), np.frombuffer(b"".join(one.model for one in made), "<f4").copy()
    terms = {"clip": clip, "rule": int(AggregationRule[rule.upper()]), "accepted": accepted}
    before = safetensors_file(base)
    assert model_faults(before, delta, safetensors_file(after), **terms) == []
    moved = after.copy()
    moved[69_000] += np.float32(0.01)
    assert "value 69000 " in model_faults(before, delta, safetensors_file(moved), **terms)[0]
    moved[69_000] = np.nan
    assert "value 69000 " in model_faults(before, delta, safetensors_file(moved), **terms)[0]
    assert model_faults(before, delta, safetensors_file(after), **(terms | {"clip": 2 * clip}))
    assert "bytes" in model_faults(before, delta[4:], safetensors_file(after), **terms)[0]
    assert "header" in model_faults(before, delta, safetensors_file(after[1:]), **terms)[0]
    assert "cannot be read" in model_faults(before, delta, b"\x80\x02pickle", **terms)[0]


# --- the command ---------------------------------------------------------------------------------------------------------------


def test_the_command_says_of_each_thing_whether_it_holds(audited: Any, run: Any) -> None:
    ledger, federation, folder, evidence = audited
    ran = run("fed", "audit", federation[:10], "--data", folder)
    assert ran.code == 0
    for said in (f"Federation {federation}", "OK        pay of round 3:", "UNCHECKED codes of round 1, attempt 2: 2 USED, 1 WRONG"):
        assert said in ran.out
    assert "tells the same" in ran.out and f"credits to {address(ledger.ids['n3'])}" in ran.out
    document = run("fed", "audit", federation, "--data", folder, "--json").json
    assert document["holds"] and document["findings"] and len(document["happened"]) == len(evidence.happened)
    assert sum(float(one["amount"]) for one in document["paid"]) == pytest.approx(100)


@pytest.mark.parametrize(("typed", "said"), [("ffffffff", "No federation that begins with"), ("newest", "six hex digits")])
def test_what_is_no_federation_is_said(audited: Any, run: Any, typed: str, said: str) -> None:
    ran = run("fed", "audit", typed, "--data", audited[2], "--json")
    assert ran.code == 2 and said in ran.error["message"]


def test_what_differs_ends_the_command_with_one(audited: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the program executes otherwise than it was signed: the blocks hold, the rules give something else."""
    _, federation, folder, _ = audited
    monkeypatch.setattr(PaymentsAudit, "_shares", lambda self, pot: [])
    ran = run("fed", "audit", federation, "--data", folder)
    assert ran.code == 1 and "DIFFERS   pay of round 2: 3 payments of a share were made, 0 are due" in ran.out


# --- models over a node --------------------------------------------------------------------------------------------------------


class FilesOfNode:
    """Serves files by CID, as a node does."""

    def __init__(self, files: dict[bytes, bytes]) -> None:
        self._files = {cid_text(name): raw for name, raw in files.items()}

    async def fetch(self, name: str, dest: Path, *, max_size: int) -> Any:
        if name not in self._files or len(self._files[name]) > max_size:
            raise NotFoundError("nobody serves it")
        dest.write_bytes(self._files[name])
        return dataclasses.make_dataclass("Fetched", ["path"])(dest)


@pytest.mark.parametrize(
    ("change", "verdict", "said"),
    [
        ({}, AuditVerdict.OK, "the delta of 2 updates"),
        ({"model": 0.5}, AuditVerdict.DIFFERS, "value 3"),
        ({"delta": None}, AuditVerdict.UNCHECKED, "its delta cannot be had: nobody serves it"),
        ({"base": None}, AuditVerdict.UNCHECKED, "its base cannot be had"),
    ],
)
async def test_models_are_fetched_by_name_and_held_against_their_deltas(
    audited: Any, change: dict[str, Any], verdict: AuditVerdict, said: str
) -> None:
    base, total = np.zeros(1_024, np.float32), np.full(1_024, 2 * CQ - 1, np.int64)
    (made,) = next_model(base, [total], 10**9, 2)
    after = np.frombuffer(made.model, "<f4").copy()
    after[3] += change.get("model", 0)
    files = {"base": safetensors_file(base), "delta": made.delta, "model": safetensors_file(after)}
    served = {cid(name): raw for name, raw in files.items() if change.get(name, 0) is not None}
    summed = AuditedSum(4, cid("base"), cid("model"), cid("delta"), 10**9, 2)
    terms = replace(audited[3].terms, size=len(files["base"]), dims=1_024)
    found = await auditing._model(cast(Any, FilesOfNode(served)), terms, summed)
    assert (found.item, found.round, found.verdict) == ("model", 4, verdict) and said in found.why


def test_models_without_a_node_and_of_other_rounds_than_the_best_are_unchecked(audited: Any, run: Any) -> None:
    words = ("fed", "audit", audited[1], "--models", "--data", audited[2], "--api", "http://127.0.0.1:9", "--json")
    (audited[2] / "api.token").write_text("t" * 43)
    found = {one["round"]: one for one in run(*words).json["findings"] if one["item"] == "model"}
    assert [one["verdict"] for one in found.values()] == ["UNCHECKED"] * 3
    assert "it has ended" in found[1]["why"] and "cannot be had" in found[3]["why"]


@pytest.mark.parametrize(
    ("ended", "best_r", "asked", "said"),
    [
        (False, 6, {4, 5, 6}, {1: "last 3 rounds", 3: "last 3 rounds"}),
        (False, 2, {2, 4, 5, 6}, {1: "last 3 rounds", 3: "last 3 rounds"}),
        (False, 0, {4, 5, 6}, {3: "last 3 rounds"}),
        (True, 6, {6}, {5: "it has ended"}),
        (True, 2, {2}, {1: "it has ended", 6: "it has ended"}),
        (True, 0, set(), {0: "the initial one", 6: "it has ended"}),
    ],
)
def test_models_are_looked_for_where_nodes_keep_what_they_were_made_of(
    audited: Any, ended: bool, best_r: int, asked: set[int], said: dict[int, str]
) -> None:
    sums = [AuditedSum(r, cid(f"base {r}"), cid(f"model {r}"), cid(f"delta {r}"), 10**9, 3) for r in range(1, 7)]
    common = SimpleNamespace(ask=lambda look: asyncio.run(look(FilesOfNode({}))))
    audit = FederationAudit([], sums, {}, best_r, ended)
    found = {one.round: one for one in auditing._models(cast(Any, common), audited[3].terms, audit)}
    assert {r for r, one in found.items() if "cannot be had" in one.why} == asked
    assert list(found) == sorted(found, key=lambda r: r or 0) and all(text in found[r].why for r, text in said.items())
    assert [r for r, one in found.items() if one.verdict == AuditVerdict.OK] == ([0] if 0 in said else [])
