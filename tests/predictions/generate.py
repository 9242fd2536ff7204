"""Random graphs: who is there, what is asked, who lies, who is silent, what happens beside it. One seed is one run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from . import formulas, messages, play
from .graph import Graph
from .records import ANSWER, APPEALED, KEYS, LIVE, OPEN, REDRAW, Model, Request, Seat
from .scenario import (
    ABSTAIN,
    BAD_INPUT,
    BAD_KEY,
    CLASS,
    FAULT,
    HOUR,
    MAX_SCORE,
    NO_DATA,
    NUMBER,
    OK,
    OVERRUN,
    SECOND,
    AddTip,
    Answer,
    Appeal,
    Ask,
    Ban,
    Block,
    Cancel,
    CommitAnswer,
    Entry,
    GiveKeys,
    Member,
    Message,
    ModelTerms,
    OpenAnswer,
    Params,
    RegisterModel,
    RegisterPolicy,
    RetireModel,
    Scenario,
    Serve,
    SetBox,
    SetFlag,
    SetPrice,
    SetValidators,
    Strike,
    Suspend,
    Unserve,
)

HONEST, LIAR, LAZY, TORN, LOST, SILENT, CLOSED = "honest", "liar", "lazy", "torn", "lost", "silent", "closed"
"""What a seat does: the truth, the common lie, a guess, a guess at the first row only, a code of its own, nothing, a commitment
that it does not open."""


CAPTURED = ((HONEST, 1),)
"""Liars serve, and everybody else is honest."""


@dataclass(frozen=True, slots=True)
class Mood:
    """Of a graph."""

    calm: bool
    """Everybody honest and in time."""
    habits: tuple[tuple[str, int], ...]
    trouble: float
    """How likely the world around changes in a block."""
    private: float
    burst: int
    """Requests in a block at most."""
    rows: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is true of a request."""

    code: str
    rows: tuple[tuple[int, int], ...]
    """Class and score."""
    check: int
    check3: int
    """Of an appeal."""
    unfit: int | None = None
    """The one row for which it is BAD_INPUT; None: whatever the rows."""


class Naming:
    """Which ids there are: of accounts, and of models, requests and policies as they are made."""

    def account(self, number: int) -> bytes:
        return b"m%02d" % number

    def made(self, kind: bytes, number: int) -> bytes:
        return kind + b"%05d" % number


