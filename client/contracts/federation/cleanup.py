"""What a node gives up of federations: sums that nobody needs any more, and at the end all but the best model. Pure.

    a round is settled    StopServing of models and deltas that are neither the base, nor the best, nor of the last rounds
    END                   the same of every round; who neither trains in it nor opened it: Forget, but for the best model
    it left the state     Forget

The aggregators of a round serve its model and delta to everybody. Which these are stands in the rounds that the ledger keeps, and
what this node holds is told with each look, so nothing more is remembered than what was the best a moment ago.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from chain.contracts.federation import records
from chain.contracts.federation.formulas import KEPT_ROUNDS
from chain.contracts.federation.records import FederationState, RoundRecord
from client.contracts.federation.looking import FederationLook, look, text_of
from client.contracts.federation.places import DELTAS
from client.contracts.federation.steps import KIND, MODEL_PIN
from client.work.events import RECENT_MS, SERVED, Chain, Effect, Forget, Input, Keep, StopServing
from client.work.machine import Machine

KEEP_MS = 30 * 86_400_000
"""Wall clock: how long the best model of a federation that has ended is to be had from those who made or measured it."""
GONE_MS = 2 * RECENT_MS
"""Longer than a recent state may be behind: whatever federation there was when it was first missed is in it."""
FINAL_PIN = "fed-final"
Others = Callable[[], Collection[bytes]]


@dataclass
class _Seen:
    """What was looked at of one federation. `stopped`: contents that are served no more."""

    at: tuple[int, bytes, bytes, int] = (0, b"", b"", 0)
    stopped: set[bytes] = field(default_factory=set)


class FedCleanUp(Machine):
    """`own`: federations that this node trains in or opened; their machines still need image and models after the end."""

    name = f"{KIND}.clean-up"

    def __init__(self, own: Others) -> None:
        self._own = own
        self._seen: dict[bytes, _Seen] = {}
        self._missing: dict[bytes, int] = {}
        """Since which chain clock."""

    def handle(self, given: Input) -> list[Effect]:
        return list(self._look(given)) if isinstance(given, Chain) else []

    def _look(self, given: Chain) -> Iterator[Effect]:
        own = self._own()
        self._seen = {ref: one for ref, one in self._seen.items() if ref in given.held}
        missing = dict[bytes, int]()
        for ref in sorted(given.held):
            at = look(given.reader, ref)
            if at is None:
                missing[ref] = self._missing.get(ref, given.clock)
                continue
            yield from self._superfluous(at)
            if at.state == FederationState.END and ref not in own:
                best = text_of(at.now.best_model) if at.now.best_model else ""
                yield Forget(ref, tuple(Keep(best, KEEP_MS, why, FINAL_PIN) for why in (SERVED, MODEL_PIN)) if best else ())
        self._missing = missing if given.recent else {}
        yield from (Forget(ref) for ref, since in sorted(self._missing.items()) if given.clock >= since + GONE_MS)

    def _superfluous(self, at: FederationLook) -> Iterator[StopServing]:
        """Once for each change of what is needed: sixteen records at most."""
        now, seen = at.now, self._seen.setdefault(at.id, _Seen())
        this = now.r, now.base, now.best_model, now.state == FederationState.END
        if seen.at == this:
            return
        before, seen.at = seen.at[2], this
        needed = {at.terms.model, now.best_model}
        if now.state != FederationState.END:
            needed |= {now.base, now.model}
        made = {before} - {b""}
        for r in range(max(1, now.r - KEPT_ROUNDS), now.r + 1):
            one = at.reader.get(records.round_key(at.id, r))
            if isinstance(one, RoundRecord):
                recent = r >= now.r - DELTAS and now.state != FederationState.END
                made |= set() if recent else {one.model, one.delta}
                needed |= {one.model, one.delta} if recent else set()
        seen.stopped &= made
        for cid in sorted(made - needed - seen.stopped):
            seen.stopped.add(cid)
            yield StopServing(at.id, cid)
