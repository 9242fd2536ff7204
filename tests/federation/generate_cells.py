"""Random graphs of federations with cells: what `generate` plays, and what owners, aggregators and the panel do where cells are."""

from __future__ import annotations

from dataclasses import replace

from . import cells, formulas, lists, sealed
from .generate import BAD, HONEST, LATE, LIAR, SILENT, SPLITTER, Player
from .records import DRAWING, END, IDLE, MEASURE, OPENING, SCREEN, SUMMING, TRAIN, Attempt, Federation, Seat
from .scenario import (
    ABSTAIN,
    ALIGNED,
    AWAY,
    BADKEY,
    EQUAL,
    HALF,
    INVALID,
    KRUM,
    NOMODEL,
    OK,
    RESTS,
    ROWS_STAGE,
    SAMPLES,
    SECOND,
    STEPS,
    SUMS_STAGE,
    UNPROVED,
    USED,
    CommitMeasure,
    CommitUpdate,
    LeaveFederation,
    Lists,
    Measure,
    Member,
    Message,
    OpenMeasure,
    OpenSteps,
    Params,
    PinParts,
    PinSealed,
    ReferUpdate,
    ScreenUpdates,
    SealParts,
    ServeCells,
    ServeFederation,
    SetFlag,
    SumCells,
    SumUpdates,
    Terms,
)


