"""Games on the rules: what an attack brought before a rule was there, and what it brings now.

`before` are edits that take the rule out of the model (tests/federation/edits.py); a game gets the model's modules, with the rule
or without, and gives one figure. `python -m tests.federation.holes` plays all of them and writes `results/holes.md`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.model_copies import Edit

from . import formulas, scenario, table
from .edits import edited, load

RESULTS = Path(__file__).parent / "results" / "holes.md"


@dataclass(frozen=True, slots=True)
class Kit:
    """The modules of one model."""

    table: Any
    scenario: Any
    formulas: Any


@dataclass(frozen=True, slots=True)
class Hole:
    name: str
    """H1 to H18 of the first rules' second reading, or M for one that this model found."""
    attack: str
    unit: str
    before: tuple[Edit, ...]
    game: Callable[[Kit], float]
    most: float
    """What it may bring now."""


def rounds(kit: Kit, one: Any, better: int = 10**7) -> float:
    """Share of the federation's rounds that were measured; each is a little better than the best."""
    one.loss = lambda: one.federation.best - better if one.federation.r else kit.table.FIRST
    while one.federation.state != "END" and one.start() is None:
        pass
    done = one.federation.r - (one.federation.end != "ROUNDS" or one.federation.best_r < one.federation.r)
    return max(0, done) / one.federation.terms.rounds


def lost_rounds(kit: Kit, one: Any) -> float:
    return 1 - rounds(kit, one)


def lies(kit: Kit, one: Any, who: bytes, steps: tuple[str, ...]) -> None:
    """It pins other parts in these steps, and tells the truth otherwise."""
    one.lies[who] = lambda step, attempt: one.truth(attempt, who, step, who) if step in steps else None


# --- privacy --------------------------------------------------------------------------------------------------------------------


def one_alone(kit: Kit) -> float:
    """Members that two sums on one base show alone: the sponsor's evaluator says worse, and it removes one."""
    one = kit.table.Table(owners=6)
    one.start()
    one.loss = lambda: 2 * kit.table.FIRST
    shown, victims = 0, list(one.owners[:2])
    for victim in victims:
        one.start()
        one.must(kit.table.SPONSOR, kit.scenario.RemoveMember(kit.table.FED, victim))
    one.start()
    sets = one.federation.chains[b"initial"]
    for larger in sets:
        shown += sum(1 for smaller in sets if smaller < larger and len(larger - smaller) < 3)
    return shown


def file_seen(kit: Kit) -> float:
    """Seats of the panel that members have, who then train on the hidden file."""
    one = kit.table.Table(owners=1, verifiers=5, its=kit.table.terms(hidden=True))
    for who in one.verifiers[2:]:
        one.join(who)
    if one.send(kit.table.SPONSOR, kit.scenario.StartRound(kit.table.FED, 0)) is not None:
        return 0
    one.until("KEY")
    return sum(one.federation.joined(seat.who) for seat in one.federation.panel)


# --- aggregators ----------------------------------------------------------------------------------------------------------------


def by_limits(kit: Kit) -> float:
    """Whether a round is summed by three of 33 verifiers, who alone declared what the terms ask for."""
    one = kit.table.Table(verifiers=33)
    for who in one.verifiers[3:]:
        one.graph.accounts[who].able = False
    one.start()
    one.start()
    return float(one.federation.r > 1)


def outage(kit: Kit) -> float:
    """Verifiers of three that rest for thirty days: a sponsor starts an attempt whenever the one before came to nothing, in which
    nobody trains, while they are down for four minutes."""
    one = kit.table.Table(verifiers=3, its=kit.table.terms(rounds=30))
    one.start()
    one.lies = dict.fromkeys(one.verifiers, lambda step, attempt: False)
    until = one.graph.clock + 240_000
    while one.graph.clock < until and one.start() is None:
        one.block()
    return sum(one.graph.accounts[who].rests_until > one.graph.clock for who in one.verifiers)


