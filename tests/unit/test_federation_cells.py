"""Federations with a cell under random members, aggregators and seats: money is kept, each ends, and a cell only shrinks.

What each message and deadline does is in the plays of `tests/vectors/celled_rounds.py`, which the second implementation follows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from learningchain.chain.contracts.federation import cell_formulas, duties, formulas, records
from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation.records import FederationState as S
from learningchain.chain.host import K_SUPPLY, Account, Escrow
from learningchain.client.contracts.federation.arithmetic.small.files import small_size
from learningchain.client.contracts.federation.roles.looking import look
from learningchain.client.contracts.federation.roles.waiting import why_it_waits
from tests.reached import reached
from tests.vectors.celled_plays import CELL, SIZE, Cells, Losses, celled, drawn
from tests.vectors.celled_rounds import CELLED
from tests.vectors.celled_several import SEVERAL, flag
from tests.vectors.federation_plays import FIRST, HELPERS, OWNERS, TERMS, VALIDATORS, cid, flagged_alone
from tests.vectors.kit import id_of

PEOPLE = (*OWNERS, *VALIDATORS[:3])
CELL_TERMS = replace(TERMS, **CELL)


@pytest.mark.parametrize("dims", [1, 21, 115, 116, 1_023])
def test_the_ledger_and_the_owners_mean_files_of_the_same_size(dims: int) -> None:
    assert formulas.update_size(replace(CELL_TERMS, dims=dims)) == small_size(dims)


@pytest.mark.parametrize(("dims", "least"), [(1, 1_154), (21, 251), (650, 45), (1_023, 36)])
def test_noise_is_twice_an_update_at_least(dims: int, least: int) -> None:
    """LC-FED-55: a third of its square from each of three masks."""
    assert cell_formulas.least_noise(dims) == least and 3 * dims * (least / 1_000) ** 2 == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("make", (*CELLED, *SEVERAL), ids=lambda make: make.__name__)
def test_a_play_goes_as_it_says(make: Any) -> None:
    make()


# --- duties --------------------------------------------------------------------------------------------------------------------


def owed(play: Cells) -> list[str]:
    """Of each aggregator, in the order of the seats."""
    found = [[one.duty.name for one in duties.duties(play.state, id_of(name))] for name in play.aggregators()]
    return [" ".join(names) for names in found]


def test_an_aggregator_of_a_cell_owes_a_seal_then_parts_then_a_word() -> None:
    """Parts when all three have sealed, a word when all three have pinned; nothing twice."""
    play = drawn("duties", "LC-FED-60")
    play.to_screen(*OWNERS[:4])
    one, two, three = play.aggregators()
    for stage, of, word in ((1, "ROWS", "SCREEN"), (2, "SUMS", "SUM")):
        seal, pin = f"SEAL_{of}", f"PIN_{of}"
        assert owed(play) == [seal] * 3
        play.all({name: play.seal(name, stage) for name in (one, two)})
        assert owed(play) == ["", "", seal]
        play.do(three, play.seal(three, stage))
        assert owed(play) == [pin] * 3
        play.all({name: play.pin(name, stage) for name in (one, two)})
        assert owed(play) == ["", "", pin]
        play.do(three, play.pin(three, stage))
        assert owed(play) == [word] * 3
        said = play.screen([1] * 4) if stage == 1 else play.sum_of("sum")
        play.do(one, said)
        assert owed(play) == ["", word, word]
        play.all(dict.fromkeys((two, three), said))
    assert play.read().state == S.MEASURE


# --- who is outside is told -----------------------------------------------------------------------------------------------------

FLAGGED = ", 3 of them with the verifier flag"
A_NEW_CELL = f"A new cell begins with the next start at which 4 members{FLAGGED}, are outside like this one, now 5, 2 with it. "


def test_a_member_is_told_what_it_waits_for() -> None:
    """Before the first cells, of a cell that rests, and without one; in an attempt, or where the next start has it, it waits for
    nothing. Neither does who is no member."""
    play = celled("who waits", "LC-FED-56", "o1", "o2", vetted=True, pace_ms=10**6, max_members=8)

    def told(who: str) -> str:
        at = look(play.state, play.federation)
        return why_it_waits(at, id_of(who), play.clock) if at is not None else ""

    assert told("o1") == f"the first round takes 3 members{FLAGGED}, now 2, 2 with it"
    play.join("o3", "o4")
    assert told("o4") == told("alice") == ""
    play.begin(1)
    play.ready()
    assert told("o4") == ""
    play.pass_deadline()
    assert told("o4") == ""
    play = flag(play, "o3", False)
    play.join("o5")
    assert told("o4").startswith(f"its cell 1 rests: a sum takes 3 members{FLAGGED}, and it has 4, 2 with it. {A_NEW_CELL}")
    came = "a cell that rests goes on with who waits, and sums before and after that tell of an update that came alone"
    assert told("o5").startswith(f"it has no place in a cell, and nobody is added to one; {came}. {A_NEW_CELL}")
    assert told("o5").endswith(f"fed leave {play.federation.hex()[:12]})") and told("alice") == ""


# --- dealing, pay ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "counted", "least", "sizes"),
    [
        (3, 3, 3, [3]),
        (7, 7, 3, [7]),
        (8, 8, 3, [4, 4]),
        (9, 5, 3, [9]),
        (11, 11, 3, [6, 5]),
        (12, 12, 5, [6, 6]),
        (20, 20, 3, [4] * 5),
        (128, 128, 3, [13] * 8 + [12] * 2),
        (40, 3, 3, [16]),
        (128, 128, 16, [16] * 8),
    ],
)
def test_members_are_dealt_into_cells_of_four_or_more(members: int, counted: int, least: int, sizes: list[int]) -> None:
    """LC-FED-56: each has as many that count as a sum needs, wherever that can be; nobody is in two."""
    terms = replace(CELL_TERMS, min_sum=least)
    found = cell_formulas.dealt(members, cell_formulas.cells_of(terms, members, counted))
    assert [len(cell) for cell in found] == sizes
    every = [place for cell in found for place in cell]
    assert sorted(every) == list(range(len(every)))
    assert all(sum(place < counted for place in cell) >= min(counted, least) for cell in found)


@given(pot=st.integers(0, 10**15), rows=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2**61)), min_size=1, max_size=128))
def test_a_pot_is_given_to_the_last_micro_credit_and_nobody_without_gain_is_paid_less_than_half(
    pot: int, rows: list[tuple[int, int]]
) -> None:
    points, gains = [one for one, _ in rows], [gain for _, gain in rows]
    found = cell_formulas.half_shares(pot, points, gains)
    assert sum(found) == pot and min(found) >= 0
    assert all(2 * part >= pot * own // sum(points) - 1 for part, own in zip(found, points, strict=True))
    if not any(gains):
        assert found == formulas.shares(pot, points)


# --- lists ---------------------------------------------------------------------------------------------------------------------

LOSSES = st.none() | st.integers(1, 5).map(lambda n: n * 10**9)
"""So far from each other that no tolerance bridges it."""
LISTS = st.integers(1, 4).flatmap(lambda many: st.lists(st.lists(LOSSES, min_size=many, max_size=many), min_size=1, max_size=5))


@settings(max_examples=200)
@given(votes=LISTS, last=st.booleans())
def test_what_is_measured_is_what_enough_say_of_each_direction(votes: Sequence[Losses], last: bool) -> None:
    """LC-FED-61, with losses that agree where they are equal."""
    enough = formulas.enough_votes(5, last)
    found = cell_formulas.measured_lists(CELL_TERMS, votes, enough)
    columns = list(zip(*votes, strict=True))
    if found is None:
        assert any(max(map(column.count, column)) < enough or _middle(column) is None for column in columns)
        return
    for column, loss, seat in zip(columns, found.losses, found.seats, strict=True):
        assert column.count(loss) >= enough and (loss is None or column.index(loss) == seat)
    assert found.side == [place for place, vote in enumerate(votes) if list(vote) == found.losses]


def _middle(column: Sequence[int | None]) -> int | None:
    """The lower median, where so many are equal to it as are not."""
    known = sorted(loss for loss in column if loss is not None)
    middle = known[(len(known) - 1) // 2] if known else None
    return middle if middle is not None and column.count(middle) == max(map(column.count, column)) else None


@pytest.mark.parametrize(
    ("losses", "chosen"), [([5, 3, 3], 1), ([None, 7], 1), ([0, None], 0), ([None, None], None), ([-4, -4], 0)]
)
def test_the_least_loss_of_the_first_direction_is_chosen(losses: Losses, chosen: int | None) -> None:
    assert cell_formulas.chosen_direction(losses) == chosen


# --- random ones ---------------------------------------------------------------------------------------------------------------


class Wild:
    """A federation whose parties do anything: what the ledger refuses changes nothing."""

    def __init__(self, seed: int, **more: Any) -> None:
        """`more` terms."""
        self.draw = random.Random(seed)
        few = self.draw.random() < 0.3
        self.play = Cells(f"wild {seed}", "LC-FED-55", flagged_alone(*HELPERS[:4]) if few else {})
        terms = {"rounds": self.draw.randint(1, 4), "patience": self.draw.randint(1, 3), "max_members": 10}
        terms |= more
        self.play.serving(*HELPERS[: 4 if few else 9]).opens(**(CELL | terms | {"split": self.draw.choice((1, 4))}))
        self.play.join(*PEOPLE[: self.draw.randint(3, 10)])
        self.play.begin(0)
        self.play.measured(FIRST)
        self.seen: set[S] = set()
        self.voids: set[S] = set()
        """In which states attempts came to nothing."""
        self.inside: dict[int, int] = {}
        self.several = False

    @property
    def state(self) -> S:
        return S(self.play.read().state)

    def often(self, chance: float = 0.95) -> bool:
        return self.draw.random() < chance

    def run(self) -> None:
        for _ in range(400):
            self.check()
            if self.state == S.END:
                return
            self.seen.add(self.state)
            before = self.state, self.play.read().deadline
            if self.state in (S.DRAW, S.ROWS):
                self.play.block()
            else:
                getattr(self, self.state.name.lower())()
            if (self.state, self.play.read().deadline) == before and self.state not in (S.DRAW, S.ROWS):
                self.play.pass_deadline()
            if self.state == S.IDLE and before[0] < S.MEASURE:
                self.voids.add(before[0])
        raise AssertionError(f"{self.play.name} does not end")

    def send(self, given: dict[str, Any]) -> None:
        self.play.block(*(self.play.tx(name, op) for name, op in given.items()))

    def check(self) -> None:
        play, now = self.play, self.play.read()
        records_ = [play.state.get(key) for key, _ in play.state.items()]
        supply: Any = play.state.get(K_SUPPLY)
        held = sum(one.balance + one.frozen for one in records_ if isinstance(one, Account))
        assert held + sum(one.amount for one in records_ if isinstance(one, Escrow)) == supply.minted - supply.burned
        assert now.paid == (formulas.due(CELL_TERMS, now.initial, now.best) if now.r else 0) <= TERMS.bounty
        assert sum(one.paid for who, one in ((name, play.member(name)) for name in PEOPLE if play.knows(name))) == now.paid
        cells = play.cells()
        for cell in cells.cells:
            inside = formulas.of_bitmap(cell.members)
            assert not inside & ~self.inside.get(cell.number, inside), "nobody comes into a cell that stands"
            assert inside.bit_count() >= cell_formulas.LEAST_IN_CELL
            self.inside[cell.number] = inside
        low, high = cell_formulas.RADIUS
        assert low <= now.clip <= high

    # what they do, by state

    def idle(self) -> None:
        now = self.play.read()
        if not self.often(0.9):
            self.send({self.draw.choice(PEOPLE): m.LeaveFederation(self.play.federation)})
        if not self.often(0.9):
            name = self.draw.choice(PEOPLE)
            self.send({name: m.JoinFederation(self.play.federation, bytes([PEOPLE.index(name)]) * 32, 0)})
        self.send({"alice": m.StartRound(self.play.federation, now.r)})
        if self.state == S.IDLE:
            self.send({"alice": m.CloseFederation(self.play.federation)})

    def ready(self) -> None:
        at = self.play.attempt().number
        self.send({name: m.ReadyKey(self.play.federation, at, id_of(name).ljust(32)) for name in self.some()})

    def some(self, chance: float = 0.97) -> list[str]:
        return [name for name in self.play.aggregators() if self.often(chance)]

    def train(self) -> None:
        at, ref = self.play.attempt().number, self.play.federation
        file = m.CommitUpdate(ref, at, cid("file"), SIZE)
        self.send({name: file for name in PEOPLE if self.often(0.96)} | {"alice": m.ReferUpdate(ref, at, cid("reference"))})

    def have(self) -> None:
        attempt = self.play.attempt()
        every = (1 << attempt.files) - 1
        bits = {name: every & ~(self.draw.randrange(every + 1) if not self.often(0.97) else 0) for name in self.some(0.98)}
        said = {
            name: m.HaveUpdates(self.play.federation, attempt.number, some.to_bytes(-(-attempt.files // 8), "little"), self.often())
            for name, some in bits.items()
        }
        self.send(said)

    def screen(self) -> None:
        self._stage(1)
        if self.state != S.SCREEN:
            return
        codes = self.codes()
        self._say(lambda: self.play.screen(codes, what="rows" if self.often() else "others"), S.SCREEN)

    def codes(self) -> list[int]:
        """Few are UNPROVED; the rest follows from who has a cell."""
        attempt, state = self.play.attempt(), self.play.state
        files: list[Any] = [state.get(records.file_key(self.play.federation, place)) for place in range(attempt.files)]
        shared = formulas.of_bitmap(attempt.shared)
        good = {file.index: bool(shared >> place & 1) and self.often(0.98) for place, file in enumerate(files)}
        sums = [index for cell in self.inside_now() if all(map(good.get, cell)) for index in cell]
        return [
            2 if not shared >> place & 1 else 9 if not good[file.index] else 1 if file.index in sums else 10
            for place, file in enumerate(files)
        ]

    def inside_now(self) -> list[list[int]]:
        return [formulas.indexes_of(formulas.of_bitmap(cell.members)) for cell in self.play.cells().inside]

    def sum(self) -> None:
        self._stage(2)
        if self.state != S.SUM:
            return
        attempt = self.play.attempt()
        accepted = formulas.indexes_of(formulas.of_bitmap(attempt.accepted))
        cells = sum(set(cell) <= set(accepted) for cell in self.inside_now())
        self.several |= cells > 1
        many = cell_formulas.directions(cells, attempt.with_reference)
        what = "" if not self.often(0.97) else f"sum {self.play.read().starts}"
        self._say(lambda: self.play.sum_of(what if self.often() else "other", many), S.SUM)

    def _stage(self, stage: int) -> None:
        lies = {name: {"share2": "lie"} if not self.often(0.98) else {} for name in self.play.aggregators()}
        self.send({name: self.play.seal(name, stage, **lies[name]) for name in self.some(0.99)})
        for name in self.play.aggregators():
            if self.often(0.99) and self.state in (S.SCREEN, S.SUM):
                self.send({name: self.play.pin(name, stage, **lies[name])})

    def _say(self, word: Any, state: S) -> None:
        if self.state == state:
            self.send({name: word() for name in self.some(0.98)})

    def measure(self) -> None:
        many = len(self.play.cells().models) // 4
        truth = [(self.draw.choice(m.STEPS), self.draw.randint(8, 22) * 10**8) for _ in range(many)]
        self.said: dict[str, m.StepsMeasure] = {}
        for name in self.play.panel():
            entries = [None if not self.often() else entry for entry in truth] if not self.often(0.9) else truth
            invalid = not self.often(0.97) or not any(entries)
            self.said[name] = m.StepsMeasure(2, []) if invalid else self.play.list(*entries)
        commits = {name: self.play.list_commitment(name, word) for name, word in self.said.items() if self.often()}
        self.send(commits)

    def open(self) -> None:
        self.send({name: self.play.list_opening(word, not self.often()) for name, word in self.said.items() if self.often(0.98)})


def test_random_federations_with_cells_keep_their_money_and_end() -> None:
    ends, seen, voids, several = set[int](), set[S](), set[S](), 0
    for seed in range(60):
        wild = Wild(seed)
        wild.run()
        ends.add(wild.play.read().end)
        seen, voids = seen | wild.seen, voids | wild.voids
        several += wild.several
    reached(seen >= {S.IDLE, S.READY, S.TRAIN, S.HAVE, S.SCREEN, S.SUM, S.MEASURE, S.OPEN}, f"states: {seen}")
    reached(voids >= {S.READY, S.TRAIN, S.HAVE, S.SCREEN, S.SUM}, f"came to nothing in: {voids}")
    reached(several > 5, f"{several} with sums of two cells")
    assert {records.EndReason.REACHED, records.EndReason.ROUNDS, records.EndReason.CLOSED} <= ends, ends