class CellPlayer(Player):
    """Most of its federations have cells; the others are those of `Player`."""

    # --- what is drawn once -------------------------------------------------------------------------------------------------

    def draw_params(self) -> Params:
        found = replace(super().draw_params(), cells=self.rng.choice((10, 10, 2, 1)), in_cell=self.rng.choice((16, 16, 5)))
        return replace(found, max_due=1) if self.rng.random() < 0.15 else found

    def draw_terms(self) -> Terms:
        terms, rng = super().draw_terms(), self.rng
        if rng.random() < 0.1:
            return terms
        least = rng.choice((3, 3, 4, 5, 12))
        lawful = replace(
            terms,
            dims=rng.choice((1, 21, 110)),
            secrecy="sum",
            fee=rng.choice((1_001, 10_000)),
            rounds=rng.choice((1, 2, 3, 5, 20)),
            round_ms=rng.choice((600, 3_600)) * SECOND,
            min_members=least,
            max_members=rng.choice((max(least, 8), 16, 24)),
            min_sum=min(self.params.in_cell, rng.choice((3, 3, min(4, least), least))),
            vetted=terms.vetted or self.unsteady(),
            split=rng.choice((EQUAL, HALF)),
            reference=least < 12 or rng.random() < 0.5,
            clip=rng.choice((10**6, 10**9, 64 * 10**9)),
        )
        lawful = replace(lawful, size=4 * lawful.dims + 200, dp_milli=rng.choice((formulas.least_noise(lawful.dims), 8_000)))
        return lawful if self.mood.calm or rng.random() < 0.95 else self.unlawful(lawful)

    def unlawful(self, terms: Terms) -> Terms:
        return self.rng.choice(
            (
                replace(terms, min_sum=2),
                replace(terms, min_members=2, min_sum=2),
                replace(terms, min_members=17, max_members=17, min_sum=17),
                replace(terms, rounds=21),
                replace(terms, round_ms=599 * SECOND),
                replace(terms, clip=10**6 - 1),
                replace(terms, clip=64 * 10**9 + 1),
                replace(terms, rule=KRUM),
                replace(terms, split=SAMPLES),
                replace(terms, split=ALIGNED, reference=True),
                replace(terms, min_members=11, max_members=12, reference=False),
                replace(terms, dp_milli=formulas.least_noise(terms.dims) - 1),
                replace(terms, dp_milli=8_001),
                replace(terms, dims=1_024, size=4 * 1_024 + 200),
                replace(terms, fee=1),
                replace(terms, dims=0),
            )
        )

    def draw_members(self) -> tuple[Member, ...]:
        """Enough that some are no owners, and now and then more owners than two cells hold."""
        rng = self.rng
        chance = rng.choice((0.5, 0.8, 1.0, 1.0))
        found: list[Member] = []
        for i in range(rng.choice((rng.randrange(8, 14), rng.randrange(14, 24), rng.randrange(24, 34)))):
            inviter = rng.choice(found[:3]).id if i > 3 and rng.random() < 0.2 else None
            balance = 10**12 if i < 3 or rng.random() < 0.9 else rng.randrange(3_000_000)
            found.append(
                Member(self.naming.account(i), balance, inviter, rng.random() < chance, rng.random() < 0.97, rng.random() < 0.95)
            )
        return tuple(found)

    # --- beside attempts ----------------------------------------------------------------------------------------------------

    def found(self) -> None:
        super().found()
        for one in self.members:
            if self.mood.calm or self.rng.random() < 0.9:
                self.send(one.id, ServeCells(True))

    def join(self, federation: Federation, who: bytes) -> None:
        """A third of the accounts has no data, so that there are aggregators and a panel beside the owners."""
        if federation.cells is None or self.fate("stranger", who) % 3:
            super().join(federation, who)

    def live(self) -> None:
        """Owners come and go, so that some wait; who served serves again."""
        if self.rng.random() < 0.02:
            for account in self.graph.accounts.values():
                if account.flag and not (account.serves and account.serves_cells):
                    self.send(account.id, ServeFederation(True))
                    self.send(account.id, ServeCells(True))
        if not self.mood.calm:
            for federation in [one for one in self.graph.federations.values() if one.cells is not None and not one.end]:
                if self.unsteady() and federation.active() and self.rng.random() < (0.5 if federation.state == IDLE else 0.1):
                    self.flip(self.rng.choice(federation.active()).id)
                if self.rng.random() < 0.01 and federation.active():
                    self.send(self.rng.choice(federation.active()).id, LeaveFederation(federation.id))
                if self.rng.random() < (0.2 if self.unsteady() else 0.05):
                    self.join(federation, self.rng.choice(self.members).id)
        super().live()

    def unsteady(self) -> bool:
        """Whether owners of this graph come to count and cease to all the time, so that cells rest."""
        return self.fate("unsteady") % 3 == 0

    def flip(self, who: bytes) -> None:
        self.send(who, SetFlag(who, not self.graph.accounts[who].flag))

    def trouble(self) -> None:
        who = self.rng.choice(self.members).id
        if self.rng.random() < 0.1:
            self.send(who, ServeCells(self.rng.random() < 0.5))
        if self.rng.random() < 0.1:
            for one in self.members:
                if self.rng.random() < 0.5:
                    self.send(one.id, SetFlag(one.id, self.rng.random() < 0.7))
        if self.rng.random() < 0.03:
            for one in self.members[3:]:
                self.send(one.id, SetFlag(one.id, False))
        super().trouble()

    def meddle(self, federation: Federation) -> None:
        """Messages of cells that some should send, and such that make no sense."""
        rng, ref, number = self.rng, federation.id, federation.starts
        who, stage = rng.choice(self.members).id, rng.choice((0, 1, 2, 3))
        measure = Lists(OK, ((rng.choice((0, 250, 300, 2_000)), rng.choice((None, 5))),) * rng.randrange(4))
        choices: tuple[Message, ...] = (
            SealParts(ref, number, stage, (b"a", b"b")),
            PinSealed(ref, number, stage, ((0, b"a"), (1, b"b"))),
            SumCells(ref, number, b"sums", (b"model",) * rng.randrange(9)),
            PinParts(ref, number, ROWS_STAGE, ((2, b"a"), (3, b"b"))),
            SumUpdates(ref, number, b"sum"),
            ScreenUpdates(ref, number, (USED, UNPROVED), (), 0),
            ServeCells(rng.random() < 0.8),
            CommitMeasure(ref, federation.r, federation.again, rng.choice((measure, Measure(OK, 5)))),
            OpenSteps(ref, federation.r, federation.again, measure),
            OpenSteps(b"none", 1, 0, measure),
        )
        if federation.state == TRAIN and federation.attempt is not None:
            waiting = [one.id for one in federation.active() if one.id not in federation.attempt.roster]
            self.send(rng.choice(waiting or [who]), CommitUpdate(ref, number, b"file", formulas.update_size(federation.terms)))
        seats = [seat.who for seat in federation.attempt.seats] if federation.attempt is not None else []
        panel = [seat.who for seat in federation.panel]
        if rng.random() < 0.6:
            who = rng.choice(seats or panel or [who])
        if self.habit[who] == HONEST and (who in seats or who in panel):
            super().meddle(federation)
        elif rng.random() < 0.4:
            self.send(who, rng.choice(choices))
        else:
            super().meddle(federation)

    def step(self) -> int:
        """Where a block runs one deadline alone, some come too late."""
        due = [one.deadline for one in self.graph.federations.values() if one.state not in (*DRAWING, IDLE, END)]
        if self.params.max_due == 1 and due and not self.mood.calm and self.rng.random() < 0.4:
            return max(1, max(due) - self.graph.clock + 5)
        return super().step()

    # --- an attempt ---------------------------------------------------------------------------------------------------------

    def files(self, federation: Federation, attempt: Attempt) -> None:
        """Owners that are late are so now and then: one that always is has no cell for long."""
        if federation.cells is None:
            super().files(federation, attempt)
            return
        for who in attempt.roster:
            often = 2 if self.fate("often", who) % 4 == 0 else 12
            late = self.habit[who] in (LATE, SILENT) and self.fate(who, federation.id, attempt.number) % often == 0
            if federation.state == TRAIN and who not in attempt.files and not late and (self.mood.calm or self.rng.random() < 0.9):
                size = formulas.update_size(federation.terms) if self.mood.calm or self.rng.random() < 0.99 else 584
                self.send(who, CommitUpdate(federation.id, attempt.number, b"file" + who, size))
        vanishes = not self.mood.calm and self.fate(federation.id, attempt.number) % 20 == 0
        if federation.state == TRAIN and federation.terms.reference and not attempt.referred and not vanishes:
            self.send(federation.sponsor, ReferUpdate(federation.id, attempt.number, b"reference"))

    def attempt(self, federation: Federation, attempt: Attempt) -> None:
        if federation.cells is None or federation.state not in (SCREEN, SUMMING):
            super().attempt(federation, attempt)
            return
        state, stage = federation.state, ROWS_STAGE if federation.state == SCREEN else SUMS_STAGE
        if federation.deadline <= self.graph.clock or (not self.mood.calm and self.rng.random() < 0.1):
            self.misstep(federation, attempt, self.rng.choice(attempt.seats), stage, self.rng.choice(self.members).id)
        acting = [seat for seat in attempt.seats if self.mood.calm or self.habit[seat.who] == HONEST or self.rng.random() < 0.8]
        for step, act in (("seal", self.seals), ("pin", self.pins), ("say", self.says)):
            for seat in acting:
                if federation.attempt is not attempt or federation.state != state:
                    return
                if not self.stops(federation, attempt, seat, step):
                    act(federation, attempt, seat, stage)
                if federation.attempt is attempt and self.habit[seat.who] != HONEST and self.rng.random() < 0.2:
                    self.misstep(federation, attempt, seat, stage, seat.who)

    def misstep(self, federation: Federation, attempt: Attempt, seat: Seat, stage: int, who: bytes) -> None:
        """What a seat may not say, or not yet, or not again; or another one in its place."""
        ref, number, rng = federation.id, attempt.number, self.rng
        parts = tuple((share, b"misstep") for share in sealed.shares(attempt, seat, stage))
        seal, said = SealParts(ref, number, stage, (b"misstep",) * len(parts)), PinSealed(ref, number, stage, parts)
        codes = tuple(rng.choice((USED, AWAY, UNPROVED, RESTS)) for _ in attempt.files)
        lists: list[Message] = [
            replace(seal, attempt=number - 1),
            replace(said, attempt=number - 1),
            SumCells(ref, number, b"sums", (b"model",)),
            SumCells(ref, number - 1, b"sums", (b"model",)),
            SumCells(ref, number, b"", (b"model",)),
            ScreenUpdates(ref, number, codes, (), 0),
            ScreenUpdates(ref, number, codes, (), 1),
            ScreenUpdates(ref, number - 1, codes, (), 0),
            PinParts(ref, number, stage, parts),
            SumUpdates(ref, number, b"sum"),
            *((seal, replace(seal, stage=3)) if stage in seat.seals else ()),
            *((said, replace(said, stage=3)) if sealed.has_pinned(attempt, seat, stage) or stage not in seat.seals else ()),
        ]
        late = federation.deadline <= self.graph.clock
        if late or who == seat.who or self.habit[who] != HONEST or attempt.seat(who) is None:
            for message in lists if late else [rng.choice(lists)]:
                self.send(who, message)

    def stops(self, federation: Federation, attempt: Attempt, seat: Seat, step: str) -> bool:
        """A silent one stays so from some step on."""
        fate = self.fate(federation.id, attempt.number, federation.state, seat.who, step)
        return self.habit[seat.who] == SILENT and fate % (4 if step == "say" else 12) == 0

    def digests(self, attempt: Attempt, seat: Seat, stage: int) -> tuple[tuple[int, bytes], ...]:
        """Who splits gives another digest of some share."""
        splits = self.habit[seat.who] == SPLITTER
        shares = sealed.shares(attempt, seat, stage)
        differs = [splits and self.fate(seat.who, attempt.number, stage, share) % 6 == 0 for share in shares]
        return tuple((share, seat.who if other else b"part%d" % share) for share, other in zip(shares, differs, strict=True))

    def seals(self, federation: Federation, attempt: Attempt, seat: Seat, stage: int) -> None:
        if stage not in seat.seals:
            digests = tuple(digest for _, digest in self.digests(attempt, seat, stage))
            self.send(seat.who, SealParts(federation.id, attempt.number, stage, digests))

    def pins(self, federation: Federation, attempt: Attempt, seat: Seat, stage: int) -> None:
        if sealed.has_pinned(attempt, seat, stage) or not all(stage in one.seals for one in attempt.seats):
            return
        parts = self.digests(attempt, seat, stage)
        if self.habit[seat.who] in (LIAR, SPLITTER) and self.rng.random() < 0.1:
            parts = tuple((share, b"copied") for share, _ in parts)
        self.send(seat.who, PinSealed(federation.id, attempt.number, stage, parts))

    def says(self, federation: Federation, attempt: Attempt, seat: Seat, stage: int) -> None:
        if not all(sealed.has_pinned(attempt, one, stage) for one in attempt.seats):
            return
        lied = self.lies(federation, attempt, seat.who, federation.state)
        if stage == ROWS_STAGE and seat.screen is None:
            self.send(seat.who, self.screen_of_cells(federation, attempt, lied))
        elif stage == SUMS_STAGE and seat.sum is None:
            self.send(seat.who, self.sum_of_cells(federation, attempt, lied))

    def screen_of_cells(self, federation: Federation, attempt: Attempt, lied: bool) -> ScreenUpdates:
        bad = []
        for who in attempt.files:
            drawn = self.fate("code", who, attempt.number, lied)
            bad.append((self.habit[who] == BAD and drawn % 8 == 0) or (lied and drawn % 3 == 0))
        proved = [UNPROVED if one else USED for one in bad]
        indexes = {i for number in sealed.summing(federation, attempt, proved) for i in cells.book(federation).inside[number]}
        codes = []
        for i, (who, code) in enumerate(zip(attempt.files, proved, strict=True)):
            if not attempt.both >> i & 1:
                codes.append(AWAY)
            elif code == UNPROVED:
                codes.append(code)
            else:
                codes.append(USED if federation.members[who].index in indexes else RESTS)
        return ScreenUpdates(federation.id, attempt.number, tuple(codes), (), 0, b"lie" if lied else b"views")

    # --- sums and what they are worth ---------------------------------------------------------------------------------------

    def sum_of_cells(self, federation: Federation, attempt: Attempt, lied: bool) -> SumCells:
        ref, word = federation.id, b"x" if lied else b""
        drawn = self.fate("sum", ref, attempt.number, lied)
        if not self.mood.calm and drawn % 50 == 0:
            return SumCells(ref, attempt.number, b"", ())
        count = formulas.directions(len(attempt.summing))
        if attempt.reference and self.fate("rho", ref, attempt.number) % 8:
            count += 2
        models = []
        for place in range(count):
            for step in STEPS:
                cid = b"model%d.%d.%d%s" % (attempt.number, place, step, word)
                finite = self.mood.calm or self.fate("finite", ref, cid) % 40
                models.append(cid if finite else b"")
                self.losses.setdefault((ref, cid), self.loss_of(federation, place, cid, lied))
        if not any(models):
            models[0] = b"model%d.0.2000%s" % (attempt.number, word)
        return SumCells(ref, attempt.number, b"sums%d%s" % (attempt.number, word), tuple(models))

    def loss_of(self, federation: Federation, place: int, cid: bytes, lied: bool) -> int | None:
        """Some directions are INVALID as a whole; some federations never come on."""
        ref = federation.id
        before = self.losses.get((ref, federation.base)) or 2 * 10**9
        if not self.mood.calm and self.fate("direction", ref, place, federation.starts) % 12 == 0:
            return None
        if not self.mood.calm and self.fate("sick", ref, federation.starts) % 25 == 0:
            return None
        gain = self.fate("gain", ref, cid) % 1_000 - (900 if lied else 500 if self.mood.calm else 700)
        if not self.mood.calm and self.fate("stuck", ref) % 3 == 0:
            return before + (federation.initial - federation.terms.target) // 5
        return before - gain * (before - federation.terms.target // 2) // 2_000

    def measure(self, federation: Federation, who: bytes) -> None:
        if federation.cells is None or not federation.r:
            super().measure(federation, who)
            return
        seat = next((one for one in federation.panel if one.who == who), None)
        key = (federation.id, federation.r, federation.again, who)
        if seat is None or (self.habit[who] == SILENT and self.fate("quiet", *key) % 2):
            return
        if federation.state == MEASURE and seat.committed is None:
            told = self.list_by(federation, who, seat.box)
            self.send(who, CommitMeasure(federation.id, federation.r, federation.again, told))
        closes = self.habit[who] == LATE or (self.params.max_due == 1 and self.habit[who] != HONEST)
        closed = closes and self.fate("closed", *key) % 3 == 0
        late = federation.deadline <= self.graph.clock
        if federation.state == OPENING and not self.mood.calm and (late or self.rng.random() < 0.05):
            wrong = seat.committed if isinstance(seat.committed, Lists) and self.rng.random() < 0.7 else Lists(OK, ((250, 7),))
            sender = who if self.rng.random() < 0.7 else self.rng.choice(self.members).id
            if sender == who or sender not in [one.who for one in federation.panel]:
                self.send(sender, OpenSteps(federation.id, federation.r - self.rng.randrange(2), federation.again, wrong))
        if federation.state == OPENING and seat.opened is None and not closed:
            kind = OpenSteps if isinstance(seat.committed, Lists) else OpenMeasure
            if seat.committed is not None:
                self.send(who, kind(federation.id, federation.r, federation.again, seat.committed))  # type: ignore[arg-type]

    def abstains(self, federation: Federation) -> Lists | Measure:
        return Lists(ABSTAIN) if federation.cells is not None and federation.r else Measure(ABSTAIN)

    def list_by(self, federation: Federation, who: bytes, box: bool) -> Lists | Measure:
        rng, calm = self.rng, self.mood.calm
        if federation.terms.hidden and not box and self.habit[who] != LIAR:
            return Lists(BADKEY)
        if not calm and rng.random() < 0.04:
            wrong = () if self.habit[who] == HONEST else (Lists("99"), Measure(OK, 5), Lists(OK, ((2_000, 5),)))
            return rng.choice((*[Lists(code) for code in (NOMODEL, BADKEY, ABSTAIN, INVALID)], *wrong))
        found = tuple(self.best_of(federation, who, place) for place in range(lists.directions(federation)))
        if all(loss is None for _, loss in found):
            return Lists(INVALID)
        return Lists(OK, found, calm or rng.random() < 0.97)

    def best_of(self, federation: Federation, who: bytes, place: int) -> tuple[int, int | None]:
        named = [step for step in STEPS if lists.named(federation, place, step)]
        losses = {step: self.losses[federation.id, lists.candidate(federation, place, step)] for step in named}
        valued = {step: loss for step, loss in losses.items() if loss is not None}
        if not valued:
            return 0, None
        if not self.mood.calm and self.fate("clock", federation.id, federation.again) % 12 == 0:
            return self.rng.choice(list(valued)), self.rng.randrange(10**9)
        step = min(valued, key=lambda step: (valued[step], -step))
        if self.habit[who] == LIAR:
            return step, federation.terms.target
        within = formulas.tol(federation.terms, valued[step]) // 2
        return step, valued[step] + self.rng.randint(-within, within)
