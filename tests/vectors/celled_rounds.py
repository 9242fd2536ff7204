"""Plays of federations with a cell (LC-FED-55 to 62): terms, misses, seals and parts, how attempts come to nothing, lists, pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import FederationCode
from learningchain.chain.contracts.federation.records import FederationState, MemberState
from learningchain.chain.host import BANNED, SUSPENDED, Account, account_key
from tests.vectors.celled_plays import CELL, SIZE, Cells, celled, drawn
from tests.vectors.federation_plays import CID, HELPERS, OWNERS, SALT, TERMS, Train, cid, digest, flagged_alone, ready
from tests.vectors.kit import id_of, key_of

C = FederationCode
FOUR = OWNERS[:4]
USED, AWAY, UNPROVED, IDLE = 1, 2, 9, 10


def state(play: Cells, wanted: FederationState) -> None:
    assert play.read().state == wanted, (play.name, play.read())


def void(play: Cells) -> None:
    """It came to nothing: r stays."""
    state(play, FederationState.IDLE)
    assert play.read().r == 1, play.name


# --- terms, who serves ------------------------------------------------------------------------------------------------------------


def terms() -> Cells:
    play = Cells("terms of few values with secrecy sum", "LC-FED-55")
    play.all({name: m.ServeFederation(True) for name in HELPERS})
    opening = replace(TERMS, **CELL)
    play.refuse(C.FEW_VERIFIERS, "alice", m.OpenFederation(opening))
    play.refuse(C.WRONG_STATE, "o1", m.ServeCells(True))
    play.all({name: m.ServeCells(True) for name in HELPERS})
    bad = (
        *(
            {"min_members": 2, "min_sum": 2},
            {"min_sum": 2},
            {"max_members": 17, "min_members": 17, "min_sum": 17},
            {"rounds": 21},
            {"round_ms": 599_999},
        ),
        *({"clip": 10**6 - 1}, {"clip": 64 * 10**9 + 1}, {"rule": 2}, {"split": 2}, {"dp_milli": 250}, {"dp_milli": 8_001}),
        *(
            {"reference": False},
            {"reference": False, "min_members": 11, "max_members": 12},
            {"dims": 1_023, "size": 4_292, "dp_milli": 35},
            {"fee": 19},
        ),
    )
    play.refuse_all((C.BAD_TERMS, "alice", m.OpenFederation(replace(opening, **changed))) for changed in bad)
    play.do("s1", m.ServeCells(False))
    play.opens(**(CELL | {"max_members": 7, "clip": 64 * 10**9, "rounds": 20, "dims": 1_023, "size": 4_292, "dp_milli": 36}))
    play.do("alice", m.CloseFederation(play.federation))
    return play


def suspended() -> Cells:
    one = {account_key(id_of("s3")): Account(key_of("s3").public, SUSPENDED, 10**9, 0, [0, 0, 0, 0], 0)}
    play = Cells("who is suspended serves no cells", "LC-FED-57", one)
    play.refuse(C.NOT_ACTIVE, "s3", m.ServeCells(True))
    play.do("s3", m.ServeCells(False))
    return play


def two_serve() -> Cells:
    """Enough for a panel, too few to aggregate."""
    play = Cells("two that serve cells start no round", "LC-FED-57", flagged_alone("s1", "s2"))
    play.serving("s1", "s2")
    play.opens(**CELL).join(*FOUR)
    play.begin(0)
    play.measured(2_000_000_000)
    play.refuse(C.NO_AGGREGATORS, "alice", m.StartRound(play.federation, 1))
    return play


def kinds() -> Train:
    """Messages of cells are refused where there are none."""
    play = ready("messages of cells, in a federation without", "LC-FED-55")
    ref, at, first = play.federation, play.attempt().number, play.aggregators()[0]
    play.refuse_all(
        [
            (C.WRONG_STATE, first, m.SealParts(ref, at, 1, SALT)),
            (C.WRONG_STATE, first, m.PinSealed(ref, at, 1, [], SALT)),
            (C.WRONG_STATE, first, m.SumCells(ref, at, b"", [])),
        ]
    )
    play.files(*FOUR)
    play.have()
    play.refuse(C.WRONG_STATE, first, m.SealParts(ref, at, 1, SALT))
    play.pins(1)
    play.all({name: play.screen([USED] * 4) for name in play.deciding()})
    play.refuse(C.WRONG_STATE, first, m.SealParts(ref, at, 2, SALT))
    play.pins(2)
    play.all({name: play.sum("better") for name in play.deciding()})
    for name in play.panel():
        play.do(name, play.commitment(name, play.found(15 * 10**8)))
    word = m.StepsMeasure(1, [])
    play.refuse(C.MEASURE_MISMATCH, play.panel()[0], m.OpenSteps(ref, 1, 0, word, [], SALT))
    play.pass_deadline()
    others = m.StepsMeasure(5, [])
    now = play.read()
    for name in play.panel():
        sealed = m.measure_commitment(play.chain_id, ref, 1, now.again, id_of(name), others, SALT)
        play.do(name, m.CommitMeasure(ref, 1, now.again, sealed))
    play.refuse(C.BAD_VOTE, play.panel()[0], m.OpenSteps(ref, 1, now.again, others, [], SALT))
    return play


# --- a whole one ------------------------------------------------------------------------------------------------------------------


def whole() -> Cells:
    """Two rounds: the cell's members are paid alike, whoever joins later waits, and nobody with a cell can be removed."""
    play = drawn("a federation with a cell, to its target", "LC-FED-62")
    ref = play.federation
    play.do("o5", m.JoinFederation(ref, digest("o5"), 0))
    play.refuse_all(
        [
            (C.IN_A_CELL, "alice", m.RemoveMember(ref, id_of("o1"))),
            (C.OUT_OF_ATTEMPT, "o5", m.CommitUpdate(ref, 2, cid("x"), SIZE)),
            (C.BAD_FILE, "o1", m.CommitUpdate(ref, 2, cid("x"), 4 * 21 + 500)),
        ]
    )
    play.sums(*FOUR)
    play.settles((500, 15 * 10**8), (1000, 16 * 10**8), (2000, 15 * 10**8))
    now = play.read()
    assert (now.r, now.best, now.clip, now.base) == (2, 15 * 10**8, 5 * 10**8, cid("sum 2")), now
    assert [play.member(name).paid for name in FOUR] == [125_001, 125_000, 125_000, 125_000] and not play.member("o5").paid
    play.begin(2)
    play.ready()
    assert len(play.cells().members) == 4 and play.attempt().number == 3
    play.sums(*FOUR, what="second", directions=1)
    play.settles((2000, 10**9))
    assert play.read().end == records.EndReason.REACHED and play.read().paid == TERMS.bounty
    play.wait(100_000)
    play.block()
    play.block()
    assert not play.state.get(records.cell_key(ref)) and not play.knows("o1")
    return play


