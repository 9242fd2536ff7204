"""Evidence of double signing: durable, and sent until it is in a block or of no more use (LC-CON-17)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.contracts.membership import Ejection, ReportDouble, ejection_key
from chain.errors import InvalidTx, TxCode
from chain.ledger.transition import validators_of
from chain.types import PREVOTE, Vote, VoteEvidence, vote_digest
from client.core import Before
from client.reports import Reports
from tests.unit.work_kit import PARAMS, Chain, Inline, LedgerDouble, blocks, key_of, run_virtual

NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: nothing here cuts the power."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield Path(name)


class Pool(LedgerDouble):
    """A node's ledger whose pool takes nothing while it is full."""

    full: Callable[[], bool] = staticmethod(lambda: False)

    async def submit(self, ops: list[Any], *, urgent: bool = False, before: Before | None = None) -> bytes:
        assert urgent
        if self.full():
            raise InvalidTx(TxCode.MEMPOOL_FULL, "too many transactions wait here")
        return await super().submit(ops, urgent=urgent, before=before)


def twice(chain: Chain, name: str, height: int = 1) -> VoteEvidence:
    """Two prevotes of a validator for one round."""
    made = []
    for block in (b"\x01" * 32, b"\x02" * 32):
        digest = vote_digest(chain.chain_id, PREVOTE, height, 0, block)
        made.append(Vote(PREVOTE, height, 0, block, chain.ids[name], key_of(name).sign(digest)))
    return VoteEvidence(*made)


def chain_of(**params: int) -> Chain:
    chain = Chain(NAMES, [], msgspec.structs.replace(PARAMS, **params))
    chain.block()
    return chain


def ejected(chain: Chain, name: str) -> bool:
    return all(v.id != chain.ids[name] for v in validators_of(chain.state))


def reports_of(chain: Chain) -> list[bytes]:
    return [op.evidence.a.validator for _, op in chain.sent if isinstance(op, ReportDouble)]


def test_a_report_is_sent_and_the_validator_leaves(folder: Path) -> None:
    async def main() -> None:
        chain = chain_of()
        reports = Reports(folder / "reports.db", Pool(chain, "a"), Inline())
        reports.start()
        assert not (folder / "reports.db").exists()
        for _ in range(3):
            reports.report(twice(chain, "d"))
        await blocks(chain, lambda: ejected(chain, "d"), 60)
        await blocks(chain, lambda: not reports.waiting, 60)
        assert reports_of(chain) == [chain.ids["d"]]
        await reports.stop()

    run_virtual(main())


def test_each_height_and_each_validator_has_a_report_of_its_own_and_nothing_stays_open(folder: Path) -> None:
    """All of them at once: the database is opened by the first alone."""

    async def main() -> None:
        chain = chain_of()
        chain.block()
        pool = Pool(chain, "a")
        pool.full = lambda: True
        reports = Reports(folder / "reports.db", pool, Inline())
        for _ in range(2):
            for name, height in (("c", 1), ("d", 1), ("d", 2)):
                reports.report(twice(chain, name, height))
        await blocks(chain, lambda: reports.waiting == 3, 60)
        await reports.stop()
        assert not [name for name in open_files() if name.startswith(str(folder))]

    run_virtual(main())


def open_files() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def test_what_was_in_no_block_is_sent_again_after_a_restart(folder: Path) -> None:
    async def main() -> None:
        chain = chain_of()
        full = Pool(chain, "a")
        full.full = lambda: True
        before = Reports(folder / "reports.db", full, Inline())
        before.report(twice(chain, "d"))
        await blocks(chain, lambda: bool(before.waiting), 60)
        await before.stop()
        assert reports_of(chain) == [] and not ejected(chain, "d")
        after = Reports(folder / "reports.db", Pool(chain, "a"), Inline())
        after.start()
        await blocks(chain, lambda: ejected(chain, "d"), 60)
        await after.stop()

    run_virtual(main())


def test_the_set_changes_once_a_block_and_both_leave(folder: Path) -> None:
    """LC-MEM-11: the second one is refused in that block and comes again."""

    async def main() -> None:
        chain = chain_of()
        reports = Reports(folder / "reports.db", Pool(chain, "a"), Inline())
        reports.report(twice(chain, "c"))
        reports.report(twice(chain, "d"))
        await blocks(chain, lambda: ejected(chain, "c") and ejected(chain, "d"), 60)
        await reports.stop()

    run_virtual(main())


def test_what_others_reported_or_what_is_too_old_is_laid_aside(folder: Path) -> None:
    async def main() -> None:
        chain = chain_of(evidence_age=5)
        chain.now("b", ReportDouble(twice(chain, "d")))
        assert chain.state.get(ejection_key(chain.ids["d"], 1)) == Ejection(1)
        ledger = Pool(chain, "a")
        ledger.full = lambda: True
        reports = Reports(folder / "reports.db", ledger, Inline())
        reports.report(twice(chain, "d"))
        reports.report(twice(chain, "c"))
        await blocks(chain, lambda: chain.state.get(b"g/").height > 20, 200)  # type: ignore[union-attr]
        await blocks(chain, lambda: not reports.waiting, 200)
        assert len(reports_of(chain)) == 1
        await reports.stop()

    run_virtual(main())


def test_a_book_that_is_damaged_is_set_aside(folder: Path) -> None:
    async def main() -> None:
        chain = chain_of()
        (folder / "reports.db").write_bytes(b"no database" * 100)
        reports = Reports(folder / "reports.db", Pool(chain, "a"), Inline())
        reports.start()
        reports.report(twice(chain, "d"))
        await blocks(chain, lambda: ejected(chain, "d"), 60)
        assert (folder / "reports.damaged").exists()
        await reports.stop()

    run_virtual(main())