def crowded(kit: Kit) -> float:
    """Owners of three that cannot ask to be let in, where as many accounts of one root wait as may."""
    one = kit.table.Table(owners=0, its=kit.table.terms(max_members=6))
    puppets = one.verifiers[:6]
    for who in puppets:
        one.graph.accounts[who].root = puppets[0]
        one.must(who, kit.scenario.JoinFederation(kit.table.FED, who))
    asking = one.verifiers[6:9]
    return sum(one.send(who, kit.scenario.JoinFederation(kit.table.FED, who)) is not None for who in asking)


def strangers(kit: Kit) -> float:
    """Attempts of twelve in which three verifiers that are no members hold every seat, beside ten that are."""
    one = kit.table.Table(owners=0, verifiers=13, its=kit.table.terms(rounds=12, max_members=12))
    for who in one.verifiers[3:]:
        one.join(who)
    one.start()
    held = 0
    for _ in range(12):
        attempt = one.begun("READY")
        held += {seat.who for seat in attempt.seats} == set(one.verifiers[:3])
        one.until("IDLE")
    return held / 12


def liar(kit: Kit) -> float:
    """Share of thirty rounds that one of five aggregators takes by parts that differ."""
    one = kit.table.Table(verifiers=5, its=kit.table.terms(rounds=30))
    lies(kit, one, one.verifiers[0], ("sums",))
    return lost_rounds(kit, one)


def denier(kit: Kit) -> float:
    """Share of ten rounds that one of five takes by saying that it has almost nothing."""
    one = kit.table.Table(verifiers=3, its=kit.table.terms(rounds=10))
    who = one.verifiers[0]
    message = kit.scenario.HaveUpdates
    one.lies[who] = lambda step, attempt: message(kit.table.FED, attempt.number, 1) if step == "have" else None
    return lost_rounds(kit, one)


def poisoned(kit: Kit) -> float:
    """Sums that a liar chose in a pair in five federations of twenty rounds, as its second identity is silent."""
    return sum(chosen(kit, seed) for seed in range(5)) / 5


def chosen(kit: Kit, seed: int) -> int:
    one = kit.table.Table(verifiers=6, its=kit.table.terms(rounds=20), seed=seed)
    false, puppet, found = one.verifiers[0], one.verifiers[1], 0
    one.lies[puppet] = lambda step, attempt: False if step == "have" and attempt.seat(false) else None
    one.start()
    one.loss = lambda: 2 * kit.table.FIRST if false in one.federation.pair else one.federation.best - 10**7
    while one.send(kit.table.SPONSOR, kit.scenario.StartRound(kit.table.FED, one.federation.r)) is None:
        one.until("MEASURE", "IDLE", "END")
        found += false in one.federation.pair
        one.until("IDLE", "END")
    return found


def benched(kit: Kit) -> float:
    """Rivals that are benched as an aggregator, a member itself, says that it lacks their files."""
    one = kit.table.Table(owners=4, verifiers=2, its=kit.table.terms(rounds=8, max_members=8))
    for who in one.verifiers:
        one.join(who)
    false, rival = one.verifiers[0], one.owners[0]

    def deny(step: str, attempt: Any) -> object:
        bits = sum(1 << i for i, who in enumerate(attempt.files) if who != rival)
        return kit.scenario.HaveUpdates(kit.table.FED, attempt.number, bits) if step == "have" else None

    one.lies[false] = deny
    one.loss = lambda: one.federation.best - 10**7 if one.federation.r else kit.table.FIRST
    for _ in range(5):
        one.start()
    return float(one.federation.members[rival].benched_until > 0)


def unpaid(kit: Kit) -> float:
    """Attempts that aggregators screen for nothing, as the image gives all owners equal updates."""
    one = kit.table.Table(verifiers=6)
    one.codes = lambda attempt: dict.fromkeys(attempt.files[1:], "COPY")
    one.start()
    before = sum(one.balance(who) for who in one.verifiers)
    attempts = 0
    while one.federation.state != "END" and one.start() is None:
        attempts += 1
    paid = (sum(one.balance(who) for who in one.verifiers) - before) // one.federation.terms.fee
    return attempts - paid / 3


# --- members, panel, money ------------------------------------------------------------------------------------------------------


