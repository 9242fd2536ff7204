"""What became of this node's own part in federations: a note for each attempt, for its owner to read. Pure.

It decides nothing. What it says of codes and points is the ledger's; losses on own data are this node's alone and leave it never.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from learningchain.chain.codec import Wire, read
from learningchain.chain.contracts.federation.formulas import update_size
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.chain.host.terms import Small
from learningchain.chain.losses import Measurement
from learningchain.chain.types import Hash, Uint
from learningchain.client.contracts.federation.roles.looking import ATTEMPTING, FederationLook

JOURNAL: Final = "federation.journal"
MOST_NOTES: Final = 2_048
"""Of one federation: the latest."""
MOST_IN_ALL: Final = 65_536
"""Of all federations: some 40 MB at most, less than a book may have. The federations that were quiet for longest go."""
MOST_PREVIEWS: Final = 64
Why = Annotated[str, Meta(max_length=500)]
OwnLoss = Annotated[list[Measurement], Meta(max_length=1)]
SCREENED = (FederationState.SUM, FederationState.MEASURE, FederationState.OPEN, FederationState.IDLE, FederationState.END)


class AttemptNote(Wire, frozen=True):
    """An attempt whose roster had this node. `sent`: its file stood on the ledger; `size` bytes, for `seats` aggregators. `code`: a
    `FileCode`, 0 where nothing was agreed. `before`: what the model that it began from loses on own data; `base`: bytes of it.
    `why`: why nothing was sent."""

    attempt: Uint
    r: Uint
    sent: bool
    size: Uint
    seats: Small
    base: Uint
    code: Small
    points: Small
    before: OwnLoss
    why: Why


class FederationNotes(Wire, frozen=True):
    """`final`: what the best model loses on own data, after the end."""

    federation: Hash
    notes: Annotated[list[AttemptNote], Meta(max_length=MOST_NOTES)]
    final: OwnLoss


class PreviewNote(Wire, frozen=True):
    """A `local` run that sent nothing. `ended`: its outcome, "ok" where it left a model; empty while it runs."""

    number: Hash
    federation: Hash
    data: Annotated[str, Meta(max_length=256)]
    ended: Annotated[str, Meta(max_length=64)]
    reason: Why
    before: OwnLoss
    size: Uint


class JournalBook(Wire, frozen=True):
    federations: Annotated[list[FederationNotes], Meta(max_length=1_024)]
    previews: Annotated[list[PreviewNote], Meta(max_length=MOST_PREVIEWS)]


EMPTY: Final = JournalBook([], [])


def journal_in(blob: bytes | None) -> JournalBook:
    return EMPTY if blob is None else read(JournalBook, blob)


class OwnJournal:
    """`book` is replaced, never changed."""

    def __init__(self, me: bytes, book: JournalBook = EMPTY) -> None:
        self._me, self.book = me, book

    def begin(self) -> None:
        """A new process: previews of the one before are over."""
        why = "the node was started again meanwhile"
        previews = [one if one.ended else replace(one, ended="cancelled", reason=why) for one in self.book.previews]
        self.book = replace(self.book, previews=previews)

    def of(self, federation: bytes) -> FederationNotes:
        found = next((one for one in self.book.federations if one.federation == federation), None)
        return found or FederationNotes(federation, [], [])

    def look(self, at: FederationLook, why: str) -> None:
        """What the ledger says now of the attempt that runs, or ran last."""
        if at.attempt is None or all(one.account != self._me for one in at.roster) or at.now.r == 0:
            return
        note = replace(self._note(at.id, at.attempt.number, at.now.r), r=at.now.r)
        place = next((n for n, file in enumerate(at.files) if file.account == self._me), None)
        changed = replace(note, why=why[:500] if place is None and at.state in ATTEMPTING else note.why)
        if place is not None:
            codes, points = at.attempt.codes, at.attempt.points
            changed = replace(
                changed,
                sent=True,
                size=update_size(at.terms),
                seats=len(at.seats),
                base=at.terms.size,
                code=codes[place] if place < len(codes) else 0,
                points=points[place] if place < len(points) else 0,
                why="",
            )
        if changed != note or changed not in self.of(at.id).notes:
            self._put(at.id, changed)

    def trained(self, federation: bytes, attempt: int, found: Measurement) -> None:
        """What `local` said of the model that it began from: the same one may be begun from again, without another run."""
        self._put(federation, replace(self._note(federation, attempt, 0), before=[found]))

    def ended(self, federation: bytes, found: Measurement) -> None:
        self._replace(replace(self.of(federation), final=[found]))

    def preview(self, note: PreviewNote) -> None:
        others = [one for one in self.book.previews if one.number != note.number]
        over = [one for one in (*others, note) if one.ended][: max(0, len(others) + 1 - MOST_PREVIEWS)]
        self.book = replace(self.book, previews=[one for one in (*others, note) if one not in over][-MOST_PREVIEWS:])

    def _note(self, federation: bytes, attempt: int, r: int) -> AttemptNote:
        found = next((one for one in self.of(federation).notes if one.attempt == attempt), None)
        return found or AttemptNote(attempt, r, False, 0, 0, 0, 0, 0, [], "")

    def _put(self, federation: bytes, note: AttemptNote) -> None:
        own = self.of(federation)
        notes = sorted([*(one for one in own.notes if one.attempt != note.attempt), note], key=lambda one: one.attempt)
        self._replace(replace(own, notes=notes[-MOST_NOTES:]))

    def _replace(self, own: FederationNotes) -> None:
        others = [one for one in self.book.federations if one.federation != own.federation]
        kept = [*others, own][-1_024:]
        count = sum(len(one.notes) for one in kept)
        while count > MOST_IN_ALL:
            count -= len(kept.pop(0).notes)
        self.book = replace(self.book, federations=kept)
