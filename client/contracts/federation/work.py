"""The federation contract's part of a node's work: which machines it has, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace

from learningchain.chain.codec import read
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.records import FederationPosting, FederationRecord
from learningchain.chain.errors import Malformed
from learningchain.chain.host import Reader
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.federation.roles.aggregator import AggregatorBook, AggregatorMachine
from learningchain.client.contracts.federation.roles.best_round import NOTHING_NOTED, BestRoundBook
from learningchain.client.contracts.federation.roles.cleanup import FedCleanUp
from learningchain.client.contracts.federation.roles.hearing import HEARING
from learningchain.client.contracts.federation.roles.journal import JOURNAL, JournalBook
from learningchain.client.contracts.federation.roles.ledger_status import LEDGER_STATUSES
from learningchain.client.contracts.federation.roles.making import files_of
from learningchain.client.contracts.federation.roles.member import VAULTS, MemberBook, MemberMachine, VaultBook
from learningchain.client.contracts.federation.roles.panel import PanelBook, PanelMachine
from learningchain.client.contracts.federation.roles.role import KIND
from learningchain.client.contracts.federation.roles.serving import ServingAnnouncer
from learningchain.client.contracts.federation.roles.sponsor import SponsorBook, SponsorMachine
from learningchain.client.contracts.federation.without_numpy import numpy_missing
from learningchain.client.node.interface import PRIVATE
from learningchain.client.work.boxes import BOX_KEYS, OwnBoxKeys
from learningchain.client.work.events import Effect, Input, Notice
from learningchain.client.work.machine import Machine, Recalled, WorkPart

log: Any = structlog.get_logger("federation")
BOOKS: Mapping[str, Any] = {
    MemberMachine.name: MemberBook,
    SponsorMachine.name: SponsorBook,
    AggregatorMachine.name: AggregatorBook,
    PanelMachine.name: PanelBook,
    VAULTS: VaultBook,
    JOURNAL: JournalBook,
    FedCleanUp.name: BestRoundBook,
}


class NoNumpy(Machine):
    """A node without numpy takes no part, and says so where it has one."""

    name = f"{KIND}.without-numpy"

    def __init__(self, known: Recalled) -> None:
        self._wants = known.config.federation.serve or bool(known.books) or bool(known.secrets)

    def handle(self, given: Input) -> list[Effect]:
        return []

    def notices(self) -> list[Notice]:
        return [Notice("fed.no-numpy", b"", numpy_missing())] if self._wants else []


def _book(known: Recalled, name: str) -> Any:
    """What a machine kept; nothing where this program cannot read it, which is said. Local models whose file is gone, as after a
    restore, are trained anew."""
    blob = known.books.get(name)
    if blob is None:
        return None
    try:
        book = read(BOOKS[name], blob)
        if isinstance(book, MemberBook | SponsorBook):
            there = [one for one in book.updates.locals if Path(one.path).is_file()]
            book = replace(book, updates=replace(book.updates, locals=there))
        if isinstance(book, VaultBook):
            book = with_files(book)
        return book
    except Malformed as problem:
        log.error("a book of federated training cannot be read, and is begun anew", book=name, why=str(problem))
        return None


def with_files(book: VaultBook) -> VaultBook:
    """As after a restore: an own vault whose file is gone is fetched from who keeps it, others' are fetched again."""
    own, others = book.own, book.others
    made = [one for one in own.made if Path(one.path).is_file()]
    opened = [one for one in own.opened if Path(one.path).is_file()]
    held = [one for one in others.held if Path(one.path).is_file()]
    return VaultBook(replace(own, made=made, opened=opened), replace(others, held=held))


def _machines(known: Recalled) -> Sequence[Machine]:
    if numpy_missing():
        return (NoNumpy(known),)
    keys = OwnBoxKeys(known.secrets)

    def made(kind: Any, **names: str) -> Any:
        """`names` of its books, beside its own."""
        books = {what: _book(known, name) for what, name in {"book": kind.name, **names}.items()}
        return kind(known, keys, **{what: book for what, book in books.items() if book is not None})

    member, sponsor = made(MemberMachine, vaults=VAULTS, journal=JOURNAL), made(SponsorMachine)
    return (
        made(PanelMachine),
        made(AggregatorMachine),
        member,
        sponsor,
        FedCleanUp(lambda: {*member.joined, *sponsor.opened}, _book(known, FedCleanUp.name) or NOTHING_NOTED),
        ServingAnnouncer(known),
    )


def _files(books: Mapping[str, bytes]) -> set[Path]:
    """Those that books name: what cannot be read names none."""
    found: set[Path] = set()
    for name, blob in books.items():
        if name not in BOOKS:
            continue
        try:
            book = read(BOOKS[name], blob)
        except Malformed:
            continue
        if isinstance(book, AggregatorBook):
            found |= {Path(part.path) for one in book.attempts for part in one.parts}
        elif isinstance(book, VaultBook):
            found |= {Path(one.path) for one in book.own.made} | {Path(one.path) for one in book.own.opened}
        elif isinstance(book, MemberBook | SponsorBook):
            found |= files_of(book.updates)
    return found


def _images(reader: Reader) -> Iterator[tuple[bytes, str]]:
    """Of federations that live: only what this node has loaded is kept of them."""
    for key in list(reader.keys(records.LIVE)):  # type: ignore[attr-defined]
        federation = key[len(records.LIVE) :]
        posting = reader.get(records.posting_key(federation))
        if isinstance(posting, FederationPosting) and posting.terms.image.image_id:
            yield federation, f"sha256:{posting.terms.image.image_id.hex()}"


def _runs(config: WorkConfig, drawn: bool) -> bool:
    """Seats of panels; members and sponsors say by themselves that they run (`Machine.runs`)."""
    return config.verify and drawn


def _knows(reader: Reader, ref: bytes) -> bool:
    return isinstance(reader.get(records.federation_key(ref)), FederationRecord)


PART = WorkPart(
    name=KIND,
    knows=_knows,
    machines=_machines,
    ledger_statuses=LEDGER_STATUSES,
    runs=_runs,
    images=_images,
    reads=frozenset({BOX_KEYS}),
    tasks="learningchain.client.contracts.federation.desk",
    files=_files,
    hears=HEARING,
    keeps={"fed-": "file of a round", f"{PRIVATE}fed-": "file of a round, for some members alone"},
)
