"""`audit job`: a job is recomputed from genesis, and whoever told otherwise is found out. The chain is real, to the last root."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job.messages import Ballot
from learningchain.chain.crypto import address
from learningchain.chain.ledger.genesis import first_state, to_json
from learningchain.chain.losses import Measurement
from learningchain.chain.node.history import index_accounts
from learningchain.chain.storage import schema
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.types import Block, block_id
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.cli import recheck
from learningchain.client.contracts.job.cli.auditing import JobWatch
from learningchain.client.receipts.audit import Audit
from learningchain.client.receipts.audit_index import Happened, told_otherwise
from tests.unit.api_kit import FakeLedger
from tests.unit.job_kit import column

pytest_plugins = ["tests.unit.client_cli_kit"]


def keep(folder: Path, ledger: FakeLedger) -> BlockStore:
    """What a node that executed these blocks has on its disk."""
    folder.mkdir(exist_ok=True)
    (folder / "genesis.json").write_bytes(to_json(ledger.genesis))
    folder.chmod(0o700)
    store = BlockStore.open(str(folder / "db"), chain_id=ledger.chain_id, create=True)
    store.commit(CommitBatch(0, ledger.chain_id, b"", b"", [], [], [], first_state(ledger.genesis)[1]))
    for header, txs, receipts in ledger.blocks:
        block = encode(Block(header, [tx.raw for tx in txs]))
        store.commit(
            CommitBatch(
                header.height,
                block_id(header),
                block,
                encode(ledger.certificate(header)),
                [tx.id for tx in txs],
                [encode(receipt) for receipt in receipts],
                index_accounts(receipts),
                [],
            )
        )
    with store.engine.begin() as c:
        c.execute(sa.delete(schema.changes))  # a node need not keep them: it starts at the first block then
    return store


def played() -> tuple[FakeLedger, bytes]:
    """A job with a winner, among other blocks."""
    ledger = FakeLedger()
    shown: Measurement = column(5_000)
    job = ledger.judged_job(Ballot(int(BallotCode.OK), [shown], [], False))
    ledger.block()
    return ledger, job


def followed(store: BlockStore, ledger: FakeLedger, beginning: str) -> tuple[JobWatch, Any]:
    watch = JobWatch(beginning)
    found = asyncio.run(Audit(store, ledger.genesis, again=True, watch=watch).run(lambda height: None))
    return watch, found


def test_a_job_is_recomputed_from_genesis(tmp_path: Path, run: Any) -> None:
    ledger, job = played()
    store = keep(tmp_path / "node", ledger)
    watch, found = followed(store, ledger, job.hex()[:10])
    assert not found.fault and found.last < ledger.height, "it ends with the job"
    assert watch.job == job and watch.view is not None
    assert watch.view["state"] == "PAID" and watch.view["winner"] == address(ledger.ids["n1"])
    assert ("bounty", 10**7) in [(one.event.reason, one.event.amount) for one in watch.payments]  # type: ignore[union-attr]
    assert told_otherwise(watch.job, watch.notes, store, found.last) == []
    store.close()
    ran = run("audit", "job", job.hex()[:10], "--data", tmp_path / "node")
    assert ran.code == 0
    for said in (f"Job {job.hex()}: PAID", "its claimant won the bounty", "Drawn for audit 0, round 1:", "tells the same"):
        assert said in ran.out
    document = run("audit", "job", job.hex(), "--data", tmp_path / "node", "--json").json
    assert document["holds"] and document["view"]["rounds"][0]["committee"] and document["state_root"] == watch.root.hex()


def is_payment(event: Any) -> bool:
    return getattr(event, "topic", "") == "paid"


def test_receipts_that_were_changed_here_are_found_out(tmp_path: Path, run: Any) -> None:
    ledger, job = played()
    store = keep(tmp_path / "node", ledger)
    paid = next(header.height for header, _, receipts in ledger.blocks if any(is_payment(e) for r in receipts for e in r.events))
    with store.engine.begin() as c:
        wrong = schema.add_checksum(schema.at(paid, "receipts"), encode(store.receipts(paid - 1)))
        c.execute(sa.update(schema.blocks).where(schema.blocks.c.height == paid).values(receipts=wrong))
    store.close()
    ran = run("audit", "job", job.hex(), "--data", tmp_path / "node")
    assert ran.code == 1 and f"does not hold at block {paid}" in ran.out


def test_an_index_that_tells_otherwise_is_found_out(tmp_path: Path) -> None:
    ledger, job = played()
    store = keep(tmp_path / "node", ledger)
    watch, found = followed(store, ledger, job.hex())
    first = watch.notes[0]
    watch.happened.remove(first)
    (told,) = told_otherwise(watch.job, watch.notes, store, found.last)
    assert told.startswith("the index tells of what did not happen")
    watch.happened += [first, Happened(first.height + 1, first.tx, first.event)]
    (told,) = told_otherwise(watch.job, watch.notes, store, found.last)
    assert told.startswith("the index does not tell of it")
    store.close()


def test_what_is_no_job_is_said(tmp_path: Path, run: Any) -> None:
    ledger, _ = played()
    keep(tmp_path / "node", ledger).close()
    assert run("audit", "job", "ffffffff", "--data", tmp_path / "node").code == 2
    assert run("audit", "job", "job", "--data", tmp_path / "node").code == 2


def test_the_whole_chain_is_executed_again(tmp_path: Path, run: Any) -> None:
    ledger, _ = played()
    keep(tmp_path / "node", ledger).close()
    for _ in range(2):
        ran = run("audit", "chain", "--data", tmp_path / "node")
        assert ran.code == 0 and f"Blocks 1 to {ledger.height} hold" in ran.out


def test_the_model_is_evaluated_by_what_was_recomputed(tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node is asked for files only: what was posted, claimed and judged comes from the blocks."""
    ledger, job = played()
    keep(tmp_path / "node", ledger).close()
    given: list[Any] = []

    async def bring(node: Any, common: Any, found: Any, who: Any, folder: Path) -> recheck.Exhibit:
        given.append(found)
        return recheck.Exhibit(found, recheck.chosen(found, who), folder / "model", None, None)

    losses = iter((5_000, 10**9))
    monkeypatch.setattr(recheck, "bring", bring)
    monkeypatch.setattr(recheck, "evaluated", lambda common, case: [recheck.Rechecked("public", next(losses), 7, "done", "", None)])
    ran = run("audit", "job", job.hex(), "--evaluate", "--data", tmp_path / "node", "--json")
    assert ran.code == 0 and ran.json["evaluation"]["vote"] == "OK"
    assert given[0]["winner"] == address(ledger.ids["n1"]) and given[0]["terms"]["params"] == ""
    ran = run("audit", "job", job.hex(), "--evaluate", "--data", tmp_path / "node")
    assert ran.code == 1 and "this machine votes" in ran.out and "FALSE" in ran.out
