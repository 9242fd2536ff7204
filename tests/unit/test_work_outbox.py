"""The outbox and the work database: killed at any step, whatever is lost, everything lands once, nothing is contradicted."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace as replace_struct

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import (
    Ballot,
    Claim,
    CommitVote,
    OpenVote,
    RevealKey,
    claim_commitment,
    vote_commitment,
)
from learningchain.chain.contracts.job.messages import Reveal as RevealMessage
from learningchain.chain.contracts.job.records import Posting, posting_key, seat_key
from learningchain.chain.contracts.membership import (
    Case,
    CaseRef,
    JudgeCase,
    ReportDouble,
    case_key,
    ejection_key,
)
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.host import K_CHAIN, K_CLOCK_MARKS, K_PARAMS, ChainRecord, ClockMark, ClockMarks, Reader
from learningchain.chain.host.terms import model_id
from learningchain.chain.params import Params
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.roles import policy, secrets
from learningchain.client.contracts.job.roles.ballots import CandidateProgress, SeatProgress
from learningchain.client.contracts.job.roles.secrets import VoteSecret
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.contracts.job.roles.worker import Worker
from learningchain.client.work import WorkConfig
from learningchain.client.work.database import Intent, IntentState, WorkDatabase, WorkDatabaseError
from learningchain.client.work.events import Model, SecretRefused, Submit
from learningchain.client.work.machine import LedgerStatus, Recalled, find_slices, ledger_statuses_of
from learningchain.client.work.outbox import Outbox
from tests.unit.ledger_kit import Chain as Ledger
from tests.unit.ledger_kit import genesis_of, id_of
from tests.unit.membership_kit import doubled
from tests.unit.work_kit import START_MS, Chain, Inline, LedgerDouble, blocks, measured, posting, run_virtual

CID = b"\x01\x55\x12\x20" + b"m" * 32


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: nothing here cuts the power."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield Path(name)


class Killed(BaseException):
    """kill -9 at this very step."""


class Deadly(Inline):
    """An executor that is killed at its n-th call, before or after the work is done."""

    def __init__(self, at: int, after: bool) -> None:
        self.at, self.after, self.calls = at, after, 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        if self.calls < self.at:
            return super().submit(fn, *args, **kwargs)
        if self.calls == self.at and self.after:
            fn(*args, **kwargs)
        future: Future[Any] = Future()
        future.set_exception(Killed())
        return future


class Desk:
    """One life of a node's outbox over a chain that outlives it."""

    def __init__(self, chain: Chain, folder: Path, name: str = "w", executor: Inline | None = None) -> None:
        self.chain, self.name = chain, name
        self.ledger = LedgerDouble(chain, name)
        self.book = WorkDatabase(folder / "work.db", chain.chain_id, chain.ids[name])
        self.settled: list[tuple[str, IntentState]] = []
        executor = executor or Inline()

        def now() -> int:
            return START_MS

        def told(intent: Intent, state: IntentState, note: str) -> None:
            self.settled.append((intent.key, state))

        statuses = ledger_statuses_of(find_slices())
        self.outbox = Outbox(self.book, self.ledger, statuses, now=now, executor=executor, settled=told)
        known = Recalled(chain.ids[name], chain.chain_id, WorkConfig(), os.urandom, self.book.secrets())
        self.worker, self.verifier = Worker(known), Verifier(known)

    async def say(self, submit: Submit) -> Any:
        """What a machine of the job contract wants of the outbox: done as the driver does it. The outbox's answer."""
        answer = await self.outbox.submit(submit)
        if answer is not None:
            machine = self.verifier if answer.secret.kind == secrets.VOTE else self.worker
            machine.handle(answer)
        return answer

    def claim(self, job: bytes, folder: Path, loss: int = 500) -> Submit:
        path = folder / "model"
        path.write_bytes(b"weights")
        offer = policy.read_offer(self.chain.state, job, self.ledger.own_id)
        assert offer is not None
        return self.worker._claim(self.chain.state, offer, loss, Model(path, CID, 7))

    def ballots(self, seat: secrets.Seat, ballot: Ballot, claimant: bytes) -> Submit:
        """Of the verifier, about the one candidate of a seat."""
        candidate = CandidateProgress(claimant, 10**8, ballot=ballot)
        posted = self.chain.state.get(posting_key(seat[0]))
        assert isinstance(posted, Posting)
        duty = SeatProgress(seat, posted.terms, 0, 0, hidden=False, candidates=[candidate])
        (submit,) = self.verifier._commit(duty)
        assert isinstance(submit, Submit)
        return submit

    async def life(self, work: Any) -> bool:
        """Until everything is settled: true; or until it is killed: false."""
        try:
            await self.outbox.start()
            await work(self)
            for _ in range(100):
                tasks = list(self.outbox._tasks.values())
                if not tasks:
                    return True
                done, _ = await asyncio.wait(tasks, timeout=1)
                if any(isinstance(task.exception(), Killed) for task in done):
                    return False
                self.chain.time += 500
                self.chain.block(1)
            raise AssertionError("it never ended")
        except Killed:
            return False
        finally:
            await self.outbox.stop()
            self.book.close()