def radii() -> Cells:
    """A model that is trained on without progress, then one that is worse by far: the radius follows the step, or is a quarter."""
    play = drawn("radius and streak", "LC-FED-62", rounds=3, patience=5)
    play.sums(*FOUR)
    play.settles((2000, 2_000_000_001), (250, 21 * 10**8), (250, 21 * 10**8))
    assert (play.read().clip, play.read().base) == (2 * 10**9, cid("sum 0")), play.read()
    for what, step, wanted in (("worse", 250, 5 * 10**8), ("third", 1000, 125_000_000)):
        play.begin(play.read().r)
        play.ready()
        play.sums(*FOUR, what=what, directions=1)
        play.settles((step, 25 * 10**8))
        assert (play.read().clip, play.read().base) == (wanted, cid("initial")), play.read()
    assert play.read().end == records.EndReason.ROUNDS
    return play


def least_radius() -> Cells:
    play = drawn("a radius does not fall below the least one", "LC-FED-62", clip=10**6 + 1)
    play.sums(*FOUR)
    play.settles((250, 19 * 10**8), None, None)
    assert play.read().clip == 10**6
    return play


# --- the cell ---------------------------------------------------------------------------------------------------------------------


def small_cell() -> Cells:
    """Too few at a start, and at the draw; then one is banned, one leaves, and the cell is over."""
    play = celled("the cell is drawn once, and is over below three", "LC-FED-56", "o1", "o2")
    ref = play.federation
    play.refuse(C.TOO_FEW_MEMBERS, "alice", m.StartRound(ref, 1))
    play.join("o3")
    play.do("alice", m.StartRound(ref, 1))
    play.do("o3", m.LeaveFederation(ref))
    play.drawn()
    void(play)
    assert not play.cells().numbered
    play.join("o3", "o4", "o5")
    play.begin(1)
    assert play.inside() == [b"\x1f"]
    play.do("o4", m.LeaveFederation(ref))
    play.ready()
    play.files("o1", "o2", "o3", "o5")
    play.pass_deadline()
    void(play)
    banned = {account_key(id_of("o5")): Account(key_of("o5").public, BANNED, 0, 0, [9, 0, 0, 0], 0)}
    play = Cells(play.name, play.rule, banned, play)
    play.do("o4", m.JoinFederation(ref, digest("o4"), 0))
    play.begin(1)
    assert play.inside() == [b"\x07"], "who left and joined again waits"
    play.ready()
    play.to_screen("o1", "o2", "o3")
    for _ in range(3):
        if play.read().state != FederationState.IDLE:
            play.pass_deadline()
    play.do("o2", m.LeaveFederation(ref))
    play.refuse(C.TOO_FEW_MEMBERS, "alice", m.StartRound(ref, 1))
    return play


