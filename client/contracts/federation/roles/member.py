"""The member: trains on own data, seals its update, and serves it to the aggregators of the attempt alone. Pure.

    ledger                                  effect
    TRAIN, this node is of the roster       FetchContent of the base, `local`, Compute of the file; Submit CommitUpdate
    its commitment stands                   ServeFile to the aggregators alone, UpdateOffer to each until it answers
    the attempt is over                     StopServing, which deletes the file
    END                                     FetchContent of the best model

Beside it, in books of their own, the vaults: this node's (`vaulting`) and those that it keeps for others (`keeping`); and the
journal. Previews, and what the final model loses on own data: `quiet_runs`.

Book: which data is trained on where, local models by their bases, files of attempts that run, and how often each base was used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation import formulas
from learningchain.chain.contracts.federation.duties import FederationDuty
from learningchain.chain.contracts.federation.messages import CommitUpdate
from learningchain.chain.contracts.federation.records import FederationState, RosterEntry
from learningchain.chain.host import Account, account_key
from learningchain.chain.types import cid_text
from learningchain.client.contracts.federation.arithmetic.places import ROWS
from learningchain.client.contracts.federation.roles.channel import (
    FileAnswer,
    ShareAsk,
    ShareGive,
    UpdateAnswer,
    UpdateOffer,
    is_answer_of,
    tell,
)
from learningchain.client.contracts.federation.roles.journal import EMPTY, JOURNAL, JournalBook, OwnJournal
from learningchain.client.contracts.federation.roles.keeping import NOTHING_HELD, HeldBook, OthersVaults
from learningchain.client.contracts.federation.roles.looking import (
    ATTEMPTING,
    FederationLook,
    look,
    owed,
    sent_before,
    summed_in,
    was_summed,
)
from learningchain.client.contracts.federation.roles.making import (
    NO_UPDATES,
    MakerBook,
    UpdateMade,
    UpdateMaker,
    files_of,
    published_by,
)
from learningchain.client.contracts.federation.roles.quiet_runs import QuietRuns
from learningchain.client.contracts.federation.roles.role import KIND, FederationRole
from learningchain.client.contracts.federation.roles.vaulting import NO_OWN_VAULTS, OwnVaultBook, OwnVaults
from learningchain.client.contracts.federation.roles.verifiers import deciders, too_few_to_draw
from learningchain.client.contracts.federation.roles.waiting import why_it_waits
from learningchain.client.contracts.federation.wishes import PreviewWish, StopWish, TrainedFederation, TrainWish, VaultWish, Wish
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import Chain, Effect, FetchContent, Forget, Input, Notice, PeerSaid, ServeFile, Submit
from learningchain.client.work.gone import GoneRefs
from learningchain.client.work.machine import Recalled

OFFER_MS = 10_000
"""Chain clock after which a file is offered again to who did not answer."""
MOST_HEARD = 64
"""Answers that wait for the next look at the ledger."""
KEEP_MS = 30 * 86_400_000
MOST_JOINED = 1_024
"""More than this a book that is read again may not have: what is wanted beyond is not taken up, and said so."""


class MemberBook(Wire, frozen=True):
    joined: Annotated[list[TrainedFederation], Meta(max_length=MOST_JOINED)]
    updates: MakerBook


NEW_MEMBER_BOOK = MemberBook([], NO_UPDATES)


def most_attempts(dims: int) -> int:
    """LC-FILE-8, as `updates.most_attempts`, which needs numpy."""
    return max(3, dims // (8 * ROWS))


class VaultBook(Wire, frozen=True):
    own: OwnVaultBook
    others: HeldBook


VAULTS = f"{KIND}.vaults"
NO_VAULTS = VaultBook(NO_OWN_VAULTS, NOTHING_HELD)


def beside(at: FederationLook, account: bytes) -> list[RosterEntry]:
    """Whose updates stand in one sum with the account's: with cells those of its own."""
    own = next((one.index for one in at.roster if one.account == account), None)
    cells = [formulas.of_bitmap(cell.members) for cell in at.cells]
    inside = next((bits for bits in cells if own is not None and bits >> own & 1), 0)
    return [one for one in at.roster if one.account != account and (not at.has_cells or inside >> one.index & 1)]


