"""`fed audit` of federations with cells: what the real handlers did holds; what is told otherwise is named, and nothing else."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.federation import cell_formulas, cells, steps
from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation.cells import LACKED
from learningchain.chain.contracts.federation.records import CellRecord, EndReason, VoidReason
from learningchain.chain.host import BANNED, Account, account_key
from learningchain.chain.types import LogEvent
from learningchain.client.contracts.federation.audit.evidence import FederationEvidence
from learningchain.client.contracts.federation.audit.findings import AuditVerdict
from learningchain.client.contracts.federation.audit.judging import audit_federation
from learningchain.client.contracts.federation.audit.replay import FederationAudit
from tests.cell_evidence import watched
from tests.reached import reached
from tests.unit.test_federation_audit import OTHER, Tamper, cheap, drop, events, other, pay, recorded, signed, swap, tell
from tests.unit.test_federation_cells import PEOPLE, Wild
from tests.vectors.celled_plays import Cells, drawn
from tests.vectors.celled_rounds import CELLED
from tests.vectors.celled_several import (
    IDLE,
    NINE,
    SEVERAL,
    UNPROVED,
    USED,
    again,
    dealt,
    flag,
    newcomers,
    rests,
    several,
    to_measure,
)
from tests.vectors.federation_plays import FIRST, OWNERS, Train, cid, flagged_alone
from tests.vectors.kit import id_of

ITEMS = {
    *("terms", "escrow", "members", "start", "draw", "cells", "files", "deciding", "screen", "codes", "misses", "excluded"),
    *("void", "sum", "fees", "measurement", "directions", "settlement", "pay", "end", "loss"),
}


def wrong(audit: FederationAudit) -> set[str]:
    return {one.item for one in audit.findings if one.verdict == AuditVerdict.DIFFERS}


class Restless(Wild):
    """Between two attempts flags come and go, owners are banned, leave and join again: cells rest, are over and begin anew."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, vetted=True, rounds=8, max_members=12, target=1)
        for name in PEOPLE:
            self.play = flag(self.play, name, self.often(0.85))

    def check(self) -> None:
        """What the rules promise is looked at elsewhere."""

    def send(self, given: dict[str, Any]) -> None:
        super().send({name: op for name, op in given.items() if self._account(name).status != BANNED})

    def _account(self, name: str) -> Account:
        found = self.play.state.get(account_key(id_of(name)))
        assert isinstance(found, Account)
        return found

    def idle(self) -> None:
        for name in PEOPLE:
            if not self.often(0.94):
                self.play = flag(self.play, name, self.often(0.6))
        if not self.often():
            name = self.draw.choice(OWNERS)
            now = {account_key(id_of(name)): replace(self._account(name), status=BANNED)}
            self.play = Cells(self.play.name, self.play.rule, now, self.play)
        ref = self.play.federation
        self.send({name: m.LeaveFederation(ref) for name in PEOPLE if not self.often(0.92)})
        self.send({name: m.JoinFederation(ref, id_of(name).ljust(32), 0) for name in PEOPLE if not self.often(0.75)})
        if self.often(0.9):
            super().idle()
        else:
            self.send({"alice": m.CloseFederation(ref)})


def wild(kind: type[Wild], seed: int) -> None:
    kind(seed).run()


# --- what holds ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("play", (*CELLED, *SEVERAL), ids=lambda play: play.__name__)
def test_no_play_of_the_rules_is_accused(play: Callable[[], Any]) -> None:
    """Nor where nothing is known of flags, as if each draw's block had changed all of them."""
    evidence = watched(play)
    nothing: dict[int, dict[bytes, bool | None]] = {number: {} for number in evidence.flags}
    for flags in (evidence.flags, nothing):
        evidence.flags = flags
        audit = audit_federation(evidence)
        assert not wrong(audit) or evidence.terms is None, [one for one in audit.findings if one.verdict == AuditVerdict.DIFFERS]


