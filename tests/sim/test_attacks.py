"""Every attack alone and every two of them together, amid faults: no checker finds anything, and the attacks happened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest

from learningchain.chain.ledger.genesis import Genesis
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record, validators_of
from learningchain.chain.types import Evidence
from tests.reached import reached
from tests.sim.attacks.censor import Censor
from tests.sim.attacks.flooder import SENDABLE
from tests.sim.attacks.garbler import REFUSED
from tests.sim.attacks.table import BY_NAME, NAMES
from tests.sim.machine import Machine
from tests.sim.market.clients import Market
from tests.sim.profile import PLAIN, Profile, draw
from tests.sim.run import one
from tests.sim.signatures import SIMULATED, signatures
from tests.sim.world import World

ROUNDS = max(1, int(os.environ.get("LC_SIM_SEEDS", "240")) // 240)
"""How often each pair of attacks is run."""

PARTS = 3
"""The pairs with one attack run in so many tests."""

SINGLE = 3
"""Runs of each attack alone."""
CALM = Profile(heal_at=2_500, transfers=12, job=False)


@cache
def faulty(seed: int, validators: int) -> Profile:
    """The faults of the first drawn profile from there on that has so many validators, without those that count as Byzantine."""
    at = seed * 1_000
    while (drawn := draw(at, ())).validators != validators:
        at += 1
    plain = tuple(m for m in drawn.mishaps if m.kind in PLAIN)
    return replace(drawn, twins=(), skew=drawn.skew[: drawn.machines], mishaps=plain)


def attacked(seed: int, profile: Profile, *attacks: str) -> Counter[str]:
    """A good run; what happened in it."""
    outcome = one(seed, profile=replace(profile, attacks=attacks))
    assert not outcome.fault, str(outcome)
    return outcome.faults


def happened(counts: Counter[str], attack: str) -> dict[str, int]:
    start = f"attack: {attack}, "
    return {name.removeprefix(start): count for name, count in counts.items() if name.startswith(start)}


class Watched(World):
    """Tells who was penalized for what, and may wait for more than the clients do."""

    def __init__(self, seed: int, profile: Profile) -> None:
        super().__init__(seed, profile, BY_NAME)
        self.reasons: Counter[str] = Counter()
        self.eject = False
        penalized = self.checks.penalized

        def note(machine: Machine, peer: int, reason: str) -> None:
            self.reasons[reason] += machine.honest
            penalized(machine, peer, reason)

        self.checks.penalized = note  # type: ignore[method-assign]

    def _over(self) -> bool:
        return super()._over() and not (self.eject and self.attackers_left())

    def attackers_left(self) -> list[int]:
        present = {v.id for v in validators_of(self.honest[0].node.state)}
        return [m.index for m in self.machines if not m.honest and m.id in present]


def watched(seed: int, profile: Profile, *, eject: bool = False) -> Watched:
    world = Watched(seed, profile)
    world.eject = eject
    with signatures(SIMULATED):
        world.run()
    return world


# --- each of them ---------------------------------------------------------------------------------------------------------------

DOES = {
    "amnesiac": {"lock forgotten"},
    "bad proposer": {"another's name", "block from the future", "heavy block"},
    "body withholder": {"body withheld", "transactions withheld"},
    "censor": {"left out", "got in all the same"},
    "certificate forger": {
        "too few",
        "wrong signers",
        "doubled signers",
        "another height",
        "another round",
        "another block",
        "prevotes",
    },
    "double voter": {"two prevotes", "two precommits"},
    "equivocator": {"second proposal", "vote for the second one"},
    "evidence forger": {"its own signatures", "two heights", "two real proposals", "refused by the ledger"},
    "filler": {"refused", "self-made", "passed on", "dry"},
    "flooder": {"flooded", "asked", *(f"sent {kind}" for kind in SENDABLE.values())},
    "garbler": {*REFUSED[1:], "flipped", "junk", "nonsense"},
    "hidden lock": {"lock on one node alone", "proposal kept from somebody"},
    "hoarder": {"gap", "far gap", "ready", "refused with a deadline", "room was taken"},
    "liar": {"false height", "blocks: nothing", "wrong list of ids"},
    "link liar": {"false links", "not passed on"},
    "parrot": {"said again", "stale height"},
    "poster": {"posted", "bound reached"},
    "silent": {"unsaid"},
    "twins": {"spoke"},
    "vote withholder": {"vote withheld"},
}


@pytest.mark.parametrize("name", NAMES)
def test_each_attack_happens_and_breaks_nothing(name: str) -> None:
    counts: Counter[str] = Counter()
    for seed in range(SINGLE * ROUNDS):
        counts.update(attacked(seed, replace(faulty(seed, 4), transfers=16), name))
    reached(happened(counts, name).keys() >= DOES[name], f"all that {name} does: {sorted(happened(counts, name))}")


def pairs(place: int, part: int) -> list[int]:
    """The places of those that attack together with the one at `place`, in one of `PARTS`; itself only in longer runs."""
    return [other for other in range(place + (ROUNDS == 1), len(NAMES)) if (other - place) % PARTS == part]


def groups() -> list[Any]:
    """Each attack with a part of those behind it in the list: every third of these parts in every run, all in the full one."""
    mark = pytest.mark.full("every ninth pair of attacks runs here")
    found = [(place, part) for place in range(len(NAMES)) for part in range(PARTS) if pairs(place, part)]
    return [
        pytest.param(place, part, id=f"{NAMES[place]}, part {part}", marks=[] if part == place % PARTS == 0 else [mark])
        for place, part in found
    ]


@pytest.mark.parametrize(("place", "part"), groups())
def test_two_of_seven_attack_together(place: int, part: int) -> None:
    counts: Counter[str] = Counter()
    others = pairs(place, part)
    for other in others:
        for turn in range(ROUNDS):
            seed = 1 + place + other + turn * len(NAMES)
            drawn = faulty(seed, 7)
            # Short, but with some heights in which the attackers have their turn.
            profile = replace(drawn, job=False, heights=4, transfers=100, heal_at=min(drawn.heal_at, 1_500))
            counts.update(attacked(seed, profile, NAMES[place], NAMES[other]))
    # Four heights are too short for some, which `test_each_attack_happens_and_breaks_nothing` sees at work.
    reached(any(happened(counts, NAMES[at]) for at in (place, *others)), f"{NAMES[place]} beside others")


def test_every_pair_is_in_one_part() -> None:
    found = [(place, other) for place in range(len(NAMES)) for part in range(PARTS) for other in pairs(place, part)]
    assert len(found) == len(set(found)) == len(NAMES) * (len(NAMES) - 1 + 2 * (ROUNDS > 1)) // 2


# --- what becomes of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["double voter", "equivocator", "twins"])
def test_who_signs_twice_is_ejected_in_the_end(name: str) -> None:
    for seed in range(3):
        world = watched(seed, replace(faulty(seed, 4), attacks=(name,), transfers=40, job=False), eject=True)
        assert world.faults["evidence"] > 0 and world.attackers_left() == []


FEW = 12
"""Blocks for which evidence is good, and half a minute of an idle graph."""


class LateMarket(Market):
    """Of all evidence the first alone, and not before the graph has made more blocks than it is good for."""

    def report(self, machine: Machine, evidence: Evidence) -> None:
        if not self.world.faults["evidence"]:
            super().report(machine, evidence)

    def _report(self, state: State) -> None:
        if all(e.a.height + FEW < chain_record(state).height for found in self.evidence.values() for e in found):
            super()._report(state)


class SpinningWorld(Watched):
    """Somebody sends one transfer after the other, and each has a block soon."""

    def genesis(self) -> Genesis:
        made = super().genesis()
        return msgspec.structs.replace(made, params=msgspec.structs.replace(made.params, evidence_age=FEW))

    def clients(self) -> Market:
        return LateMarket(self)


def test_who_signs_twice_is_ejected_however_fast_somebody_has_blocks_made() -> None:
    world = SpinningWorld(4, replace(CALM, attacks=("double voter",), transfers=200, eager=1.0))
    world.eject = True
    with signatures(SIMULATED):
        world.run()
    assert world.honest[0].node.height > 2 * FEW and world.attackers_left() == []


def test_two_that_sign_twice_are_ejected_both() -> None:
    world = watched(1, replace(CALM, validators=7, attacks=("equivocator", "double voter")), eject=True)
    assert len(validators_of(world.honest[0].node.state)) == 5


def test_broken_bytes_are_refused_with_a_reason_each_time() -> None:
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for seed in range(6):
        world = watched(seed, replace(CALM, attacks=("garbler",)))
        counts.update(happened(world.faults, "garbler"))
        reasons.update(world.reasons)
    broken = sum(counts[kind] for kind in REFUSED)
    refused = sum(count for reason, count in reasons.items() if reason.startswith("NODE message: "))
    on_the_way = 6 * 4
    assert broken - on_the_way <= refused
    texts = " ".join(reasons)
    assert all(why in texts for why in ("not the canonical encoding", "truncated", "trailing", "length <= 512"))


def test_a_message_that_is_too_long_is_refused_before_it_is_read() -> None:
    reasons: Counter[str] = Counter()
    for seed in range(40):
        if happened(
            (world := watched(seed, replace(CALM, attacks=("garbler",), heal_at=1_000, transfers=4))).faults, "garbler"
        ).get("oversized"):
            reasons.update(world.reasons)
            break
    assert any("at most 4500000 allowed" in reason for reason in reasons)


def test_forged_certificates_cost_their_sender_and_decide_nothing() -> None:
    world = watched(2, replace(CALM, attacks=("certificate forger",)))
    reached(world.reasons["a certificate that does not hold"] > 10, "liars who tell certificates that do not hold")


def test_lying_sync_peers_are_found_out() -> None:
    reasons: Counter[str] = Counter()
    for seed in range(5):
        late = replace(CALM, attacks=("liar",), heal_at=4_000, transfers=20, joins=((2_000, 0),), crashes=((1_500, 1), (2_500, 4)))
        reasons.update(watched(seed, late).reasons)
    reached(sum(count for reason, count in reasons.items() if reason.startswith("sync: ")) > 1, "lying sync peers")


def test_who_lies_about_snapshots_is_found_out_and_nodes_begin_from_good_ones() -> None:
    reasons: Counter[str] = Counter()
    began = 0
    for seed in range(5):
        late = replace(CALM, attacks=("liar",), heal_at=5_000, transfers=40, joins=((3_000, 2), (3_500, 5)), observers=2)
        world = watched(seed, late)
        reasons.update(world.reasons)
        began += world.faults["began from a snapshot"]
    reached(began > 2, "nodes that begin from snapshots")
    reached(sum(count for reason, count in reasons.items() if reason.startswith("snapshot: ")) > 1, "liars about snapshots")


def test_a_graph_whose_nodes_all_dropped_old_blocks_takes_newcomers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They begin from a snapshot, also those that would rather have taken the blocks; nobody is blamed for what is gone."""
    monkeypatch.setattr(Machine, "drops", property(lambda _: True))
    reasons: Counter[str] = Counter()
    began = 0
    for seed in range(4):
        late = replace(CALM, heal_at=5_000, transfers=60, joins=((3_500, 2), (4_000, 6)), observers=3)
        world = watched(seed, late)
        reasons.update(world.reasons)
        began += world.faults["began from a snapshot"]
        assert world.faults["old block dropped"] > 10
    reached(began > 3, "newcomers among nodes that dropped old blocks")
    assert not [reason for reason in reasons if reason.startswith(("sync: ", "snapshot: "))]


