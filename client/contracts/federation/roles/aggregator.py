"""The aggregator: has the files of an attempt, and says with others which of them are summed, and to what. Pure.

    ledger               effect
    READY                Submit ReadyKey: a key of this attempt alone
    TRAIN, HAVE          FetchContent of each file that the ledger names, Compute of its opening, UpdateAnswer to its member
    HAVE                 all looked at, or no time left: Submit HaveUpdates
    SCREEN, SUM          `sum_work`; with cells `cell_work`
    any other            everything of the attempt goes

The seeds are in memory alone. The private key of an attempt is in the book, sealed under a key that only the account's signature
gives, and goes with the attempt: who takes the disk has nothing, and who later takes the account's key as well finds it gone. So a
node that starts again opens the files once more and goes on. Where the account's key is not on this machine the book has no private
key: then a node that starts again before its parts are pinned has no file of that attempt, and says so; the others decide.
Book: attempts with a key of this node, that key, and the parts that are pinned, which others may still fetch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.duties import FederationDuty
from learningchain.chain.contracts.federation.indexes import AggregatedFederations, federations_of
from learningchain.chain.contracts.federation.messages import (
    MOST_DIRECTIONS,
    STEPS,
    HaveUpdates,
    ReadyKey,
)
from learningchain.chain.contracts.federation.records import FederationState, RoundRecord
from learningchain.chain.host.terms import Small
from learningchain.chain.types import Hash, Uint
from learningchain.client.contracts.federation.roles.cell_work import cell_work
from learningchain.client.contracts.federation.roles.channel import FileAnswer, UpdateAnswer, UpdateOffer, answer_digest, tell
from learningchain.client.contracts.federation.roles.looking import (
    FederationLook,
    candidates_of,
    indexed,
    look,
    owed,
    reference_size,
)
from learningchain.client.contracts.federation.roles.role import KIND, FederationRole
from learningchain.client.contracts.federation.roles.sealing import SEALED, open_key, seal_key
from learningchain.client.contracts.federation.roles.seated import PRIVATE_PIN, PUBLIC_PIN, SUMMED, SeatedAttempt
from learningchain.client.contracts.federation.roles.sum_work import fetch_early, sum_work
from learningchain.client.contracts.federation.small_tasks import OpenSmall, SummedCells
from learningchain.client.contracts.federation.tasks import (
    MadeFile,
    OpenedUpdate,
    OpenUpdate,
)
from learningchain.client.contracts.federation.wishes import PathText
from learningchain.client.keys.boxes import public_of
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import (
    Chain,
    Compute,
    Computed,
    ComputeFailed,
    ContentMissing,
    ContentReady,
    Effect,
    EndScope,
    Input,
    Notice,
    PeerSaid,
    SendPeer,
    StopServing,
    Unpin,
)
from learningchain.client.work.machine import Recalled
from learningchain.p2p.content.cid import CidBytes

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.arithmetic.screening import Screening
    from learningchain.client.contracts.federation.arithmetic.small.screening import SmallScreen

MARGIN_MS = 15_000
"""Chain clock before the end of HAVE at which this node says what it has, whatever still comes."""
MOST_OFFERS = 256
"""Offers that wait for the next look at the ledger: as many as members, twice."""
MOST_PARTS = 6 + len(STEPS) * MOST_DIRECTIONS
WORKING = (
    FederationState.READY,
    FederationState.TRAIN,
    FederationState.HAVE,
    FederationState.ROWS,
    FederationState.SCREEN,
    FederationState.SUM,
)


class PinnedPart(Wire, frozen=True):
    """What this node pins of a mask; `stage` 3: the model (mask 1) and the delta (mask 2) of its sum, or a sum that is not finite
    (no record). With a cell that stage has the file of the sums (mask 0) and the candidates, from 1 on."""

    stage: Small
    mask: Small
    cid: CidBytes
    path: PathText
    size: Uint


class AggregatedAttempt(Wire, frozen=True):
    """`sealed`: the private key, `KeySeal`; empty where it cannot be sealed. `salts` of what was sealed, by stage; `beacon`:
    the one for which views were made, and for no other ever (LC-FILE-56)."""

    federation: Hash
    attempt: Uint
    sealed: Annotated[bytes, Meta(max_length=SEALED)]
    parts: Annotated[list[PinnedPart], Meta(max_length=MOST_PARTS)]
    salts: Annotated[list[Hash], Meta(max_length=2)]
    beacon: Annotated[bytes, Meta(max_length=32)]


class AggregatorBook(Wire, frozen=True):
    attempts: Annotated[list[AggregatedAttempt], Meta(max_length=4_096)]


NEW_AGGREGATOR_BOOK = AggregatorBook([])


class AggregatorMachine(FederationRole):
    name = f"{KIND}.aggregator"

    def __init__(self, known: Recalled, keys: OwnBoxKeys, book: AggregatorBook = NEW_AGGREGATOR_BOOK) -> None:
        super().__init__(known, keys)
        self._attempts: dict[bytes, SeatedAttempt] = {}
        for one in book.attempts:
            parts = {(part.stage, part.mask): MadeFile(Path(part.path), part.cid, part.size) for part in one.parts}
            private = open_key(known, one.federation, one.attempt, one.sealed)
            self._attempts[one.federation] = SeatedAttempt(
                self.known, one.federation, one.attempt, private, one.sealed, parts, list(one.salts), one.beacon
            )
        self._recalled = set(self._attempts)
        """Attempts of an earlier process whose parts are to be served again."""
        self._offers: list[PeerSaid] = []

    @property
    def book(self) -> AggregatorBook:
        return AggregatorBook(
            [
                AggregatedAttempt(
                    one.federation,
                    one.number,
                    one.sealed,
                    [PinnedPart(*key, made.cid, str(made.path), made.size) for key, made in sorted(one.parts.items())],
                    list(one.salts),
                    one.beacon,
                )
                for _, one in sorted(self._attempts.items())
            ]
        )

    def files(self, book: AggregatorBook) -> set[Path]:
        """Models and deltas of sums stay as long as they are needed (`cleanup`)."""
        return {Path(part.path) for one in book.attempts for part in one.parts if part.stage != SUMMED}

    def respond(self, given: Input) -> Iterable[Effect]:
        match given:
            case PeerSaid(message=UpdateOffer()) if len(self._offers) < MOST_OFFERS:
                self._offers.append(given)
            case ContentReady() | ContentMissing() | Computed() | ComputeFailed():
                mine = next((one for one in self._attempts.values() if one.scope == given.scope), None)
                if mine is not None:
                    self._hear(mine, given)
            case Chain():
                return self._look(given)
        return ()

    # --- what came -------------------------------------------------------------------------------------------------------------

    def _hear(self, mine: SeatedAttempt, given: ContentReady | ContentMissing | Computed | ComputeFailed) -> None:
        match given:
            case ContentReady():
                mine.paths[given.tag] = given.path
            case ContentMissing():
                mine.gone.add(given.tag)
                if given.tag.startswith("file-"):
                    mine.answers[int(given.tag[5:])] = FileAnswer.HASH
            case ComputeFailed():
                mine.why = f"{given.tag}: {given.reason}"
            case Computed(tag=tag, result=OpenedUpdate() as opened):
                self._opened(mine, tag, opened)
            case Computed(tag=tag):
                self._made(mine, tag, given.result)

    def _opened(self, mine: SeatedAttempt, tag: str, opened: OpenedUpdate) -> None:
        fine = opened.answer == FileAnswer.FETCHED.name
        if tag == "open-reference":
            mine.reference = (dict(opened.seeds)[1],) if fine else ()
            mine.gone |= set() if fine else {"reference"}
            return
        place = int(tag.removeprefix("open-"))
        mine.answers[place] = FileAnswer[opened.answer]
        if fine:
            mine.seeds[place] = dict(opened.seeds)

    @staticmethod
    def _made(mine: SeatedAttempt, tag: str, result: object) -> None:
        """`parts-STAGE-FIRST-SECOND`, the Screen, or the sum."""
        if tag.startswith("parts-") and isinstance(result, tuple):
            stage, *masks = map(int, tag.split("-")[1:])
            mine.parts |= {(stage, mask): made for mask, made in zip(masks, result, strict=True)}
        elif tag == "screen":
            mine.screening = cast("Screening | SmallScreen", result)
        elif tag == "sum":
            mine.summed = True
            if isinstance(result, tuple):
                mine.parts |= {(SUMMED, 1): result[0], (SUMMED, 2): result[1]}
            elif isinstance(result, SummedCells):
                found = enumerate((result.sums, *result.models))
                mine.parts |= {(SUMMED, number): made for number, made in found if made is not None}

    # --- the ledger --------------------------------------------------------------------------------------------------------------

    def _look(self, given: Chain) -> Iterator[Effect]:
        me, duties = self.known.me, owed(given, self.known.me)
        seen: dict[bytes, FederationLook] = {}
        for federation in federations_of(indexed(given), AggregatedFederations, me):
            at = look(given.reader, federation)
            if at is not None and at.attempt is not None and me in at.seats and at.state in WORKING:
                seen[federation] = at
        for federation, one in sorted(self._attempts.items()):
            if federation not in seen or seen[federation].now.starts != one.number:
                yield from self._leave(one, look(given.reader, federation))
        for federation, at in sorted(seen.items()):
            mine = self._attempts.get(federation)
            if mine is None:
                mine = self._attempts[federation] = SeatedAttempt(self.known, federation, at.now.starts)
            yield from self._work(at, mine, duties.get(federation, set()), given.clock)
        yield from self._answer_offers(seen)

    def _leave(self, one: SeatedAttempt, at: FederationLook | None) -> Iterator[Effect]:
        """Keys, seeds, parts and what was fetched go; model and delta are everybody's once they stand on the ledger as a
        round's, and stay as long as they are needed (`cleanup`)."""
        rounds = [at.reader.get(records.round_key(at.id, r)) for r in (at.now.r, at.now.r - 1)] if at is not None else []
        done = [found for found in rounds if isinstance(found, RoundRecord) and found.attempt == one.number]
        summed = {cid for found in done for cid in (found.model, found.delta, *candidates_of(at))}
        del self._attempts[one.federation]
        self._recalled.discard(one.federation)
        yield EndScope(one.scope)
        for pin in (PUBLIC_PIN, PRIVATE_PIN):
            yield Unpin(one.federation, f"{pin}:{one.federation.hex()}")
        for (stage, _), made in sorted(one.parts.items()):
            if stage != SUMMED or made.cid not in summed:
                yield StopServing(one.federation, made.cid, made.path)

    def _work(self, at: FederationLook, mine: SeatedAttempt, asked: set[FederationDuty], clock: int) -> Iterator[Effect]:
        if at.id in self._recalled and at.state in (FederationState.SCREEN, FederationState.SUM):
            self._recalled.discard(at.id)
            yield from mine.serve(at)
        if FederationDuty.READY in asked:
            yield from self._ready(at, mine)
        if at.state in (FederationState.TRAIN, FederationState.HAVE):
            yield from self._collect(at, mine)
        elif at.state in (FederationState.ROWS, FederationState.SCREEN, FederationState.SUM):
            yield from self._open_again(at, mine)
        if not at.has_cells:
            yield from fetch_early(at, mine)
        if FederationDuty.HAVE in asked:
            yield from self._have(at, mine, clock)
        work = cell_work if at.has_cells else sum_work
        yield from work(at, mine, asked)

    def _ready(self, at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
        """A process that finds this attempt in its book without the key has lost it, and it may be on its way to the ledger."""
        if "ready" in mine.asked or (at.id in self._recalled and not mine.private):
            return
        mine.asked.add("ready")
        if not mine.private:
            mine.private = self.known.rng(32)
            mine.sealed = seal_key(self.known, mine.federation, mine.number, mine.private)
        yield mine.submit("ready", ReadyKey(at.id, mine.number, public_of(mine.private)))

    # --- files -----------------------------------------------------------------------------------------------------------------

    def _collect(self, at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
        """Each file is fetched as soon as it is named, and opened as soon as it is here."""
        if not mine.opens(at):
            return
        size, attempt = formulas.update_size(at.terms), at.attempt
        until = at.now.deadline + (at.params.fed_base if at.state == FederationState.TRAIN else 0)
        for place, file in enumerate(at.files):
            yield from mine.fetch(at, f"file-{place}", file.cid, size, until, file.account)
            if f"file-{place}" in mine.paths:
                yield from self._open(at, mine, str(place), file.account, at.secret)
        if attempt is not None and attempt.reference and at.state == FederationState.HAVE:
            yield from mine.fetch(at, "reference", attempt.reference, reference_size(at.terms), who=at.posting.sponsor)
            if "reference" in mine.paths:
                yield from self._open(at, mine, "reference", at.posting.sponsor, secret=False)

    def _open_again(self, at: FederationLook, mine: SeatedAttempt) -> Iterator[Effect]:
        """The files that count, once more, where an earlier process opened them: no seed was on the disk."""
        if not mine.opens(at) or self.known.me not in (at.attempt.deciding if at.attempt is not None else ()):
            return
        size = formulas.update_size(at.terms)
        for place in at.judged:
            if place not in mine.seeds:
                mine.told.add(place)
                yield from mine.fetch(at, f"file-{place}", at.files[place].cid, size, who=at.files[place].account)
                if f"file-{place}" in mine.paths:
                    yield from self._open(at, mine, str(place), at.files[place].account, at.secret)
        if at.attempt is not None and at.attempt.with_reference and not mine.reference:
            yield from mine.fetch(at, "reference", at.attempt.reference, reference_size(at.terms), who=at.posting.sponsor)
            if "reference" in mine.paths:
                yield from self._open(at, mine, "reference", at.posting.sponsor, secret=False)

    def _open(self, at: FederationLook, mine: SeatedAttempt, tag: str, member: bytes, secret: bool) -> Iterator[Effect]:
        if f"open-{tag}" in mine.asked:
            return
        mine.asked.add(f"open-{tag}")
        path = mine.paths["reference" if tag == "reference" else f"file-{tag}"]
        place, position = at.place(self.known.chain_id), mine.position(at)
        dims, reference = at.terms.dims, tag == "reference"
        task: OpenUpdate | OpenSmall = OpenUpdate(
            place, member, path, dims, position, mine.private, secret, len(at.seats), reference
        )
        if at.has_cells:
            task = OpenSmall(place, member, path, dims, position, mine.private, reference)
        yield Compute(mine.scope, f"open-{tag}", at.id, task)

    def _have(self, at: FederationLook, mine: SeatedAttempt, clock: int) -> Iterator[Effect]:
        attempt = at.attempt
        if attempt is None:
            return
        waits = attempt.reference and not mine.reference and "reference" not in mine.gone
        resolved = len(mine.answers) == len(at.files) and not waits
        lost = not mine.opens(at)
        if not (resolved or lost or clock >= at.now.deadline - MARGIN_MS) or "have" in mine.asked:
            return
        mine.asked.add("have")
        bits = formulas.to_bitmap(sum(1 << place for place in mine.seeds), len(at.files))
        yield mine.submit("have", HaveUpdates(at.id, mine.number, bits, bool(attempt.reference and mine.reference)))

    # --- members ---------------------------------------------------------------------------------------------------------------

    def _answer_offers(self, seen: dict[bytes, FederationLook]) -> Iterator[Effect]:
        """Each member once when its file was looked at; who offers something else is told so, once for each offer."""
        offers, self._offers = self._offers, []
        for came in offers:
            offer = came.message
            if isinstance(offer, UpdateOffer):
                yield from self._answer(seen.get(offer.federation), came.sender, offer)
        for federation, at in sorted(seen.items()):
            mine = self._attempts[federation]
            for place in sorted(mine.answers.keys() - mine.told):
                mine.told.add(place)
                file = at.files[place]
                yield from self._signed(file.account, UpdateOffer(federation, mine.number, file.cid), mine.answers[place])

    def _answer(self, at: FederationLook | None, sender: bytes, offer: UpdateOffer) -> Iterator[Effect]:
        runs = at is not None and at.now.starts == offer.attempt
        files = enumerate(at.files) if at is not None and runs else ()
        named = next(((place, file) for place, file in files if file.cid == offer.cid), None)
        if at is None or named is None:
            yield from self._signed(sender, offer, FileAnswer.UNKNOWN)
        elif named[1].account != sender:
            yield from self._signed(sender, offer, FileAnswer.SENDER)
        elif at.state not in (FederationState.TRAIN, FederationState.HAVE):
            yield from self._signed(sender, offer, FileAnswer.LATE)
        else:
            self._attempts[at.id].told.discard(named[0])  # it did not hear the answer, or it will come

    def _signed(self, member: bytes, offer: UpdateOffer, answer: FileAnswer) -> Iterator[SendPeer]:
        """A node whose account's key lies elsewhere gives no answer: the member offers its file again, and loses nothing."""
        if self.known.sign is None:
            return
        signature = self.known.sign(answer_digest(self.known.chain_id, member, offer, answer))
        yield tell(member, UpdateAnswer(offer.federation, offer.attempt, offer.cid, answer, signature))

    def notices(self) -> list[Notice]:
        text = "attempt {} of {}, for which this node was drawn: {}"
        found = [one for one in self._attempts.values() if one.why]
        return [
            Notice("fed.aggregator", one.federation, text.format(one.number, one.federation.hex()[:12], one.why)) for one in found
        ]
