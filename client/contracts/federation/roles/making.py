"""A node's own update of an attempt, a member's or the sponsor's reference: base, `local`, update file. Pure.

    base fetched --`local`--> local model (in the book) --MakeUpdate--> update file (in the book) --> the ledger names it

A local model stays as long as its base may be trained on again: the same one is sent then (LC-FILE-8). With a cell each attempt
trains anew, with the seed of the attempt. A file stays until its attempt is over. How many attempts on a base showed rows of it is
counted, by the name of the base, whichever federation it is of; that count outlives the federation, and the owner's part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta
from msgspec.structs import replace

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation.records import FederationMember, FederationState, member_key
from learningchain.chain.types import Hash, Uint, cid_text
from learningchain.client.contracts.federation.roles.awaited_runs import AwaitedRuns
from learningchain.client.contracts.federation.roles.looking import ATTEMPTING, FederationLook, local_seed
from learningchain.client.contracts.federation.small_tasks import MakeSmall
from learningchain.client.contracts.federation.tasks import MadeFile, MakeUpdate, TryReference
from learningchain.client.contracts.federation.wishes import PathText
from learningchain.client.work.events import (
    Compute,
    Computed,
    ComputeFailed,
    ContentMissing,
    ContentReady,
    Effect,
    EndScope,
    FetchContent,
    Input,
    Notice,
    RunEnded,
    StopServing,
    Unpin,
)
from learningchain.client.work.machine import Recalled
from learningchain.p2p.content.cid import CidBytes

ROWS_SHOWN = (FederationState.SCREEN, FederationState.SUM)
BEFORE_ROWS = (FederationState.TRAIN, FederationState.HAVE, FederationState.ROWS)
BASE_PIN = "fed-base"
MOST_KEPT = 4_096
MOST_SHOWN = 64 * MOST_KEPT
"""Bases that are remembered, 20 MB of a book; the oldest go."""


def published_by(at: FederationLook, account: bytes) -> bytes:
    """The digest of its data that a member's word on the ledger has; empty of who is no member, as a sponsor."""
    found = at.reader.get(member_key(at.id, account))
    return found.digest if isinstance(found, FederationMember) else b""


class LocalKept(Wire, frozen=True):
    """The local model that was trained on a base."""

    federation: Hash
    base: CidBytes
    path: PathText


class UpdateMade(Wire, frozen=True):
    """The file of an attempt."""

    federation: Hash
    attempt: Uint
    base: CidBytes
    cid: CidBytes
    path: PathText
    size: Uint
    shown: bool
    """Its rows were drawn."""


class BaseShown(Wire, frozen=True):
    """Attempts on a base that showed rows of this node's update."""

    federation: Hash
    base: CidBytes
    attempts: Uint


class MakerBook(Wire, frozen=True):
    locals: Annotated[list[LocalKept], Meta(max_length=MOST_KEPT)]
    made: Annotated[list[UpdateMade], Meta(max_length=MOST_KEPT)]
    shown: Annotated[list[BaseShown], Meta(max_length=MOST_SHOWN)]


NO_UPDATES = MakerBook([], [], [])


def files_of(book: MakerBook) -> set[Path]:
    return {Path(path) for path in (*(one.path for one in book.locals), *(one.path for one in book.made))}


def sent_in(book: MakerBook, base: bytes, but: bytes) -> bytes | None:
    """Return another federation than `but` in which an update on this base left the node. Where no rows of it were drawn nothing of
    it could be read: then it counts only while its attempt runs."""
    made = ((one.federation, one.base) for one in book.made)
    shown = ((one.federation, one.base) for one in book.shown)
    return next((federation for federation, of in (*made, *shown) if of == base and federation != but), None)


class _AttemptOf(NamedTuple):
    federation: bytes
    attempt: int


def _local_run(scope: str) -> str:
    return f"{scope}:local"