def vetted() -> Cells:
    """Members with the flag count: three are needed."""
    play = celled("counted members of a cell", "LC-FED-56", "o1", "o2", "o4", "o5", vetted=True)
    play.refuse(C.TOO_FEW_MEMBERS, "alice", m.StartRound(play.federation, 1))
    play.join("o3")
    play.begin(1)
    assert play.inside() == [b"\x1f"]
    play.do("o1", m.LeaveFederation(play.federation))
    play.pass_deadline()
    return play


def misses() -> Cells:
    """Who sends nothing three times of sixteen loses its place; the others go on without it."""
    play = celled("three misses", "LC-FED-58", rounds=4, pace_ms=10**6)
    for times in range(3):
        play.begin(1)
        play.ready()
        play.refers()
        play.files("o1", "o2", "o3")
        play.pass_deadline()
        void(play)
        assert [one.attempts for one in play.cells().members] == [0, 0, 0, 2 ** (times + 1) - 1]
    assert play.member("o4").state == MemberState.GONE and play.inside() == [b"\x07"]
    play.begin(1)
    play.ready()
    play.sums("o1", "o2", "o3")
    play.settles(None, (2000, 19 * 10**8), None)
    return play


def all_miss() -> Cells:
    """All are silent three times: two are GONE, and then the cell is over, so that the others wait."""
    play = celled("a cell of which all miss", "LC-FED-58", rounds=4, pace_ms=10**6)
    for _ in range(3):
        play.begin(1)
        play.ready()
        play.pass_deadline()
        void(play)
    assert [one.attempts for one in play.cells().members] == [7] * 4 and not play.inside()
    left = sorted(FOUR, key=id_of)[2:]
    assert [name for name in FOUR if play.member(name).state == MemberState.ACTIVE] == [name for name in FOUR if name in left]
    play.do("alice", m.RemoveMember(play.federation, id_of(left[0])))
    return play


# --- aggregators ------------------------------------------------------------------------------------------------------------------


def three_aggregators() -> Cells:
    """Fewer than three in the pool, at the start and at the draw; fewer than three ready."""
    play = celled("a cell needs three aggregators", "LC-FED-57", max_members=4)
    spare = [name for name in HELPERS if name not in play.panel()]
    assert len(spare) >= 4
    play.begin(1)
    play.ready(*play.aggregators()[:2])
    for _ in range(3):
        if play.read().state == FederationState.READY:
            play.pass_deadline()
    void(play)
    stay = spare[:2]
    play.do("alice", m.StartRound(play.federation, 1))
    play.all({name: m.ServeCells(False) for name in HELPERS if name not in stay})
    play.drawn()
    void(play)
    return play


