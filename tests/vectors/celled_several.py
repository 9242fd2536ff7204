"""Plays of federations with several cells (LC-FED-56, 59, 60, 62): dealing, pausing, cells that are over, lists, pay by halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import of_bitmap
from learningchain.chain.contracts.federation.messages import FederationCode
from learningchain.chain.contracts.federation.records import FederationState, MemberState
from learningchain.chain.contracts.membership import member_key
from tests.vectors.celled_plays import CELL, Cells, celled, drawn
from tests.vectors.federation_plays import FIRST, HELPERS, OWNERS, VALIDATORS, VERIFIERS, Train, cid, newcomer, verifier
from tests.vectors.kit import id_of

C = FederationCode
NINE = (*OWNERS, *VALIDATORS[:2])
USED, AWAY, UNPROVED, IDLE = 1, 2, 9, 10
MANY = {"max_members": 20}


def void(play: Cells) -> None:
    assert (play.read().state, play.read().r) == (FederationState.IDLE, 1), play.name


def several(name: str, rule: str, *owners: str, **changed: int) -> Cells:
    """In TRAIN of the first attempt of r = 1: two cells of nine stand."""
    return drawn(name, rule, *(owners or NINE), **(MANY | changed))


def to_measure(play: Cells, codes: Sequence[int], directions: int, what: str = "sum") -> None:
    """From SCREEN on."""
    play.pins(1)
    play.screens(codes)
    play.pins(2)
    play.all({name: play.sum_of(what, directions) for name in play.aggregators()})
    assert play.read().state == FederationState.MEASURE, play.name


def again(play: Cells) -> None:
    play.begin(play.read().r)
    play.ready()


# --- dealing ----------------------------------------------------------------------------------------------------------------------


def dealt() -> Cells:
    """Of ten with six that count two cells, each with three of these; who joins later waits."""
    owners = (*OWNERS, *HELPERS[:3])
    play = several("cells are dealt by tickets, those that count first", "LC-FED-56", *owners, vetted=True)
    assert [len(play.of_cell(number)) for number in (1, 2)] == [5, 5]
    vetted = {*OWNERS[:3], *HELPERS[:3]}
    assert [len(vetted & {*play.of_cell(number)}) for number in (1, 2)] == [3, 3]
    play.join("v1")
    play.refuse(C.OUT_OF_ATTEMPT, "v1", m.CommitUpdate(play.federation, play.attempt().number, cid("x"), 1))
    play.refuse(C.IN_A_CELL, "alice", m.RemoveMember(play.federation, id_of("o7")))
    play.do("alice", m.RemoveMember(play.federation, id_of("v1")))
    play.pass_deadline()
    void(play)
    return play


def few_counted() -> Cells:
    """Five that count make one cell of nine."""
    owners = (*OWNERS, *HELPERS[:2])
    play = several("too few that count for a second cell", "LC-FED-56", *owners, vetted=True)
    assert [len(play.of_cell(one.number)) for one in play.cells().cells] == [9]
    return play


def widest() -> Cells:
    """Cells of nine at least: seventeen make one, of sixteen; the last one waits."""
    owners = (*OWNERS, *VALIDATORS, "bob", "carol", "erin")
    play = several("a cell has sixteen members at most", "LC-FED-56", *owners, min_sum=9, min_members=9)
    assert [len(play.of_cell(one.number)) for one in play.cells().cells] == [16] and len(play.cells().members) == 16
    return play


# --- two cells, to the end --------------------------------------------------------------------------------------------------------


def halves() -> Cells:
    """Half of what is paid goes by what each cell reached alone: one gained 2, the other 3 in 10 of what there was to gain."""
    play = several("two cells are paid half by what each reached alone", "LC-FED-62", split=4, rounds=3)
    one, two = play.of_cell(1), play.of_cell(2)
    assert [len(one), len(two)] == [5, 4]
    play.to_screen(*NINE)
    to_measure(play, [USED] * 9, 5)
    assert [cell.number for cell in play.cells().inside] == [1, 2]
    play.settles((1000, 14 * 10**8), (500, 18 * 10**8), (2000, 17 * 10**8), None, (250, 16 * 10**8))
    now, found = play.read(), play.cells()
    assert [(one_.step, one_.loss) for one_ in found.found[1:4]] == [(500, [18 * 10**8]), (2000, [17 * 10**8]), (0, [])]
    pot = now.paid
    paid = [sum(play.member(name).paid for name in names) for names in (one, two)]
    equal, gained = pot - pot // 2, pot // 2
    assert abs(paid[0] - (5 * equal // 9 + 2 * gained // 5)) <= 9 and sum(paid) == pot, paid
    assert not any(row.gained for row in found.members)
    return play


def no_gain() -> Cells:
    """Neither cell alone is better than the base, both together are: equal parts. INVALID of a cell gains nothing."""
    play = several("where no cell gained alone, all is paid equally", "LC-FED-62", split=4)
    play.to_screen(*NINE)
    to_measure(play, [USED] * 9, 5)
    play.settles((1000, 15 * 10**8), (500, 21 * 10**8), None, (250, 3 * 10**9), (250, 16 * 10**8))
    paid = sorted(play.member(name).paid for name in NINE)
    assert paid[-1] - paid[0] <= 8 and paid[0] > 0, paid
    return play


def streaks() -> Cells:
    """Each round's gain is below the loss of its own base, and adds up until there is progress, or until the best is the base."""
    play = several("what cells gained adds up within a streak", "LC-FED-62", split=4, rounds=7, patience=5)
    one, two = play.of_cell(1), play.of_cell(2)

    def settles(whole: int, first: int | None, second: int | None) -> None:
        play.to_screen(*NINE)
        to_measure(play, [USED] * 9, 5, f"sum {play.read().starts}")
        own = [None if loss is None else (250, loss * 10**7) for loss in (first, second)]
        play.settles((250, whole * 10**7), *own, None, None)
        if play.read().end == 0:
            again(play)

    settles(205, 206, None)
    settles(203, 202, 205)
    assert [row.gained for row in play.cells().members if row.gained] == [3 * 10**7 // 5] * 5
    settles(190, None, 199)
    pot = play.read().paid
    paid = [sum(play.member(name).paid for name in names) for names in (one, two)]
    assert abs(paid[0] - (pot * 5 // 18 + pot // 4)) <= 9 and sum(paid) == pot, paid
    settles(195, 195, 195)
    settles(194, 193, None)
    assert [row.gained for row in play.cells().members if row.gained] == [2 * 10**7 // 5] * 5
    settles(400, 400, 400)
    assert not any(row.gained for row in play.cells().members)
    return play


# --- pausing ----------------------------------------------------------------------------------------------------------------------


def absent() -> Cells:
    """One sends nothing: its cell pauses, and the other one is summed and paid."""
    play = several("a cell pauses where one of it sends nothing, others go on", "LC-FED-58", rounds=3)
    one, two = play.of_cell(1), play.of_cell(2)
    missing = one[0]
    owners = [name for name in NINE if name != missing]
    play.refers()
    play.files(*owners)
    play.pass_deadline()
    play.have(reference=True)
    play.pins(1)
    wrong = [USED] * 8
    right = [USED if name in two else IDLE for name in owners]
    play.refuse(C.BAD_SCREEN, play.aggregators()[0], play.screen(wrong))
    play.screens(right)
    play.pins(2)
    first = play.aggregators()[0]
    play.refuse(C.BAD_FILE, first, play.sum_of("sum", 5))
    play.all({name: play.sum_of("sum", 3) for name in play.aggregators()})
    play.settles((1000, 15 * 10**8), None, None)
    assert [play.member(name).paid > 0 for name in (*one, *two)] == [False] * 5 + [True] * 4
    found = play.state.get(records.sets_key(play.federation, cid("initial")))
    assert isinstance(found, records.AcceptedSets) and len(found.sets) == 1
    return play


def away() -> Cells:
    """One aggregator lacks one file: AWAY, its cell is IDLE, and the other one is summed. Of each cell one: VOID SPLIT."""
    play = several("a file that one aggregator lacks pauses a cell", "LC-FED-59", rounds=4)
    one, two = play.of_cell(1), play.of_cell(2)
    play.to_have(*NINE)
    names = play.aggregators()
    play.have(of={names[0]: [at for at, name in enumerate(NINE) if name != one[0]]}, reference=True)
    play.pins(1)
    codes = [AWAY if name == one[0] else IDLE if name in one else USED for name in NINE]
    for place, code in ((NINE.index(one[0]), UNPROVED), (NINE.index(one[1]), USED), (NINE.index(two[0]), IDLE)):
        bad = [code if at == place else known for at, known in enumerate(codes)]
        play.refuse(C.BAD_SCREEN, names[0], play.screen(bad))
    play.screens(codes)
    play.pins(2)
    play.all({name: play.sum_of("sum", 3) for name in names})
    play.settles((1000, 15 * 10**8), None, None)
    again(play)
    play.to_have(*NINE)
    names = play.aggregators()
    play.have(of={names[0]: [at for at, name in enumerate(NINE) if name not in (one[0], two[0])]}, reference=True)
    assert play.read().state == FederationState.IDLE and play.read().r == 2
    return play


def unproved() -> Cells:
    """One that is not proved: its cell is IDLE, the other one is summed; of each one: VOID SPLIT."""
    play = several("one that is not proved pauses its cell alone", "LC-FED-59", rounds=4)
    one, two = play.of_cell(1), play.of_cell(2)
    play.to_screen(*NINE)
    to_measure(play, [UNPROVED if name == two[0] else IDLE if name in two else USED for name in NINE], 3)
    play.settles((1000, 15 * 10**8), None, None)
    assert [play.member(name).paid > 0 for name in (*one, *two)] == [True] * 5 + [False] * 4
    again(play)
    play.to_screen(*NINE)
    play.pins(1)
    play.screens([UNPROVED if name in (one[0], two[0]) else IDLE for name in NINE])
    assert play.read().state == FederationState.IDLE and play.read().r == 2
    return play


def over() -> Cells:
    """A cell that falls below three is over and its members wait; the other one goes on, until it is over, too."""
    play = several("a cell of fewer than three is over, others go on", "LC-FED-56", rounds=4, pace_ms=10**6)
    one, two = play.of_cell(1), play.of_cell(2)
    for name in two[:2]:
        play.do(name, m.LeaveFederation(play.federation))
    assert [cell.number for cell in play.cells().cells] == [1] and len(play.cells().inside) == 2
    play.do("alice", m.RemoveMember(play.federation, id_of(two[2])))
    play.to_screen(*NINE)
    to_measure(play, [USED] * 9, 5)
    play.settles((1000, 15 * 10**8), None, None, None, None)
    again(play)
    play.refuse(C.OUT_OF_ATTEMPT, two[3], m.CommitUpdate(play.federation, play.attempt().number, cid("x"), 1))
    play.to_screen(*one)
    to_measure(play, [USED] * 5, 3, "second")
    play.settles((1000, 14 * 10**8), None, None)
    for name in one[:3]:
        play.do(name, m.LeaveFederation(play.federation))
    assert not play.cells().cells and play.member(one[3]).state == MemberState.ACTIVE
    play.refuse(C.TOO_FEW_MEMBERS, "alice", m.StartRound(play.federation, play.read().r))
    return play


def below_a_sum() -> Cells:
    """With fewer members than a sum needs a cell would be in no attempt, and they in no other cell: it is over."""
    terms = {"min_sum": 4, "min_members": 4, "rounds": 4, "pace_ms": 10**6}
    play = several("a cell of fewer than a sum needs is over", "LC-FED-56", **terms)
    two = play.of_cell(2)
    assert len(two) == 4
    play.pass_deadline()
    void(play)
    play.do(two[0], m.LeaveFederation(play.federation))
    assert [cell.number for cell in play.cells().cells] == [1]
    play.join("v3")
    play.begin(1)
    assert sorted(play.of_cell(3)) == sorted([*two[1:], "v3"])
    return play


def newcomers() -> Cells:
    """Three wait for long; with a fourth they are a cell, and one that lost its place is among them, without its misses."""
    play = several("who waits becomes a new cell", "LC-FED-56", rounds=6, max_members=12, pace_ms=10**6)
    two = play.of_cell(2)
    for _ in range(3):
        play.refers()
        play.files(*[name for name in NINE if name != two[0]])
        play.pass_deadline()
        play.have(reference=True)
        play.pins(1)
        play.screens([IDLE if name in two else USED for name in NINE if name != two[0]])
        play.pins(2)
        play.all({name: play.sum_of(f"sum {play.read().starts}", 3) for name in play.aggregators()})
        play.settles((1000, (20 - play.read().r) * 10**8), None, None)
        again(play)
    assert play.member(two[0]).state == MemberState.GONE
    play.join(two[0], "v3", "v4")
    play.pass_deadline()
    play.begin(4)
    assert [cell.number for cell in play.cells().cells] == [1, 2], "three are too few"
    play.ready()
    play.join("v5")
    play.pass_deadline()
    play.begin(4)
    assert play.of_cell(3) == [name for name in (*OWNERS, *VALIDATORS) if name in (two[0], "v3", "v4", "v5")]
    assert not {row.index: row for row in play.cells().members}[play.member(two[0]).index - 1].attempts
    play.ready()
    play.to_screen(*NINE, "v3", "v4", "v5")
    to_measure(play, [USED] * 12, 6)
    assert [cell.number for cell in play.cells().inside] == [1, 2, 3]
    return play


def regrouped() -> Cells:
    """Where no cell is left, two of each make a new one; a start is taken for that."""
    play = several("cells that are over make a new one", "LC-FED-56", rounds=4, pace_ms=10**6)
    one, two = play.of_cell(1), play.of_cell(2)
    play.pass_deadline()
    void(play)
    for name in (*one[2:], *two[2:]):
        play.do(name, m.LeaveFederation(play.federation))
    assert not play.cells().cells
    play.begin(1)
    assert play.cells().numbered == 3 and sorted(play.of_cell(3)) == sorted([*one[:2], *two[:2]])
    return play


def flag(play: Cells, name: str, has: bool) -> Cells:
    """The same play, in which somebody has the verifier flag, or not."""
    return Cells(play.name, play.rule, {member_key(id_of(name)): verifier(name, verifier=has)}, play)


def rests() -> Cells:
    """Two of a cell carry the flag, and three have to: it rests, the other one goes on; with the flag it is back as it was."""
    owners = (*OWNERS, *HELPERS[:3])
    play = several("a cell of which too few count rests", "LC-FED-56", *owners, vetted=True, rounds=4, pace_ms=10**6)
    before, lost = play.inside(), next(name for name in play.of_cell(2) if name in VERIFIERS)
    for has in (False, True):
        play.pass_deadline()
        void(play)
        play = flag(play, lost, has)
        play.begin(1)
        play.ready()
        assert [cell.number for cell in play.cells().inside] == ([1, 2] if has else [1]) and play.inside() == before
    return play


def goes_on() -> Cells:
    """Members of a cell that rests are in a new one as soon as enough others wait; until then no round begins, and it stays."""
    play = drawn(
        "members of a cell that rests go on with others", "LC-FED-56", *OWNERS[:4], vetted=True, pace_ms=10**6, max_members=8
    )
    play.pass_deadline()
    void(play)
    play = flag(play, "o3", False)
    play.join("o5", "o6")
    play.refuse(C.TOO_FEW_MEMBERS, "alice", m.StartRound(play.federation, 1))
    play.join("s9")
    play.begin(1)
    play.ready()
    assert [cell.number for cell in play.cells().cells] == [2] and len(play.of_cell(2)) == 7
    assert not any(row.attempts for row in play.cells().members), "misses begin anew"
    play.to_screen(*OWNERS[:6], "s9")
    to_measure(play, [USED] * 7, 3)
    return play


def together() -> Cells:
    """One that counts leaves and joins again, so that its cell rests, and seventeen are there for a new one: who waited, waits.
    Of two that count and wait one is needed, and the other waits, too."""
    owners = (*OWNERS, *VALIDATORS, "bob", "carol", "erin")
    terms = MANY | {"vetted": True, "rounds": 4, "pace_ms": 10**6}
    play = drawn("members of a cell that rests stay together", "LC-FED-56", *owners, **terms)
    before = play.of_cell(1)
    for number in (2, 3):
        play.pass_deadline()
        void(play)
        play.do("o3", m.LeaveFederation(play.federation))
        play.join("o3")
        if number == 3:
            play.join("s9")
        play.begin(1)
        play.ready()
        assert [cell.number for cell in play.cells().cells] == [number]
        others = [name for name in play.of_cell(number) if name not in ("o3", "s9")]
        assert len(before) == 16 == len(others) + 1, "nobody is summed without another that was summed with it"
        assert others == [name for name in before if name != "o3"]
    return play


def crowd() -> Cells:
    """Forty make ten cells. Four more would be enough for another one, and wait until one of the ten is over."""
    known, more = (*NINE, *VALIDATORS[2:], "bob", "carol"), [f"x{n}" for n in range(1, 29)]
    play = Cells("ten cells live at most", "LC-FED-56", {key: one for name in more for key, one in newcomer(name).items()})
    play.serving(*HELPERS).opens(**(CELL | {"max_members": 44, "rounds": 4, "pace_ms": 10**6}))
    play.join(*known, *more[:24])
    play.begin(0)
    play.measured(FIRST)
    play.begin(1)
    play.ready()
    assert [len(play.cells().cells), len(play.cells().members)] == [10, 40]
    play.join(*more[24:])
    for last in (10, 11):
        play.pass_deadline()
        void(play)
        play.begin(1)
        play.ready()
        assert [play.cells().numbered, len(play.cells().cells)] == [last, 10]
        if last == 10:
            first = of_bitmap(play.cells().cells[0].members) << 1
            inside = [name for name in (*known, *more) if first >> play.member(name).index & 1]
            play.all({name: m.LeaveFederation(play.federation) for name in inside[:2]})
    return play


def without_reference() -> Cells:
    """Twelve owners, three cells: four directions."""
    owners = (*NINE, "v3", "v4", "v5")
    terms = {"reference": False, "min_members": 12, "split": 4}
    play = several("twelve owners and no reference", "LC-FED-55", *owners, **terms)
    play.refuse(C.NO_REFERENCE, "alice", m.ReferUpdate(play.federation, play.attempt().number, cid("reference")))
    play.files(*owners)
    play.have()
    play.pins(1)
    play.screens([USED] * 12)
    play.pins(2)
    play.refuse(C.BAD_FILE, play.aggregators()[0], play.sum_of("sum", 6))
    play.all({name: play.sum_of("sum", 4) for name in play.aggregators()})
    play.settles((1000, 15 * 10**8), (1000, 18 * 10**8), None, (250, 19 * 10**8))
    assert sum(play.member(name).paid for name in owners) == play.read().paid > 0
    return play


def sets() -> Cells:
    """Each cell is a set of its own on a base; without one of its members another one, behind them."""
    play = several("cells are sets of their own on a base", "LC-FED-59", rounds=3)
    two = play.of_cell(2)
    play.to_screen(*NINE)
    to_measure(play, [USED] * 9, 5)
    play.settles((250, 3 * 10**9), *[None] * 4)
    play.do(two[0], m.LeaveFederation(play.federation))
    again(play)
    rest = [name for name in NINE if name != two[0]]
    play.to_screen(*rest)
    to_measure(play, [USED] * 8, 5, "second")
    found = play.state.get(records.sets_key(play.federation, cid("initial")))
    assert isinstance(found, records.AcceptedSets) and len(found.sets) == 3, found
    assert found.sets[2] == play.inside()[1]
    return play


def early() -> Cells:
    """Fewer are in when the cells are dealt than when the start was asked for: one cell."""
    play = celled("who leaves before the draw is in no cell", "LC-FED-56", *NINE, **MANY)
    play.do("alice", m.StartRound(play.federation, 1))
    play.all({name: m.LeaveFederation(play.federation) for name in NINE[:2]})
    play.drawn()
    assert [len(play.of_cell(one.number)) for one in play.cells().cells] == [7]
    return play


SEVERAL: tuple[Callable[[], Train], ...] = (
    *(
        dealt,
        few_counted,
        widest,
        early,
        halves,
        no_gain,
        streaks,
        absent,
        away,
        unproved,
        over,
        below_a_sum,
        newcomers,
        regrouped,
        rests,
        goes_on,
        together,
        crowd,
        without_reference,
        sets,
    ),
)
