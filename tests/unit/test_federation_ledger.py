"""What only a ledger has of federations: duties and indexes, parking, bytes that are no names, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace as copy
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts import perform
from learningchain.chain.contracts.federation import CONTRACT, FederationCode, duties, indexes, messages, records
from learningchain.chain.contracts.federation.deadlines import due_work
from learningchain.chain.contracts.federation.duties import FederationDuty, OwedDuty
from learningchain.chain.contracts.federation.formulas import update_size
from learningchain.chain.contracts.federation.indexes import (
    AggregatedFederations,
    JoinedFederations,
    MeasuredFederations,
    SponsoredFederations,
)
from learningchain.chain.contracts.federation.records import EndReason, FederationState
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import K_SUPPLY, parked_key
from tests.federation import scenario
from tests.federation.generate import Player
from tests.federation.generate_cells import CellPlayer
from tests.federation.scenario import Block, Entry, Scenario
from tests.federation_driver import Ledger, RealNaming, hash_of

SEEDS = (0, 3, 5, 11, 15, 36, 7_967)
CELL_SEEDS = (0, 5, 6, 9)


def played(seed: int, player: type[Player] = Player) -> tuple[Scenario, RealNaming]:
    naming = RealNaming()
    return player(seed, naming=naming).run(), naming


def ledgers() -> Iterator[Ledger]:
    """After every block of some runs."""
    for seed in SEEDS:
        its, naming = played(seed)
        ledger = Ledger(its, naming)
        for block in its.blocks:
            ledger.run(block)
            yield ledger


def until(*states: FederationState) -> tuple[Ledger, bytes]:
    """A ledger with a federation in one of the states."""
    for ledger in ledgers():
        for one in ledger.federations:
            now = ledger.get(records.federation_key(one))
            if now is not None and now.state in states:
                return ledger, one
    raise AssertionError("no run comes there")


# --- indexes -------------------------------------------------------------------------------------------------------------------

PREFIXES = {JoinedFederations: b"fm/", AggregatedFederations: b"fg/", MeasuredFederations: b"fs/"}


def test_indexes_say_what_the_records_say() -> None:
    seen: set[Any] = set()
    for ledger in ledgers():
        for member in ledger.scenario.members:
            for kind, prefix in PREFIXES.items():
                keys = [key for key, _ in ledger.below(prefix) if key[32:] == member.id]
                found: list[bytes] = indexes.federations_of(ledger.store, kind, member.id)
                assert found == sorted(key[:32] for key in keys)
                seen |= {kind} if found else set()
            own = [key for key, posting in ledger.below(b"fp/") if posting.sponsor == member.id]
            assert indexes.federations_of(ledger.store, SponsoredFederations, member.id) == sorted(own)
    assert seen == set(PREFIXES)


class DutyLedger(Ledger):
    """Looks at each duty before and after the message that does it."""

    done: Counter[FederationDuty]

    def send(self, entry: Entry) -> str | None:
        duty = done_by(entry.message)
        before = self.owed(entry, duty) if duty is not None else None
        why = super().send(entry)
        if duty is not None and why is None:
            self.done[duty] += 1
            assert before is not None, f"{duty.name} was taken and not owed"
            assert self.owed(entry, duty) != before, f"{duty.name} is owed a second time"
        return why

    def owed(self, entry: Entry, duty: FederationDuty) -> OwedDuty | None:
        ref = hash_of(entry.message.federation)  # type: ignore[union-attr]
        found = [one for one in duties.duties(self.store, entry.sender) if (one.federation, one.duty) == (ref, duty)]
        return found[0] if found else None


def done_by(message: Any) -> FederationDuty | None:
    if isinstance(message, scenario.PinParts | scenario.PinSealed):
        return FederationDuty.PIN_ROWS if message.stage == scenario.ROWS_STAGE else FederationDuty.PIN_SUMS
    if isinstance(message, scenario.SealParts):
        return FederationDuty.SEAL_ROWS if message.stage == scenario.ROWS_STAGE else FederationDuty.SEAL_SUMS
    kinds: dict[type, FederationDuty] = {
        scenario.StartRound: FederationDuty.START_ROUND,
        scenario.SealKey: FederationDuty.SEAL_KEY,
        scenario.ReferUpdate: FederationDuty.REFER,
        scenario.ReadyKey: FederationDuty.READY,
        scenario.CommitUpdate: FederationDuty.COMMIT,
        scenario.HaveUpdates: FederationDuty.HAVE,
        scenario.ScreenUpdates: FederationDuty.SCREEN,
        scenario.SumUpdates: FederationDuty.SUM,
        scenario.SumCells: FederationDuty.SUM,
        scenario.CommitMeasure: FederationDuty.MEASURE,
        scenario.OpenMeasure: FederationDuty.OPEN,
        scenario.OpenSteps: FederationDuty.OPEN,
    }
    return kinds.get(type(message))


def test_what_the_ledger_takes_as_a_duty_was_owed_and_is_owed_no_more() -> None:
    done: Counter[FederationDuty] = Counter()
    for seed, player in (*((seed, Player) for seed in SEEDS), *((seed, CellPlayer) for seed in CELL_SEEDS)):
        its, naming = played(seed, player)
        ledger = DutyLedger(its, naming)
        ledger.done = done
        for block in its.blocks:
            ledger.run(block)
    assert set(done) == set(FederationDuty)


# --- names that are none ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model": b"x" * 36}, FederationCode.BAD_MODEL),
        ({"dims": 2**28 + 1}, FederationCode.BAD_MODEL),
        ({"schema": b"x"}, FederationCode.BAD_TERMS),
        ({"arch": 9}, FederationCode.BAD_TERMS),
        ({"params": "ä" * 4_097}, FederationCode.BAD_TERMS),
        ({"secrecy": 3}, FederationCode.BAD_TERMS),
        ({"rule": 3, "secrecy": 1}, FederationCode.BAD_TERMS),
        ({"split": 4}, FederationCode.BAD_TERMS),
        ({"float_kind": 3}, FederationCode.BAD_TERMS),
        ({"target": 10**18}, FederationCode.BAD_TARGET),
        ({"target": -(10**18)}, FederationCode.BAD_TARGET),
    ],
)
def test_terms_that_no_machine_could_carry_out_are_refused(changes: dict[str, Any], code: FederationCode) -> None:
    ledger, federation = until(FederationState.IDLE)
    posting = ledger.get(records.posting_key(federation))
    terms = replace(posting.terms, ends=ledger.clock + 10**7, **changes)
    with pytest.raises(Reject) as refused:
        CONTRACT.messages[messages.OpenFederation].handler(
            ledger.host().acting(CONTRACT), posting.sponsor, messages.OpenFederation(terms)
        )
    assert refused.value.code == code


def test_a_file_without_a_name_is_refused() -> None:
    ledger, federation = until(FederationState.TRAIN)
    now, size = ledger.get(records.federation_key(federation)), update_size(ledger.get(records.posting_key(federation)).terms)
    attempt, roster = ledger.get(records.attempt_key(federation)), ledger.get(records.roster_key(federation))
    committed = int.from_bytes(attempt.committed, "little")
    member = next(one.account for one in roster.members if not committed >> one.index & 1)
    with pytest.raises(Reject) as refused:
        commit = messages.CommitUpdate(federation, now.starts, b"\x01" * 36, size)
        CONTRACT.messages[messages.CommitUpdate].handler(ledger.host().acting(CONTRACT), member, commit)
    assert refused.value.code == FederationCode.BAD_FILE


# --- parking, giving back (LC-FED-50) ---------------------------------------------------------------------------------------------

STATES = [state for state in FederationState if state != FederationState.END]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_what_is_given_back_in_any_state_ends_with_nothing_locked(state: FederationState) -> None:
    ledger, federation = until(state)
    sponsor = ledger.get(records.posting_key(federation)).sponsor
    before, held = ledger.get(b"a/" + sponsor).balance, [ledger.host().escrowed(federation + one) for one in (b"fB", b"fF")]
    host = ledger.host().acting(CONTRACT)
    assert CONTRACT.on_give_back is not None
    CONTRACT.on_give_back(host, federation)
    now = ledger.get(records.federation_key(federation))
    assert (now.state, now.end) == (FederationState.END, EndReason.GIVEN_BACK)
    assert not any(host.escrowed(federation + one) for one in (b"fB", b"fF"))
    if host.is_active(sponsor):
        assert ledger.get(b"a/" + sponsor).balance == before + sum(held)
    assert ledger.get(records.live_key(federation)) is None
    assert ledger.get(records.attempt_key(federation)) is None and not ledger.below(records.AGGREGATORS_OF + federation)
    assert not ledger.below(records.FILES + federation)
    ledger.run(Block(now.deadline, bytes(32), ()))
    for _ in range(100):
        if ledger.get(records.posting_key(federation)) is None:
            break
        ledger.run(Block(ledger.clock + 1, bytes(32), ()))
    kept = [key for key in ledger.store.records if federation in key]
    assert kept == [], "no record of it is left in the state"
    supply = ledger.get(K_SUPPLY)
    assert ledger.store.held == supply.minted - supply.burned


def test_a_deadline_that_fails_parks_its_federation_and_messages_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, federation = until(FederationState.IDLE)
    now, sponsor = ledger.get(records.federation_key(federation)), ledger.get(records.posting_key(federation)).sponsor

    def broken(host: Any, ref: bytes, at: int) -> None:
        raise ZeroDivisionError

    wrong = {**ledger.contracts}
    wrong[records.NUMBER] = copy(CONTRACT, on_due=broken)
    monkeypatch.setattr(ledger, "contracts", wrong)
    ledger.clock = now.deadline
    host = ledger.host()
    host.run_due(sponsor, now.deadline, records.NUMBER, federation)
    assert host.faults and ledger.get(parked_key(records.NUMBER, federation)) is not None
    with pytest.raises(Reject) as refused:
        perform(ledger.host(), sponsor, messages.CloseFederation(federation))
    assert refused.value.code == Code.PARKED


# --- weights (LC-FED-52) ----------------------------------------------------------------------------------------------------------


class Flagged:
    """A state with so many verifiers."""

    def __init__(self, ledger: Ledger, flagged: int) -> None:
        self.get, self.scan, self.count = ledger.store.get, ledger.store.scan, flagged

    def flagged(self) -> int:
        return self.count


@pytest.mark.parametrize(
    ("state", "work"),
    [(FederationState.IDLE, 256), (FederationState.DRAW, 356), (FederationState.OPEN, 356), (FederationState.SCREEN, 256)],
)
def test_a_deadline_weighs_what_it_may_go_through(state: FederationState, work: int) -> None:
    ledger, federation = until(state)
    assert due_work(Flagged(ledger, 1_600), federation) == work
    assert due_work(Flagged(ledger, 1_600), bytes(32)) == 0


def test_an_end_weighs_what_it_drops() -> None:
    ledger, federation = until(FederationState.END)
    left = ledger.get(records.federation_key(federation)).left
    assert left and due_work(Flagged(ledger, 0), federation) == min(left, 1_024) + 16