async def kill_everywhere(folder: Path, chain: Callable[[], Chain], work: Any, check: Callable[[Chain], None]) -> int:
    """Kill a life at every step of the work, let a second one go on, and check what stands. How many points there were."""
    points = 0
    for at in range(1, 100):
        for after in (False, True):
            here = folder / f"{at}{after}"
            here.mkdir()
            graph = chain()
            finished = await Desk(graph, here, executor=Deadly(at, after)).life(lambda desk, here=here: work(desk, here))
            assert await Desk(graph, here).life(lambda desk, here=here: work(desk, here))
            check(graph)
            if finished:
                return points
            points += 1
    raise AssertionError("the work never ended without being killed")


def one_job() -> Chain:
    chain = Chain(["v"], ["boss", "w"])
    chain.post("boss")
    return chain


def job_of(chain: Chain) -> bytes:
    return next(key[2:] for key, _ in chain.state.scan(b"j/", 1))


def test_a_claim_stands_once_and_can_be_revealed_wherever_the_node_was_killed(folder: Path) -> None:
    async def work(desk: Desk, here: Path) -> None:
        job = job_of(desk.chain)
        if not desk.book.secrets():  # as the worker does: what is stored is not claimed anew
            await desk.say(desk.claim(job, here))

    def check(chain: Chain) -> None:
        job = job_of(chain)
        (claim,) = chain.describe(job)["claims"]
        assert (claim["claim"], claim["loss"]) == (1, 500)

    async def main() -> None:
        assert await kill_everywhere(folder, one_job, work, check) > 6

    run_virtual(main())


def test_the_salt_is_on_the_disk_before_the_commitment_is_on_its_way(folder: Path) -> None:
    async def main() -> None:
        chain = one_job()
        desk = Desk(chain, folder)
        seen: list[int] = []
        offer = chain.offer

        def watched(name: str, ops: list[Any], lane: int = 1) -> bytes:
            seen.append(sqlite3.connect(folder / "work.db").execute("SELECT count(*) FROM secrets").fetchone()[0])
            return offer(name, ops, lane)

        chain.offer = watched  # type: ignore[method-assign]
        assert await desk.life(lambda d: d.say(d.claim(job_of(chain), folder)))
        assert seen == [1]

    run_virtual(main())


def test_a_message_without_a_secret_too_is_on_the_disk_before_it_is_on_its_way(folder: Path) -> None:
    """Or a node that is killed while nobody takes it has forgotten it."""

    async def main() -> None:
        chain = one_job()
        job = job_of(chain)
        assert await Desk(chain, folder).life(lambda d: d.say(d.claim(job, folder)))
        chain.block(50_000)
        desk, seen = Desk(chain, folder), list[str]()
        offer, (stored,) = chain.offer, desk.book.secrets()

        def watched(name: str, ops: list[Any], lane: int = 1) -> bytes:
            seen.extend(intent.key for intent in desk.book.pending())
            return offer(name, ops, lane)

        chain.offer = watched  # type: ignore[method-assign]
        assert await desk.life(lambda d: d.say(next(d.worker._reveal(job, 1, stored))))
        assert seen == [f"reveal:{job.hex()}"]

    run_virtual(main())


def committee() -> Chain:
    """A job in its commit window; `w` is one of its verifiers."""
    chain = Chain(["w", "x", "y"], ["boss", "z"])
    job = chain.post("boss")
    sealed = claim_commitment(chain.chain_id, job, chain.ids["z"], model_id(CID), bytes(32))
    assert chain.now("z", Claim(job, 10**8, sealed, True)) == 0
    chain.block(50_000)
    assert chain.now("z", RevealMessage(job, 1, CID, 100, bytes(32))) == 0
    chain.block()
    chain.block()
    assert chain.describe(job)["state"] == "COMMIT"
    return chain


