"""Five instances of four validators in a network that is cut into groups: one window with one partition after another, then none.

A *case* is a duplicated validator, a cut, and one partition for each window. All that is sent within a group arrives, all that is
sent between groups is lost. Window k belongs to round k: nobody enters a round above k in it. Where exactly a window ends is the
*cut*: before the proposals of the next round (a window is a round), or before the prevotes or precommits of its own round (these
are then sent in the next window). So an adversary can lose the precommits of a round and not its prevotes, which is what locks are
there for. When a window begins every instance sends again what it signed itself in its round and the one before, as the product
does at an interval; what it heard from others stays with it (a network may lose that). Who has decided is not heard again.

In a group, messages go in ticks: all that was sent in one tick arrives in the next, at every second instance in reverse order, so
that a doubled proposal is seen in both orders. When nothing is under way the earliest timers fire.

Healing: one group, nothing held back, everything that the product sends is delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from learningchain.chain.consensus.messages import (
    CertificateReceived,
    Input,
    ProposalReceived,
    RoundState,
    StateReceived,
    Timeout,
    TimeoutFired,
    TimeoutKind,
    VoteReceived,
    WakeUp,
)
from learningchain.chain.types import PREVOTE, Certificate, Proposal, Vote
from tests.twins.instance import N, Result, Table, Unsafe, Who
from tests.unit import consensus_kit as kit

INSTANCES = N + 1
MAX_TICKS = 200


class Cut(IntEnum):
    """The first step of a round that falls into the next window."""

    PROPOSE = 0
    PREVOTE = 1
    PRECOMMIT = 2


class Seat(NamedTuple):
    """An instance between two windows: its state, and what it signed and may not send yet."""

    state: int
    held: tuple[int, ...]


Group = tuple[tuple[int, Seat], ...]
"""(instance, seat), ascending by instance."""


def partitions(n: int = INSTANCES) -> list[tuple[tuple[int, ...], ...]]:
    """All ways to cut n instances into groups: 52 for five."""

    def of(rest: list[int]) -> Iterator[list[list[int]]]:
        if not rest:
            yield []
            return
        first, *others = rest
        for smaller in of(others):
            yield [[first], *smaller]
            for i, group in enumerate(smaller):
                yield [*smaller[:i], [first, *group], *smaller[i + 1 :]]

    return sorted(tuple(sorted(tuple(g) for g in p)) for p in of(list(range(n))))


class Network:
    """All cases of one duplicated validator. Instances 0 to 3 are the validators, instance 4 is the second copy of `twin`."""

    def __init__(self, twin: int) -> None:
        self.twin = twin
        self.table = Table(twin)
        self.who = [Who(i, 0) for i in range(N)] + [Who(twin, 1)]
        self.honest = [i for i in range(N) if i != twin]
        self._windows: dict[tuple[int, Cut, Group], Group] = {}

    def start(self) -> tuple[Seat, ...]:
        return tuple(Seat(self.table.start(who), ()) for who in self.who)

    def decided(self, seat: Seat) -> bytes | None:
        return self.table.facts[seat.state].decided

    # --- inputs ---------------------------------------------------------------------------------------------------------------

    def deliver(self, state: int, batch: tuple[tuple[int, int | None], ...]) -> Result:
        """(message, sender) in this order; `sender` is given when answers can reach it."""
        return self.table.step(state, batch, lambda: [self._arrival(number, sender) for number, sender in batch])

    def _arrival(self, number: int, sender: int | None) -> Input:
        message = self.table.messages[number]
        peer = b"" if sender is None else kit.ident(sender)
        match message:
            case Vote():
                return VoteReceived(message, peer)
            case Proposal():
                return ProposalReceived(message, True, peer)
            case Certificate():
                return CertificateReceived(message)
            case RoundState():
                return StateReceived(message, peer)

    def fire(self, state: int, round_: int, kind: int) -> Result:
        timeout = Timeout(TimeoutKind(kind), kit.HEIGHT, round_, 0)
        return self.table.step(state, (round_, kind, "timer"), lambda: [TimeoutFired(timeout)])

    def wake(self, state: int) -> Result:
        return self.table.step(state, "wake", lambda: [WakeUp(kit.HEIGHT)])

    def own(self, who: Who, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """Votes and proposals under this validator's name."""
        return tuple(number for number in numbers if self._signer(number) == kit.ident(who.validator))

    def _signer(self, number: int) -> bytes:
        match self.table.messages[number]:
            case Vote(validator=signer) | Proposal(proposer=signer):
                return signer
        return b""

    # --- windows --------------------------------------------------------------------------------------------------------------

    def window(self, k: int, cut: Cut, group: Group) -> Group:
        """The group's seats at the end of window k."""
        found = self._windows.get((k, cut, group))
        if found is None:
            found = self._windows[k, cut, group] = _Window(self, k, cut, group).run()
        return found


class _Window:
    def __init__(self, network: Network, k: int, cut: Cut, group: Group) -> None:
        self.net, self.table, self.k, self.cut = network, network.table, k, cut
        self.states = {i: seat.state for i, seat in group}
        self.held: dict[int, list[int]] = {i: [] for i in self.states}
        self.sent: dict[int, list[int]] = {i: list(seat.held) for i, seat in group}

    def run(self) -> Group:
        for i in self.states:
            if self.k == 0:
                self._took(i, self.net.wake(self.states[i]))
            else:
                resent = self.net.fire(self.states[i], 0, TimeoutKind.RESEND)
                self._took(i, resent._replace(sent=self.net.own(self.net.who[i], resent.sent)))
        for _ in range(MAX_TICKS):
            if any(self.sent.values()):
                self._tick()
            elif not self._fire_earliest():
                return tuple((i, Seat(state, tuple(sorted(set(self.held[i]))))) for i, state in self.states.items())
        raise Unsafe(f"window {self.k} does not end")

    def _took(self, i: int, result: Result) -> None:
        self.states[i], sent, _ = result
        for number in sent:
            (self.held if self._is_later(number) else self.sent)[i].append(number)

    def _is_later(self, number: int) -> bool:
        match self.table.messages[number]:
            case Proposal(round=round_):
                step = Cut.PROPOSE
            case Vote(type=type_, round=round_):
                step = Cut.PREVOTE if type_ == PREVOTE else Cut.PRECOMMIT
            case other:
                raise Unsafe(f"{type(other).__name__} within a window")
        end = (self.k + 1, Cut.PROPOSE) if self.cut is Cut.PROPOSE else (self.k, self.cut)
        return (round_, step) >= end

    def _tick(self) -> None:
        now, self.sent = self.sent, {i: [] for i in self.states}
        for i in self.states:
            arriving = [number for sender, numbers in now.items() if sender != i for number in dict.fromkeys(numbers)]
            if arriving and self.table.facts[self.states[i]].decided is None:
                batch = arriving if i % 2 == 0 else arriving[::-1]
                self._took(i, self.net.deliver(self.states[i], tuple((number, None) for number in batch)))

    def _fire_earliest(self) -> bool:
        due = {i: [t for t in self.table.facts[s].timers if self._may_fire(*t)] for i, s in self.states.items()}
        waiting = [t for timers in due.values() for t in timers]
        if not waiting:
            return False
        first = min(waiting)
        for i, timers in due.items():
            if first in timers:
                self._took(i, self.net.fire(self.states[i], *first))
        return True

    def _may_fire(self, round_: int, kind: int) -> bool:
        return kind != TimeoutKind.PRECOMMIT or round_ < self.k