def blocked(kit: Kit) -> float:
    """One of three seats says another loss each time: federations that end without any measurement."""
    one = kit.table.Table(verifiers=3)
    one.votes[one.verifiers[0]] = kit.scenario.Measure("OK", 5)
    one.start()
    return float(one.federation.end == "STALLED")


def samples(kit: Kit) -> float:
    """Share of the pay of one who claims 2^31 - 1 samples among eleven with a thousand."""
    one = kit.table.Table(owners=0, its=kit.table.terms(split="samples", max_members=12))
    who = [kit.table.STRANGER, *one.verifiers]
    for i, member in enumerate(who):
        one.must(member, kit.scenario.JoinFederation(kit.table.FED, member, 2**31 - 1 if i == 0 else 1_000))
        one.must(kit.table.SPONSOR, kit.scenario.AdmitMember(kit.table.FED, member))
    one.start()
    before = one.balance(kit.table.STRANGER)
    one.loss = lambda: kit.table.TARGET
    one.start()
    return (one.balance(kit.table.STRANGER) - before) / one.federation.terms.bounty


def shut_out(kit: Kit) -> float:
    """Owners that are refused, as a stranger asked with the digest that it saw in their message."""
    one = kit.table.Table()
    one.must(kit.table.STRANGER, kit.scenario.JoinFederation(kit.table.FED, b"theirs"))
    victim = one.verifiers[0]
    why = one.send(victim, kit.scenario.JoinFederation(kit.table.FED, b"theirs"))
    why = why or one.send(kit.table.SPONSOR, kit.scenario.AdmitMember(kit.table.FED, victim))
    return float(why is not None)


def clip(kit: Kit) -> float:
    """Bits of a clip that grows by a tenth in each of 1,000 rounds."""
    found = 10**9
    for _ in range(1_000):
        found = kit.formulas.next_clip(found, 2 * kit.formulas.CQ)
    return found.bit_length()


def one_bench(kit: Kit) -> float:
    """Share of eight rounds that are lost by one bench among min_members that are all that there are."""
    one = kit.table.Table(owners=3, its=kit.table.terms(rounds=8, min_sum=2))
    bad = one.owners[0]
    one.codes = lambda attempt: {bad: "WRONG"}
    return lost_rounds(kit, one)


def indexes(kit: Kit) -> float:
    """Owners of five that cannot be admitted any more, after strangers asked and were sent away."""
    one = kit.table.Table(owners=0, verifiers=140, its=kit.table.terms(max_members=8))
    for who in one.verifiers[:130]:
        if one.send(who, kit.scenario.JoinFederation(kit.table.FED, who)) is None:
            one.must(kit.table.SPONSOR, kit.scenario.RemoveMember(kit.table.FED, who))
    refused = 0
    for who in one.verifiers[130:135]:
        why = one.send(who, kit.scenario.JoinFederation(kit.table.FED, who))
        refused += (why or one.send(kit.table.SPONSOR, kit.scenario.AdmitMember(kit.table.FED, who))) is not None
    return refused


def used_up(kit: Kit) -> float:
    """Owners of five that cannot join an open federation any more, after 128 accounts joined and left."""
    one = kit.table.Table(owners=0, verifiers=140, its=kit.table.terms(max_members=8, admit_open=True))
    for who in one.verifiers[:128]:
        one.must(who, kit.scenario.JoinFederation(kit.table.FED, who))
        one.must(who, kit.scenario.LeaveFederation(kit.table.FED))
    return sum(one.send(who, kit.scenario.JoinFederation(kit.table.FED, who)) is not None for who in one.verifiers[130:135])


def opened(kit: Kit) -> float:
    """Federations that one root keeps in the state at a time, for escrows that come back."""
    one = kit.table.Table()
    count = 1
    for i in range(99):
        message = kit.scenario.OpenFederation(b"more%d" % i, replace(one.federation.terms, bounty=1))
        count += one.send(kit.table.SPONSOR, message) is None
    return count