class MemberMachine(FederationRole):
    name = f"{KIND}.member"
    wishes = "member"

    def __init__(
        self,
        known: Recalled,
        keys: OwnBoxKeys,
        book: MemberBook = NEW_MEMBER_BOOK,
        vaults: VaultBook = NO_VAULTS,
        journal: JournalBook = EMPTY,
    ) -> None:
        super().__init__(known, keys)
        known = self.known
        self._min_verifiers = known.config.federation.min_verifiers
        self._joined = {one.federation: one for one in book.joined}
        self.awaited.images.update(self._joined)
        self.journal = OwnJournal(known.me, journal)
        self._maker = UpdateMaker(known, self.awaited, book.updates, "fed-update")
        self._quiet = QuietRuns(known.chain_id, self.awaited, self.journal, self._joined)
        self._own, self._others = OwnVaults(known, keys, vaults.own), OthersVaults(known, keys, vaults.others)
        self._maker.recovered = self._own.recovered
        self._serving: set[tuple[bytes, int]] = set()
        self._offered: dict[tuple[bytes, int, bytes], int] = {}
        """When a file was offered to an aggregator."""
        self.answers: dict[tuple[bytes, int, bytes], UpdateAnswer] = {}
        """What aggregators signed of files of attempts that run."""
        self._heard: list[PeerSaid] = []
        self._final: set[bytes] = set()
        self._full = b""
        """The last one that was not taken up, as there are too many."""
        self._absent: set[bytes] = set()
        """Those that the state had not, at the last look."""
        self._gone = GoneRefs()
        self._published: dict[bytes, bytes] = {}
        """What the ledger had of this owner's data at the last look."""
        self._why: dict[bytes, str] = {}
        """Why it does not train though the roster has it."""
        self._waits: dict[bytes, str] = {}
        """Why the roster has it not."""
        self._noted: dict[bytes, tuple[Any, ...]] = {}
        """What the journal has of each."""
        self._begun = False

    @property
    def book(self) -> MemberBook:
        return MemberBook(list(self._joined.values()), self._maker.book)

    @property
    def vaults(self) -> VaultBook:
        """As `book`, of the vaults."""
        return VaultBook(self._own.book, self._others.book)

    @property
    def books(self) -> dict[str, Wire]:
        return {VAULTS: self.vaults, self.name: self.book, JOURNAL: self.journal.book}

    def files(self, book: MemberBook) -> set[Path]:
        return files_of(book.updates)

    @property
    def runs(self) -> bool:
        return bool(self._joined or self._quiet)

    def needs_image(self, at: FederationLook, clock: int) -> bool:
        return self._quiet.needs_image(at, clock)

    def take_in(self, given: Input) -> Iterator[Effect]:
        if not self._begun:
            self._begun = True
            self.journal.begin()
        yield from super().take_in(given)

    def wished(self, wish: Wish) -> Iterator[Effect]:
        match wish:
            case TrainWish():
                yield from self._take_up(wish)
            case StopWish():
                yield from self._stop(wish.federation)
                yield from self._quiet.stop(wish.federation)
            case VaultWish():
                yield from self._own.wished(wish)
            case PreviewWish():
                self._quiet.wished(wish)

    def respond(self, given: Input) -> Iterator[Effect]:
        match given:
            case PeerSaid(message=UpdateAnswer()) if len(self._heard) < MOST_HEARD:
                self._heard.append(given)
            case PeerSaid(message=ShareAsk() | ShareGive()) if given.message.federation not in self._joined:
                return
            case Chain():
                yield from self._look(given)
            case _:
                self._maker.hear(given)
        self._own.hear(given)
        yield from self._others.hear(given)
        yield from self._quiet.hear(given)

    @property
    def joined(self) -> dict[bytes, TrainedFederation]:
        """What it trains in, by federation."""
        return dict(self._joined)

    @property
    def why_not(self) -> dict[bytes, str]:
        """Why nothing of this attempt leaves the node, by federation."""
        return self._why | {this.federation: why for this, why in self._maker.failed.items()}

    def _stop(self, federation: bytes) -> Iterator[Effect]:
        """A run on the owner's data ends at once, and what it left goes; so does what was said of it."""
        self.answers = {key: one for key, one in self.answers.items() if key[0] != federation}
        self._full = b"" if self._full == federation else self._full
        self._joined.pop(federation, None)
        self._absent.discard(federation)
        self._published.pop(federation, None)
        yield from self._maker.forget(federation)
        yield from self._own.stop(federation)
        yield from self._others.stop(federation)

    def _take_up(self, given: TrainWish) -> Iterator[Effect]:
        """The oldest that is not in the state makes room: it left it, or never came. Joined again: with other data, perhaps, under
        the same name."""
        old = next((one for one in self._joined if one in self._absent), None)
        if given.federation not in self._joined and len(self._joined) >= MOST_JOINED:
            if old is None:
                self._full = given.federation
                return
            yield from self.forget(old)
        self._full = b""
        if given.federation in self._joined:
            yield from self._maker.train_anew(given.federation)
        self._joined[given.federation] = TrainedFederation(given.federation, given.data, given.min_vetted)

    def _look(self, given: Chain) -> Iterator[Effect]:
        self._take_answers(given)
        duties = owed(given, self.known.me)
        missing = [one for one in self._joined if self._has_vaults(one) and look(given.reader, one) is None]
        gone = self._gone.look(given, missing)
        self._why.clear()
        self._waits.clear()
        full = look(given.reader, self._full) if self._full else None
        if full is not None and full.state == FederationState.END:
            self._full = b""
        for federation, joined in sorted(self._joined.items()):
            at = look(given.reader, federation)
            if at is None:
                self._absent |= {federation} if given.recent else set()
                if federation in gone:
                    yield from self._own.stop(federation)
                    yield from self._others.stop(federation)
                continue  # its opening is not on the ledger yet, or it left the state
            self._absent.discard(federation)
            if waits := why_it_waits(at, self.known.me, given.clock):
                self._waits[federation] = waits
            yield from self._data_changed(at)
            local = self._maker.latest(federation)
            yield from self._own.look(at, local, given.clock)
            yield from self._others.look(at, given.clock)
            yield from self._maker.tidy(at, latest=at.state != FederationState.END or self._own.needs(at, local))
            self._drop_over(at)
            if FederationDuty.COMMIT in duties.get(federation, ()):
                yield from self._train(at, joined, given.clock)
            made = self._maker.made(federation, at.now.starts)
            if made is not None and at.has_committed(self.known.me):
                yield from self._serve(at, made, given.clock)
            if at.state == FederationState.END and at.now.best_r and federation not in self._final:
                self._final.add(federation)
                scope, until = f"fed-final:{federation.hex()}", given.clock + KEEP_MS
                cid, who = cid_text(at.now.best_model), at.posting.sponsor
                yield FetchContent(scope, "final", federation, cid, at.terms.size, until, pin="fed-model", holder=who)
            self._note(at)

    def _note(self, at: FederationLook) -> None:
        why = self.why_not.get(at.id, "")
        seen = at.now, at.attempt, why
        if self._noted.get(at.id) != seen:
            self._noted[at.id] = seen
            self.journal.look(at, why)

    def _data_changed(self, at: FederationLook) -> Iterator[Effect]:
        """The ledger has the word on other data: what was trained on those of before is nothing any more, and a run that was
        refused because the word had not come yet is tried again."""
        published = published_by(at, self.known.me)
        before = self._published.get(at.id, published)
        self._published[at.id] = published
        if before != published:
            yield from self._maker.train_anew(at.id)

    def _train(self, at: FederationLook, joined: TrainedFederation, clock: int) -> Iterator[Effect]:
        if (not at.has_cells) and (other := self._maker.sent_in(at.now.base, at.id) or summed_in(at, self.known.me)):
            self._why[at.id] = f"it {sent_before(other)}"
            return
        made = self._maker.made(at.id, at.now.starts)
        if made is not None:
            op = CommitUpdate(at.id, at.now.starts, made.cid, formulas.update_size(at.terms))
            yield Submit(KIND, f"commit:{at.id.hex()}:{at.now.starts}", at.id, op)
            return
        vetted = sum(one.vetted for one in beside(at, self.known.me))
        if vetted < joined.min_vetted:
            where = " of its cell" if at.has_cells else ""
            self._why[at.id] = f"{vetted} other members{where} carry the flag, and it was joined with at least {joined.min_vetted}"
        elif few := too_few_to_draw(len(deciders(at, clock).aggregators), self._min_verifiers):
            self._why[at.id] = few
        elif at.has_cells:
            yield from self._maker.work(at, joined.data, secret=True)
        elif self._maker.local_on_base(at) is None and was_summed(at.reader, at.id, self.known.me, at.now.base):
            back = "its vault is on its way back" if self._own.awaits(at.id) else "the next base is trained on"
            self._why[at.id] = f"an update on this base was summed, and the local model of it is not here: {back} (LC-FILE-8)"
        elif self._maker.attempts_on(at.now.base) >= most_attempts(at.terms.dims):
            self._why[at.id] = "as many attempts on this base have shown rows of this node's update as may (LC-FILE-8)"
        else:
            yield from self._maker.work(at, joined.data, at.secret)

    def _serve(self, at: FederationLook, made: UpdateMade, clock: int) -> Iterator[Effect]:
        if at.state not in ATTEMPTING:
            return
        if (at.id, made.attempt) not in self._serving:
            self._serving.add((at.id, made.attempt))
            yield ServeFile(at.id, made.cid, Path(made.path), tuple(at.seats))
        if at.state not in (FederationState.TRAIN, FederationState.HAVE):
            return
        for seat in at.seats:
            key = at.id, made.attempt, seat
            answered = key in self.answers and self.answers[key].answer != FileAnswer.UNKNOWN
            if not answered and clock >= self._offered.get(key, -OFFER_MS) + OFFER_MS:
                self._offered[key] = clock
                yield tell(seat, UpdateOffer(at.id, made.attempt, made.cid))

    # --- answers ---------------------------------------------------------------------------------------------------------------

    def _take_answers(self, given: Chain) -> None:
        """Only what an aggregator of the attempt signed of the very file."""
        heard, self._heard = self._heard, []
        for came in heard:
            message = came.message
            if not isinstance(message, UpdateAnswer):
                continue
            at, made = look(given.reader, message.federation), self._maker.made(message.federation, message.attempt)
            account = given.reader.get(account_key(came.sender))
            if at is None or made is None or made.cid != message.cid or not isinstance(account, Account):
                continue
            sits = came.sender in at.seats and at.now.starts == message.attempt
            if sits and is_answer_of(account.key, self.known.chain_id, self.known.me, message):
                self.answers[message.federation, message.attempt, came.sender] = message

    def _has_vaults(self, federation: bytes) -> bool:
        """Files of vaults are here: it was on the ledger, so it has left the state where it is missing for long (`GoneRefs`). One
        look says nothing: a recent state may be older than what it lacks."""
        made = any(one.federation == federation for one in self._own.book.made)
        return made or any(one.federation == federation for one in self._others.book.held)

    def _drop_over(self, at: FederationLook) -> None:
        runs = at.now.starts if at.state in ATTEMPTING else -1
        self.answers = {key: one for key, one in self.answers.items() if key[0] != at.id or key[1] == runs}
        self._offered = {key: one for key, one in self._offered.items() if key[0] != at.id or key[1] == runs}
        self._serving = {key for key in self._serving if key[0] != at.id or key[1] == runs}

    def forget(self, federation: bytes) -> Iterator[Effect]:
        """It left the state."""
        yield from self._stop(federation)
        self._final.discard(federation)
        yield Forget(federation)

    def notices(self) -> list[Notice]:
        text = "this node does not train in {}: {}"
        found = [Notice("fed.not-training", ref, text.format(ref.hex()[:12], why)) for ref, why in sorted(self._why.items())]
        waiting = "this node waits in {}: {}"
        found += [Notice("fed.waits", ref, waiting.format(ref.hex()[:12], why)) for ref, why in sorted(self._waits.items())]
        bad = (one for one in self.answers.values() if one.answer not in (FileAnswer.FETCHED, FileAnswer.UNKNOWN))
        told = "an aggregator of attempt {} turned this node's file away: {}"
        found += [Notice("fed.turned-away", one.federation, told.format(one.attempt, FileAnswer(one.answer).name)) for one in bad]
        if self._full:
            full = (
                f"this node does not train in {self._full.hex()[:12]}: it does in {MOST_JOINED} already. Leave others, join again"
            )
            found.append(Notice("fed.full", self._full, full))
        return found + self._maker.notices() + self._own.notices() + super().notices()