def haves() -> Cells:
    """A file that one lacks; the reference that one lacks; a silent one; one that lacks most."""
    play = celled("what aggregators have of a cell's files", "LC-FED-59", rounds=6)
    for of, silent in (({0: (0, 1, 2)}, 0), ({0: (3,), 1: (3,)}, 0), ({}, 1), ({0: (0,)}, 0)):
        play.begin(1)
        play.ready()
        play.to_have(*FOUR)
        names = play.aggregators()
        if silent:
            at = play.attempt().number
            play.all({name: m.HaveUpdates(play.federation, at, b"\x0f", True) for name in names[silent:]})
            play.pass_deadline()
        else:
            play.have(of={names[place]: files for place, files in of.items()}, reference=True)
        void(play)
    rows = [one.attempts.bit_count() for one in play.cells().members]
    assert rows == [0, 0, 0, 1], rows
    play.begin(1)
    play.ready()
    play.to_have(*FOUR)
    first, *others = play.aggregators()
    at = play.attempt().number
    said = {name: m.HaveUpdates(play.federation, at, b"\x0f", name != first) for name in (first, *others)}
    play.all(said)
    play.drawn()
    assert play.cells().lacked[-1] == id_of(first) and not play.attempt().with_reference
    play.pins(1)
    play.screens([USED] * 4)
    play.pins(2)
    play.refuse(C.BAD_FILE, others[0], play.sum_of("sum", 3))
    play.all({name: play.sum_of("sum", 1) for name in play.aggregators()})
    state(play, FederationState.MEASURE)
    return play


def parts() -> Cells:
    """Seals and pins, each once, in its stage, of its masks, as sealed."""
    play = drawn("parts are sealed, then pinned", "LC-FED-60")
    ref, at = play.federation, play.attempt().number
    play.to_screen(*FOUR)
    one, two, three = play.aggregators()
    outside = next(name for name in HELPERS if name not in (one, two, three))
    play.refuse_all(
        [
            (C.NOT_DRAWN, outside, m.SealParts(ref, at, 1, SALT)),
            (C.WRONG_ROUND, one, m.SealParts(ref, at + 1, 1, SALT)),
            (C.WRONG_STATE, one, m.SealParts(ref, at, 2, SALT)),
            (C.WRONG_STATE, one, m.SealParts(ref, at, 3, SALT)),
            (C.PARTS_MISSING, one, play.pin(one, 1)),
            (C.WRONG_STATE, one, m.PinParts(ref, at, 1, [])),
            (C.PARTS_MISSING, one, play.screen([USED] * 4)),
        ]
    )
    play.do(one, play.seal(one, 1))
    play.refuse(C.ALREADY_SAID, one, play.seal(one, 1))
    play.refuse(C.PARTS_MISSING, one, play.pin(one, 1))
    play.all({name: play.seal(name, 1) for name in (two, three)})
    right = play.pin(one, 1)
    play.refuse_all(
        [
            (C.BAD_SCREEN, one, replace(right, parts=right.parts[1:])),
            (C.BAD_SCREEN, one, replace(right, parts=[*right.parts[:2], m.MaskDigest(3, digest("other"))])),
            (C.BAD_SCREEN, one, replace(right, salt=bytes(32))),
            (C.BAD_SCREEN, one, replace(right, parts=[replace(part, mask=n) for n, part in enumerate(right.parts)])),
            (C.NOT_DRAWN, outside, right),
        ]
    )
    play.all({one: right, two: play.pin(two, 1)})
    play.refuse_all([(C.ALREADY_SAID, one, right), (C.PARTS_MISSING, one, play.screen([USED] * 4))])
    play.do(three, play.pin(three, 1))
    said = play.screen([USED] * 4)
    play.refuse_all(
        [
            (C.BAD_SCREEN, one, play.screen([USED] * 3)),
            (C.BAD_SCREEN, one, play.screen([USED, USED, USED, AWAY])),
            (C.BAD_SCREEN, one, play.screen([USED, USED, UNPROVED, IDLE])),
            (C.BAD_SCREEN, one, play.screen([USED, USED, USED, IDLE])),
            (C.BAD_SCREEN, one, replace(said, norm=1)),
            (C.BAD_SCREEN, one, replace(said, points=bytes(4))),
        ]
    )
    play.do(one, said)
    play.refuse(C.ALREADY_SCREENED, one, said)
    play.all(dict.fromkeys((two, three), said))
    state(play, FederationState.SUM)
    play.refuse_all(
        [
            (C.WRONG_STATE, one, m.SumUpdates(ref, at, b"", b"")),
            (C.PARTS_MISSING, one, play.sum_of("sum")),
            (C.BAD_SCREEN, one, m.SealParts(ref, at, 0, SALT)),
            (C.NOT_DRAWN, outside, play.sum_of("sum")),
        ]
    )
    play.pins(2)
    found = play.sum_of("sum")
    play.refuse_all(
        [
            (C.BAD_FILE, one, replace(found, sums=CID)),
            (C.BAD_FILE, one, replace(found, sums=b"")),
            (C.BAD_FILE, one, replace(found, models=found.models[:8])),
            (C.BAD_FILE, one, replace(found, models=[b""] * 12)),
            (C.BAD_FILE, one, replace(found, models=[CID, *found.models[1:]])),
            (C.BAD_FILE, one, replace(found, models=[])),
        ]
    )
    play.do(one, found)
    play.refuse(C.ALREADY_SUMMED, one, found)
    play.pass_deadline()
    void(play)
    return play


