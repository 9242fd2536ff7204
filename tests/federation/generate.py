"""Random graphs: who is there, what is opened, who lies, is late or silent, what happens beside. One seed is one run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

from . import formulas, machine, messages, play
from .graph import Graph
from .records import (
    DRAW,
    DRAWING,
    END,
    GONE,
    HAVE,
    IDLE,
    KEY,
    MEASURE,
    OPENING,
    PENDING,
    READY,
    SCREEN,
    SUMMING,
    TRAIN,
    Attempt,
    Federation,
    Seat,
)
from .scenario import (
    ABSTAIN,
    ALIGNED,
    AWAY,
    BADKEY,
    COPY,
    DAY,
    EMPTY,
    EQUAL,
    INVALID,
    LARGE,
    N_MAX,
    NOMODEL,
    OK,
    OPENED,
    OUTLIER,
    ROWS_STAGE,
    SAMPLES,
    SECOND,
    STALE,
    SUM,
    SUMS_STAGE,
    USED,
    WRONG,
    AdmitMember,
    Ban,
    Block,
    CloseFederation,
    CommitMeasure,
    CommitUpdate,
    Entry,
    HaveUpdates,
    JoinFederation,
    LeaveFederation,
    Lists,
    Measure,
    Member,
    Message,
    NewData,
    OpenFederation,
    OpenMeasure,
    Params,
    PinParts,
    ReadyKey,
    ReferUpdate,
    RemoveMember,
    Scenario,
    ScreenUpdates,
    SealKey,
    ServeFederation,
    SetBox,
    SetFlag,
    SetValidators,
    StartRound,
    Strike,
    SumUpdates,
    Suspend,
    Terms,
    VaultModel,
)

HONEST, LIAR, SPLITTER, DENIER, SILENT, LATE, BAD = "honest", "liar", "splitter", "denier", "silent", "late", "bad"
"""What an account does: the truth; the common lie; parts that differ; bitmaps that leave others out; nothing, where it is drawn;
its file too late; updates that are turned away."""

GRAINS = ((HONEST, 1),)


@dataclass(frozen=True, slots=True)
class Mood:
    """Of a graph."""

    calm: bool
    """Everybody honest and in time, nothing happens beside."""
    habits: tuple[tuple[str, int], ...]
    trouble: float
    """How likely the world around changes in a block."""
    sponsor: float
    """How likely the sponsor does in a block what it should."""


class Naming:
    """What accounts and federations are called; a driver of real handlers gives them the ids that they have there."""

    def account(self, number: int) -> bytes:
        return b"m%02d" % number

    def federation(self, number: int) -> bytes:
        return b"fed%03d" % number


class Player:
    def __init__(
        self, seed: int, watch: Callable[[Player], None] | None = None, federations: int = 4, naming: Naming | None = None
    ) -> None:
        self.naming = naming or Naming()
        self.seed = seed
        self.rng = random.Random(f"federation {seed}")
        self.watch = watch
        self.target = federations
        self.mood = self.draw_mood()
        self.params = self.draw_params()
        self.members = self.draw_members()
        self.validators = self.rng.choice((1, 4, 4, 7, 10))
        self.graph = Graph(self.params, self.members, self.validators)
        self.habit = {one.id: self.draw_habit() for one in self.members}
        self.losses: dict[tuple[bytes, bytes], int | None] = {}
        """By federation and model; None is an invalid one."""
        self.blocks: list[Block] = []
        self.entries: list[Entry] = []
        self.opened = 0
        self.sent = 0
        self.acted = False
        """Whether a message of the last block was carried out."""
        self.refusals: set[str] = set()

    # --- what is drawn once -------------------------------------------------------------------------------------------------

    def draw_mood(self) -> Mood:
        rng = self.rng
        if rng.random() < 0.15:
            return Mood(True, GRAINS, 0.0, 1.0)
        weights = rng.choice(
            (
                GRAINS,
                ((HONEST, 12), (LIAR, 1), (SPLITTER, 1), (DENIER, 1), (SILENT, 1), (LATE, 1), (BAD, 1)),
                ((HONEST, 6), (LIAR, 4)),
                ((HONEST, 4), (SPLITTER, 2)),
                ((HONEST, 6), (DENIER, 3)),
                ((HONEST, 5), (SILENT, 4)),
                ((HONEST, 6), (BAD, 4)),
                ((HONEST, 3), (LATE, 2), (BAD, 2)),
                ((HONEST, 3), (LATE, 5)),
            )
        )
        return Mood(False, weights, rng.choice((0.0, 0.02, 0.1)), rng.choice((0.5, 0.9, 1.0)))

    def draw_params(self) -> Params:
        rng = self.rng
        return Params(
            pending=rng.choice((7 * DAY, 600 * SECOND)),
            keep=rng.choice((30 * DAY, 60 * SECOND)),
            month=rng.choice((30 * DAY, 3_600 * SECOND)),
            live=rng.choice((16, 2)),
            dropped=rng.choice((64, 8)),
            indexes=4 if not self.mood.calm and self.fate("indexes") % 5 == 0 else 128,
            max_due=1 if rng.random() < 0.05 else 1_536,
        )

    def draw_members(self) -> tuple[Member, ...]:
        rng = self.rng
        found: list[Member] = []
        chance = rng.choice((0.4, 0.8, 1.0))
        for i in range(rng.randrange(6, 17)):
            roots = [one.id for one in found if one.inviter is None]
            inviter = rng.choice(roots) if i > 3 and rng.random() < 0.3 else None
            balance = 10**12 if i < 2 or rng.random() < 0.9 else rng.randrange(3_000_000)
            found.append(
                Member(self.naming.account(i), balance, inviter, rng.random() < chance, rng.random() < 0.97, rng.random() < 0.95)
            )
        return tuple(found)

    def draw_habit(self) -> str:
        names, weights = zip(*self.mood.habits, strict=True)
        return str(self.rng.choices(names, weights)[0])

    def fate(self, *parts: object) -> int:
        """A number that belongs to its parts, whatever was drawn before."""
        return crc32(repr((self.seed, *parts)).encode()) % 10**6

    # --- blocks -------------------------------------------------------------------------------------------------------------

    def run(self) -> Scenario:
        self.block(1, self.found)
        for _ in range(400 * self.target):
            if self.opened >= self.target and not self.graph.federations:
                break
            self.block(self.step(), self.live)
        return Scenario(self.params, self.members, self.validators, tuple(self.blocks))

    def block(self, step: int, acts: Callable[[], None]) -> None:
        graph, clock, beacon = self.graph, self.graph.clock + step, self.rng.randbytes(32)
        self.entries, self.acted = [], False
        play.begin(graph, clock, beacon)
        acts()
        self.blocks.append(Block(clock, beacon, tuple(self.entries)))
        if self.watch is not None:
            self.watch(self)

    def step(self) -> int:
        """Milliseconds to the next block: short while somebody acts; otherwise to what is due next, or a little beyond."""
        rng, graph = self.rng, self.graph
        if self.acted or any(one.state in DRAWING for one in graph.federations.values()):
            return rng.choice((1, 20, 200)) if self.mood.calm or rng.random() < 0.95 else rng.randrange(1, 10 * SECOND)
        due = [one.deadline for one in graph.federations.values()]
        return max(1, min(due) - graph.clock + rng.choice((0, 0, 5))) if due else SECOND

    def send(self, sender: bytes, message: Message) -> str | None:
        entry = Entry(sender, message)
        self.entries.append(entry)
        self.sent += 1
        why = messages.apply(self.graph, entry)
        if why is None:
            self.acted = True
        else:
            self.refusals.add(why)
        return why

    # --- what happens -------------------------------------------------------------------------------------------------------

    def found(self) -> None:
        for one in self.members:
            if one.flag and (self.mood.calm or self.rng.random() < 0.9):
                self.send(one.id, ServeFederation(True))
        self.open()

    def live(self) -> None:
        rng, graph = self.rng, self.graph
        if self.opened < self.target and rng.random() < 0.2:
            self.open()
        if rng.random() < self.mood.trouble:
            self.trouble()
        for federation in list(graph.federations.values()):
            if federation.state == END:
                continue
            if not self.mood.calm and rng.random() < 0.06:
                self.meddle(federation)
            if self.params.indexes < N_MAX and rng.random() < 0.08:
                self.come_and_go(federation)
            self.duties(federation)

    def open(self) -> None:
        rng, graph = self.rng, self.graph
        self.opened += 1
        ref, sponsor = self.naming.federation(self.opened), rng.choice(self.members[:3]).id
        terms = self.draw_terms()
        if self.send(sponsor, OpenFederation(ref, terms)) is not None:
            return
        first = rng.randrange(10**9, 3 * 10**9) if rng.random() < 0.95 else terms.target
        self.losses[ref, b"initial"] = None if not self.mood.calm and rng.random() < 0.03 else first
        for one in self.members:
            if one.id != sponsor and rng.random() < 0.8:
                self.join(graph.federations[ref], one.id)

    def draw_terms(self) -> Terms:
        rng, calm = self.rng, self.mood.calm
        split = rng.choice((EQUAL, EQUAL, SAMPLES, ALIGNED))
        secrecy = rng.choice((SUM, SUM, OPENED))
        least = rng.choice((2, 3, 3, 4))
        lowest = 1 if secrecy == OPENED else 2
        ends = self.graph.clock + rng.choice((DAY, 30 * DAY, 3_600 * SECOND))
        return Terms(
            bounty=rng.choice((1, 999, 10**9)),
            fee=rng.choice((101, 10_000)) if calm or rng.random() < 0.98 else 1,
            target=rng.randrange(10**8, 10**9),
            rounds=rng.choice((1, 2, 3, 5)),
            ends=ends,
            pace_ms=rng.choice((DAY, 600 * SECOND)),
            round_ms=rng.choice((10, 600)) * SECOND,
            tol=rng.choice((0, 10**6)),
            min_members=least,
            max_members=rng.choice((least, 8, 12)),
            min_sum=rng.randint(min(lowest, least), min(3, least)),
            vetted=rng.random() < 0.5,
            secrecy=secrecy,
            split=split,
            reference=split == ALIGNED or rng.random() < 0.3,
            clip=rng.choice((10, 10**9, 2**50)),
            patience=rng.randint(1, 5),
            admit_open=rng.random() < 0.5,
            outside=rng.random() < 0.3,
            hidden=rng.random() < 0.3,
            params=rng.choice((0, 0, 1, 8_192)),
        )

    def join(self, federation: Federation, who: bytes) -> None:
        digest = who if self.mood.calm or self.rng.random() < 0.95 else b"same"
        n = self.rng.choice((1, 10, 1_000, 2**31 - 1)) if federation.terms.split == SAMPLES else 0
        self.send(who, JoinFederation(federation.id, digest, n))

    def duties(self, federation: Federation) -> None:
        state = federation.state
        if state == IDLE:
            self.sponsor(federation)
        elif state == KEY and (self.mood.calm or self.fate(federation.id) % 8):
            self.send(federation.sponsor, SealKey(federation.id, len(federation.panel)))
        elif state == DRAW and not federation.r and self.mood.trouble and self.fate("empty", federation.id) % 10 == 0:
            for one in self.members:
                self.send(one.id, ServeFederation(False))
        elif state in (MEASURE, OPENING):
            lacking = sum(not seat.box for seat in federation.panel)
            if state == MEASURE and federation.terms.hidden and lacking and self.fate("follow", federation.id) % 8:
                self.send(federation.sponsor, SealKey(federation.id, lacking))
            for seat in list(federation.panel):
                if self.mood.calm or self.habit[seat.who] == HONEST or self.rng.random() < 0.7:
                    self.measure(federation, seat.who)
        elif federation.attempt is not None:
            self.attempt(federation, federation.attempt)

    def sponsor(self, federation: Federation) -> None:
        rng = self.rng
        for one in list(federation.members.values()):
            if one.state == PENDING and rng.random() < 0.9:
                self.send(federation.sponsor, AdmitMember(federation.id, one.id))
        vanished = not self.mood.calm and self.fate(federation.id, federation.starts) % 20 == 0
        if vanished or rng.random() > self.mood.sponsor:
            return
        if not self.mood.calm and rng.random() < 0.01:
            self.send(federation.sponsor, CloseFederation(federation.id))
        self.send(federation.sponsor, StartRound(federation.id, federation.r))

    # --- an attempt ---------------------------------------------------------------------------------------------------------

    def attempt(self, federation: Federation, attempt: Attempt) -> None:
        state, calm = federation.state, self.mood.calm
        if state == TRAIN:
            self.files(federation, attempt)
            return
        acting = [seat for seat in attempt.seats if calm or self.habit[seat.who] == HONEST or self.rng.random() < 0.8]
        acting = [seat for seat in acting if not self.quiet(federation, attempt, seat)]
        for act in (self.ready_or_have, self.parts, self.results):
            for seat in acting:
                if federation.attempt is attempt and federation.state == state:
                    act(federation, attempt, seat)

    def quiet(self, federation: Federation, attempt: Attempt, seat: Seat) -> bool:
        """A silent one stays so in a state of an attempt, or not."""
        return self.habit[seat.who] == SILENT and self.fate(federation.id, attempt.number, federation.state, seat.who) % 3 == 0

    def files(self, federation: Federation, attempt: Attempt) -> None:
        for who in attempt.roster:
            late = self.habit[who] == LATE and self.fate(who, federation.id, attempt.number) % 2
            if federation.state != TRAIN or federation.attempt is not attempt:
                return
            if who not in attempt.files and not late and (self.mood.calm or self.rng.random() < 0.7):
                size = formulas.update_size(federation.terms) if self.mood.calm or self.rng.random() < 0.99 else 7
                self.send(who, CommitUpdate(federation.id, attempt.number, b"file" + who, size))
        vanishes = not self.mood.calm and self.fate(federation.id, attempt.number) % 10 == 0
        if federation.state == TRAIN and federation.terms.reference and not attempt.referred and not vanishes:
            self.send(federation.sponsor, ReferUpdate(federation.id, attempt.number, b"reference"))

    def ready_or_have(self, federation: Federation, attempt: Attempt, seat: Seat) -> None:
        if federation.state == READY and not seat.ready:
            low = self.habit[seat.who] != HONEST and self.rng.random() < 0.05
            self.send(seat.who, ReadyKey(federation.id, attempt.number, low))
        elif federation.state == HAVE and seat.have is None:
            bits = 0
            for i, who in enumerate(attempt.files):
                bad = self.habit[who] == BAD and self.fate("box", who, seat.who, attempt.number) % 8 == 0
                denied = self.habit[seat.who] == DENIER and self.fate("deny", who, seat.who, attempt.number) % 3 == 0
                if not bad and not denied:
                    bits |= 1 << i
            reference = attempt.referred and (self.mood.calm or self.fate("ref", seat.who, attempt.number) % 12 > 0)
            self.send(seat.who, HaveUpdates(federation.id, attempt.number, bits, reference))

    def lies(self, federation: Federation, attempt: Attempt, who: bytes, stage: object) -> bool:
        return self.habit[who] == LIAR and self.fate("lie", federation.id, attempt.number, stage) % 2 == 0

    def parts(self, federation: Federation, attempt: Attempt, seat: Seat) -> None:
        if federation.state not in (SCREEN, SUMMING) or seat not in attempt.deciding:
            return
        stage = ROWS_STAGE if federation.state == SCREEN else SUMS_STAGE
        if machine.pinned(attempt, seat, stage):
            return
        differs = self.habit[seat.who] == SPLITTER and self.fate("split", seat.who, attempt.number, stage) % 2 == 0
        word = b"%s" % seat.who if differs else b"part"
        pinned = tuple((mask, word) for mask in formulas.masks(attempt.place(seat)))
        self.send(seat.who, PinParts(federation.id, attempt.number, stage, pinned))

    def results(self, federation: Federation, attempt: Attempt, seat: Seat) -> None:
        if seat not in attempt.deciding:
            return
        if federation.state == SCREEN and seat.screen is None and machine.supplied(attempt, seat, ROWS_STAGE):
            self.send(seat.who, self.screen(federation, attempt, self.lies(federation, attempt, seat.who, SCREEN)))
        elif federation.state == SUMMING and seat.sum is None and machine.supplied(attempt, seat, SUMS_STAGE):
            lied = self.lies(federation, attempt, seat.who, SUMMING)
            self.send(seat.who, SumUpdates(federation.id, attempt.number, self.summed(federation, attempt, lied)))

    def screen(self, federation: Federation, attempt: Attempt, lied: bool) -> ScreenUpdates:
        """What the aggregators find, the same for all that tell the truth and for all that lie."""
        codes = []
        for i, who in enumerate(attempt.files):
            code, drawn = USED, self.fate("code", who, attempt.number, lied)
            if self.habit[who] == BAD and drawn % 4:
                code = (WRONG, LARGE, EMPTY, OUTLIER)[drawn % 3 if drawn % 5 else 3]
            elif lied and drawn % 2:
                code = WRONG
            elif not self.mood.calm and drawn % 40 == 0:
                code = (COPY, STALE, EMPTY, WRONG)[drawn // 40 % 4]
            codes.append(code if attempt.both >> i & 1 else AWAY)
        points: tuple[int, ...] = ()
        if federation.terms.split == ALIGNED:
            zero = self.fate("zero", federation.id, attempt.number) % 6 == 0
            points = tuple(
                self.fate("points", who, attempt.number) % 17 if code == USED and not zero else 0
                for who, code in zip(attempt.files, codes, strict=True)
            )
        norm = 1 + self.fate("norm", federation.id, attempt.number) * 8
        return ScreenUpdates(federation.id, attempt.number, tuple(codes), points, norm, b"lie" if lied else b"rows")

    def summed(self, federation: Federation, attempt: Attempt, lied: bool) -> bytes:
        ref = federation.id
        drawn = self.fate("sum", ref, attempt.number, lied)
        if not self.mood.calm and drawn % 50 == 0:
            return b""
        cid = b"model%d%s" % (attempt.number, b"x" if lied else b"")
        before = self.losses.get((ref, federation.base)) or 2 * 10**9
        if (ref, cid) not in self.losses:
            gain = drawn % 1_000 - (700 if lied else 100 if self.mood.calm else 300)
            loss: int | None = before - gain * (before - federation.terms.target // 2) // 1_000
            if drawn % 9 == 1:
                loss = before + (federation.initial - federation.terms.target) // (21 + drawn % 40)
            if not self.mood.calm and self.fate("stuck", ref) % 3 == 0:
                loss = before + (federation.initial - federation.terms.target) // 5
            if not self.mood.calm and drawn % 60 == 1:
                loss = None
            self.losses[ref, cid] = loss
        return cid

    # --- measurements -------------------------------------------------------------------------------------------------------

    def measure(self, federation: Federation, who: bytes) -> None:
        seat = next((one for one in federation.panel if one.who == who), None)
        key = (federation.id, federation.r, federation.again, who)
        if seat is None or (self.habit[who] == SILENT and self.fate("quiet", *key) % 2):
            return
        if federation.state == MEASURE and seat.committed is None:
            self.send(who, CommitMeasure(federation.id, federation.r, federation.again, self.found_by(federation, who)))
        closed = self.habit[who] == LATE and self.fate("closed", *key) % 3 == 0
        if federation.state == OPENING and isinstance(seat.committed, Measure) and seat.opened is None and not closed:
            self.send(who, OpenMeasure(federation.id, federation.r, federation.again, seat.committed))

    def abstains(self, federation: Federation) -> Measure | Lists:
        return Measure(ABSTAIN)

    def found_by(self, federation: Federation, who: bytes) -> Measure:
        rng, loss = self.rng, self.losses[federation.id, federation.model]
        seat = next(one for one in federation.panel if one.who == who)
        if federation.terms.hidden and not seat.box and self.habit[who] != LIAR:
            return Measure(BADKEY)
        if not self.mood.calm and rng.random() < 0.04:
            return rng.choice(
                (Measure(NOMODEL), Measure(BADKEY), Measure(ABSTAIN), Measure(INVALID), Measure(OK, loss or 5, False))
            )
        if not self.mood.calm and self.fate("clock", federation.id) % 12 == 0:
            return Measure(OK, rng.randrange(10**9))
        if self.habit[who] == LIAR:
            return Measure(OK, federation.terms.target)
        if loss is None:
            return Measure(INVALID)
        within = formulas.tol(federation.terms, loss) // 2
        return Measure(OK, loss + rng.randint(-within, within))

    # --- trouble ------------------------------------------------------------------------------------------------------------

    def trouble(self) -> None:
        """Something beside attempts changes."""
        rng, graph = self.rng, self.graph
        who, other = rng.choice(self.members).id, rng.choice(self.members).id
        acts: list[Message] = [
            SetFlag(who, rng.random() < 0.7),
            SetBox(who, rng.random() < 0.7),
            Suspend(who, rng.random() < 0.4),
            Strike(who, graph.accounts[other].root),
            SetValidators(rng.choice((1, 4, 7, 10))),
            ServeFederation(rng.random() < 0.6),
        ]
        if rng.random() < 0.05:
            for one in self.members:
                self.send(one.id, ServeFederation(False))
        if rng.random() < 0.15:
            acts = [Ban(who)]
        self.send(who, rng.choice(acts))

    def come_and_go(self, federation: Federation) -> None:
        """Where few indexes are given: one leaves, a benched one if there is one, and another one wants to come in."""
        rng, active = self.rng, federation.active()
        benched = [one for one in active if one.benched_until > federation.starts]
        if active and rng.random() < 0.7:
            self.send(rng.choice(benched or active).id, LeaveFederation(federation.id))
        others = [one.id for one in self.members if one.id not in federation.members]
        if others:
            self.join(federation, rng.choice(others))

    def meddle(self, federation: Federation) -> None:
        """Messages that some should send, and messages that make no sense."""
        rng, ref = self.rng, federation.id
        who, other = rng.choice(self.members).id, rng.choice(self.members).id
        number = federation.starts
        if rng.random() < 0.3:
            gone = [one.id for one in federation.members.values() if one.state == GONE]
            self.join(federation, rng.choice(gone) if gone and rng.random() < 0.3 else who)
            return
        choices: tuple[tuple[bytes, Message], ...] = (
            (who, LeaveFederation(ref)),
            (federation.sponsor, RemoveMember(ref, other)),
            (who, NewData(ref, rng.choice((who, other)), 5 if federation.terms.split == SAMPLES else 0)),
            (who, VaultModel(ref, b"vault")),
            (who, StartRound(ref, federation.r)),
            (federation.sponsor, StartRound(ref, rng.randrange(3))),
            (who, CommitUpdate(ref, number, b"file", formulas.update_size(federation.terms))),
            (who, ReferUpdate(ref, number, b"reference")),
            (federation.sponsor, ReferUpdate(ref, number, b"reference")),
            (who, ReadyKey(ref, number)),
            (who, HaveUpdates(ref, number, rng.randrange(9))),
            (who, PinParts(ref, number, ROWS_STAGE, ((2, b"a"), (3, b"b")))),
            (who, ScreenUpdates(ref, number, (USED,), (), 1)),
            (who, SumUpdates(ref, number, b"sum")),
            (who, CommitMeasure(ref, federation.r, federation.again, self.abstains(federation))),
            (who, OpenMeasure(ref, federation.r, federation.again, Measure(INVALID))),
            (federation.sponsor, SealKey(ref, 9)),
            (who, CloseFederation(b"none")),
            (who, AdmitMember(ref, other)),
        )
        sender, message = rng.choice(choices)
        seats = federation.attempt.seats if federation.attempt is not None else []
        if self.habit[sender] != HONEST or sender not in [seat.who for seat in seats]:
            self.send(sender, message)


def generate(seed: int) -> Scenario:
    return Player(seed).run()
