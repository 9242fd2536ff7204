"""What the roles of federated training share: a book, wishes of this node's user, and runs. Pure.

    Kept of a wish --> wished, and DropSecret once a book has it
    what a run comes to, by the name that the role gave it; ledger, files, results, messages --> respond
    the books that changed --> KeepBook, before all else that is said

Whatever must survive this process is in a *book*. The driver does nothing of what follows a book until the disk has it: so nothing
leaves this node that it could forget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from learningchain.chain.codec import Wire, encode
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.federation.roles.awaited_runs import AwaitedRuns
from learningchain.client.contracts.federation.roles.looking import FederationLook
from learningchain.client.contracts.federation.wishes import WISH, Wish, wish_in
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import (
    Chain,
    DropFile,
    DropSecret,
    Effect,
    EndScope,
    ImageFailed,
    ImageReady,
    Input,
    KeepBook,
    Kept,
    Notice,
    RunEnded,
    Secret,
    SecretStored,
)
from learningchain.client.work.machine import Machine, Recalled
from learningchain.sandbox import RunStatus

KIND = "federation"
"""Of the contract's messages; it begins the names of its books."""
MODEL_PIN = "fed-model"
"""Why a model of a federation is pinned that was measured, or is the final one."""


class FederationRole(Machine):
    """One of the parts that a node may have. Runs wait in `awaited`; those of a scope end with `EndScope`."""

    prompt = True
    wishes = ""
    """The kind of the wishes that are for it."""

    def __init__(self, known: Recalled, keys: OwnBoxKeys) -> None:
        self.known, self.keys = replace(known, secrets=(), books={}), keys
        self.awaited = AwaitedRuns(known.config, fitting=self.wishes == "member")
        self._wishes = [one for one in known.secrets if self._is_wish(one)]

    @property
    def book(self) -> Wire:
        """What a new machine is made of that goes on where this one ended."""
        raise NotImplementedError

    @property
    def books(self) -> Mapping[str, Wire]:
        return {self.name: self.book}

    def files(self, book: Any) -> set[Path]:
        """Those that a book of it names: one that it names no more is deleted."""
        return set()

    def respond(self, given: Input) -> Iterable[Effect]:
        raise NotImplementedError

    def wished(self, wish: Wish) -> Iterable[Effect]:
        return ()

    def needs_image(self, at: FederationLook, clock: int) -> bool:
        """Whether a run of this role may come."""
        return at.state != FederationState.END

    # --- a machine of the node ---------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        return bool(self.awaited)

    def gives_up(self, ref: bytes) -> bool:
        return not self.awaited.wants(ref)

    def notices(self) -> list[Notice]:
        return self.awaited.notices()

    def reconfigure(self, config: WorkConfig) -> None:
        self.awaited.config = config

    def handle(self, given: Input) -> list[Effect]:
        before = self.books
        said = list(self._say(given))
        kept = [KeepBook(name, encode(book)) for name, book in self.books.items() if book != before[name]]
        gone = sorted(self.files(before[self.name]) - self.files(self.book)) if kept else []
        return [*kept, *map(DropFile, gone), *said]

    def _say(self, given: Input) -> Iterator[Effect]:
        for effect in self.take_in(given):
            if isinstance(effect, EndScope):
                yield from self.awaited.end(effect.scope)
            yield effect

    def take_in(self, given: Input) -> Iterator[Effect]:
        waiting, self._wishes = self._wishes, []
        for secret in waiting:
            yield from self._take(secret)
        match given:
            case Kept(secret) | SecretStored(secret):
                self.keys.learn(secret)
                if self._is_wish(secret):
                    yield from self._take(secret)
            case ImageReady():
                yield from self.awaited.begin(given)
            case ImageFailed():
                for run in self.awaited.failed(given):
                    yield from self.respond(RunEnded(run, RunStatus.NOT_STARTED, given.reason))
            case RunEnded():
                if (own := self.awaited.over(given.run)) is not None:
                    yield from self.respond(replace(given, run=own))
            case Chain():
                yield from self.respond(given)
                yield from self.awaited.go_on(given)
                yield from self.awaited.release(given, lambda at: self.needs_image(at, given.clock))
            case _:
                yield from self.respond(given)

    def _is_wish(self, secret: Secret) -> bool:
        return bool(self.wishes) and secret.kind == WISH + self.wishes

    def _take(self, secret: Secret) -> Iterator[Effect]:
        yield from self.wished(wish_in(secret))
        yield DropSecret(secret.kind, secret.key)
