"""A small graph that is played by hand: one federation, owners, verifiers; blocks of a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import formulas, messages, play
from .graph import Graph
from .records import ACTIVE, DRAWING, END, HAVE, IDLE, KEY, MEASURE, OPENING, READY, SCREEN, SUMMING, TRAIN, Attempt, Federation
from .scenario import (
    ALIGNED,
    AWAY,
    BADKEY,
    DAY,
    OK,
    ROWS_STAGE,
    SECOND,
    SUMS_STAGE,
    USED,
    AdmitMember,
    CommitMeasure,
    CommitUpdate,
    Entry,
    HaveUpdates,
    JoinFederation,
    Measure,
    Member,
    Message,
    OpenFederation,
    OpenMeasure,
    Params,
    PinParts,
    ReadyKey,
    ReferUpdate,
    ScreenUpdates,
    SealKey,
    ServeFederation,
    StartRound,
    SumUpdates,
    Terms,
)

SPONSOR, STRANGER = b"sponsor", b"stranger"
FED = b"federation"
BALANCE = 10**13
FIRST, TARGET = 2 * 10**9, 10**9


def terms(**changed: object) -> Terms:
    found: dict[str, object] = {
        "bounty": 10**9,
        "fee": 10_000,
        "target": TARGET,
        "rounds": 5,
        "ends": 100 * DAY,
        "vetted": False,
    }
    return Terms(**{**found, **changed})  # type: ignore[arg-type]


class Table:
    """Everybody honest, unless `lies` says what an aggregator does: by account and step, instead of the truth."""

    def __init__(
        self, owners: int = 5, verifiers: int = 10, its: Terms | None = None, params: Params | None = None, seed: int = 0
    ) -> None:
        self.owners = [b"o%03d" % i for i in range(owners)]
        self.verifiers = [b"v%03d" % i for i in range(verifiers)]
        people = [Member(one, BALANCE) for one in (SPONSOR, STRANGER)]
        people += [Member(one, BALANCE) for one in self.owners]
        people += [Member(one, BALANCE, None, True) for one in self.verifiers]
        self.graph = Graph(params or Params(), tuple(people), 4)
        self.seed = seed
        self.lies: dict[bytes, Callable[[str, Attempt], object]] = {}
        self.codes: Callable[[Attempt], Mapping[bytes, str]] = lambda attempt: {}
        self.loss: Callable[[], int] = lambda: FIRST
        self.cid: Callable[[Attempt], bytes] = lambda attempt: b"model%d" % attempt.number
        self.votes: dict[bytes, Measure] = {}
        self.absent: set[bytes] = set()
        self.block()
        for one in self.verifiers:
            self.must(one, ServeFederation(True))
        self.must(SPONSOR, OpenFederation(FED, its or terms()))
        for one in self.owners:
            self.join(one)

    @property
    def federation(self) -> Federation:
        return self.graph.federations[FED]

    # --- blocks and messages ------------------------------------------------------------------------------------------------

    def block(self, after: int = SECOND) -> None:
        beacon = (self.seed * 10**6 + self.graph.height).to_bytes(32, "big")
        play.begin(self.graph, self.graph.clock + after, beacon)

    def send(self, sender: bytes, message: Message) -> str | None:
        return messages.apply(self.graph, Entry(sender, message))

    def must(self, sender: bytes, message: Message) -> None:
        why = self.send(sender, message)
        if why is not None:
            raise AssertionError(f"{type(message).__name__} is refused: {why}")

    def join(self, who: bytes) -> None:
        self.must(who, JoinFederation(FED, who))
        if self.federation.members[who].state != ACTIVE:
            self.must(SPONSOR, AdmitMember(FED, who))

    # --- a round ------------------------------------------------------------------------------------------------------------

    def start(self) -> str | None:
        """A round from its start to its end, or to the end of the federation; why not, where it is refused."""
        why = self.send(SPONSOR, StartRound(FED, self.federation.r))
        if why is None:
            self.until(IDLE, END)
        return why

    def begun(self, *states: str) -> Attempt:
        """Start a round and play it until one of the states."""
        self.must(SPONSOR, StartRound(FED, self.federation.r))
        self.until(*states)
        attempt = self.federation.attempt
        if attempt is None:
            raise AssertionError("no attempt runs")
        return attempt

    def until(self, *states: str) -> None:
        """Blocks, in which everybody does what it does, until the federation is in one of the states."""
        for _ in range(200):
            federation = self.graph.federations.get(FED)
            if federation is None or federation.state in states:
                return
            state = federation.state
            self.act(states)
            federation = self.graph.federations[FED]
            if federation.state in states:
                return
            if federation.state == state and state not in DRAWING:
                self.block(max(1, federation.deadline - self.graph.clock))
            else:
                self.block()
        raise AssertionError("it does not end")

    def act(self, states: tuple[str, ...]) -> None:
        federation = self.federation
        if federation.state == KEY:
            self.must(SPONSOR, SealKey(FED, len(federation.panel)))
        elif federation.state in (MEASURE, OPENING):
            lacking = sum(not seat.box for seat in federation.panel)
            if federation.state == MEASURE and federation.terms.hidden and lacking:
                self.send(SPONSOR, SealKey(FED, lacking))
            self.measure()
        elif federation.attempt is not None:
            self.attempt(federation.attempt)

    def measure(self) -> None:
        federation, state = self.federation, self.federation.state
        for seat in list(federation.panel):
            if federation.state != state:
                return
            if seat.who in self.absent:
                continue
            key = (FED, federation.r, federation.again)
            if state == MEASURE:
                told = self.votes.get(seat.who, Measure(OK, self.loss()))
                keyless = federation.terms.hidden and not seat.box
                self.must(seat.who, CommitMeasure(*key, Measure(BADKEY) if keyless else told))
            elif isinstance(seat.committed, Measure):
                self.must(seat.who, OpenMeasure(*key, seat.committed))

    def attempt(self, attempt: Attempt) -> None:
        state = self.federation.state
        if state == TRAIN:
            for who in attempt.roster:
                if who not in self.absent and self.federation.state == TRAIN:
                    self.must(who, CommitUpdate(FED, attempt.number, b"file" + who, formulas.update_size(self.federation.terms)))
            if self.federation.terms.reference and self.federation.state == TRAIN:
                self.must(SPONSOR, ReferUpdate(FED, attempt.number, b"reference"))
            return
        for step in {READY: ("ready",), HAVE: ("have",), SCREEN: ("rows", "screen"), SUMMING: ("sums", "sum")}.get(state, ()):
            for seat in list(attempt.seats):
                if self.federation.attempt is attempt and self.federation.state == state:
                    self.says(attempt, seat.who, step)

    def says(self, attempt: Attempt, who: bytes, step: str) -> None:
        """One aggregator's message: the truth, what it says instead, or nothing where that is False."""
        seat = attempt.seat(who)
        if seat is None or (step in ("rows", "screen", "sums", "sum") and seat not in attempt.deciding):
            return
        said = self.lies.get(who, lambda step, attempt: None)(step, attempt)
        if said is False:
            return
        if said is None:
            said = self.truth(attempt, who, step)
        self.send(who, said)  # type: ignore[arg-type]

    def truth(self, attempt: Attempt, who: bytes, step: str, word: bytes = b"") -> Message:
        seat = attempt.seat(who)
        if seat is None:
            raise AssertionError("it does not sit")
        if step == "ready":
            return ReadyKey(FED, attempt.number)
        if step == "have":
            return HaveUpdates(FED, attempt.number, 2 ** len(attempt.files) - 1, attempt.referred)
        if step in ("rows", "sums"):
            stage = ROWS_STAGE if step == "rows" else SUMS_STAGE
            parts = tuple((mask, b"part" + word) for mask in formulas.masks(attempt.place(seat)))
            return PinParts(FED, attempt.number, stage, parts)
        if step == "screen":
            codes = self.codes(attempt)
            told = tuple(codes.get(one, USED) if attempt.both >> i & 1 else AWAY for i, one in enumerate(attempt.files))
            aligned = self.federation.terms.split == ALIGNED
            points = tuple(int(code == USED) for code in told) if aligned else ()
            return ScreenUpdates(FED, attempt.number, told, points, formulas.CQ, word)
        return SumUpdates(FED, attempt.number, self.cid(attempt) + word)

    def balance(self, who: bytes) -> int:
        return self.graph.money.balance[who]
