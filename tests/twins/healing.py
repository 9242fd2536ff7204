"""After the last window the network heals: everything that the product sends arrives, and every honest validator must decide."""

from __future__ import annotations

from learningchain.chain.consensus.messages import RoundState, TimeoutKind
from tests.twins.instance import Result, Unsafe
from tests.twins.network import Network, Seat

MAX_ROUNDS = 12
"""Most rounds between the windows and the decision: three times through all proposers, one of which is two-faced."""
MAX_STEPS = 2_000


def heal(network: Network, seats: tuple[Seat, ...]) -> tuple[bytes, int]:
    """The block that all honest validators have decided in the end, and the highest round that it took. Raises `Unsafe`."""
    return _Healing(network, seats).run()


class _Healing:
    def __init__(self, network: Network, seats: tuple[Seat, ...]) -> None:
        self.net, self.table = network, network.table
        self.states = [seat.state for seat in seats]
        self.sent: list[list[int]] = [list(seat.held) for seat in seats]
        self.answers: list[tuple[int, int, int]] = []
        """(sender, receiving validator, message)"""
        self.highest = self._round()

    def _round(self) -> int:
        return max(self.table.facts[state].round for state in self.states)

    def run(self) -> tuple[bytes, int]:
        first, resent = self._round(), False
        for _ in range(MAX_STEPS):
            chosen = {self.table.facts[self.states[i]].decided for i in self.net.honest}
            if len(chosen - {None}) > 1:
                raise Unsafe("honest validators decided differently after healing")
            if None not in chosen:
                return next(iter(chosen)) or b"", self._round()
            if self._round() > first + MAX_ROUNDS:
                break
            if any(self.sent) or self.answers:
                self._tick()
            elif not resent:
                self._resend()
                resent = True
            else:
                self._fire_earliest()
                resent = False
        raise Unsafe("no decision after healing")

    def _took(self, i: int, result: Result) -> None:
        self.states[i], sent, answered = result
        self.sent[i] += sent
        self.answers += [(i, to, number) for to, number in answered]

    def _tick(self) -> None:
        sent, self.sent = self.sent, [[] for _ in self.states]
        answers, self.answers = self.answers, []
        for i, who in enumerate(self.net.who):
            arriving = [(s, number) for s, numbers in enumerate(sent) if s != i for number in dict.fromkeys(numbers)]
            arriving += dict.fromkeys((s, number) for s, to, number in answers if to == who.validator and s != i)
            batch = [(number, self.net.who[s].validator) for s, number in (arriving if i % 2 == 0 else arriving[::-1])]
            if self.table.facts[self.states[i]].decided is not None:
                batch = [(number, sender) for number, sender in batch if isinstance(self.table.messages[number], RoundState)]
            if batch:
                self._took(i, self.net.deliver(self.states[i], tuple(batch)))

    def _resend(self) -> None:
        for i, state in enumerate(self.states):
            self._took(i, self.net.fire(state, 0, TimeoutKind.RESEND))

    def _fire_earliest(self) -> None:
        timers = [timer for state in self.states for timer in self.table.facts[state].timers]
        if not timers:
            raise Unsafe("no decision after healing, and nobody waits for anything")
        for i, state in enumerate(self.states):
            if min(timers) in self.table.facts[state].timers:
                self._took(i, self.net.fire(state, *min(timers)))
