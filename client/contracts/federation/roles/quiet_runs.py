"""Runs on own data whose model goes nowhere: previews, and what the final model loses. Pure.

PreviewWish --> the base, `local` --> a note in the journal, and the model is deleted: nothing is sent
END         --> the final model is here: `local` for its losses alone
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.losses import Measurement
from learningchain.chain.types import cid_text
from learningchain.client.contracts.federation.roles.awaited_runs import AwaitedRuns
from learningchain.client.contracts.federation.roles.journal import OwnJournal, PreviewNote
from learningchain.client.contracts.federation.roles.looking import FederationLook, local_seed, look
from learningchain.client.contracts.federation.wishes import PreviewWish, TrainedFederation
from learningchain.client.work.events import (
    Chain,
    ContentMissing,
    ContentReady,
    DropFile,
    Effect,
    EndScope,
    FetchContent,
    Input,
    ReleaseImage,
    RunEnded,
    Unpin,
)
from learningchain.client.work.transfers import fetch_ms
from learningchain.sandbox import RunStatus

PREVIEW, LAST, FINAL = "fed-preview", "fed-last", "fed-final"
FINAL_MS = 3_600_000
"""How long after the end an image waits for the final model; one that comes later has it brought again."""
MOST_AT_ONCE = 4
"""Previews that wait or run: no number of them keeps this node from training where it joined."""


class QuietRuns:
    """`joined`: what this node trains in, as it is now."""

    def __init__(
        self, chain_id: bytes, awaited: AwaitedRuns, journal: OwnJournal, joined: Mapping[bytes, TrainedFederation]
    ) -> None:
        self._chain_id, self._awaited, self._journal, self._joined = chain_id, awaited, journal, joined
        self._asked: dict[str, PreviewWish] = {}
        """Previews by their scope: wanted, or under way."""
        self._previewing: dict[str, FederationLook] = {}
        self._finals: dict[bytes, FederationLook] = {}
        """Federations that have ended."""
        self._lasting: set[bytes] = set()

    def __bool__(self) -> bool:
        """Whether a preview waits or runs."""
        return bool(self._asked)

    def wished(self, wish: PreviewWish) -> None:
        note = PreviewNote(wish.number, wish.federation, wish.data, "", "", [], 0)
        if len(self._asked) < MOST_AT_ONCE:
            self._asked[f"{PREVIEW}:{wish.number.hex()}"] = wish
        else:
            why = f"{MOST_AT_ONCE} previews wait or run on this node: wait until one has ended"
            note = replace(note, ended=RunStatus.NOT_STARTED.value, reason=why)
        self._journal.preview(note)

    def stop(self, federation: bytes) -> Iterator[Effect]:
        """Its owner left, or the federation left the state: nobody waits for these losses."""
        if federation in self._lasting:
            self._lasting.remove(federation)
            yield EndScope(f"{LAST}:{federation.hex()}")

    def needs_image(self, at: FederationLook, clock: int) -> bool:
        """While it trains there, or is to look once more; at the end for the losses of the final model on own data."""
        if any(wish.federation == at.id for wish in self._asked.values()):
            return True
        joined = self._joined.get(at.id)
        if joined is None or at.state != FederationState.END:
            return joined is not None
        over = at.id in self._lasting or bool(self._journal.of(at.id).final) or clock >= at.now.ended + FINAL_MS
        return bool(at.now.best_r and joined.data) and not over

    def hear(self, given: Input) -> Iterator[Effect]:
        match given:
            case Chain():
                yield from self._look(given)
            case ContentReady() if given.scope in self._asked:
                wish, at = self._asked[given.scope], self._previewing[given.scope]
                yield self._awaited.local(f"{given.scope}:local", at, given.path, wish.data, self._seed(at))
            case ContentMissing() if given.scope in self._asked:
                yield from self._previewed(given.scope, RunEnded("", RunStatus.NOT_STARTED, f"no base: {given.reason}"))
            case ContentReady() if given.scope.startswith(f"{FINAL}:"):
                yield from self._last(bytes.fromhex(given.scope.removeprefix(f"{FINAL}:")), given.path)
            case RunEnded():
                yield from self._ended(given)

    def _seed(self, at: FederationLook) -> int:
        return local_seed(at.place(self._chain_id))

    def _look(self, given: Chain) -> Iterator[Effect]:
        self._finals.clear()
        for federation in self._joined:
            at = look(given.reader, federation)
            if at is None and given.recent:
                yield from self.stop(federation)
            elif at is not None and at.state == FederationState.END:
                self._finals[federation] = at
        for scope, wish in list(self._asked.items()):
            at = look(given.reader, wish.federation)
            if at is None and given.recent:
                gone = RunEnded("", RunStatus.NOT_STARTED, "the federation has left the ledger's state")
                yield from self._previewed(scope, gone)
            elif at is not None and scope not in self._previewing:
                self._previewing[scope] = at
                until = given.clock + fetch_ms(at.terms.size)
                base = at.now.base or at.terms.model
                cid, who = cid_text(base), at.holder_of(base)
                yield FetchContent(scope, "base", at.id, cid, at.terms.size, until, pin=PREVIEW, holder=who)

    def _ended(self, ended: RunEnded) -> Iterator[Effect]:
        """Also of a training: what it said of the model that it began from is noted."""
        what, middle, *rest = ended.run.split(":")
        found = ended.result if isinstance(ended.result, Measurement) else None
        if what == PREVIEW and f"{what}:{middle}" in self._asked:
            yield from self._previewed(f"{what}:{middle}", ended)
        elif what == LAST:
            if found is not None:
                self._journal.ended(bytes.fromhex(middle), found)
            if ended.model is not None:
                yield DropFile(ended.model.path)
        elif what != PREVIEW and found is not None and rest:
            self._journal.trained(bytes.fromhex(middle), int(rest[0]), found)

    def _previewed(self, scope: str, ended: RunEnded) -> Iterator[Effect]:
        wish = self._asked.pop(scope)
        self._previewing.pop(scope, None)
        found = [ended.result] if isinstance(ended.result, Measurement) else []
        size = ended.model.size if ended.model is not None else 0
        note = PreviewNote(wish.number, wish.federation, wish.data, ended.status.value, ended.reason[:500], found, size)
        self._journal.preview(note)
        if ended.model is not None:
            yield DropFile(ended.model.path)
        yield EndScope(scope)
        if wish.federation not in self._joined:
            yield Unpin(wish.federation, f"{PREVIEW}:{wish.federation.hex()}")
            yield ReleaseImage(wish.federation)

    def _last(self, federation: bytes, path: Path) -> Iterator[Effect]:
        at, joined = self._finals.get(federation), self._joined.get(federation)
        if at is None or joined is None or not joined.data or federation in self._lasting or self._journal.of(federation).final:
            return
        self._lasting.add(federation)
        yield self._awaited.local(f"{LAST}:{federation.hex()}:local", at, path, joined.data, self._seed(at))
