"""A small graph that is played by hand: one model, ten servers, a requester, judges; blocks of a second."""

from __future__ import annotations

from . import formulas, messages, play
from .graph import Graph
from .records import Request
from .scenario import (
    NUMBER,
    OK,
    SECOND,
    Answer,
    Appeal,
    Ask,
    CommitAnswer,
    Entry,
    Member,
    Message,
    ModelTerms,
    OpenAnswer,
    Params,
    RegisterModel,
    Serve,
)

OWNER, REQUESTER, PUPPET = b"owner", b"requester", b"puppet"
MODEL = b"model"
BALANCE = 10**12


class Table:
    def __init__(
        self,
        servers: int = 10,
        judges: int = 0,
        params: Params | None = None,
        terms: ModelTerms | None = None,
        validators: int = 4,
        seed: int = 0,
    ) -> None:
        self.servers = [b"s%03d" % i for i in range(servers)]
        self.judges = [b"v%03d" % i for i in range(judges)]
        people = [Member(one, BALANCE) for one in (OWNER, REQUESTER, PUPPET)]
        people += [Member(one, BALANCE, None, True, True, True) for one in (*self.servers, *self.judges)]
        self.graph = Graph(params or Params(), tuple(people), validators, ((b"job", OWNER),))
        self.seed = seed
        self.count = 0
        self.block()
        self.must(OWNER, RegisterModel(MODEL, terms or ModelTerms("credit", NUMBER, tol=10)))
        least = formulas.least_stake(self.graph.params, self.graph.models[MODEL].price[1])
        for one in self.servers:
            self.must(one, Serve(MODEL, least))
        self.block()

    # --- blocks and messages ------------------------------------------------------------------------------------------------

    def block(self, after: int = SECOND) -> None:
        beacon = (self.seed * 10**6 + self.graph.height).to_bytes(32, "big")
        play.begin(self.graph, self.graph.clock + after, beacon)

    def blocks(self, count: int, after: int = SECOND) -> None:
        for _ in range(count):
            self.block(after)

    def send(self, sender: bytes, message: Message) -> str | None:
        return messages.apply(self.graph, Entry(sender, message))

    def must(self, sender: bytes, message: Message) -> None:
        why = self.send(sender, message)
        if why is not None:
            raise AssertionError(f"{type(message).__name__} is refused: {why}")

    def ask(
        self,
        sender: bytes = REQUESTER,
        n: int = 5,
        rows: int = 1,
        tip: int | None = None,
        wait: int = 60 * SECOND,
        private: bool = False,
        policy: bytes | None = None,
        m: int = 1,
        model: bytes = MODEL,
    ) -> Request:
        self.count += 1
        ref = b"request%05d" % self.count
        w = self.graph.models[model].price[1]
        tip = formulas.least_tip(w, n, rows) if tip is None else tip
        self.must(sender, Ask(ref, model, ref, 100, rows, n, m, tip, 10**13, wait, private, policy))
        return self.graph.requests[ref]

    def to_draw(self, request: Request) -> None:
        for _ in range(self.graph.delay() + 2):
            if request.seats or request.ended:
                return
            self.block()

    def play_round(self, request: Request, answers: dict[bytes, Answer | None]) -> None:
        """Seats of the present round commit and open what is said of them; None is silent, who is not named says 0."""
        r = request.r
        for seat in request.of_round(r):
            answer = answers.get(seat.who, number(0, rows=len(request.rows) if r == 3 else request.terms.rows))
            if answer is not None:
                self.must(seat.who, CommitAnswer(request.id, r, answer))
        self.until(request, ("OPEN", "REDRAW"))
        if request.state != "OPEN":
            return
        for seat in request.of_round(r):
            if seat.committed is not None:
                self.must(seat.who, OpenAnswer(request.id, r, seat.committed))
        self.block()

    def appeal(self, sender: bytes, request: Request, rows: tuple[int, ...] = ()) -> None:
        """As soon as the rules let it."""
        opens = formulas.appeal_opens(self.graph.params, request.answered_at)
        if sender != request.requester and self.graph.clock < opens:
            self.block(opens - self.graph.clock)
        self.must(sender, Appeal(request.id, rows))

    def until(self, request: Request, states: tuple[str, ...]) -> None:
        for _ in range(1_000):
            if request.state in states or request.ended:
                return
            self.block()

    def balance(self, who: bytes) -> int:
        return self.graph.money.balance[who]


def number(score: int, check: int = 0, rows: int = 1) -> Answer:
    return Answer(OK, (score,) * rows, (), check)