class Player:
    def __init__(
        self,
        seed: int,
        watch: Callable[[Player], None] | None = None,
        requests: int = 24,
        naming: Naming | None = None,
    ) -> None:
        self.naming = naming or Naming()
        self.rng = random.Random(f"predictions {seed}")
        self.watch = watch
        self.target = requests
        self.mood = self.draw_mood()
        self.captured = not self.mood.calm and self.mood.habits == CAPTURED
        self.params = self.draw_params()
        self.members = self.draw_members()
        self.validators = self.rng.choice((1, 4, 4, 7, 10))
        self.paid = ((b"job0", self.members[0].id), (b"job1", self.members[1].id))
        self.graph = Graph(self.params, self.members, self.validators, self.paid)
        self.habit = {one.id: self.draw_habit() for one in self.members}
        if self.captured:
            self.habit |= {one.id: LIAR for one in self.members[4:10]}
        self.plans: dict[bytes, Plan] = {}
        self.answers: dict[tuple[bytes, bytes, int], Answer | None] = {}
        self.blocks: list[Block] = []
        self.entries: list[Entry] = []
        self.ids = 0
        self.sent = 0
        self.asked = 0
        self.refusals: set[str] = set()

    # --- what is drawn once -------------------------------------------------------------------------------------------------

    def draw_mood(self) -> Mood:
        rng = self.rng
        if rng.random() < 0.15:
            return Mood(True, ((HONEST, 1),), 0.0, 0.2, rng.choice((1, 2, 12)), rng.choice((3, 40)))
        weights = rng.choice(
            (
                ((HONEST, 20), (LIAR, 1), (LAZY, 1), (LOST, 1), (SILENT, 1), (CLOSED, 1)),
                ((HONEST, 5), (LIAR, 4), (LAZY, 1), (LOST, 1), (SILENT, 1), (CLOSED, 1)),
                ((HONEST, 4), (LIAR, 6)),
                ((HONEST, 5), (SILENT, 5)),
                ((HONEST, 5), (LOST, 5), (LAZY, 2)),
                ((HONEST, 1), (LAZY, 9)),
                ((HONEST, 3), (TORN, 7)),
                CAPTURED,
                CAPTURED,
            )
        )
        trouble, private = rng.choice((0.0, 0.02, 0.1)), rng.choice((0.0, 0.5))
        rows = 40 if weights == CAPTURED else rng.choice((2, 3, 40))
        return Mood(False, weights, trouble, private, rng.choice((1, 2, 6, 40)), rows)

    def draw_params(self) -> Params:
        rng = self.rng
        return Params(
            epoch=rng.choice((10, 60, 3_600)) * SECOND,
            epoch_sub=rng.choice((100, 10_000, 100_000_000)),
            w_p=rng.choice((2, 10, 30)) * SECOND,
            keep=rng.choice((20, 120, 86_400)) * SECOND,
            v0=10 * SECOND,
            w_o3=5 * SECOND,
            month=rng.choice((60, 86_400)) * SECOND,
            servers=rng.choice((6, 256)),
            waiting=rng.choice((3, 8, 1_024)),
            waiting_own=rng.choice((2, 8, 64)),
            models=3,
            max_due=rng.choice((2, 8, 100, 1_536)),
        )

    def draw_members(self) -> tuple[Member, ...]:
        rng = self.rng
        count = 42 if self.captured else rng.choice((6, 10, 14, 30, 42))
        found: list[Member] = []
        for i in range(count):
            roots = [one.id for one in found if one.inviter is None]
            inviter = rng.choice(roots) if i > 3 and rng.random() < 0.3 else None
            flag = rng.random() < 0.9
            balance = 10**12 if i < 2 or rng.random() < 0.9 else rng.randrange(3_000_000)
            found.append(Member(self.naming.account(i), balance, inviter, flag, rng.random() < 0.95, rng.random() < 0.9))
        return tuple(found)

    def draw_habit(self) -> str:
        names, weights = zip(*self.mood.habits, strict=True)
        return str(self.rng.choices(names, weights)[0])

    def new_id(self, kind: bytes) -> bytes:
        self.ids += 1
        return self.naming.made(kind, self.ids)

    # --- blocks -------------------------------------------------------------------------------------------------------------

    def run(self) -> Scenario:
        self.block(1, self.found)
        while self.asked < self.target and len(self.blocks) < 40 * self.target:
            self.block(self.step(), self.live)
        for _ in range(4_000):
            if not self.graph.live:
                break
            self.block(self.step(), self.duties)
        return Scenario(self.params, self.members, self.validators, self.paid, tuple(self.blocks))

    def block(self, step: int, acts: Callable[[], None]) -> None:
        graph, clock, beacon = self.graph, self.graph.clock + step, self.rng.randbytes(32)
        self.entries = []
        play.begin(graph, clock, beacon)
        acts()
        self.blocks.append(Block(clock, beacon, tuple(self.entries)))
        if self.watch is not None:
            self.watch(self)

    def step(self) -> int:
        """Milliseconds to the next block: mostly short; where nobody acts, to what is due next."""
        rng, graph = self.rng, self.graph
        acting = any(one.state in (KEYS, ANSWER, OPEN, REDRAW, APPEALED) for one in graph.live.values())
        if acting or rng.random() < 0.7:
            return rng.choice((1, 20, 200)) if self.mood.calm or rng.random() < 0.9 else rng.randrange(1, 10 * SECOND)
        due = [one.deadline for one in graph.live.values()]
        due += [model.pump_at for model in graph.models.values() if model.pump_at is not None]
        return max(1, min(due, default=0) - graph.clock) if due else rng.choice((1, SECOND, 60 * SECOND, 2 * HOUR))

    def send(self, sender: bytes, message: Message) -> str | None:
        entry = Entry(sender, message)
        self.entries.append(entry)
        self.sent += 1
        why = messages.apply(self.graph, entry)
        if why is not None:
            self.refusals.add(why)
        return why

    # --- what happens -------------------------------------------------------------------------------------------------------

    def found(self) -> None:
        """Models and their servers."""
        rng = self.rng
        for _ in range(rng.choice((1, 1, 2))):
            owner = rng.choice(self.members[:4]).id
            model = self.new_id(b"model")
            shares = tuple((one.id, rng.randrange(1, 5)) for one in rng.sample(self.members, 3)) if rng.random() < 0.3 else ()
            kind = rng.choice((CLASS, NUMBER))
            self.send(
                owner,
                RegisterModel(
                    model,
                    ModelTerms(
                        "credit",
                        kind,
                        rng.choice((2, 3)) if kind == CLASS else 0,
                        rng.choice((1, 1_000)),
                        rng.choice((0, 3, 500)),
                        rng.choice((1, 10, 1_000, 300_000)),
                        rng.choice((1, 4, 64)),
                        rng.choice((4, 64)),
                        row_ms=rng.choice((1, 200)),
                        shares=shares,
                    ),
                    source=rng.choice((None, None, b"job0")),
                ),
            )
            serving = rng.randrange(0, min(24, len(self.members)) + 1)
            for one in self.members[4:13] if self.captured else rng.sample(self.members, serving):
                self.serve(one.id, model)

    def serve(self, who: bytes, model: bytes) -> None:
        if model in self.graph.models:
            least = formulas.least_stake(self.params, self.graph.models[model].highest_w())
            self.send(who, Serve(model, self.rng.choice((least, least, 2 * least, least - 1, 0))))

    def live(self) -> None:
        rng = self.rng
        if rng.random() < self.mood.trouble:
            self.trouble()
        if rng.random() < 0.6:
            for _ in range(rng.randint(1, self.mood.burst)):
                self.ask()
        if not self.mood.calm and self.graph.live and rng.random() < 0.2:
            self.meddle()
        if not self.mood.calm and rng.random() < 0.3:
            self.wake()
        self.duties()

    def ask(self) -> None:
        rng, graph = self.rng, self.graph
        models = [one for one in graph.models.values() if one.state == LIVE] or list(graph.models.values())
        if not models:
            self.found()
            return
        model = rng.choice(models)
        w = model.price_at(graph.clock)[1]
        rows = 1 if rng.random() < 0.6 else rng.randint(1, min(self.mood.rows, model.terms.max_rows))
        n = rng.choice((1, 3, 3, 5, 5, 5, 7, 9, 15))
        least = formulas.least_tip(w, n, rows)
        tip = rng.choice((least, least, least * rng.randrange(1, 40), least + rng.randrange(1_000)))
        policies = [ref for ref, one in graph.policies.items() if one.terms.model == model.id]
        request = self.new_id(b"req")
        message = Ask(
            request,
            model.id,
            rng.choice((b"file%d" % rng.randrange(4), request)),
            rng.choice((100, 5_000)),
            rows,
            n,
            rng.choice((1, min(2, n), n)),
            tip,
            10**13,
            rng.choice((1, 5, 60, 61, 300)) * SECOND,
            rng.random() < self.mood.private,
            rng.choice(policies) if policies and rng.random() < 0.7 else None,
        )
        if message.cid == request and hash_of(request, "inline") % 2:
            message = replace(message, inline=message.size <= 2_048 or None)
        self.asked += 1
        self.plans[request] = self.draw_plan(request, model, rows)
        self.send(rng.choice(self.members).id, message)

    def draw_plan(self, request: bytes, model: Model, rows: int) -> Plan:
        rng = self.rng
        code = OK if self.mood.calm or rng.random() < 0.8 else rng.choice((BAD_INPUT, NO_DATA, BAD_KEY, FAULT, OVERRUN, ABSTAIN))
        classes = model.terms.classes
        truth = tuple((rng.randrange(classes) if classes else 0, rng.randrange(-(10**9), 10**9)) for _ in range(rows))
        checks, unfit = (rng.randrange(-(10**9), 10**9), rng.randrange(-(10**9), 10**9)), None
        if self.captured and rows > formulas.APPEAL_ROWS and not hash_of(request, "caught") % 4:
            code = BAD_INPUT
        if code == BAD_INPUT and hash_of(request, "row") % 3:
            unfit = hash_of(request, "unfit") % rows
        return Plan(code, truth, *checks, unfit)

    def duties(self) -> None:
        """What seats, requesters and appellants have to do."""
        graph, calm = self.graph, self.mood.calm
        for request in list(graph.live.values()):
            if request.id not in graph.live:
                continue
            if request.state == KEYS and (calm or self.rng.random() < 0.3):
                self.give_keys(request)
            elif request.state in (ANSWER, OPEN):
                for seat in request.seats:
                    if calm or self.rng.random() < 0.6:
                        self.duty(request, seat)
            elif request.state in ("AGREED", "WEAK") and not calm:
                self.appeal(request)
            elif request.state == APPEALED and self.mood.trouble and self.rng.random() < 0.1:
                self.unflag()

    def give_keys(self, request: Request) -> None:
        who = request.appellant if request.r == 3 else request.requester
        if self.mood.calm or hash_of(request.id, request.r) % 6:
            self.send(who or b"", GiveKeys(request.id, request.r, len(request.of_round(request.r))))

    def duty(self, request: Request, seat: Seat) -> None:
        answer = self.answer(request, seat)
        if request.state == ANSWER and seat.r == request.r and seat.committed is None and answer is not None:
            self.send(seat.who, CommitAnswer(request.id, seat.r, answer))
            return
        if request.state != OPEN or (seat.r == 3) != (request.r == 3) or seat.committed is None or seat.opened is not None:
            return
        if self.habit[seat.who] != CLOSED or hash_of(request.id, seat.r, seat.who) % 2:
            self.send(seat.who, OpenAnswer(request.id, seat.r, seat.committed))

    def answer(self, request: Request, seat: Seat) -> Answer | None:
        """What a seat commits, always the same; None where it stays silent."""
        key = (request.id, seat.who, seat.r)
        if key not in self.answers:
            rows = request.rows if seat.r == 3 else tuple(range(request.terms.rows))
            found = self.draw_answer(request, self.habit[seat.who], rows, seat.r == 3)
            self.answers[key] = found and self.naming_row(request, seat, rows, found)
        return self.answers[key]

    def draw_answer(self, request: Request, habit: str, rows: tuple[int, ...], appealed: bool) -> Answer | None:
        rng, terms = self.rng, request.model.terms
        plan = self.plans[request.id]
        if habit == SILENT and rng.random() < 0.7:
            return None
        if habit == LOST and rng.random() < 0.6:
            return Answer(rng.choice((BAD_INPUT, NO_DATA, BAD_KEY, FAULT, OVERRUN, ABSTAIN)))
        seen = plan.unfit is None or plan.unfit in rows
        if plan.code != OK and seen and habit != LIAR and rng.random() < 0.95:
            return Answer(plan.code)
        noise = lambda by: rng.randint(-by, by)  # noqa: E731
        truth = [plan.rows[row] for row in rows]
        lied = set(range(len(rows)))
        if len(rows) > 1 and (habit == TORN or hash_of(request.id) % 2):
            lied = {0}
        guess = rng.randrange(10**6) * terms.tol
        shift = {LIAR: 40 * terms.tol, LAZY: guess, TORN: guess}.get(habit, 0)
        scores = [score + noise(terms.tol) + (shift if i in lied else 0) for i, (_, score) in enumerate(truth)]
        turn = {LIAR: 1, LAZY: rng.randrange(2)}.get(habit, 0)
        classes = [(cls + (turn if i in lied else 0)) % terms.classes for i, (cls, _) in enumerate(truth)] if terms.classes else []
        check = plan.check3 if appealed else plan.check
        if habit == LAZY or (habit == LIAR and hash_of(request.id) % 3 == 0):
            check += 100 * terms.tol * len(rows)
        return Answer(OK, tuple(scores), tuple(classes), check + noise(terms.tol * len(rows)))

    def naming_row(self, request: Request, seat: Seat, rows: tuple[int, ...], answer: Answer) -> Answer:
        """BAD_INPUT names the row that it is, some other one, or none."""
        if answer.code != BAD_INPUT:
            return answer
        unfit, lot = self.plans[request.id].unfit, hash_of(request.id, seat.who, seat.r)
        if unfit in rows and lot % 4:
            return replace(answer, check=rows.index(unfit) + 1)
        return replace(answer, check=lot % (len(rows) + 1))

    def appeal(self, request: Request) -> None:
        rng = self.rng
        if rng.random() < (0.3 if self.lied(request) else 0.04):
            rows = tuple(sorted(rng.sample(range(request.terms.rows), rng.randint(0, min(8, request.terms.rows)))))
            if self.lied(request) and hash_of(request.id) % 2:
                rows = (0,)
            who = rng.choice((request.requester, rng.choice(self.members).id, *(seat.who for seat in request.seats)))
            self.send(who, Appeal(request.id, rows))

    def lied(self, request: Request) -> bool:
        plan, result = self.plans[request.id], request.result
        if plan.code != OK:
            return True
        value = result.values[0] if result is not None else None
        return value is not None and abs(value.score - plan.rows[0][1]) > 4 * request.model.terms.tol

    def wake(self) -> None:
        """Servers that are out or asleep, or left, serve again."""
        for model in list(self.graph.models.values()):
            for server in model.servers.values():
                if (server.out or not server.awake) and self.rng.random() < 0.5:
                    self.send(server.id, Serve(model.id, 1_000))
            for who in list(model.left):
                if self.rng.random() < 0.2:
                    self.serve(who, model.id)

    # --- trouble ------------------------------------------------------------------------------------------------------------

    def trouble(self) -> None:
        """Something outside requests changes."""
        rng, graph = self.rng, self.graph
        who = rng.choice(self.members).id
        model = rng.choice(list(graph.models.values()) or [None])
        acts: list[Callable[[], object]] = [
            lambda: self.send(who, SetFlag(who, rng.random() < 0.7)),
            lambda: self.send(who, SetBox(who, rng.random() < 0.7)),
            lambda: self.send(who, Suspend(who, rng.random() < 0.4)),
            lambda: self.send(who, Strike(who, graph.accounts[rng.choice(self.members).id].root)),
            lambda: self.send(who, SetValidators(rng.choice((1, 4, 7, 10)))),
        ]
        if rng.random() < 0.3:
            acts = [lambda: self.send(who, Ban(who))]
        if model is not None and rng.random() < 0.7:
            p, w = model.set_price()
            acts = [
                lambda: self.send(model.owner, SetPrice(model.id, (p, w), (rng.randrange(100), rng.choice((1, w, 2 * w))))),
                lambda: self.serve(who, model.id),
                lambda: self.serve(rng.choice(list(model.servers) or [who]), model.id),
                lambda: self.send(who, Unserve(model.id)),
                lambda: self.send(rng.choice(list(model.servers) or [who]), Unserve(model.id)),
                lambda: self.policy(who, model),
                lambda: self.policy(who, model),
            ]
            if rng.random() < 0.2:
                acts = [lambda: self.send(model.owner, RetireModel(model.id)), lambda: self.newer(model)]
        rng.choice(acts)()

    def unflag(self) -> None:
        for one in self.members:
            if self.rng.random() < 0.95:
                self.send(one.id, SetFlag(one.id, False))

    def newer(self, model: Model) -> None:
        self.send(model.owner, RegisterModel(self.new_id(b"model"), model.terms, previous=model.id))

    def policy(self, who: bytes, model: Model) -> None:
        rng = self.rng
        rates = ((-MAX_SCORE, 1_000), (0, 2_000)) if rng.random() < 0.9 else ((0, 1),)
        below, bound = rng.random() < 0.5, rng.choice((0, 0, 3))
        terms = RegisterPolicy(
            self.new_id(b"policy"), model.id, below, rng.randrange(-(10**9), 10**9), rates, rng.choice((1, 3, 5)), bound
        )
        self.send(who, terms)

    def meddle(self) -> None:
        """Messages that mostly make no sense."""
        rng, graph = self.rng, self.graph
        request = rng.choice(list(graph.live.values()))
        who = rng.choice((request.requester, rng.choice(self.members).id))
        message: Message = rng.choice(
            (
                AddTip(request.id, rng.choice((0, 1, 10_000))),
                AddTip(request.id, 10_000),
                Cancel(request.id),
                GiveKeys(request.id, rng.randint(1, 3), rng.randrange(6)),
                CommitAnswer(request.id, rng.randint(1, 3), Answer(OK, (0,), (), 0)),
                OpenAnswer(request.id, rng.randint(1, 3), Answer(OK, (0,), (), 0)),
                OpenAnswer(b"none", 1, Answer(FAULT)),
                Appeal(request.id, (rng.randrange(3),)),
            )
        )
        self.send(who, message)


def hash_of(*parts: object) -> int:
    """A number that belongs to its parts, whatever was drawn before."""
    return random.Random(repr(parts)).randrange(10**6)


def generate(seed: int) -> Scenario:
    return Player(seed).run()
