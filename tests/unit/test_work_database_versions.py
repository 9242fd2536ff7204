"""The work database of an older program: nothing in it is lost. That of a newer one: refused, and left as it is."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from chain.codec import encode
from chain.contracts import decode_message
from chain.contracts.job import messages
from chain.contracts.job.messages import Ballot, Claim, CommitVote, Reveal
from chain.host import terms
from chain.types import parse_loss
from client.contracts.job import secrets
from client.contracts.job.verifier import Verifier
from client.contracts.job.worker import Worker
from client.work import WorkConfig
from client.work.artifacts import cid_of_file
from client.work.database import KEEP_MS, IntentState, WorkDatabase, WorkDatabaseError
from client.work.events import Model, Secret
from client.work.machine import Recalled
from client.work.migrations import SCHEMA, VERSION
from tests.unit.work_kit import Chain, Node, Web, blocks, run_virtual

CHAIN, ME, JOB, OTHER = b"c" * 32, b"m" * 20, b"j" * 32, b"k" * 32
OF_1 = Path(__file__).parent / "data" / "work_book_1.sql"
"""The dump of a book that the program of version 1 wrote, with something in each table."""


def cid(number: int) -> bytes:
    return b"\x01\x55\x12\x20" + bytes([number]) * 32


def restored(path: Path, script: str) -> Path:
    db = sqlite3.connect(path)
    db.executescript(script)
    db.close()
    path.chmod(0o600)
    return path


def tables(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    found = [row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE sql != '' ORDER BY sql")]
    db.close()
    return found


def test_nothing_of_a_book_of_version_1_is_lost(tmp_path: Path) -> None:
    path = restored(tmp_path / "work.db", OF_1.read_text())
    for _ in range(2):  # opened again it is one of this version
        book = WorkDatabase(path, CHAIN, ME)
        done, reveal, report = (
            book.intent("job", f"claim:{JOB.hex()}:1"),
            book.intent("job", f"reveal:{JOB.hex()}"),
            book.intent("membership", f"double:{'ab' * 20}:7"),
        )
        assert done is not None and (done.state, done.tx, done.note) == (IntentState.DONE, b"t" * 32, "it stands on the ledger")
        assert reveal is not None and decode_message(reveal.op) == Reveal(JOB, 1, cid(1), 1_001, b"\x11" * 32)
        assert report is not None and (report.op, report.state) == (b"report", IntentState.PENDING)
        assert [intent.key.partition(":")[0] for intent in book.pending()] == ["claim", "commit", "commit", "double", "reveal"]
        assert {op.commitment for op in map(decode_message, [i.op for i in book.pending() if i.key.startswith("commit")])} == {
            b"\x21" * 32,
            b"\x22" * 32,
        }
        found = {(secret.kind, secret.key): secret for secret in book.secrets()}
        for n in (1, 2):
            model = Model(Path(f"/models/{n}.model"), cid(n), 1_000 + n)
            claim = secrets.of_claim(bytes([n]) * 32, JOB, 500 * n, model, bytes([0x10 + n]) * 32)
            assert found.pop((secrets.CLAIM, claim.key)) == claim
            ballots = [Ballot(2 * n - 1, 5, 6, 0, 0), Ballot(1, 7, 8, 1, 9)]
            sealed = secrets.VoteSecret(bytes([0x20 + n]) * 32, bytes([0x30 + n]) * 32, ballots, [b"a" * 20, b"b" * 20])
            vote = secrets.of_vote((OTHER, 0, n), sealed)
            kept = found.pop((secrets.VOTE, vote.key))
            assert (kept.ref, kept.blob, secrets.seat_in(kept)) == (OTHER, vote.blob, (OTHER, 0, n))
        assert list(found.values()) == [secrets.of_key(b"K" * 32)]
        assert book.attempts(2) == {"job": {JOB: {1, 2}, OTHER: set()}}
        assert book.pins() == [("bafyone", f"job:{JOB.hex()}", JOB, 0), ("bafytwo", f"won:{OTHER.hex()}", OTHER, 9_999)]
        book.close()
    assert tables(path) == sorted(SCHEMA), "as one that this program made"
    book = WorkDatabase(path, CHAIN, ME)
    book.prune(2_000 + KEEP_MS)
    assert len([s for s in book.secrets() if s.kind == secrets.VOTE]) == 2
    book.prune(2_001 + KEEP_MS)
    assert not [s for s in book.secrets() if s.kind == secrets.VOTE], "votes go when they would have gone"
    book.close()


def test_the_machines_know_what_a_book_of_version_1_says(tmp_path: Path) -> None:
    book = WorkDatabase(restored(tmp_path / "work.db", OF_1.read_text()), CHAIN, ME)
    pending = [(intent.kind, intent.key, intent.ref) for intent in book.pending()]
    known = Recalled(ME, CHAIN, WorkConfig(), bytes, book.secrets(), book.attempts(2), pending)
    worker, verifier = Worker(known), Verifier(known)
    assert {key: claim.ref for key, claim in worker._claims.items()} == {b"\x01" * 32: JOB, b"\x02" * 32: JOB}
    assert worker._claiming == {JOB}
    assert {job: progress.used for job, progress in worker._progress_of.items()} == {JOB: {1, 2}, OTHER: set()}
    sealed = {seat: vote.commitment for seat, vote in verifier._votes.items()}
    assert sealed == {(OTHER, 0, 1): b"\x21" * 32, (OTHER, 0, 2): b"\x22" * 32}
    assert verifier._judge._measured == {(b"a" * 20, OTHER)}
    book.close()


def test_a_node_goes_on_from_a_book_of_version_1(tmp_path: Path) -> None:
    """A claim was stored and not sent, a vote of a job that is over was kept: the claim lands, is revealed, and wins."""

    async def main() -> None:
        chain, web = Chain(["a", "b", "c", "d"], ["boss"]), Web()
        nodes = {n: Node(chain, web, n, tmp_path / n, WorkConfig(enabled=False), 0) for n in ("a", "b", "c", "d")}
        job, me, salt = chain.post("boss"), chain.ids["a"], b"s" * 32
        model = tmp_path / "a" / "work" / "models" / "train-1.model"
        model.parent.mkdir(parents=True)
        model.write_text(json.dumps({"loss": "0.5"}))
        name, size = cid_of_file(model)
        sealed = messages.claim_commitment(chain.chain_id, job, me, terms.model_id(name.to_bytes()), salt)
        op = encode(Claim(job, parse_loss("0.5"), sealed))
        schema = "".join(line for line in OF_1.read_text().splitlines(keepends=True) if "INSERT" not in line)
        path = restored(tmp_path / "a" / "work" / "work.db", schema)
        db: Any = sqlite3.connect(path)
        db.execute("INSERT INTO meta VALUES (1, ?, ?)", (chain.chain_id, me))
        row = (sealed, job, parse_loss("0.5"), name.to_bytes(), size, salt, str(model))
        db.execute("INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("INSERT INTO intents VALUES (?, ?, ?, 0, x'', '', 0)", (f"claim:{job.hex()}:1", job, op))
        db.commit()
        db.close()
        for node in nodes.values():
            await node.start()
        await blocks(chain, lambda: chain.ended(job))
        found = chain.describe(job)
        assert (found["state"], [claim["revealed"] for claim in found["claims"]]) == ("PAID", [True])
        assert not [said for _, said in chain.sent if isinstance(said, CommitVote) and said.job != job]
        for node in nodes.values():
            assert node.work is not None
            await node.work.stop()

    run_virtual(main())


def test_a_book_of_a_newer_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "work.db"
    book = WorkDatabase(path, CHAIN, ME)
    book.save(Secret("job.key", b"k", b"", b"v"), 0)
    book._db.execute("UPDATE meta SET version = ?", (VERSION + 1,))
    book.close()
    before = path.read_bytes()
    with pytest.raises(WorkDatabaseError, match=rf"newer program \(version {VERSION + 1}.*run the newer program again"):
        WorkDatabase(path, CHAIN, ME)
    assert path.read_bytes() == before


def test_a_migration_that_fails_leaves_the_old_book(tmp_path: Path) -> None:
    path = restored(tmp_path / "work.db", OF_1.read_text())
    db = sqlite3.connect(path)
    db.execute("UPDATE claims SET salt = 7.5")  # what no program wrote
    db.execute("DROP TABLE keys")
    db.commit()
    db.close()
    before = tables(path)
    with pytest.raises(WorkDatabaseError, match="restore it from a copy"):
        WorkDatabase(path, CHAIN, ME)
    assert tables(path) == before