def keyless(kit: Kit) -> float:
    """Three of five seats are gone when a hidden file is to be opened to those that follow: federations that stall."""
    one = kit.table.Table(verifiers=9, its=kit.table.terms(hidden=True))
    one.start()
    one.must(kit.table.SPONSOR, kit.scenario.StartRound(kit.table.FED, 1))
    one.until("MEASURE")
    one.absent = {seat.who for seat in one.federation.panel[:3]}
    one.until("IDLE", "END")
    return float(one.federation.end == "STALLED")


def denied(kit: Kit) -> float:
    """Share of ten rounds with split aligned that one of three aggregators takes by saying that it has no reference."""
    one = kit.table.Table(verifiers=3, its=kit.table.terms(rounds=10, split="aligned", reference=True))
    who, message = one.verifiers[0], kit.scenario.HaveUpdates
    every = 2 ** len(one.owners) - 1
    one.lies[who] = lambda step, attempt: message(kit.table.FED, attempt.number, every) if step == "have" else None
    return lost_rounds(kit, one)


def renewed(kit: Kit) -> float:
    """Owners that are refused, as a member said that the data of their message, which it saw, are its own."""
    one = kit.table.Table()
    victim = one.verifiers[0]
    one.must(victim, kit.scenario.JoinFederation(kit.table.FED, b"theirs"))
    one.send(one.owners[0], kit.scenario.NewData(kit.table.FED, b"theirs"))
    return float(one.send(kit.table.SPONSOR, kit.scenario.AdmitMember(kit.table.FED, victim)) is not None)


def judged_alone(kit: Kit) -> float:
    """Share of the bounty that one seat of three pays its friends while the others are gone."""
    one = kit.table.Table(verifiers=3)
    one.start()
    one.must(kit.table.SPONSOR, kit.scenario.StartRound(kit.table.FED, 1))
    one.until("MEASURE")
    liar, *others = (seat.who for seat in one.federation.panel)
    one.absent, one.votes[liar] = set(others), kit.scenario.Measure("OK", kit.table.TARGET)
    one.until("IDLE", "END")
    return one.federation.paid / one.federation.terms.bounty


def kept_bytes(kit: Kit) -> float:
    """Bytes in the state for each micro-credit that opening and closing a hundred federations costs."""
    one = kit.table.Table()
    before = one.balance(kit.table.STRANGER)
    for i in range(100):
        ref = b"more%d" % i
        one.must(kit.table.STRANGER, kit.scenario.OpenFederation(ref, replace(one.federation.terms, params=8_192)))
        one.must(kit.table.STRANGER, kit.scenario.CloseFederation(ref))
    return 100 * (1_000 + 8_192) / max(1, before - one.balance(kit.table.STRANGER))


def scattered(kit: Kit) -> float:
    """Share of ten rounds that three owners of eight take, each serving its file to one aggregator alone."""
    return served(kit, 8, lambda bad, place: bad == place)


def paired(kit: Kit) -> float:
    """The same of three of seven, each serving its file to two of three."""
    return served(kit, 7, lambda bad, place: bad != place)


def served(kit: Kit, owners: int, to: Callable[[int, int], bool]) -> float:
    """Share of ten rounds that three of the owners take, who serve their files `to` the aggregators at some places only."""
    one = kit.table.Table(owners=owners, verifiers=6, its=kit.table.terms(rounds=10))
    bad = one.owners[:3]

    def has(who: bytes) -> Callable[[str, Any], object]:
        def says(step: str, attempt: Any) -> object:
            if step != "have":
                return None
            place = [seat.who for seat in attempt.seats].index(who)
            mine = (owner for owner in attempt.files if owner not in bad or to(bad.index(owner), place))
            bits = sum(1 << attempt.files.index(owner) for owner in mine)
            return kit.scenario.HaveUpdates(kit.table.FED, attempt.number, bits)

        return says

    one.lies = {who: has(who) for who in one.verifiers}
    return lost_rounds(kit, one)