def ok(loss: int) -> Ballot:
    return Ballot(int(BallotCode.OK), [measured(loss)], [], False)


def test_a_vote_is_never_another_one_wherever_the_node_was_killed(folder: Path) -> None:
    lives = iter(range(10**6))

    async def work(desk: Desk, here: Path) -> None:
        # Another measurement in every life: only the first one that was stored may count.
        job, loss = job_of(desk.chain), 10**8 - next(lives)
        await desk.say(desk.ballots((job, 0, 1), ok(loss), desk.chain.ids["z"]))

    def check(chain: Chain) -> None:
        said = {encode(op) for name, op in chain.sent if name == "w" and isinstance(op, CommitVote)}
        assert len(said) == 1
        job, me = job_of(chain), chain.ids["w"]
        seat: Any = chain.state.get(seat_key(job, 0, 1, me))
        book = WorkDatabase(sorted(folder.glob("*/work.db"), key=lambda path: path.stat().st_mtime_ns)[-1], chain.chain_id, me)
        (secret,) = book.secrets()
        book.close()
        # What stands on the ledger is what this node can open.
        assert secrets.seat_in(secret) == (job, 0, 1)
        vote = secrets.vote_in(secret)
        assert vote.commitment == seat.commitment
        assert seat.commitment == vote_commitment(chain.chain_id, job, 0, 1, me, list(vote.ballots), vote.salt)

    async def main() -> None:
        assert await kill_everywhere(folder, committee, work, check) > 6

    run_virtual(main())


# --- losses and refusals -------------------------------------------------------------------------------------------------------


def test_a_transaction_that_vanished_is_sent_again_while_it_can_still_land(folder: Path) -> None:
    async def main() -> None:
        chain = one_job()
        desk = Desk(chain, folder)
        lost = iter((0.0, 0.0, 1.0))
        desk.ledger._rng = type("R", (), {"random": lambda self: next(lost, 1.0)})()  # type: ignore[assignment]
        desk.ledger._loss = 0.5
        assert await desk.life(lambda d: d.say(d.claim(job_of(chain), folder)))
        assert len([op for _, op in chain.sent if isinstance(op, Claim)]) == 3
        assert desk.settled[0][1] is IntentState.DONE

    run_virtual(main())


def test_a_chain_that_stands_still_is_not_fed_copies(folder: Path) -> None:
    async def main() -> None:
        chain = one_job()
        desk = Desk(chain, folder)
        await desk.say(desk.claim(job_of(chain), folder))
        await asyncio.sleep(120)
        assert len([op for _, op in chain.sent if isinstance(op, Claim)]) == 1
        await desk.outbox.stop()
        desk.book.close()

    run_virtual(main())


def test_near_its_deadline_a_message_is_tried_again_soon(folder: Path) -> None:
    """A pool that is full for most of a reveal's window must not cost the stake: pauses grow, but not beyond what is left."""

    async def main() -> None:
        chain = Chain(["v"], ["boss", "w"])
        tx = chain.offer("boss", [posting(chain.clock + 12_000)])
        chain.block()
        assert chain.results[tx].code == 0
        job = job_of(chain)
        desk = Desk(chain, folder)
        offer, tries = chain.offer, []
        deadline = chain.describe(job)["deadline"]

        def full(name: str, ops: list[Any], lane: int = 1) -> bytes:
            tries.append((deadline - chain.clock) / 1_000)
            if tries[-1] > 2.0:
                raise InvalidTx(TxCode.MEMPOOL_FULL, "the mempool is full")
            return offer(name, ops, lane)

        chain.offer = full  # type: ignore[method-assign]
        assert await desk.life(lambda d: d.say(d.claim(job, folder)))
        assert desk.settled[0][1] is IntentState.DONE
        gaps = [(left, left - after) for left, after in itertools.pairwise(tries)]
        assert all(gap <= max(1.5, left / 4) for left, gap in gaps)  # blocks come once a second here

    run_virtual(main())


