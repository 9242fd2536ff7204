"""What a node gives up of federations: sums that nobody needs any more, and at the end all but the best model and what it was made
of. Pure.

    a round is settled    StopServing of models and deltas that are neither the base, nor of the best round, nor of the last ones
                          whose best model was made of the initial one: FetchContent of that, by who trains in it
    END                   the same of every round; who trains in it or opened it: FetchContent of the best round's base and delta;
                          who did neither: Forget, but for these two and the best model, where they are here
    it left the state     Forget

The aggregators of a round serve its model and delta to everybody. Which these are stands in the rounds that the ledger keeps, and
what this node holds is told with each look. Remembered is, in a book, of what the best model was made (`best_round`): three files
stay after the end, each as large as the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import KEPT_ROUNDS
from learningchain.chain.contracts.federation.records import FederationState, RoundRecord
from learningchain.chain.types import cid_text
from learningchain.client.contracts.federation.arithmetic.places import DELTAS
from learningchain.client.contracts.federation.roles.best_round import NOTHING_NOTED, BestRoundBook, BestRounds
from learningchain.client.contracts.federation.roles.looking import FederationLook, candidates_of, delta_size, look
from learningchain.client.contracts.federation.roles.role import KIND, MODEL_PIN
from learningchain.client.work.events import (
    SERVED,
    Chain,
    Effect,
    EndScope,
    FetchContent,
    Forget,
    Input,
    Keep,
    KeepBook,
    StopServing,
    Unpin,
)
from learningchain.client.work.gone import GoneRefs
from learningchain.client.work.machine import Machine

KEEP_MS = 30 * 86_400_000
"""Wall clock: how long the best model of a federation that has ended is to be had from those who made or measured it, and base and
delta from those who made them."""
BRING_MS = 3_600_000
"""Chain clock: how long members and sponsor try to get these two, after the end and after each start: whoever made them has them,
and what is not to be had then is not waited for in a place that others need."""
FINAL_PIN = "fed-final"
MADE_OF_PIN = "fed-made-of"
"""Why members and sponsor hold base and delta of the best round, until the federation has left the state."""
Others = Callable[[], Collection[bytes]]


@dataclass
class _Seen:
    """What was looked at of one federation. `stopped`: contents that are served no more."""

    at: tuple[int, bytes, bytes, int, bool] = (0, b"", b"", 0, False)
    stopped: set[bytes] = field(default_factory=set)


class FedCleanUp(Machine):
    """`own`: federations that this node trains in or opened; their machines still need image and models after the end."""

    name = f"{KIND}.clean-up"

    def __init__(self, own: Others, book: BestRoundBook = NOTHING_NOTED) -> None:
        self._own = own
        self._best = BestRounds(book)
        self._seen: dict[bytes, _Seen] = {}
        self._missing = GoneRefs()
        self._brought: dict[bytes, dict[str, bytes]] = {}
        """By federation: which base and delta are fetched, or here."""

    @property
    def book(self) -> BestRoundBook:
        return self._best.book

    def handle(self, given: Input) -> list[Effect]:
        if not isinstance(given, Chain):
            return []
        before = self.book
        said = list(self._look(given))
        return said if self.book is before else [KeepBook(self.name, encode(self.book)), *said]

    def _look(self, given: Chain) -> Iterator[Effect]:
        own = self._own()
        self._seen = {ref: one for ref, one in self._seen.items() if ref in given.held}
        self._best.forget_but({*given.held, *own})
        for ref in sorted(self._brought.keys() - (given.held & set(own))):
            yield from self._give_up(ref)
        missing = list[bytes]()
        for ref in sorted(given.held):
            at = look(given.reader, ref)
            if at is None:
                missing.append(ref)
                continue
            yield from self._superfluous(at)
            if ref in own:
                yield from self._bring(at, given.clock)
            elif at.state == FederationState.END:
                yield from self._forget(at)
        yield from (Forget(ref) for ref in self._missing.look(given, missing))

    def _bring(self, at: FederationLook, clock: int) -> Iterator[Effect]:
        """At the end, as long as who made them is likely there; the initial model at once, for the sponsor alone has that, and may
        vanish before. The best model is the own machines' to fetch."""
        best, over, terms = self._best.of(at.id), at.state == FederationState.END, at.terms
        wanted, sizes = dict[str, bytes](), {"base": terms.size, "delta": delta_size(terms)}
        if best is not None and (over or best.base == terms.model):
            wanted = {"base": best.base} | ({"delta": best.delta} if over else {})
        before = self._brought.get(at.id)
        if before == wanted or not (before or wanted):
            return
        if before is None or not before.items() <= wanted.items():
            yield from self._give_up(at.id)  # also what an earlier process had pinned
            before = {}
        self._brought[at.id] = wanted
        for tag, cid in wanted.items():
            if tag not in before:
                yield FetchContent(_scope(at.id), tag, at.id, cid_text(cid), sizes[tag], clock + BRING_MS, pin=MADE_OF_PIN)

    def _give_up(self, federation: bytes) -> Iterator[Effect]:
        self._brought.pop(federation, None)
        yield EndScope(_scope(federation))
        yield Unpin(federation, f"{MADE_OF_PIN}:{federation.hex()}")

    def _forget(self, at: FederationLook) -> Iterator[Forget]:
        best = self._best.of(at.id)
        stays = ({at.now.best_model} - {b""}) | (best.contents if best is not None else set())
        keep = [Keep(cid_text(cid), KEEP_MS, why, FINAL_PIN) for cid in sorted(stays) for why in (SERVED, MODEL_PIN)]
        yield Forget(at.id, tuple(keep))

    def _superfluous(self, at: FederationLook) -> Iterator[StopServing]:
        """Once for each change of what is needed: sixteen records at most."""
        now, seen = at.now, self._seen.setdefault(at.id, _Seen())
        this = now.r, now.base, now.best_model, now.best_r, now.state == FederationState.END
        if seen.at == this:
            return
        best_before, model_before, seen.at = self._best.of(at.id), seen.at[2], this
        best = self._best.note(at)
        needed = {at.terms.model, now.best_model} | (best.contents if best is not None else set())
        if now.state != FederationState.END:
            needed |= {now.base, now.model}
        proposed = set(candidates_of(at))
        if now.state in (FederationState.MEASURE, FederationState.OPEN):
            needed |= proposed
            proposed = set()
        made = proposed | {model_before} - {b""} | (best_before.contents if best_before is not None else set())
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


def _scope(federation: bytes) -> str:
    return f"fed-made-of:{federation.hex()}"