def copied(kit: Kit) -> float:
    """Share of twenty rounds whose Screen one liar decides: three of seven repeat what stands on the chain already."""
    one = kit.table.Table(verifiers=7, its=kit.table.terms(rounds=20))
    false, lazy, decided = one.verifiers[0], set(one.verifiers[1:4]), 0

    def repeats(who: bytes) -> Callable[[str, Any], object]:
        def says(step: str, attempt: Any) -> object:
            stands = next((seat.screen for seat in attempt.deciding if seat.screen is not None), None)
            return stands if step == "screen" and stands is not None else None

        return says

    one.lies = {who: repeats(who) for who in lazy}
    lies(kit, one, false, ("screen",))
    one.start()
    one.loss = lambda: one.federation.best - 10**7
    for _ in range(20):
        attempt = one.begun("SCREEN")
        attempt.seats.sort(key=lambda seat: seat.who)
        one.until("SUM", "IDLE")
        decided += any(seat.who == false for seat in attempt.deciding) and one.federation.state == "SUM"
        one.until("IDLE", "END")
    return decided / 20


def locked_out(kit: Kit) -> float:
    """Rounds of twenty that one new owner waits, where the others learn nothing more and equal data give equal models."""
    one = kit.table.Table(its=kit.table.terms(rounds=25, patience=3))
    one.cid = lambda attempt: one.federation.base[:40] + b"+%d" % len(attempt.accepted)
    one.start()
    one.loss = lambda: kit.table.FIRST - 10**8
    for _ in range(4):
        one.start()
    one.join(kit.table.STRANGER)
    waited = 0
    for _ in range(20):
        one.start()
        waited += kit.table.STRANGER not in one.federation.last
    return waited


def starved(kit: Kit) -> float:
    """Share of a rival's pay in forty rounds that one of six aggregators takes, who says that it lacks its file."""
    one = kit.table.Table(verifiers=6, its=kit.table.terms(rounds=40))
    false, rival = one.verifiers[0], one.owners[0]

    def deny(step: str, attempt: Any) -> object:
        bits = sum(1 << i for i, who in enumerate(attempt.files) if who != rival)
        return kit.scenario.HaveUpdates(kit.table.FED, attempt.number, bits) if step == "have" else None

    one.lies[false] = deny
    rounds(kit, one)
    rival_has, other_has = (one.balance(who) - kit.table.BALANCE for who in one.owners[:2])
    return float(1 - rival_has / other_has)


NO_EXCLUSION: Edit = ("ends.py", "    federation.excluded |= set(who)\n", "")