def test_a_refusal_is_final_and_says_its_code(folder: Path) -> None:
    async def main() -> None:
        chain = one_job()
        job = job_of(chain)
        desk = Desk(chain, folder)
        assert await desk.life(lambda d: d.say(d.claim(job, folder, -5)))  # below the floor
        key, state = desk.settled[0]
        again = Desk(chain, folder)
        assert state is IntentState.REFUSED
        intent = again.book.intent("job", key)
        assert intent is not None
        assert intent.note == "refused with code 312"
        assert again.book.pending() == []
        assert await again.life(lambda d: d.say(d.claim(job, folder)))
        ((other, state),) = again.settled
        assert (other != key, state) == (True, IntentState.DONE)

    run_virtual(main())


def test_a_copy_that_is_refused_because_the_first_one_stands_is_no_refusal(folder: Path) -> None:
    """What was sent before a restart lands in the same block, before what is sent after it."""

    async def main() -> None:
        chain = one_job()
        desk = Desk(chain, folder)
        offer, copies = chain.offer, list[bytes]()

        def twice(name: str, ops: list[Any], lane: int = 1) -> bytes:
            copies[:] = [offer(name, ops, lane), offer(name, ops, lane)]
            return copies[-1]

        chain.offer = twice  # type: ignore[method-assign]
        assert await desk.life(lambda d: d.say(d.claim(job_of(chain), folder)))
        codes = [chain.results[tx].code for tx in copies]
        assert codes[0] == 0 != codes[1]
        assert [state for _, state in desk.settled] == [IntentState.DONE]

    run_virtual(main())


def test_what_can_no_longer_take_effect_is_void_and_never_sent(folder: Path) -> None:
    async def main() -> None:
        chain = one_job()
        job = job_of(chain)
        chain.block(50_000)
        desk = Desk(chain, folder)
        assert await desk.life(lambda d: d.say(d.claim(job, folder)))
        assert [state for _, state in desk.settled] == [IntentState.VOID]
        assert not [op for _, op in chain.sent if isinstance(op, Claim)]

    run_virtual(main())


def test_a_key_is_used_once(folder: Path) -> None:
    async def main() -> None:
        chain = one_job()
        job = job_of(chain)

        async def work(desk: Desk) -> None:
            for salt in (1, 2):
                await desk.outbox.submit(Submit("job", "claim", job, Claim(job, salt, bytes([salt]) * 32, False)))

        assert await Desk(chain, folder).life(work)
        assert [op for _, op in chain.sent if isinstance(op, Claim)] == [Claim(job, 1, b"\x01" * 32, False)]

    run_virtual(main())


def status_of(reader: Reader, me: bytes, clock: int, op: Any) -> LedgerStatus:
    return ledger_statuses_of(find_slices())[type(op)](reader, me, clock, op)[0]


def test_what_the_state_says_about_a_vote_of_ours() -> None:
    chain = committee()
    job, me = job_of(chain), chain.ids["w"]
    mine, other = CommitVote(job, 0, 1, b"1" * 32), CommitVote(job, 0, 1, b"2" * 32)
    assert status_of(chain.state, me, chain.clock, mine) is LedgerStatus.OPEN
    assert status_of(chain.state, me, chain.clock, CommitVote(job, 1, 1, b"1" * 32)) is LedgerStatus.TOO_LATE
    assert status_of(chain.state, chain.ids["boss"], chain.clock, mine) is LedgerStatus.TOO_LATE
    assert chain.now("w", mine) == 0
    assert status_of(chain.state, me, chain.clock, mine) is LedgerStatus.STANDS
    assert status_of(chain.state, me, chain.clock, other) is LedgerStatus.DISPLACED
    assert status_of(chain.state, me, chain.clock, JudgeCase(me, True)) is LedgerStatus.TOO_LATE
    assert status_of(chain.state, me, chain.clock, Claim(bytes(32), 1, bytes(32), True)) is LedgerStatus.TOO_LATE