def sums_and_commits() -> None:
    """Who says a Screen last seals in the same transaction; who says a sum last commits to what it measured of it."""
    play = drawn("what one transaction may hold", "LC-FED-60", rounds=1)
    play.to_screen(*OWNERS[:4])
    play.pins(1)
    *others, last = sorted(play.aggregators(), key=play.panel().__contains__)
    play.all({name: play.screen([USED] * 4) for name in others})
    together(play, last, play.screen([USED] * 4), play.seal(last, 2))
    play.all({name: play.seal(name, 2) for name in others})
    play.all({name: play.pin(name, 2) for name in play.aggregators()})
    play.all({name: play.sum_of("sum") for name in others})
    said = play.list((1000, 18 * 10**8), (500, 19 * 10**8), (250, 17 * 10**8))
    together(play, last, play.sum_of("sum"), play.list_commitment(last, said))
    play.all({name: play.list_commitment(name, said) for name in play.panel() if name != last})
    play.all({name: play.list_opening(said) for name in play.panel()})


def sums_and_has_other_data() -> None:
    """Members add up, and are paid by examples: one says with its sum that its data are fewer now."""
    play = Train("what one transaction may hold", "LC-FED-40", flagged_alone(*OWNERS[:3]))
    play.serving(*OWNERS[:3]).opens(split=2, rounds=1)
    play.join(*OWNERS[:4], n=10)
    play.begin(0)
    play.measured(FIRST)
    play.begin(1)
    play.ready()
    play.files(*OWNERS[:4])
    play.have()
    play.pins(1)
    play.all({name: play.screen([USED] * 4) for name in play.deciding()})
    play.pins(2)
    *others, last = play.deciding()
    play.all({name: play.sum("better") for name in others})
    together(play, last, play.sum("better"), m.NewData(play.federation, bytes(32), 2))
    play.measured(5 * 10**8)


def together(play: Train, who: str, *ops: Any) -> None:
    assert play.block(play.tx(who, *ops)) == [0]


@pytest.mark.parametrize("play", [sums_and_commits, sums_and_has_other_data])
def test_what_stands_in_one_transaction_with_what_makes_way_for_it_is_heard_in_its_place(play: Callable[[], Any]) -> None:
    evidence = watched(play)
    assert evidence.record is not None and evidence.record.paid
    assert not wrong(audit_federation(evidence))


def test_of_random_federations_with_cells_nothing_differs() -> None:
    """Silence, lies, misses, new cells and ends of every kind."""
    items, topics = set[str](), Counter[str]()
    for kind, seed in [*((Wild, seed) for seed in range(16)), *((Restless, seed) for seed in range(16))]:
        evidence = watched(partial(wild, kind, seed))
        audit = audit_federation(evidence)
        assert not wrong(audit), (kind, seed, [one for one in audit.findings if one.verdict == AuditVerdict.DIFFERS])
        items |= {one.item for one in audit.findings}
        topics.update(one.event.topic for one in evidence.happened if isinstance(one.event, LogEvent))
    assert items == ITEMS
    reached(min(topics["fed.cell"], topics["fed.cell.over"], topics["fed.gone.cell"]) > 15, f"cells come and go: {topics}")


# --- what was tampered with ----------------------------------------------------------------------------------------------------


def story() -> None:
    """Two cells, paid by halves: parts that differ, a member that is absent three times and is of a new cell then, losses that go
    back to the best model, a window without a key, a Screen and a sum that one says otherwise."""
    play = several("told otherwise", "LC-FED-56", split=4, rounds=6, max_members=12, pace_ms=10**6, patience=2)
    gone = play.of_cell(2)[0]
    _quarrel(play)
    again(play)
    play.to_screen(*NINE)
    to_measure(play, [USED] * 9, 5, "first")
    play.settles((1000, 18 * 10**8), (500, 19 * 10**8), (2000, 17 * 10**8), None, (250, 18 * 10**8))
    for name, loss in (("second", 17 * 10**8), ("third", 30 * 10**8), ("fourth", 16 * 10**8)):
        again(play)
        _without(play, gone, name)
        play.settles((1000, loss), None, None)
    play.join(gone, "v3", "v4", "v5")
    play.begin(play.read().r)
    play.ready(*play.aggregators()[:2])
    play.pass_deadline()
    play.ready(play.aggregators()[2])
    _parted(play, [*NINE, "v3", "v4", "v5"])
    play.settles((1000, 10**9), None, None, None, None, None)
    assert play.read().end == EndReason.REACHED