HOLES = (
    Hole(
        "H1",
        "the sponsor's evaluator says worse and it removes one, twice: sums on one base that differ by fewer than three",
        "pairs of sums",
        (("machine.py", "earlier = federation.chains.get(federation.base, [])", "earlier: list[frozenset[bytes]] = []"),),
        one_alone,
        0,
    ),
    Hole(
        "H3",
        "one of five aggregators pins parts that differ: rounds lost of 30",
        "of rounds",
        (NO_EXCLUSION,),
        liar,
        0.05,
    ),
    Hole(
        "H4",
        "a liar and its silent second identity among six: sums that it chose in a pair, in 20 rounds",
        "sums",
        (NO_EXCLUSION,),
        poisoned,
        1,
    ),
    Hole(
        "H6",
        "one of three seats says another loss each time: federations that stall",
        "of one",
        (("measuring.py", "c // 2 + 1 if federation.again == formulas.MEASUREMENTS - 1 else ", ""),),
        blocked,
        0,
    ),
    Hole(
        "H7",
        "members on the panel of a hidden file",
        "seats",
        (("pool.py", "    if federation.terms.outside or federation.terms.hidden:", "    if federation.terms.outside:"),),
        file_seen,
        0,
    ),
    Hole(
        "H8",
        "a clip after 1,000 rounds of clipped updates",
        "bits",
        (("formulas.py", "max(1, min(CLIP_MOST, ", "max(1, min(10**99, "),),
        clip,
        51,
    ),
    Hole(
        "H10",
        "an aggregator that is a member lacks its rival's files: rivals benched",
        "of one",
        (("machine.py", "        elif code not in (AWAY, EMPTY):\n", "        else:\n"),),
        benched,
        0,
    ),
    Hole(
        "H11",
        "2^31 - 1 claimed samples among ten of a thousand: share of the pay",
        "of the pay",
        (("formulas.py", "    most = 4 * lower_median(counts)", "    most = max(counts)"),),
        samples,
        0.29,
    ),
    Hole(
        "H15",
        "an image that makes all updates equal: attempts screened for nothing, of 11",
        "attempts",
        (
            (
                "machine.py",
                '        ends.pay_fees(graph, federation, side)\n        ends.void(graph, federation, attempt, "SPLIT")',
                '        ends.void(graph, federation, attempt, "SPLIT")',
            ),
        ),
        unpaid,
        0,
    ),
    Hole(
        "H17",
        "a stranger asks with the digest that it saw: owners shut out",
        "of one",
        (
            ("opening.py", "for one in federation.active())", "for one in federation.members.values())"),
            (
                "opening.py",
                "        make_room(graph, federation, sender)\n",
                "        make_room(graph, federation, sender)\n"
                '        check(digest_free(federation, sender, message.digest), "FULL")\n',
            ),
        ),
        shut_out,
        0,
    ),
    Hole(
        "M1",
        "a bench among as few members as a start needs: rounds lost of 8",
        "of rounds",
        (("opening.py", "    for one in benched:\n", "    for one in benched[:0]:\n"),),
        one_bench,
        0,
    ),
    Hole(
        "M2",
        "128 strangers ask and are sent away, where an index is given with Join: owners of five that cannot come in",
        "owners",
        (
            (
                "opening.py",
                "        member.state = PENDING\n",
                "        member.state = PENDING\n"
                '        if member.index is None:\n            check(federation.indexes < N_MAX, "FULL")\n'
                "            member.index, federation.indexes = federation.indexes, federation.indexes + 1\n",
            ),
        ),
        indexes,
        0,
    ),
    Hole(
        "M3",
        "one of three aggregators says that it has one file, where no pair of three may decide: rounds lost of 10",
        "of rounds",
        (("machine.py", "    if len(said) == formulas.AGGREGATORS:\n", "    if len(said) > formulas.AGGREGATORS:\n"),),
        denier,
        0,
    ),
    Hole(
        "M4",
        "federations that one root keeps open for a micro-credit each, of 100",
        "federations",
        (("opening.py", "    check(own < graph.params.live,", "    check(own < 10**9,"),),
        opened,
        16,
    ),
    Hole(
        "M8",
        "three of five seats are gone where a file is hidden, and those that follow have no key: federations that stall",
        "of one",
        (("messages.py", "    follows = federation.state == MEASURE and", "    follows = not federation.state and"),),
        keyless,
        0,
    ),
    Hole(
        "M9",
        "one of three aggregators denies the reference of a federation that is paid by it: rounds lost of 10",
        "of rounds",
        (
            ("machine.py", "    some, attempt.both = (informed or found)[0]\n", "    some, attempt.both = found[0]\n"),
            ("machine.py", "    attempt.reference = bool(informed)\n", "    attempt.reference = found[0] in informed\n"),
        ),
        denied,
        0,
    ),
    Hole(
        "M10",
        "a member says that the data are its own with which an owner asked: owners shut out",
        "of one",
        (("opening.py", "nobody_s(federation, sender, message.digest)", "digest_free(federation, sender, message.digest)"),),
        renewed,
        0,
    ),
    Hole(
        "M11",
        "one seat of three says that the target is met while the others are gone twice: share of the bounty that its friends get",
        "of the bounty",
        (("measuring.py", "    enough = max(enough, formulas.LEAST_VOTES)\n", ""),),
        judged_alone,
        0,
    ),
    Hole(
        "M12",
        "a hundred federations with 8 kB of params are opened and closed: bytes that a micro-credit keeps for a month",
        "bytes",
        (
            ("opening.py", "FEES, fees + price)", "FEES, fees)"),
            ("opening.py", '    graph.money.burn(message.federation, FEES, "kept", price)\n', ""),
        ),
        kept_bytes,
        3.2,
    ),
    Hole(
        "M13",
        "three owners of eight serve their files to one aggregator each, so that no two have three quarters",
        "of the rounds",
        (("machine.py", "of_two(said) if len(said) == formulas.AGGREGATORS else -1", "-1"),),
        scattered,
        0,
    ),
    Hole(
        "M14",
        "128 accounts join an open federation and leave again: owners of five that cannot come in",
        "owners",
        (("opening.py", '    check(free, "FULL")\n', '    check(False, "FULL")\n'),),
        used_up,
        0,
    ),
    Hole(
        "M16",
        "limits that three of 33 verifiers declared: rounds whose every seat is theirs",
        "of one",
        (("pool.py", "    return max(1, -(-flagged // 3), min(3, flagged))\n", "    return 0\n"),),
        by_limits,
        0,
    ),
    Hole(
        "M17",
        "three strangers beside ten owners that verify, too: attempts whose every seat is theirs, of twelve",
        "of the attempts",
        (("pool.py", "max(formulas.AGGREGATORS, least(graph, federation.sponsor))", "formulas.AGGREGATORS"),),
        strangers,
        0,
    ),
    Hole(
        "M18",
        "an outage of four minutes in which a sponsor starts attempt after attempt: verifiers of three that rest for thirty days",
        "verifiers",
        (("ends.py", "    if account.unready is not None and", "    if not account and"),),
        outage,
        0.0,
    ),
    Hole(
        "M19",
        "six accounts of one root wait, as many as may: owners of three of other roots that cannot ask",
        "owners",
        (
            (
                "opening.py",
                '    check(len(roots.get(graph.accounts[sender].root, [])) <= most - 2, "FULL")',
                '    check(not most, "FULL")',
            ),
        ),
        crowded,
        0.0,
    ),
)
NO_GAME = {
    "H2": "points from a reference of one coordinate: bytes of rows; the ledger's part is their bound, 0 to 16 (LC-FED-25)",
    "H5": "COPY and STALE of honest owners: a threshold of cosines; that they do not count in SPLIT is LC-FED-29",
    "H9": "a key of low order is refused (LC-FED-20); what a member seals then is its own",
    "H12": "shares of a vault's key: between members, not on the ledger",
    "H13": "rows below 1,024 parameters: the ledger's part is the bound of secrecy (LC-FED-7)",
    "H14": "what noise does not cover: the ledger's part is the bound of dp_milli (LC-FED-7)",
    "H16": "a target out of reach: a figure that a client shows before it joins",
    "H18": "a reference served late to one: its bit in HaveUpdates closes it (LC-FED-22)",
}