Lies = dict[int, dict[str, str]]
"""What an aggregator's place lies about a share."""


def disputes() -> Cells:
    """Two digests of one mask, in both stages; share 0 of one, and of all three; of two masks and of share 0, the first mask."""
    play = celled("digests that differ", "LC-FED-60", rounds=6)
    cases: tuple[tuple[int, Lies, Sequence[int]], ...] = (
        (1, {0: {"share2": "lie"}}, (0, 2)),
        (1, {1: {"share0": "lie"}}, (1,)),
        (1, {0: {"share0": "a"}, 1: {"share0": "b"}}, (0, 1, 2)),
        (2, {2: {"share1": "lie"}}, (1, 2)),
        (1, {1: {"share0": "lie"}, 2: {"share1": "a", "share2": "b"}}, (0, 2)),
    )
    for stage, lies, failed in cases:
        play.begin(1)
        play.ready()
        names = play.aggregators()
        if stage == 1:
            play.to_screen(*FOUR)
        else:
            play.to_sum(*FOUR)
        told = {names[place]: lie for place, lie in lies.items()}
        play.seals(stage, told)
        for name in names:
            if play.read().state != FederationState.IDLE:
                play.do(name, play.pin(name, stage, **told.get(name, {})))
        void(play)
        for place, name in enumerate(names):
            out = play.state.get(records.excluded_key(play.federation, id_of(name))) is not None
            assert out >= (place in failed), (stage, lies, place)
    return play


def silence() -> Cells:
    """One is silent: without a seal, a part, a Screen, a sum: the attempt is over, and it is drawn where others are too few."""
    play = celled("a silent aggregator ends an attempt of a cell", "LC-FED-60", rounds=9)
    for stage, before in ((1, "seal"), (1, "pin"), (1, "word"), (2, "seal"), (2, "pin"), (2, "word")):
        play.begin(1)
        play.ready()
        silent, *others = play.aggregators()
        if stage == 1:
            play.to_screen(*FOUR)
        else:
            play.to_sum(*FOUR)
        if before == "seal":
            play.all({name: play.seal(name, stage) for name in others})
        else:
            play.seals(stage)
            play.all({name: play.pin(name, stage) for name in others})
        if before == "word":
            play.do(silent, play.pin(silent, stage))
            word = play.screen([USED] * 4) if stage == 1 else play.sum_of("sum")
            play.all(dict.fromkeys(others, word))
        play.pass_deadline()
        void(play)
        assert play.state.get(records.excluded_key(play.federation, id_of(silent))) is not None
    return play