def test_what_the_state_says_about_a_claim_and_its_reveal() -> None:
    chain = one_job()
    job, me, salt = job_of(chain), chain.ids["w"], bytes(32)
    mine = Claim(job, 1_000, claim_commitment(chain.chain_id, job, me, model_id(CID), salt), False)
    reveal, key = RevealMessage(job, 1, CID, 10, salt), RevealKey(job, bytes(32))

    def says(*ops: Any) -> list[LedgerStatus]:
        return [status_of(chain.state, me, chain.clock, op) for op in ops]

    late, open_, stands = LedgerStatus.TOO_LATE, LedgerStatus.OPEN, LedgerStatus.STANDS
    assert says(mine, reveal, key) == [open_, late, late]
    assert chain.now("w", mine) == 0
    other = replace_struct(mine, commitment=b"o" * 32)
    assert says(mine, other, reveal) == [stands, open_, late], "another one would take its place"
    expiry = chain.describe(job)["expiry"]
    assert status_of(chain.state, me, expiry - 1, other) is open_ and status_of(chain.state, me, expiry, other) is late
    chain.block(expiry - chain.clock)
    assert chain.describe(job)["state"] == "REVEAL"
    assert says(mine, other, reveal, key) == [stands, late, open_, late]
    assert chain.now("w", reveal) == 0
    assert says(reveal, key) == [stands, late] and status_of(chain.state, chain.ids["boss"], chain.clock, reveal) is not stands
    deadline = ledger_statuses_of(find_slices())[Claim](chain.state, me, chain.clock, mine)[1]
    assert deadline is not None and deadline > expiry, "of what the job waits for now"


def test_what_the_state_says_about_openings_of_ours() -> None:
    chain = committee()
    job, me = job_of(chain), chain.ids["w"]
    said = [Ballot(int(BallotCode.NOMODEL), [], [], False)]
    sealed = vote_commitment(chain.chain_id, job, 0, 1, me, said, bytes(32))
    opening = OpenVote(job, 0, 1, said, bytes(32), 0, False, [])
    assert status_of(chain.state, me, chain.clock, opening) is LedgerStatus.TOO_LATE, "votes are still sealed"
    for name in ("w", "x", "y"):
        assert chain.now(name, CommitVote(job, 0, 1, sealed if name == "w" else b"c" * 32)) == 0
    chain.block()
    assert status_of(chain.state, me, chain.clock, opening) is LedgerStatus.OPEN
    assert chain.now("w", opening) == 0
    assert status_of(chain.state, me, chain.clock, opening) is LedgerStatus.STANDS


def test_what_the_state_says_about_a_judgement_of_ours() -> None:
    """A validator's owner spoke by hand while its node's own word was on the way: the owner's stands."""
    chain = one_job()
    me, account = chain.ids["w"], chain.ids["boss"]
    said: dict[bytes, Any] = {}
    reader = cast(Reader, said)
    mine, other = JudgeCase(account, True), JudgeCase(account, False)
    assert status_of(reader, me, chain.clock, mine) is LedgerStatus.TOO_LATE, "there is no case"
    for confirm, lift, expected in (
        ([], [], (LedgerStatus.OPEN, LedgerStatus.OPEN)),
        ([account], [account], (LedgerStatus.OPEN, LedgerStatus.OPEN)),
        ([me], [], (LedgerStatus.STANDS, LedgerStatus.DISPLACED)),
        ([], [me], (LedgerStatus.DISPLACED, LedgerStatus.STANDS)),
    ):
        said[case_key(account)] = Case(1, 0, chain.clock + 1, [CaseRef(bytes(32), 3, me, me)], confirm, lift)
        assert tuple(status_of(reader, me, chain.clock, word) for word in (mine, other)) == expected


def test_what_the_state_says_about_evidence_that_this_node_reports() -> None:
    """LC-MEM-10: once is enough, whoever did it, and after its age nobody takes it."""
    chain = Ledger(genesis_of("alice"))
    op, reader = ReportDouble(doubled(chain, "v1", 7)), dict[bytes, Any]()
    view, age = cast(Reader, reader), 40

    def says() -> LedgerStatus:
        return status_of(view, bytes(20), 0, op)

    assert says() is LedgerStatus.TOO_LATE, "there is no ledger"
    reader[K_PARAMS] = Params(evidence_age=age)
    reader[K_CLOCK_MARKS] = ClockMarks([ClockMark(500, 0)])
    for height, expected in ((7, LedgerStatus.OPEN), (7 + age - 1, LedgerStatus.OPEN), (7 + age, LedgerStatus.TOO_LATE)):
        reader[K_CHAIN] = ChainRecord(bytes(32), height, 0, age * 10_000, bytes(32))
        assert says() is expected
    reader[K_CHAIN] = ChainRecord(bytes(32), 7 + age, 0, age * 10_000 - 1, bytes(32))
    assert says() is LedgerStatus.OPEN, "too old by blocks alone"
    reader[K_CHAIN] = ChainRecord(bytes(32), 7 + age, 0, age * 10_000, bytes(32))
    reader[ejection_key(id_of("v1"), 8)] = "of another height"
    assert says() is LedgerStatus.TOO_LATE
    reader[ejection_key(id_of("v1"), 7)] = "known"
    assert says() is LedgerStatus.STANDS