def _quarrel(play: Cells) -> None:
    play.to_screen(*NINE)
    one, two, _ = play.aggregators()
    play.seals(1, {one: {"share3": "lie"}})
    play.do(one, play.pin(one, 1, share3="lie"))
    play.do(two, play.pin(two, 1))


def _without(play: Cells, gone: str, name: str) -> None:
    """Its cell pauses: the others of it are IDLE."""
    two = play.of_cell(2)
    owners = [one for one in NINE if one != gone]
    play.refers()
    play.files(*owners)
    play.pass_deadline()
    play.have(reference=True)
    to_measure(play, [IDLE if one in two else USED for one in owners], 3, name)


def _parted(play: Cells, owners: list[str]) -> None:
    """One aggregator says another Screen, and another sum."""
    play.to_screen(*owners)
    play.pins(1)
    *honest, liar = play.aggregators()
    right = play.screen([USED] * len(owners))
    play.all({honest[0]: right, honest[1]: right, liar: replace(right, digest=bytes(32))})
    play.pins(2)
    play.all({name: play.sum_of("last" if name in honest else "lie", 6) for name in play.aggregators()})


@pytest.fixture(scope="module")
def told() -> FederationEvidence:
    return watched(story)


def test_a_story_holds_and_says_what_nobody_can_check(told: FederationEvidence) -> None:
    audit = audit_federation(told)
    assert not wrong(audit)
    assert {one.item for one in audit.findings if one.verdict == AuditVerdict.UNCHECKED} == {"codes", "loss"}


def stranger(evidence: FederationEvidence) -> None:
    evidence.rosters[3] = evidence.rosters[3][1:]


def record(**changes: Any) -> Tamper:
    """Another one, as it stands in the end."""

    def tamper(evidence: FederationEvidence) -> None:
        assert evidence.record is not None
        evidence.record = replace(evidence.record, **changes)

    return tamper


def cell_record(change: Callable[[CellRecord], dict[str, Any]]) -> Tamper:
    def tamper(evidence: FederationEvidence) -> None:
        assert evidence.cells is not None
        evidence.cells = replace(evidence.cells, **change(evidence.cells))

    return tamper


def first_member(**changes: Any) -> Tamper:
    return cell_record(lambda cells: {"members": [replace(cells.members[0], **changes), *cells.members[1:]]})


def twice(topic: str, nth: int = 0) -> Tamper:
    return events("fed." + topic, nth, lambda one: [one, one])


