"""Many postings hide no job: what worker, verifier and contractor look at does not grow with what others posted."""

from __future__ import annotations

from collections import Counter
from typing import Any, Generic, TypeVar

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.job import PostJob, records
from learningchain.chain.contracts.job.messages import RevealKey
from learningchain.chain.contracts.job.records import NO_JOBS, AuditRound, ContractorRecord, Job, JobState, Live, Posting, Seat
from learningchain.chain.crypto import account_id, sha256
from learningchain.chain.host import Reader
from learningchain.chain.host.terms import HiddenSet, Limits
from learningchain.chain.ledger.state import Overlay
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.contracts.job.roles.contractor import Contractor
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.contracts.job.roles.worker import Worker
from learningchain.client.work.changes import MAX_PIECE
from learningchain.client.work.events import BringImage, Effect, FetchContent, ImageReady, Kept, StartRun, Submit
from learningchain.client.work.events import Chain as Look
from learningchain.client.work.machine import Machine
from learningchain.client.work.order import FairQueue
from tests.unit.work_kit import Chain, Told, bring, job_changes, key_of, posting, recalled, working

MANY = 12_000
IMAGE = "sha256:" + "cd" * 32
HUGE = Limits(cpus_milli=1_000, mem_mb=4_194_304, train_s=20, eval_s=5, model_cap=4_096, tmp_mb=8, threads=1)
EMPTY_JOB = Job(
    state=int(JobState.OPEN),
    deadline=0,
    draw_height=0,
    claimants=0,
    revealed=0,
    closing=b"",
    must=[],
    finalists=[],
    hidden=0,
    key=b"",
    audit=0,
    round=0,
    again=[],
    committed=0,
    opened=0,
    cases=[],
    winner=[],
    fees_paid=0,
    fees_burned=0,
    burned=0,
    bond_burned=0,
    released=0,
    ended=0,
)


