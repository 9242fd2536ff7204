"""What every decided block did, compared with the ledger that executes it a second time (`checks_ledger` and what it names).

A height is looked at once, when the first honest machine commits it; the others must have decided the same block and the same root.
Besides: whom every escrow belongs to, and that no job outlives its last deadline.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chain.codec import decode, encode
from chain.contracts import state_type
from chain.contracts.job import records
from chain.host import K_SUPPLY
from chain.merkle import list_root
from chain.node.events import Commit
from chain.types import Block, LogEvent, Receipt, TransferEvent
from tests.sim.checks_bytes import BytesCheck
from tests.sim.checks_federations import PREFIXES as FEDERATED
from tests.sim.checks_federations import Federations
from tests.sim.checks_governance import Governance
from tests.sim.checks_jobs import Jobs
from tests.sim.checks_keys import Keys
from tests.sim.checks_ledger import Broken, Ledger, must
from tests.sim.checks_members import Members
from tests.sim.checks_predictions import PREFIXES, Predictions

ENDED = (records.JobState.PAID, records.JobState.REFUNDED, records.JobState.EMPTY)
ID = 20


class ChainCheck:
    def __init__(self, chain_id: bytes, genesis: list[tuple[bytes, bytes | None]]) -> None:
        self.ledger = Ledger(genesis)
        self.members = Members(self.ledger)
        self.jobs = Jobs(self.ledger, self.members)
        self.keys = Keys(self.ledger)
        self.predictions = Predictions(self.ledger, self.members)
        self.federations = Federations(self.ledger, self.members)
        self.governance = Governance(self.ledger)
        self.bytes = BytesCheck(self.ledger)
        self.head = chain_id
        self.height = 0
        self.block = b""
        self.codes: list[int] = []
        self._stored = {key: raw for key, raw in genesis if raw is not None}
        self._told = 0
        """The last height whose receipts were looked at."""
        self._waiting: dict[int, tuple[bytes, list[int], dict[bytes, int]]] = {}

    # --- a block ----------------------------------------------------------------------------------------------------------------

    def committed(self, commit: Commit, block: Block) -> None:
        """Raises `Broken`. A height that was looked at is not looked at again."""
        if commit.height <= self.height:
            return
        ledger = self.ledger
        codes = ledger.apply(commit.block_id, block.header, block.txs, self.head)
        self.height, self.head = commit.height, commit.block_id
        self.bytes.block()
        self._compare(commit.state)
        self._waiting[commit.height] = (block.header.receipt_root, codes, self._moved())
        self._owed()
        self._in_time()

    def _compare(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        """Every record that the nodes changed, and every one that should have changed."""
        for key, raw in changes:
            if raw is None:
                self._stored.pop(key, None)
            else:
                self._stored[key] = raw
        records_, stored = self.ledger.records, self._stored
        told = {key for key, _ in changes if key.startswith(PREFIXES)}
        self.predictions.compare(stored, bool(told))
        trained = {key for key, _ in changes if key.startswith(FEDERATED)}
        self.federations.compare(stored, bool(trained))
        told |= trained
        for key in sorted({*self.ledger.touched, *(key for key, _ in changes)} - told):
            expected = records_.get(key)
            if (None if expected is None else encode(expected)) != stored.get(key):
                raise Broken(f"the record {_named(key)}: {_difference(key, expected, stored.get(key))}")

    def _moved(self) -> dict[bytes, int]:
        """By how much each account and escrow changed in the last block."""
        written = [(key, old) for key, old in self.ledger.touched.items() if key[:2] in (b"a/", b"e/")]
        difference = {key[2:]: _held(self.ledger.get(key)) - _held(old) for key, old in written}
        return {who: amount for who, amount in difference.items() if amount}

    def receipts(self, height: int, receipts: list[Receipt]) -> None:
        """What the block's receipts say is what happened, and their root is in the header."""
        told = self._waiting.pop(height, None)
        if told is None:
            return
        root, codes, moved = told
        must(list_root([encode(r) for r in receipts]) == root, f"height {height}: the receipts have another root than the header's")
        said = [r.code for r in receipts[1:]]
        must(said == codes, f"receipts with the codes {[int(c) for c in said]}, by the rules {codes}")
        parked = {event.ref for event in receipts[0].events if isinstance(event, LogEvent) and event.topic == "parked"}
        telling = [event for event in receipts[0].events if event.ref in parked]
        must(len(telling) == len(parked), f"height {height}: what was undone when a reference was parked is told of")  # LC-BLK-20
        events = [event for r in receipts for event in r.events if isinstance(event, TransferEvent)]
        must(_sums(events) == moved, f"height {height}: the credits that moved are not those of the receipts")

    # --- jobs -------------------------------------------------------------------------------------------------------------------

    def _owed(self) -> None:
        """Escrows: a live job may hold some, one that ended only stakes that wait for their page."""
        ledger = self.ledger
        for key in ledger.touched:
            if not key.startswith(b"jb/") or ledger.get(key) is None:  # posted by a transaction that was refused
                continue
            job, held = ledger.get(key), self._escrows(key[3:])
            if job.state in ENDED:
                stakes = sum(amount for escrow, amount in held.items() if len(escrow) > len(key[3:]) + 1)
                must(job.released < job.claimants or not stakes, f"a stake of the ended job {key[3:11].hex()} belongs to nobody")
                must(sum(held.values()) == stakes, f"an escrow of the ended job {key[3:11].hex()} belongs to nobody")

    def _escrows(self, job: bytes) -> dict[bytes, int]:
        claims = (self.jobs.claim(job, i).claimant for i in range(self.jobs.job(job).claimants))
        names = [job + suffix for suffix in (b"B", b"F", b"G", b"D", *claims)]
        return {name: self.ledger.held(name) for name in names if self.ledger.held(name)}

    def _in_time(self) -> None:
        """LC-JOB-14, with what blocks came late for the deadlines that they handled."""
        for job in (key[2:] for key in self.ledger.live):
            latest = self.jobs.latest_end(job)
            if self.ledger.chain.clock > latest and self.jobs.job(job).deadline > latest:
                raise Broken(f"the job {job[:8].hex()} was to end at {latest}, it goes on until {self.jobs.job(job).deadline}")

    def supply(self) -> int:
        supply: Any = self.ledger.get(K_SUPPLY)
        held = sum(_held(record) for key, record in self.ledger.records.items() if key[:2] in (b"a/", b"e/"))
        must(held == supply.minted - supply.burned, "credits appeared or vanished")
        return held


def _held(record: Any) -> int:
    if record is None:
        return 0
    return record.amount if hasattr(record, "amount") else record.balance + record.frozen  # type: ignore[no-any-return]


def _sums(events: Iterable[TransferEvent]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for event in events:
        found[event.source] = found.get(event.source, 0) - event.amount
        found[event.target] = found.get(event.target, 0) + event.amount
    found.pop(b"", None)
    return {who: amount for who, amount in found.items() if amount}


def _difference(key: bytes, expected: Any, raw: bytes | None) -> str:
    """Field by field, for people."""
    found = None if raw is None else decode(state_type(key), raw, 1_000_000)
    if found is None or expected is None:
        return "there should be none" if expected is None else "it is missing"
    pairs = ((name, getattr(found, name), getattr(expected, name)) for name in type(expected).__struct_fields__)
    return ", ".join(f"{name} is {_short(has)}, by the rules {_short(want)}" for name, has, want in pairs if has != want)


def _short(value: Any) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) < 40 else text[:40] + " …"


def _named(key: bytes) -> str:
    prefix, _, rest = key.partition(b"/")
    return f"{prefix.decode()}/{rest.hex()[:16]}"