class UpdateMaker:
    """`book` is replaced, never changed."""

    def __init__(self, known: Recalled, awaited: AwaitedRuns, book: MakerBook, who: str) -> None:
        self._known, self._awaited, self._who = known, awaited, who
        self.book = book
        self._bases: dict[bytes, tuple[bytes, Path]] = {}
        """By federation: the base that is here."""
        self._asked: set[tuple[str, str]] = set()
        self._runs: dict[str, tuple[bytes, bytes]] = {}
        """Runs that go on: federation and base."""
        self._scopes: dict[str, tuple[_AttemptOf, bytes]] = {}
        """Attempts that are worked on, and their bases."""
        self._anew: set[bytes] = set()
        """Federations with a cell, where each attempt trains anew."""
        self._trained_for: dict[bytes, int] = {}
        """By federation: for which attempt the local model that is here was trained, as far as this process knows."""
        self._watched: dict[_AttemptOf, FederationState] = {}
        self.failed: dict[_AttemptOf, str] = {}
        self._tried: dict[tuple[bytes, int], bool] = {}
        """By federation and the attempt that is to come."""
        self.recovered: Callable[[FederationLook], LocalKept | None] = lambda _: None
        """The local model on the present base that a vault gave back."""

    def made(self, federation: bytes, attempt: int) -> UpdateMade | None:
        return next((one for one in self.book.made if (one.federation, one.attempt) == (federation, attempt)), None)

    def attempts_on(self, base: bytes) -> int:
        """Those that showed rows, and those of which nobody knows yet."""
        counted = sum(one.attempts for one in self.book.shown if one.base == base)
        return counted + sum(one.base == base for one in self.book.made)

    def sent_in(self, base: bytes, but: bytes) -> bytes | None:
        """As the book says it, or where an update on this base is being made for another federation."""
        works = (this.federation for this, one in self._scopes.values() if one == base and this not in self.failed)
        return sent_in(self.book, base, but) or next((one for one in works if one != but), None)

    # --- the file --------------------------------------------------------------------------------------------------------------

    def work(self, at: FederationLook, data: str, secret: bool) -> Iterator[Effect]:
        """The next step to the file of this attempt, unless it is here."""
        this = _AttemptOf(at.id, at.now.starts)
        if self.made(*this) is not None or this in self.failed:
            return
        if at.has_cells:
            self._anew.add(at.id)
        scope, local = self._scope(this), self._trained(at)
        self._scopes[scope] = this, at.now.base
        if local is None:
            yield from self._train(at, scope, data)
        elif self._first(scope, "update"):
            yield Compute(scope, "update", at.id, self._task(at, Path(local.path), secret))

    def _task(self, at: FederationLook, local: Path, secret: bool) -> MakeUpdate | MakeSmall:
        place, base, terms = at.place(self._known.chain_id), self._bases[at.id][1], at.terms
        if at.has_cells:
            return MakeSmall(place, self._known.me, base, local, terms.dims, terms.size, at.keys, reference=not secret)
        return MakeUpdate(place, self._known.me, base, local, terms.dims, terms.size, at.keys, at.now.clip, secret)

    def try_reference(self, at: FederationLook, data: str) -> Iterator[Effect]:
        """Before the next start: the next step to know whether what is trained on this base would be a reference (`tried`)."""
        this = _AttemptOf(at.id, at.now.starts + 1)
        if self.tried(at) is not None or this in self.failed:
            return
        scope, local = self._scope(this), self._trained(at)
        self._scopes[scope] = this, at.now.base
        if local is None:
            yield from self._train(at, scope, data)
        elif self._first(scope, "reference"):
            files = self._bases[at.id][1], Path(local.path)
            yield Compute(scope, "reference", at.id, TryReference(*files, at.terms.dims, at.terms.size, at.now.clip))

    def tried(self, at: FederationLook) -> bool | None:
        """None where nobody knows yet."""
        return self._tried.get((at.id, at.now.starts + 1))

    def try_failed(self, at: FederationLook) -> bool:
        """Nothing could be trained, which says nothing of the reference."""
        return _AttemptOf(at.id, at.now.starts + 1) in self.failed

    def try_again(self, at: FederationLook) -> Iterator[Effect]:
        this = _AttemptOf(at.id, at.now.starts + 1)
        self.failed.pop(this, None)
        scope = self._scope(this)
        self._asked = {one for one in self._asked if one[0] != scope}
        yield EndScope(scope)

    def _trained(self, at: FederationLook) -> LocalKept | None:
        """The local model on this base, where both are here."""
        if self._bases.get(at.id, (b"",))[0] != at.now.base:
            return None
        if at.has_cells and self._trained_for.get(at.id) != at.now.starts:
            return None
        return self.local_on_base(at)

    def local_on_base(self, at: FederationLook) -> LocalKept | None:
        found = (one for one in self.book.locals if (one.federation, one.base) == (at.id, at.now.base))
        return next(found, None) or self.recovered(at)

    def latest(self, federation: bytes) -> LocalKept | None:
        """The local model that was trained last, of those that are here."""
        return next((one for one in reversed(self.book.locals) if one.federation == federation), None)

    def _train(self, at: FederationLook, scope: str, data: str) -> Iterator[Effect]:
        base = at.now.base
        if self._bases.get(at.id, (b"",))[0] != base:
            if self._first(scope, "base"):
                until, who = at.now.deadline, at.holder_of(base)
                yield FetchContent(scope, "base", at.id, cid_text(base), at.terms.size, until, pin=BASE_PIN, holder=who)
        elif (at.id, base) not in self._runs.values() and self._first(scope, "local"):
            run, attempt = _local_run(scope), self._scopes[scope][0].attempt
            self._runs[run] = at.id, base
            seed = local_seed(at.place(self._known.chain_id)._replace(attempt=attempt))
            yield self._awaited.local(run, at, self._bases[at.id][1], data, seed, published_by(at, self._known.me))

    def _scope(self, this: _AttemptOf) -> str:
        return f"{self._who}:{this.federation.hex()}:{this.attempt}"

    def _first(self, scope: str, what: str) -> bool:
        if (scope, what) in self._asked:
            return False
        self._asked.add((scope, what))
        return True

    def hear(self, given: Input) -> None:
        match given:
            case ContentReady() if given.scope in self._scopes:
                this, base = self._scopes[given.scope]
                self._bases[this.federation] = base, given.path
            case ContentMissing() if given.scope in self._scopes:
                self.failed[self._scopes[given.scope][0]] = f"the base is not here: {given.reason}"
            case RunEnded() if given.run in self._runs:
                self._ran(given)
            case Computed() if given.scope in self._scopes:
                self._keep_file(given)
            case ComputeFailed() if given.scope in self._scopes:
                self.failed[self._scopes[given.scope][0]] = given.reason

    def _ran(self, ended: RunEnded) -> None:
        federation, base = self._runs.pop(ended.run)
        scope = next((one for one in self._scopes if _local_run(one) == ended.run), None)
        if ended.model is None:
            if scope is not None:
                self.failed[self._scopes[scope][0]] = f"`local` left no model: {ended.reason or ended.status.value}"
            return
        others = [one for one in self.book.locals if (one.federation, one.base) != (federation, base)]
        if len(others) == len(self.book.locals) or federation in self._anew:
            kept = LocalKept(federation, base, str(ended.model.path))
            self.book = replace(self.book, locals=[*others, kept])
            if scope is not None and federation in self._anew:
                self._trained_for[federation] = self._scopes[scope][0].attempt

    def _keep_file(self, done: Computed) -> None:
        this, base = self._scopes[done.scope]
        if isinstance(done.result, bool):
            self._tried[this] = done.result
        if isinstance(done.result, MadeFile) and self.made(*this) is None:
            found = done.result
            made = UpdateMade(*this, base, found.cid, str(found.path), found.size, False)
            self.book = replace(self.book, made=[*self.book.made, made])

    # --- what is over ----------------------------------------------------------------------------------------------------------

    def tidy(self, at: FederationLook, *, latest: bool = False) -> Iterator[Effect]:
        """Files of attempts that are over go, and local models whose base cannot come back. `latest`: the one that was trained last
        stays, for the vault."""
        for made in [one for one in self.book.made if one.federation == at.id]:
            this = _AttemptOf(made.federation, made.attempt)
            runs = at.now.starts == made.attempt and at.state in ATTEMPTING and at.now.r > 0
            if runs and at.state in ROWS_SHOWN and not made.shown:
                self._replace(made, replace(made, shown=True))
            if runs:
                self._watched[this] = at.state
                continue
            self._replace(made, None)
            # An attempt that was followed until it ended before its rows showed nothing; of others that is not known.
            if made.shown or self._watched.pop(this, None) not in BEFORE_ROWS or at.now.starts != made.attempt:
                self._count(made)
            yield StopServing(made.federation, made.cid)
        yield from self._forget_base(at)
        bases = {at.now.base, at.now.best_model} if at.state != FederationState.END else set()
        last = self.latest(at.id) if latest else None
        left = [one for one in self.book.locals if one.federation != at.id or one.base in bases or one is last]
        if len(left) != len(self.book.locals):
            self.book = replace(self.book, locals=left)
        for scope in [scope for scope, (this, _) in self._scopes.items() if self._is_over(at, this)]:
            yield self._end(scope)
        self._tried = {key: one for key, one in self._tried.items() if key[0] != at.id or key[1] > at.now.starts}

    def _end(self, scope: str) -> EndScope:
        """A run of it is killed, and nobody says so: another attempt on this base runs `local` again."""
        self.failed.pop(self._scopes.pop(scope)[0], None)
        self._asked = {one for one in self._asked if one[0] != scope}
        self._runs.pop(_local_run(scope), None)
        return EndScope(scope)

    def _forget_base(self, at: FederationLook) -> Iterator[Effect]:
        """Models of rounds that are over need no room on this disk: there may be a thousand, of a GiB each."""
        if at.id in self._bases and self._bases[at.id][0] not in (at.now.base, at.now.best_model):
            del self._bases[at.id]
            yield Unpin(at.id, f"{BASE_PIN}:{at.id.hex()}")

    @staticmethod
    def _is_over(at: FederationLook, this: _AttemptOf) -> bool:
        if this.federation != at.id or (this.attempt == at.now.starts + 1 and at.state == FederationState.IDLE):
            return False
        return this.attempt != at.now.starts or at.state not in ATTEMPTING

    def _replace(self, made: UpdateMade, by: UpdateMade | None) -> None:
        others = [one for one in self.book.made if (one.federation, one.attempt) != (made.federation, made.attempt)]
        self.book = replace(self.book, made=[*others, *([by] if by is not None else [])])

    def _count(self, made: UpdateMade) -> None:
        before = sum(one.attempts for one in self.book.shown if (one.federation, one.base) == (made.federation, made.base))
        others = [one for one in self.book.shown if (one.federation, one.base) != (made.federation, made.base)]
        shown = [*others, BaseShown(made.federation, made.base, before + 1)]
        self.book = replace(self.book, shown=shown[-MOST_SHOWN:])

    def train_anew(self, federation: bytes) -> Iterator[Effect]:
        """On other data: what was trained on those of before goes, and what is trained now ends. A file that was made stays."""
        for scope in [scope for scope, (this, _) in self._scopes.items() if this.federation == federation]:
            yield self._end(scope)
        self._tried = {key: one for key, one in self._tried.items() if key[0] != federation}
        self._trained_for.pop(federation, None)
        self.book = replace(self.book, locals=[one for one in self.book.locals if one.federation != federation])

    def forget(self, federation: bytes) -> Iterator[Effect]:
        """It left the state, or this node trains there no more: nothing that was for it goes on or stays on the disk, but on which
        bases it sent. A file that stands is summed all the same."""
        yield from self.train_anew(federation)
        self._anew.discard(federation)
        for one in self.book.made:
            if one.federation == federation:
                self._count(one)
                yield StopServing(federation, one.cid)
        if self._bases.pop(federation, None) is not None:
            yield Unpin(federation, f"{BASE_PIN}:{federation.hex()}")
        self._watched = {this: one for this, one in self._watched.items() if this.federation != federation}
        self.book = MakerBook(
            [one for one in self.book.locals if one.federation != federation],
            [one for one in self.book.made if one.federation != federation],
            self.book.shown,
        )

    def notices(self) -> list[Notice]:
        text = "no update of attempt {} leaves this node: {}"
        return [Notice("fed.no-update", this.federation, text.format(this.attempt, why)) for this, why in self.failed.items()]
