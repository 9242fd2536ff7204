"""The member's part on a node: beside its machine the journal, previews, and what the final model loses on own data. Pure.

PreviewWish --> the base, LocalRun --> a note, and the model is deleted: nothing is sent
END         --> the final model is here: LocalRun for its losses alone
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.losses import Measurement
from learningchain.chain.types import cid_text
from learningchain.client.contracts.federation.part import FedPart
from learningchain.client.contracts.federation.roles.journal import JOURNAL, OwnJournal, PreviewNote, journal_in
from learningchain.client.contracts.federation.roles.looking import FederationLook, local_seed, look
from learningchain.client.contracts.federation.roles.member import MemberMachine
from learningchain.client.contracts.federation.steps import EvaluateRun, LocalRun
from learningchain.client.contracts.federation.wishes import (
    PreviewWish,
    StopWish,
    TrainWish,
    VaultWish,
    Wish,
)
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import (
    Chain,
    ContentMissing,
    ContentReady,
    DropFile,
    Effect,
    EndScope,
    FetchContent,
    Input,
    KeepBook,
    ReleaseImage,
    RunEnded,
    Unpin,
)
from learningchain.client.work.machine import Recalled
from learningchain.client.work.transfers import fetch_ms
from learningchain.sandbox import RunStatus

PREVIEW, LAST = "fed-preview", "fed-last"
FINAL_MS = 3_600_000
"""How long after the end an image waits for the final model; one that comes later has it brought again."""
MOST_AT_ONCE = 4
"""Previews that wait or run: no number of them keeps this node from training where it joined."""


def member_files(book: Any) -> set[Path]:
    """What the member's or the sponsor's book names."""
    return {Path(one.path) for one in (*book.updates.locals, *book.updates.made)}


class MemberPart(FedPart):
    wishes = "member"
    machine: MemberMachine

    def __init__(self, machine: MemberMachine, known: Recalled, keys: OwnBoxKeys) -> None:
        super().__init__(machine, known, keys, member_files)
        self._chain_id = known.chain_id
        self.journal = OwnJournal(known.me, journal_in(known.books.get(JOURNAL)))
        self._begun = False
        self._seen: dict[bytes, tuple[Any, ...]] = {}
        self._asked: dict[str, PreviewWish] = {}
        """Previews by their scope: wanted, or under way."""
        self._previewing: dict[str, FederationLook] = {}
        self._finals: dict[bytes, FederationLook] = {}
        """Federations that have ended."""
        self._lasting: set[bytes] = set()

    @property
    def runs(self) -> bool:
        return bool(self.machine.joined or self._asked)

    def engaged(self) -> Iterable[bytes]:
        return self.machine.joined

    def needs_image(self, at: FederationLook, clock: int) -> bool:
        """While it trains there, or is to look once more; at the end for the losses of the final model on own data."""
        if any(wish.federation == at.id for wish in self._asked.values()):
            return True
        joined = self.machine.joined.get(at.id)
        if joined is None or at.state != FederationState.END:
            return joined is not None
        over = at.id in self._lasting or bool(self.journal.of(at.id).final) or clock >= at.now.ended + FINAL_MS
        return bool(at.now.best_r and joined.data) and not over

    def wished(self, wish: Wish) -> Iterator[Effect]:
        match wish:
            case TrainWish() | VaultWish():
                yield from self._say(wish)
            case StopWish():
                yield from self._say(wish)
                yield from self._last_no_more(wish.federation)
            case PreviewWish() if len(self._asked) >= MOST_AT_ONCE:
                why = f"{MOST_AT_ONCE} previews wait or run on this node: wait until one has ended"
                self.journal.preview(PreviewNote(wish.number, wish.federation, wish.data, RunStatus.NOT_STARTED.value, why, [], 0))
            case PreviewWish():
                self._asked[f"{PREVIEW}:{wish.number.hex()}"] = wish
                self.journal.preview(PreviewNote(wish.number, wish.federation, wish.data, "", "", [], 0))

    def _handle(self, given: Input) -> Iterator[Effect]:
        before = self.journal.book
        if not self._begun:
            self._begun = True
            self.journal.begin()
        yield from super()._handle(given)
        match given:
            case Chain():
                yield from self._look(given)
            case ContentReady() if given.scope in self._asked:
                yield from self._preview(given)
            case ContentMissing() if given.scope in self._asked:
                yield from self._previewed(given.scope, RunEnded("", RunStatus.NOT_STARTED, f"no base: {given.reason}"))
            case ContentReady() if given.scope.startswith("fed-final:"):
                yield from self._last(bytes.fromhex(given.scope.removeprefix("fed-final:")), given.path)
        if self.journal.book != before:
            yield KeepBook(JOURNAL, encode(self.journal.book))

    # --- what the ledger says ----------------------------------------------------------------------------------------------------

    def _look(self, given: Chain) -> Iterator[Effect]:
        why = self.machine.why_not
        self._finals.clear()
        for federation in self.machine.joined:
            at = look(given.reader, federation)
            if at is None:
                if given.recent:
                    yield from self._last_no_more(federation)
                continue
            seen = at.now, at.attempt, why.get(federation, "")
            if self._seen.get(federation) != seen:
                self._seen[federation] = seen
                self.journal.look(at, why.get(federation, ""))
            if at.state == FederationState.END:
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

    # --- runs whose model goes nowhere -------------------------------------------------------------------------------------------

    def _preview(self, given: ContentReady) -> Iterator[Effect]:
        wish, at = self._asked[given.scope], self._previewing[given.scope]
        seed = local_seed(at.place(self._chain_id))
        yield from self.carry(
            LocalRun(f"{given.scope}:local", at.id, at.terms, given.path, wish.data, seed, sponsor=at.posting.sponsor)
        )

    def _previewed(self, scope: str, ended: RunEnded) -> Iterator[Effect]:
        wish = self._asked.pop(scope)
        self._previewing.pop(scope, None)
        found = [ended.result] if isinstance(ended.result, Measurement) else []
        size = ended.model.size if ended.model is not None else 0
        note = PreviewNote(wish.number, wish.federation, wish.data, ended.status.value, ended.reason[:500], found, size)
        self.journal.preview(note)
        if ended.model is not None:
            yield DropFile(ended.model.path)
        yield from self.carry(EndScope(scope))
        if wish.federation not in self.machine.joined:
            yield Unpin(wish.federation, f"{PREVIEW}:{wish.federation.hex()}")
            yield ReleaseImage(wish.federation)

    def ended(self, wanted: LocalRun | EvaluateRun, ended: RunEnded) -> Iterator[Effect]:
        what, middle, *rest = wanted.run.split(":")
        found = ended.result if isinstance(ended.result, Measurement) else None
        if what == PREVIEW and f"{what}:{middle}" in self._asked:
            yield from self._previewed(f"{what}:{middle}", ended)
        elif what == LAST:
            if found is not None:
                self.journal.ended(wanted.ref, found)
            if ended.model is not None:
                yield DropFile(ended.model.path)
        elif what != PREVIEW and found is not None and rest:
            self.journal.trained(wanted.ref, int(rest[0]), found)

    def _last(self, federation: bytes, path: Path) -> Iterator[Effect]:
        at, joined = self._finals.get(federation), self.machine.joined.get(federation)
        if at is None or joined is None or not joined.data or federation in self._lasting or self.journal.of(federation).final:
            return
        self._lasting.add(federation)
        seed = local_seed(at.place(self._chain_id))
        yield from self.carry(
            LocalRun(f"{LAST}:{federation.hex()}:local", federation, at.terms, path, joined.data, seed, sponsor=at.posting.sponsor)
        )

    def _last_no_more(self, federation: bytes) -> Iterator[Effect]:
        """Its owner left, or the federation left the state: nobody waits for these losses."""
        if federation in self._lasting:
            self._lasting.remove(federation)
            yield from self.carry(EndScope(f"{LAST}:{federation.hex()}"))
