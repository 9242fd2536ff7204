"""The sponsor: starts rounds, opens the hidden file to the panel, gives the reference, serves the initial model. Pure.

    ledger                                   effect
    it is there                              ServeFile of the initial model to everybody
    IDLE                                     Submit StartRound, where rounds are to be started; refused: again after a while
    IDLE, the terms have a reference         as a member: base, `local`; Compute TryReference; aligned and none: no start, a Notice
    KEY; MEASURE, a seat followed            Submit SealKey: the key of the hidden file in a box for each seat that has none
    KeyAsk of a seat                         KeyGive
    TRAIN, the terms have a reference        as a member: base, `local`, file; Submit ReferUpdate
    HAVE                                     ServeFile of the reference to the aggregators, not earlier: members see it never
    END                                      FetchContent of the best model

Book: per federation the initial model, the key of the hidden file, what to train the reference on; and what `making` keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation.duties import FederationDuty
from learningchain.chain.contracts.federation.messages import PaySplit, ReferUpdate, SealKey, StartRound
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.types import cid_text
from learningchain.client.contracts.federation.roles.channel import KeyAsk, KeyGive, tell
from learningchain.client.contracts.federation.roles.looking import FederationLook, look, owed
from learningchain.client.contracts.federation.roles.making import NO_UPDATES, MakerBook, UpdateMaker, files_of
from learningchain.client.contracts.federation.roles.role import KIND, FederationRole
from learningchain.client.contracts.federation.wishes import SponsoredFederation, SponsorWish, Wish
from learningchain.client.keys.boxes import CannotSeal, seal_box
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import Chain, Effect, FetchContent, Input, Notice, PeerSaid, ServeFile, Settled, Submit
from learningchain.client.work.machine import Recalled

RETRY_MS = 20_000
"""Chain clock after which a start that was refused is tried again."""
MOST_HEARD = 64
KEEP_MS = 30 * 86_400_000
MOST_OPENED = 1_024
"""More than this a book that is read again may not have: who left the state make room."""
KEY_BOX_LABEL = b"learningchain hidden key box 1"
BOX = 80
SERVED = (FederationState.HAVE, FederationState.ROWS, FederationState.SCREEN, FederationState.SUM)


def key_context(chain: bytes, federation: bytes, seat: bytes) -> bytes:
    """LC-FILE-46: what the box of the hidden file's key is bound to."""
    return chain + federation + seat


class SponsorBook(Wire, frozen=True):
    opened: Annotated[list[SponsoredFederation], Meta(max_length=MOST_OPENED)]
    updates: MakerBook


NEW_SPONSOR_BOOK = SponsorBook([], NO_UPDATES)