def words() -> Cells:
    """Another Screen, three Screens, another sum, three sums, nothing finite."""
    play = celled("what two say stands", "LC-FED-60", rounds=9)
    for screens, sums in (
        (("rows", "rows", "other"), ("sum", "sum", "sum")),
        (("a", "b", "c"), ()),
        (("rows",) * 3, ("a", "b", "c")),
        (("rows",) * 3, ("", "", "sum")),
        (("rows",) * 3, ("sum", "other", "sum")),
    ):
        play.begin(play.read().r)
        play.ready()
        play.to_screen(*FOUR)
        names = play.aggregators()
        play.pins(1)
        play.all({name: play.screen([USED] * 4, what=what) for name, what in zip(names, screens, strict=True)})
        if sums:
            play.pins(2)
            play.all({name: play.sum_of(what) for name, what in zip(names, sums, strict=True)})
        if play.read().state == FederationState.MEASURE:
            play.settles((1000, 19 * 10**8 - play.read().r * 10**7), None, None)
    assert play.read().r == 3, play.read()
    return play


def unproved() -> Cells:
    play = drawn("one that is not proved keeps the cell from being summed", "LC-FED-59")
    play.to_screen(*FOUR)
    play.pins(1)
    play.screens([IDLE, UNPROVED, IDLE, IDLE])
    void(play)
    assert [one.attempts for one in play.cells().members] == [0, 1, 0, 0]
    return play


def sets() -> Cells:
    """The cell on one base, without one of its members the second time: two sets, of which the first stays."""
    play = drawn("two sets with common members on one base", "LC-FED-59", rounds=3)
    for owners in (FOUR, FOUR, FOUR[:3]):
        play.sums(*owners)
        play.settles((250, 3 * 10**9), None, None)
        if owners != FOUR[:3]:
            if play.read().r == 3:
                play.do("o4", m.LeaveFederation(play.federation))
            play.begin(play.read().r)
            play.ready()
    found = play.state.get(records.sets_key(play.federation, cid("initial")))
    assert isinstance(found, records.AcceptedSets) and found.sets == [b"\x0f", b"\x07"], found
    return play


# --- lists ------------------------------------------------------------------------------------------------------------------------


def in_measure(name: str, without: Sequence[int] = (), **changed: int) -> Cells:
    play = drawn(name, "LC-FED-61", **changed)
    play.to_sum(*FOUR)
    play.pins(2)
    play.all({one: play.sum_of("sum", 3, without) for one in play.aggregators()})
    return play


def bad_lists() -> Cells:
    play = in_measure("lists that are none", (4, 5, 6, 7))
    ref, seats = play.federation, play.panel()
    good = play.list((1000, 15 * 10**8), None, (250, 16 * 10**8))
    entries = good.directions
    far = replace(entries[0].measured[0], total=(10**18 + 1) * entries[0].measured[0].count)
    bad = [
        m.StepsMeasure(1, entries[:2]),
        m.StepsMeasure(1, [replace(entries[0], step=1500), *entries[1:]]),
        play.list((1000, 15 * 10**8), (1000, 15 * 10**8), None),
        m.StepsMeasure(1, [entries[0], replace(entries[1], step=250), entries[2]]),
        m.StepsMeasure(1, [m.DirectionMeasure(0, [])] * 3),
        m.StepsMeasure(2, entries),
        m.StepsMeasure(6, []),
        m.StepsMeasure(1, [m.DirectionMeasure(1000, [far]), *entries[1:]]),
    ]
    several = len(seats)
    assert several == 5
    for round_ in range(2):
        said = dict(zip(seats, bad[round_ * 4 : round_ * 4 + 4], strict=False))
        play.all({name: play.list_commitment(name, word) for name, word in (said | {seats[4]: good}).items()})
        shown = play.list_opening(good).opening
        openings = {
            name: m.OpenSteps(ref, 1, play.read().again, word, shown if word.code == 1 else [], SALT) for name, word in said.items()
        }
        play.refuse_all((C.BAD_VOTE, name, opening) for name, opening in openings.items())
        if round_ == 0:
            last = seats[4]
            now = play.read()
            play.refuse_all(
                [
                    (C.MEASURE_MISMATCH, last, play.list_opening(bad[2])),
                    (C.NO_SEAT, play.others()[0], play.list_opening(good)),
                    (C.WRONG_ROUND, last, replace(play.list_opening(good), again=1)),
                    (C.MEASURE_MISMATCH, last, m.OpenMeasure(ref, 1, now.again, m.ModelMeasure(5, []), [], SALT)),
                ]
            )
            play.refuse(C.BAD_VOTE, last, replace(play.list_opening(good), opening=[]))
            play.do(last, play.list_opening(good))
            play.refuse(C.ALREADY_MEASURED, last, play.list_opening(good))
        play.pass_deadline()
        seats = play.panel()
    return play