@pytest.mark.parametrize(("validators", "censors"), [(4, 1), (7, 2)])
def test_what_censors_leave_out_gets_in_with_the_next_honest_proposer(validators: int, censors: int) -> None:
    waited: list[int] = []
    for seed in range(3):
        world = watched(seed, replace(CALM, validators=validators, attacks=("censor",) * censors, transfers=40))
        for machine in world.machines:
            if isinstance(machine, Censor):
                waited += machine.waited
                assert not machine.left_out
    reached(len(waited) > 2, "censors that left something out")
    assert max(waited, default=0) <= censors


def test_false_evidence_ejects_nobody() -> None:
    world = watched(5, replace(CALM, attacks=("evidence forger",), heal_at=6_000))
    refused = happened(world.faults, "evidence forger")["refused by the ledger"]
    reached(refused > 5, "evidence that the ledger refuses")
    assert len(validators_of(world.honest[0].node.state)) == 4
    reached(happened(world.faults, "evidence forger")["two real proposals"], "evidence from two real proposals")


def test_who_floods_a_block_with_deadlines_postpones_its_own() -> None:
    """Attack and honest job expire together, again and again; the honest account never waits."""
    postponed, beside = Counter[bool](), 0
    for seed in range(4):
        world = watched(seed, Profile(attacks=("poster",), heal_at=1_500, transfers=20))
        attackers = {m.id for m in world.machines if not m.honest}
        for account, times in world.checks.chain.postponed.items():
            postponed[account in attackers] += times
        beside += world.faults["attack: poster, just before another's"]
    reached(beside and postponed[True] > 30, "an attacker whose deadlines are postponed beside an honest job")
    assert postponed[False] == 0


def filled(seed: int) -> Iterator[tuple[int, int]]:
    """Bytes in blocks of each identity of a filler, and what they may be at most."""
    world = watched(seed, Profile(attacks=("filler",), transfers=60, job=False))
    bytes_ = world.checks.chain.bytes
    for machine in world.machines:
        for who, _ in machine.others:
            yield bytes_.written[who], bytes_.allowed[who] // 1_000


def test_fillers_write_what_their_identities_earned_and_no_more() -> None:
    """LC-TX-12, 13: one credit that goes round leaves each identity its own window."""
    for seed in range(3):
        for written, most in filled(seed):
            assert most - 20_000 < written <= most