class Counting:
    """A reader that counts what is read."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self.reads, self.scans = reader, 0, 0

    def get(self, key: bytes) -> Any:
        self.reads += 1
        return self._reader.get(key)

    def scan(self, prefix: bytes, limit: int) -> Any:
        self.scans += 1
        return self._reader.scan(prefix, limit)


def job_id(number: int) -> bytes:
    """Ids that come before every honest one in byte order."""
    return bytes(4) + number.to_bytes(28, "big")


def stranger(number: int) -> bytes:
    return account_id(key_of(f"stranger {number}").public)


class Ground:
    """A chain on which postings are put as a block leaves them, without the work of sending each."""

    def __init__(self, chain: Chain | None = None, first: int = 0) -> None:
        self.chain = chain or Chain(["a", "b", "c"], ["boss", "w"])
        self.made = first
        """The number of the next posting: those that the chain makes itself must lie below."""

    def put(self, items: list[tuple[bytes, Any]]) -> None:
        overlay = Overlay(self.chain.state)
        for key, record in items:
            overlay.put(key, record) if record is not None else overlay.delete(key)
        changes, _, tree = overlay.finish()
        self.chain.state.commit(changes, tree)

    def post(self, poster: bytes, terms: PostJob, state: int = JobState.OPEN, **fields: Any) -> bytes:
        return self.many(1, poster, terms, state, **fields)[0]

    def many(self, count: int, poster: bytes, terms: PostJob, state: int = JobState.OPEN, **fields: Any) -> list[bytes]:
        jobs = [job_id(self.made + i) for i in range(count)]
        job = EMPTY_JOB.__class__(
            **{f: getattr(EMPTY_JOB, f) for f in EMPTY_JOB.__struct_fields__} | fields | {"state": int(state)}
        )
        items: list[tuple[bytes, Any]] = []
        for number, each in enumerate(jobs, self.made):
            items.append((records.posting_key(each), Posting(poster, number, 0, terms)))
            items += [(records.job_key(each), job), (records.live_key(each), Live(number, terms.expiry))]
        self.made += count
        self.put(items)
        return jobs

    def terms(self, **changes: Any) -> PostJob:
        return posting(self.chain.clock + 600_000, **changes)


M = TypeVar("M", bound=Machine)


class Following(Generic[M]):
    """A machine that is told what blocks change."""

    def __init__(self, ground: Ground, machine: M) -> None:
        self.ground, self.machine = ground, machine
        self.told = Told(ground.chain, machine)
        self.told.catch_up()

    def look(self) -> tuple[list[Effect], Counting]:
        self.told.catch_up()
        reader = Counting(self.ground.chain.state)
        return list(self.machine.handle(Look(reader, self.ground.chain.clock))), reader


def worker(ground: Ground, **config: Any) -> Following[Worker]:
    return Following(ground, Worker(recalled(ground.chain, "w", working(**config))))


def brought(effects: list[Effect]) -> list[bytes]:
    """The jobs whose images are asked for."""
    return [effect.ref for effect in effects if isinstance(effect, BringImage)]


@pytest.mark.parametrize("count", [100, MANY])
def test_a_worker_finds_the_one_job_it_takes_among_any_number_that_it_does_not(count: int) -> None:
    ground = Ground()
    ground.many(count // 2, stranger(1), ground.terms(bounty=10**9, limits=HUGE))
    honest = ground.chain.post("boss")
    ground.many(count // 2, stranger(2), ground.terms(bounty=10**9, limits=HUGE))
    effects, reader = worker(ground).look()
    assert effects == [bring(ground.chain, honest)]
    assert reader.reads < 20
    assert reader.scans == 0


def test_a_contractor_whose_images_cannot_be_had_does_not_keep_a_worker_from_the_others() -> None:
    ground = Ground()
    spam = set(ground.many(MANY, stranger(1), ground.terms(bounty=10**9)))
    honest = ground.post(stranger(2), ground.terms(bounty=1_000))
    w = worker(ground)
    effects, _ = w.look()
    # One image of the best payer, and one of the next contractor: they do not wait for each other.
    assert [job in spam for job in brought(effects)] == [True, False]
    w.machine.handle(ImageReady(honest, IMAGE))
    effects, _ = w.look()
    assert [e.ref for e in effects if isinstance(e, StartRun)] == [honest]


def bad_record(paid: int) -> ContractorRecord:
    """Three jobs ended, and nine credits went back after models had been shown."""
    return replace(NO_JOBS, posted=3, refunded=9_000_000, paid=paid * 1_000_000)


def test_a_contractor_with_a_bad_record_is_left_out_until_the_record_is_better() -> None:
    ground = Ground()
    poster = stranger(1)
    ground.put([(records.contractor_key(poster), bad_record(paid=0))])
    jobs = ground.many(500, poster, ground.terms())
    w = worker(ground)
    effects, reader = w.look()
    assert effects == []
    assert reader.reads < 10
    ground.put([(records.contractor_key(poster), bad_record(paid=9))])
    effects, _ = w.look()
    assert [job in jobs for job in brought(effects)] == [True]


@pytest.mark.parametrize("count", [100, MANY])
def test_a_verifier_finds_its_seat_among_any_number_of_audits(count: int) -> None:
    ground = Ground()
    terms = ground.terms()
    under_audit = {"deadline": ground.chain.clock + 300_000, "round": 1}
    ground.many(count, stranger(1), terms, JobState.COMMIT, **under_audit)
    job = ground.post(stranger(2), terms, JobState.COMMIT, claimants=1, **under_audit)
    me = ground.chain.ids["a"]
    model, w = b"\x01\x55\x12\x20" + bytes(32), ground.chain.ids["w"]
    claim = records.ClaimRecord(w, 1, 5, 1, bytes(32), 0, bytes(32), 0, True, 0, model, 9, 0, 0, [])
    round_ = AuditRound(bytes(32), b"", ground.chain.clock, ground.chain.clock + 300_000, False, [0], [1], [1], [me])
    ground.put(
        [
            (records.claim_key(job, 0), claim),
            (records.round_key(job, 0, 1), round_),
            (records.seat_key(job, 0, 1, me), Seat([0], b"", [], [], False, "", 0)),
        ]
    )
    verifier = Following(ground, Verifier(recalled(ground.chain, "a")))
    effects, reader = verifier.look()
    assert [type(e) for e in effects] == [BringImage, FetchContent]
    assert {getattr(e, "ref", b"") for e in effects} == {job}
    assert reader.reads < 40
    assert reader.scans == 0


def test_a_contractor_opens_its_hidden_data_among_any_number_of_jobs() -> None:
    ground = Ground()
    me = ground.chain.ids["boss"]
    hidden = [HiddenSet(b"\x01\x55\x12\x20" + b"h" * 32, sha256(b"plain"), sha256(bytes(32)), 50)]
    ground.many(MANY, stranger(1), ground.terms(), JobState.KEY)
    job = ground.post(me, ground.terms(hidden=hidden), JobState.KEY)
    contractor = Following(ground, Contractor(recalled(ground.chain, "boss", secrets=[secrets.of_key(bytes(32))])))
    effects, reader = contractor.look()
    assert effects == [Submit("job", f"key:{job.hex()}", job, RevealKey(job, bytes(32)))]
    assert reader.reads == 1
    assert contractor.look()[0] == []
    without = Following(ground, Contractor(recalled(ground.chain, "boss")))
    assert without.look()[0] == []
    without.machine.handle(Kept(secrets.of_key(bytes(32))))
    assert without.look()[0] == effects


class Looked(list[bytes]):
    """Keys that count how many of them were looked at."""

    seen = 0

    def __getitem__(self, where: Any) -> Any:
        found = super().__getitem__(where)
        self.seen += len(found) if isinstance(where, slice) else 1
        return found

    def __iter__(self) -> Any:
        raise AssertionError("all of them are looked at")

    __reversed__ = __iter__


def test_what_lives_is_told_piece_by_piece_and_no_piece_looks_at_all_of_it() -> None:
    """Also what blocks add and take away between two pieces, before the last key that was told and behind it."""
    ground = Ground(first=1_000)
    jobs = set(ground.many(MANY, stranger(1), ground.terms()))
    changes, state, told = job_changes(ground.chain), ground.chain.state, Counter[bytes]()
    pieces = 0
    while not changes.complete:
        plain = state._sorted[b"j/"]
        state._sorted[b"j/"] = looked = Looked(plain)
        given = changes.take()
        state._sorted[b"j/"] = plain
        assert given is not None and len(given.keys) <= MAX_PIECE and given.anew is (pieces == 0)
        assert looked.seen <= MAX_PIECE + MANY.bit_length() + 1
        told.update(given.under(records.job_key(b"")))
        if pieces == 3:
            gone, ground.made = [job_id(1_000 + 100), job_id(1_000 + 9_000)], 500
            ground.put([(key(job), None) for job in gone for key in (records.live_key, records.job_key, records.posting_key)])
            early = ground.post(stranger(2), ground.terms())
            ground.made = 50_000
            late = ground.post(stranger(2), ground.terms())
        pieces += 1
    assert pieces <= MANY // MAX_PIECE + 3
    assert set(told) == jobs | {early, late} and {job for job, times in told.items() if times > 1} <= {gone[0], late}
    assert changes.take() is None


# --- the order ------------------------------------------------------------------------------------------------------------------


def test_the_order_is_that_of_ranks_whatever_was_added_dropped_and_blamed() -> None:
    """Against a list that is sorted each time."""
    order, plain, blame = FairQueue(), {}, Counter[bytes]()
    for step in range(2_000):
        seed = sha256(step.to_bytes(4, "big"))
        item, owner = seed[:1], bytes([seed[0] % 7])
        if seed[1] % 3:
            plain[item] = (owner, (seed[2] % 5,))
            order.add(item, *plain[item])
        else:
            plain.pop(item, None)
            order.drop(item)
        if seed[3] == 0:
            order.blame(owner)
            blame[owner] += 1
        if step % 100 == 0:
            expected = sorted(plain, key=lambda i: (blame[plain[i][0]], plain[i][1], i))
            assert [i for i, _ in order.walk(())] == expected
            assert len(order) == len(plain)
        if step == 1_000:  # all is told anew: what an owner did is not forgotten
            order.clear()
            assert len(order) == 0 and not list(order.walk(()))
            plain.clear()
    barred = bytes([3])
    order.bar(barred, True)
    assert {owner for _, owner in order.walk(())} == {bytes([n]) for n in range(7)} - {barred}
    order.clear()
    for item, (owner, rank) in plain.items():
        order.add(item, owner, rank)
    assert {owner for _, owner in order.walk(())} == {bytes([n]) for n in range(7)} - {barred}, "nor is who is left out"
    order.bar(barred, False)
    assert len(list(order.walk(()))) == len(plain)