class SponsorMachine(FederationRole):
    name = f"{KIND}.sponsor"
    wishes = "sponsor"

    def __init__(self, known: Recalled, keys: OwnBoxKeys, book: SponsorBook = NEW_SPONSOR_BOOK) -> None:
        super().__init__(known, keys)
        self._opened = {one.federation: one for one in book.opened}
        self.awaited.images.update(one.federation for one in book.opened if one.data)
        self._maker = UpdateMaker(self.known, self.awaited, book.updates, "fed-reference")
        self._serving: set[tuple[bytes, int]] = set()
        self._starts: dict[bytes, tuple[int, int, int]] = {}
        """By federation: starts used up, tries of the next one, and when the next try may be (chain clock)."""
        self._pending: dict[str, bytes] = {}
        self._heard: list[PeerSaid] = []
        self._final: set[bytes] = set()
        self._try_after: dict[bytes, int] = {}
        """When what failed to train is tried again (chain clock)."""
        self._unfit: dict[bytes, tuple[int, bool]] = {}
        """Rounds that have no reference on this base, and whether they cannot start for that."""
        self._absent: set[bytes] = set()
        """Those that the state has not, at the last look."""
        self._clock = 0

    @property
    def opened(self) -> set[bytes]:
        """What it looks after."""
        return set(self._opened)

    @property
    def book(self) -> SponsorBook:
        return SponsorBook(list(self._opened.values()), self._maker.book)

    @property
    def runs(self) -> bool:
        """Training on the reference data."""
        return any(one.data for one in self._opened.values())

    def files(self, book: SponsorBook) -> set[Path]:
        return files_of(book.updates)

    def wished(self, wish: Wish) -> Iterator[Effect]:
        if not isinstance(wish, SponsorWish):
            return
        found = SponsoredFederation(wish.federation, str(Path(wish.initial)), wish.hidden_key, wish.data, wish.auto)
        yield from self._make_room(wish.federation)
        if wish.federation in self._opened and self._opened[wish.federation].data != wish.data:
            yield from self._maker.train_anew(wish.federation)
        if wish.federation in self._opened or len(self._opened) < MOST_OPENED:
            self._opened[wish.federation] = found

    def respond(self, given: Input) -> Iterable[Effect]:
        match given:
            case PeerSaid(message=KeyAsk()) if len(self._heard) < MOST_HEARD:
                self._heard.append(given)
            case Settled() if given.key in self._pending:
                self._try_later(self._pending.pop(given.key))
            case Chain():
                return self._look(given)
            case _:
                self._maker.hear(given)
        return ()

    def _make_room(self, federation: bytes) -> Iterator[Effect]:
        """The oldest that is not in the state goes: it left it, or never came, as its opening was refused."""
        old = next((one for one in self._opened if one in self._absent), None)
        if old is not None and federation not in self._opened and len(self._opened) >= MOST_OPENED:
            del self._opened[old]
            yield from self._maker.forget(old)

    def _look(self, given: Chain) -> Iterator[Effect]:
        self._clock = given.clock
        duties = owed(given, self.known.me)
        heard, self._heard = self._heard, []
        self._absent &= self._opened.keys()
        for federation, own in sorted(self._opened.items()):
            at = look(given.reader, federation)
            if at is None:
                self._absent.add(federation)
                continue
            self._absent.discard(federation)
            if at.posting.sponsor != self.known.me:
                continue
            yield from self._maker.tidy(at)
            if at.state == FederationState.END:
                self._unfit.pop(federation, None)
            if (federation, 0) not in self._serving:
                self._serving.add((federation, 0))
                yield ServeFile(federation, at.terms.model, Path(own.initial))
            asked = duties.get(federation, set())
            if FederationDuty.START_ROUND in asked and own.auto:
                yield from self._start_with_reference(at, own)
            if FederationDuty.SEAL_KEY in asked and own.hidden_key:
                boxes = [self._box(at, own, seat.account, seat.box_key) for seat in at.now.panel if not seat.box]
                key = f"key:{federation.hex()}:{at.now.r}:{at.now.again}"
                yield Submit(KIND, key, federation, SealKey(federation, boxes))
            if FederationDuty.REFER in asked and own.data:
                yield from self._refer(at, own)
            yield from self._serve_reference(at)
            for seat, box_key in {(one.account, one.box_key) for one in at.now.panel}:
                if own.hidden_key and any(came.sender == seat and _asks(came, federation) for came in heard):
                    yield tell(seat, KeyGive(federation, self._box(at, own, seat, box_key)))
            if at.state == FederationState.END and at.now.best_r and federation not in self._final:
                self._final.add(federation)
                scope, until = f"fed-final:{federation.hex()}", given.clock + KEEP_MS
                yield FetchContent(scope, "final", federation, cid_text(at.now.best_model), at.terms.size, until, pin="fed-model")

    # --- rounds ----------------------------------------------------------------------------------------------------------------

    def _start_with_reference(self, at: FederationLook, own: SponsoredFederation) -> Iterator[Effect]:
        """LC-FILE-18: with split aligned a start without a reference comes to nothing, so the node tries its own first. Beside
        a cell each is long enough (LC-FILE-50)."""
        if not at.now.r or not at.terms.reference or not own.data or at.has_cells:
            yield from self._start(at)
            return
        found, aligned = self._maker.tried(at), at.terms.split == PaySplit.ALIGNED
        if self._maker.try_failed(at):
            if self._clock >= self._try_after.setdefault(at.id, self._clock + RETRY_MS):
                del self._try_after[at.id]
                yield from self._maker.try_again(at)
            if not aligned:
                yield from self._start(at)
            return
        if found is None:
            yield from self._maker.try_reference(at, own.data)
            return
        if found:
            self._unfit.pop(at.id, None)
        else:
            self._unfit[at.id] = at.now.r, aligned
        if found or not aligned:
            yield from self._start(at)

    def _start(self, at: FederationLook) -> Iterator[Effect]:
        starts, tries, after = self._starts.get(at.id, (-1, 0, 0))
        if starts != at.now.starts:
            starts, tries, after = at.now.starts, 0, 0
        waits = at.id in self._pending.values()
        if waits or self._clock < after:
            return
        key = f"start:{at.id.hex()}:{starts}:{tries}:{self._clock}"
        self._starts[at.id] = starts, tries + 1, after
        self._pending[key] = at.id
        yield Submit(KIND, key, at.id, StartRound(at.id, at.now.r))

    def _try_later(self, federation: bytes) -> None:
        """What was submitted stands, and the state moves on, or never will."""
        starts, tries, _ = self._starts[federation]
        self._starts[federation] = starts, tries, self._clock + RETRY_MS

    # --- the hidden file and the reference ---------------------------------------------------------------------------------------

    def _box(self, at: FederationLook, own: SponsoredFederation, seat: bytes, box_key: bytes) -> bytes:
        rng, context = self.known.rng, key_context(self.known.chain_id, at.id, seat)
        try:
            return seal_box(own.hidden_key, box_key, rng(32), KEY_BOX_LABEL, context)
        except (CannotSeal, ValueError):
            return rng(BOX)

    def _refer(self, at: FederationLook, own: SponsoredFederation) -> Iterator[Effect]:
        made = self._maker.made(at.id, at.now.starts)
        if made is None:
            yield from self._maker.work(at, own.data, secret=False)
            return
        op = ReferUpdate(at.id, at.now.starts, made.cid)
        yield Submit(KIND, f"refer:{at.id.hex()}:{at.now.starts}", at.id, op)

    def _serve_reference(self, at: FederationLook) -> Iterator[Effect]:
        made = self._maker.made(at.id, at.now.starts)
        if made is None or at.attempt is None or at.attempt.reference != made.cid or at.state not in SERVED:
            return
        if (at.id, made.attempt) not in self._serving:
            self._serving = {key for key in self._serving if key[0] != at.id or not key[1]} | {(at.id, made.attempt)}
            yield ServeFile(at.id, made.cid, Path(made.path), tuple(at.seats))

    def notices(self) -> list[Notice]:
        aligned = "with split aligned no start counts without one: give other reference data, or close the federation"
        other = "who is wrong is told by the other members' direction"
        text = (
            "round {} of {} has no reference: of what the own data change one value holds over a sixteenth, or there is nothing; {}"
        )
        unfit = [
            Notice("fed.no-reference", ref, text.format(r, ref.hex()[:12], aligned if stops else other))
            for ref, (r, stops) in sorted(self._unfit.items())
        ]
        return [*self._maker.notices(), *unfit, *super().notices()]


def _asks(came: PeerSaid, federation: bytes) -> bool:
    return isinstance(came.message, KeyAsk) and came.message.federation == federation