OPEN = (
    (
        "M5",
        "aggregators repeat the Screen that another said first: rounds whose codes one liar decides, three lazy ones of seven",
        "of rounds",
        copied,
    ),
    (
        "M6",
        "the price of H1: one new owner, where the others bring nothing more, the base returns and equal data give equal models",
        "rounds of 20 that it waits",
        locked_out,
    ),
    (
        "M7",
        "one of six aggregators says that it lacks its rival's file, of five, whenever it sits; nobody can say who lies",
        "of the rival's pay",
        starved,
    ),
    (
        "M15",
        "three owners of seven serve their files to two aggregators each, every pair another one",
        "of the rounds",
        paired,
    ),
)
"""What no rule answers yet."""


def now(hole: Hole) -> float:
    return hole.game(Kit(table, scenario, formulas))


def once(hole: Hole) -> float:
    """Without its rule."""
    with tempfile.TemporaryDirectory() as folder, edited(Path(folder), hole.before) as copy:
        modules: list[ModuleType] = [load(copy, name) for name in ("table", "scenario", "formulas")]
        return hole.game(Kit(*modules))


def page() -> str:
    lines = ["| hole | attack | before | now | unit |", "|---|---|---|---|---|"]
    for hole in HOLES:
        lines.append(f"| {hole.name} | {hole.attack} | {once(hole):.3g} | {now(hole):.3g} | {hole.unit} |")
        print(lines[-1], file=sys.stderr, flush=True)
    kit = Kit(table, scenario, formulas)
    lines += ["", "Open:", "", *(f"- {name}: {attack}: {game(kit):.3g} {unit}" for name, attack, unit, game in OPEN)]
    lines += ["", "No game of the ledger:", "", *(f"- {name}: {why}" for name, why in NO_GAME.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("# Attacks on the rules of federated training, with and without the rule that answers each\n\n" + page())