def test_a_message_of_which_no_contract_says_what_becomes_is_never_sent(folder: Path) -> None:
    desk = Desk(one_job(), folder)
    with pytest.raises(TypeError, match="no contract says what becomes of a Transfer"):
        desk.outbox._status_of(Transfer(bytes(20), 1, b""))
    desk.book.close()


# --- the book ------------------------------------------------------------------------------------------------------------------

CHAIN, ME, JOB = b"c" * 32, b"m" * 20, b"j" * 32


def test_a_book_remembers_and_belongs_to_one_identity_on_one_network(folder: Path) -> None:
    book = WorkDatabase(folder / "b" / "work.db", CHAIN, ME)
    assert (folder / "b" / "work.db").stat().st_mode & 0o777 == 0o600
    key = secrets.of_key(b"k" * 32)
    assert book.save(key, 0) and not book.save(replace(key, blob=b"other"), 0)
    for _ in range(3):
        book.attempt_started("job", JOB, 1)
    assert [book.run_over("job", JOB, 1, lost=lost) for lost in (True, False, True)] == [1, 1, 2]
    book.attempt_started("toy", JOB, 1)
    book.attempt_started("job", JOB, 2)
    book.attempt_started("job", JOB, 3)
    book.attempt_done("job", JOB, 3)
    book.pin(["bafy"], "won:1", JOB, 5)
    book.close()
    book = WorkDatabase(folder / "b" / "work.db", CHAIN, ME)
    assert (book.secrets(), book.secret(secrets.KEY, bytes(32))) == ([key], None)
    assert book.attempts(2) == {"job": {JOB: {1, 3}}, "toy": {JOB: set()}}
    assert book.pins() == [("bafy", "won:1", JOB, 5)]
    book.unpin(["bafy"], "won:1")
    assert book.pins() == []
    assert (book.forget(JOB), book.attempts(2), book.secrets()) == ([], {}, [key])
    book.close()
    for chain, owner in ((b"d" * 32, ME), (CHAIN, b"n" * 20)):
        with pytest.raises(WorkDatabaseError, match="another identity or network"):
            WorkDatabase(folder / "b" / "work.db", chain, owner)


def test_the_first_ballots_and_the_first_settlement_stay(folder: Path) -> None:
    book = WorkDatabase(folder / "work.db", CHAIN, ME)
    votes = [VoteSecret(bytes([n]) * 32, bytes(32), [ok(n)], [b"a" * 20]) for n in (1, 3)]
    first, second = (secrets.of_vote((JOB, 0, 1), vote) for vote in votes)
    assert book.put_with(first, Intent("job", "commit", JOB, b"op1"), 1) == first
    assert book.put_with(second, Intent("job", "commit", JOB, b"op2"), 2).blob == first.blob
    (intent,) = book.pending()
    assert intent.op == b"op1"
    book.settle(intent, IntentState.DONE, "stands", 3)
    book.settle(intent, IntentState.VOID, "late", 4)
    known = book.intent("job", "commit")
    assert known is not None
    assert (known.state, known.note) == (IntentState.DONE, "stands")
    found = secrets.of_false(secrets.FalseClaim(b"a" * 20, JOB, b"o" * 20, 5))
    assert book.save(found, 5)
    assert book.forget(JOB) == [] and book.secrets() == [replace(found, keep_ms=0)], "it decides about judgements after its job"
    book.prune(10**15)
    assert book.intent("job", "commit") is None
    assert book.secrets() == []


def test_a_claim_that_cannot_be_stored_is_not_made(folder: Path) -> None:
    async def main() -> None:
        chain = one_job()
        desk = Desk(chain, folder)
        desk.book.put_with = lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk is full"))  # type: ignore[assignment]
        answer = await desk.say(desk.claim(job_of(chain), folder))
        assert isinstance(answer, SecretRefused)
        await blocks(chain, lambda: True)
        assert not [op for _, op in chain.sent if isinstance(op, Claim)]

    run_virtual(main())