TAMPERED: dict[str, tuple[Tamper, set[str]]] = {
    "a member of another cell": (tell("cell", 1, OTHER), {"cells"}),
    "a cell of another number": (tell("cell", 0, 7, nth=1), {"cells"}),
    "a new cell that was not told": (drop("cell", nth=2), {"cells"}),
    "a cell twice": (twice("cell"), {"cells"}),
    "a place that another lost": (tell("gone.cell", 0, OTHER), {"cells"}),
    "a place that nobody lost": (drop("gone.cell"), {"cells"}),
    "a roster without one of a cell": (stranger, {"cells"}),
    "a cell less in the record": (cell_record(lambda known: {"cells": known.cells[1:]}), {"cells"}),
    "another row of attempts": (first_member(attempts=6), {"misses"}),
    "one that lacked nothing": (cell_record(lambda known: {"lacked": [OTHER]}), {"excluded"}),
    "a gain that stays": (first_member(gained=7), {"settlement"}),
    "another that missed": (tell("missed", 1, OTHER), {"misses"}),
    "missed for another reason": (tell("missed", 2, LACKED), {"misses"}),
    "a miss that was not told": (drop("missed", nth=1), {"misses"}),
    "missed twice": (twice("missed", nth=2), {"misses"}),
    "a file that is not told": (drop("file"), {"files"}),
    "other files that count": (tell("rows", 2, 2), {"deciding"}),
    "others decide": (swap("rows", 3), {"deciding"}),
    "a liar that is not excluded": (drop("excluded"), {"excluded"}),
    "another is excluded": (tell("excluded", 0, OTHER, nth=1), {"excluded"}),
    "another differs": (tell("differs", 2, OTHER), {"excluded"}),
    "another digest is disputed": (tell("disputed", 1, 2), {"excluded"}),
    "a silent one that is not told": (drop("silent"), {"excluded"}),
    "another end of an attempt": (tell("void", 2, int(VoidReason.SPLIT)), {"void"}),
    "another code": (tell("code", 3, UNPROVED), {"screen"}),
    "an update that was left out": (tell("code", 5, 0), {"screen"}),
    "a code too few": (drop("code"), {"screen"}),
    "other files in the Screen": (tell("screened", 3, 8), {"screen"}),
    "another file of the sums": (tell("cells.summed", 2, cid("else")), {"sum"}),
    "other cells that are summed": (tell("cells.summed", 3, 1), {"sum"}),
    "others signed the sum": (swap("cells.summed", 4), {"sum"}),
    "another seal": (signed(m.SealParts, lambda one: replace(one, seal=bytes(32)), 12), {"void", "sum"}),
    "another salt of parts": (signed(m.PinSealed, lambda one: replace(one, salt=bytes(32))), {"void"}),
    "a reference that nobody signed": (signed(m.ReferUpdate, lambda one: None), {"files"}),
    "a reference that is not told": (drop("reference"), {"files"}),
    "an aggregator's fee to another": (pay("aggregator", target=OTHER), {"fees"}),
    "a fee that was never paid": (drop("aggregator"), {"fees", "escrow"}),
    "another choice": (tell("directions", 1, 1), {"directions"}),
    "another step": (tell("directions", 2, 250), {"directions"}),
    "another loss of a direction": (tell("directions", 3, 5), {"directions"}),
    "a list that is not told": (drop("directions", nth=1), {"directions"}),
    "another vote": (tell("vote", 4, 1, nth=6), {"measurement"}),
    "another measured loss": (tell("measured", 3, 5, nth=1), {"measurement"}),
    "others count": (swap("measured", 4, nth=1), {"measurement"}),
    "another commitment": (signed(m.CommitMeasure, lambda one: replace(one, commitment=bytes(32))), {"measurement"}),
    "another salt of a list": (signed(m.OpenSteps, lambda one: replace(one, salt=bytes(32))), {"measurement"}),
    "progress that was none": (tell("settled", 1, 2), {"settlement"}),
    "another pot": (tell("settled", 4, lambda pot: pot + 1), {"settlement"}),
    "another radius": (record(clip=10**6), {"settlement"}),
    "another candidate is trained on": (record(base=cid("last 2")), {"settlement"}),
    "another candidate is the round's": (record(model=cid("last 2")), {"settlement"}),
    "a share a micro-credit higher": (events("fed.share", 0, cheap(1)), {"pay", "escrow"}),
    "a share to another": (pay("share", target=OTHER), {"pay"}),
    "another sum in a member's record": (recorded, {"pay"}),
    "another candidate is the best model": (record(best_model=cid("last 2")), {"end"}),
    "another end": (tell("ended", 0, int(EndReason.CLOSED)), {"end"}),
    "less given back": (events("fed.fees.back", 0, cheap(-1)), {"escrow"}),
    "a start that nobody signed": (signed(m.StartRound, other, sender=OTHER), {"start"}),
    "another order of the aggregators": (swap("drawn", 3), {"draw"}),
    "terms that nobody signed": (tell("opened", 1, 99), {"terms"}),
    "joined by another's signature": (signed(m.JoinFederation, other, sender=OTHER), {"members"}),
}