def old_form() -> Cells:
    """A list is asked for; one loss is none."""
    play = in_measure("one measurement in the place of a list")
    word = m.ModelMeasure(5, [])
    play.all({name: play.commitment(name, word) for name in play.panel()})
    play.refuse(C.BAD_VOTE, play.panel()[0], play.opening(word))
    play.pass_deadline()
    return play


def counted_lists() -> Cells:
    """One vote is about all directions: a seat that differs in one of them is outside; leaves that do not hold do not count."""
    play = in_measure("lists are agreed on in all directions", rounds=3)
    near, far = ((1000, 15 * 10**8), (500, 16 * 10**8), None), ((1000, 15 * 10**8), (500, 17 * 10**8), None)
    seats = play.panel()
    play.lists(lambda name: play.list(*(far if name in seats[:2] else near)))
    assert play.read().again == 1 and play.read().state == FederationState.MEASURE
    play.lists(lambda name: play.list(*near), lies=seats[:2])
    assert play.read().again == 2
    seats = play.panel()
    play.lists(lambda name: play.list(*(far if name == seats[0] else near)))
    now = play.read()
    assert (now.r, now.best) == (2, 15 * 10**8), now
    return play


def other_codes() -> Cells:
    """INVALID, NOMODEL, silence; then INVALID by all: the best model is the base again."""
    play = in_measure("codes in the place of lists", rounds=3)
    seats = play.panel()
    given = {seats[0]: m.StepsMeasure(2, []), seats[1]: m.StepsMeasure(3, []), seats[2]: m.StepsMeasure(2, [])}
    play.lists(lambda name: given.get(name))
    assert play.read().again == 1
    play.lists(lambda name: m.StepsMeasure(2, []), opens=lambda name: name != play.panel()[0])
    now = play.read()
    assert (now.r, now.clip, now.base) == (2, 250_000_000, cid("initial")), now
    return play


def invalid_first() -> Cells:
    """Of equal sets around one list that of the earliest seat stays: the code INVALID is such a list."""
    play = in_measure("the code INVALID is a list as others are", rounds=3)
    seats = play.panel()

    def apart(name: str) -> m.StepsMeasure:
        place = seats.index(name)
        return m.StepsMeasure(2, []) if not place else play.list((1000, (9 + place) * 10**8), None, None)

    play.lists(apart)
    play.lists(apart)
    now = play.panel()
    assert play.read().again == 2 and now[0] == seats[0] and seats[1] not in now, (seats, now)
    return play


def stalled() -> Cells:
    play = in_measure("lists on which nobody agrees, three times", rounds=3)
    for again in range(3):
        play.lists(lambda name: play.list((1000, (10 + play.panel().index(name)) * 10**8), None, None))
        assert play.read().again == min(2, again + 1) or play.read().state == FederationState.END
    assert play.read().end == records.EndReason.STALLED
    return play


CELLED: tuple[Callable[[], Train], ...] = (
    *(terms, suspended, two_serve, kinds, whole, radii, least_radius, small_cell, vetted, misses, three_aggregators, haves, parts),
    *(all_miss, disputes, silence, words, unproved, sets, bad_lists, old_form, counted_lists, other_codes, invalid_first, stalled),
)