# What follows from a signed message follows otherwise, beside what was told of it.
SIGNED: dict[str, tuple[Tamper, set[str]]] = {
    "a bitmap that denies": (
        signed(m.HaveUpdates, lambda one: replace(one, files=b"\xfe\x01")),
        {"deciding", "misses", "excluded"},
    ),
    "a file that nobody signed": (signed(m.CommitUpdate, lambda one: None), {"files", "deciding", "misses"}),
    "a key that nobody gave": (signed(m.ReadyKey, lambda one: None), {"excluded"}),
    "a list that nobody opened": (signed(m.OpenSteps, lambda one: None), {"measurement", "fees"}),
    "another sum of one": (
        signed(m.SumCells, lambda one: replace(one, models=[cid("else"), *one.models[1:]])),
        {"sum", "fees", "excluded"},
    ),
}


def doctored(evidence: FederationEvidence, tamper: Tamper) -> set[str]:
    evidence = copy.copy(evidence)
    for name in ("steps", "rosters", "flags", "members"):
        setattr(evidence, name, copy.copy(getattr(evidence, name)))
    tamper(evidence)
    return wrong(audit_federation(evidence))


@pytest.mark.parametrize("name", TAMPERED | SIGNED)
def test_what_is_told_otherwise_is_named_and_nothing_else(told: FederationEvidence, name: str) -> None:
    tamper, items = (TAMPERED | SIGNED)[name]
    assert doctored(told, tamper) == items


def test_every_item_that_can_differ_was_seen_to() -> None:
    assert set[str]().union(*(items for _, items in TAMPERED.values())) == ITEMS - {"codes", "loss"}


# --- flags ---------------------------------------------------------------------------------------------------------------------


def unflagged(evidence: FederationEvidence) -> None:
    first, *rest = evidence.rosters[2]
    evidence.rosters[2] = (replace(first, vetted=not first.vetted), *rest)


def back(evidence: FederationEvidence) -> None:
    """All of the cell that rests."""
    evidence.flags[3] = dict.fromkeys(evidence.flags[3], True)


@pytest.mark.parametrize(("play", "tamper", "items"), [(dealt, unflagged, {"cells"}), (rests, back, {"cells", "misses"})])
def test_cells_follow_from_who_carried_the_flag(play: Callable[[], Any], tamper: Tamper, items: set[str]) -> None:
    assert doctored(watched(play), tamper) == items


def test_where_the_block_of_a_draw_changed_a_flag_cells_are_taken_as_told() -> None:
    """Three wait at the sixth start: they may have been enough for a new cell, or not."""
    evidence = watched(newcomers)
    within = {one.account for one in evidence.rosters[6]}
    assert len(evidence.flags[6].keys() - within) == 3
    evidence.flags[6] = {who: has for who, has in evidence.flags[6].items() if who in within}
    audit = audit_federation(evidence)
    assert not wrong(audit)
    assert [one.attempt for one in audit.findings if (one.item, one.verdict) == ("cells", AuditVerdict.UNCHECKED)] == [6]


# --- programs that execute otherwise ---------------------------------------------------------------------------------------------

PROGRAMS: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "cells are dealt by accounts": (cells, "ticket", lambda *known: known[-1], "cells"),
    "no new cell comes": (cells, "_newcomers", lambda federation: [], "cells"),
    "who is silent misses nothing": (cells, "_miss", lambda *known: None, "misses"),
    "a liar is not excluded": (cells, "_fails", lambda *known, **more: None, "excluded"),
    "no cell gains": (steps, "_gain", lambda *known: None, "pay"),
    "what was gained stays behind a payment": (steps, "clear_gains", lambda federation: None, "pay"),
    "the radius stays": (steps, "keep_radius", lambda *known: None, "settlement"),
    "the first direction is the round's": (cell_formulas, "chosen_direction", lambda losses: 0, "directions"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_executes_otherwise_is_found(name: str) -> None:
    """As far as it comes: its blocks hold, since everybody ran it; what was signed gives something else."""
    module, part, does, item = PROGRAMS[name]
    with patch.object(module, part, does):
        evidence = watched(partial(_as_far_as_it_comes, story))
    assert item in wrong(audit_federation(evidence))


def _as_far_as_it_comes(play: Callable[[], None]) -> None:
    with suppress(AssertionError, StopIteration, KeyError):
        play()
