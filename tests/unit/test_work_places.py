"""Places of downloads and what the work database remembers: any order of calls, second calls, calls given up, restarts."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from learningchain.client.contracts.job.roles import secrets
from learningchain.client.contracts.job.roles.secrets import KEEP_FALSE_MS
from learningchain.client.work.database import KEEP_MS, Intent, IntentState, WorkDatabase, WorkDatabaseError
from learningchain.client.work.events import Model, Secret
from learningchain.client.work.transfers import Transfers
from tests.unit.test_work_transfers import Dripping
from tests.unit.work_kit import run_virtual

CHAIN, ME, JOB = b"c" * 32, b"m" * 20, b"j" * 32


# --- places -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_no_bound_is_passed_no_place_is_lost_and_nobody_who_fits_waits(tmp_path: Path, seed: int) -> None:
    """Callers come, hurry, give up before and after they got a place: four places, two of them for urgent ones alone."""

    async def main() -> None:
        rng, transfers = random.Random(seed), Transfers(Dripping(tmp_path), places=4, reserved=2)
        waiting: dict[int, bool] = {}
        inside: dict[int, bool] = {}
        tasks: dict[int, asyncio.Task[None]] = {}
        leave: dict[int, asyncio.Event] = {}

        async def hold(key: int, urgent: bool) -> None:
            waiting[key] = urgent
            leave[key] = asyncio.Event()
            try:
                async with transfers.place(str(key), urgent=urgent):
                    inside[key] = waiting.pop(key)
                    await leave[key].wait()
            finally:
                waiting.pop(key, None)
                inside.pop(key, None)

        for key in range(120):
            match rng.choice(["come", "come", "hurry", "leave", "give up"]):
                case "come":
                    tasks[key] = asyncio.ensure_future(hold(key, rng.random() < 0.4))
                case "hurry" if waiting or inside:
                    chosen = rng.choice([*waiting, *inside])
                    transfers.hurry(str(chosen))
                    for known in (waiting, inside):
                        known.update({chosen: True} if chosen in known else {})
                case "leave" if inside:
                    leave[rng.choice([*inside])].set()
                case "give up" if tasks:
                    tasks.pop(rng.choice([*tasks])).cancel()
            await asyncio.sleep(0.01)
            common = sum(not urgent for urgent in inside.values())
            assert len(inside) <= 4 and common <= 2
            if any(waiting.values()):
                assert len(inside) == 4, "an urgent one finds every place"
            if waiting:
                assert common >= 2 or len(inside) == 4
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        for n in range(4):
            async with asyncio.timeout(1):
                await transfers.place(f"after{n}", urgent=True).__aenter__()

    run_virtual(main())


# --- the book ---------------------------------------------------------------------------------------------------------------------


def stored(commitment: bytes, job: bytes = JOB) -> Secret:
    return secrets.of_claim(commitment, job, 7, Model(Path("/m"), b"cid", 3), b"s" * 32)


def voted() -> Secret:
    return secrets.of_vote((JOB, 0, 1), secrets.VoteSecret(b"1" * 32, bytes(32), [], [b"a" * 20]))


def test_a_change_that_fails_leaves_nothing_of_itself_and_the_book_goes_on(tmp_path: Path) -> None:
    book = WorkDatabase(tmp_path / "work.db", CHAIN, ME)
    with pytest.raises(WorkDatabaseError):
        book.put_with(stored(b"1" * 32), Intent("job", "claim:1", JOB, bytes(65_537)), 1)
    assert book.secrets() == [] and book.pending() == [], "a secret is stored with its message or not at all"
    first = book.put_with(stored(b"1" * 32), Intent("job", "claim:1", JOB, b"op"), 1)
    assert first == stored(b"1" * 32)
    assert book.put_with(stored(b"1" * 32), Intent("job", "another", JOB, b"other"), 2) == first
    book.put_with(stored(b"2" * 32), Intent("job", "claim:2", JOB, b"op2"), 2)
    assert [intent.op for intent in book.pending()] == [b"op", b"op2"]
    assert book.put_with(voted(), Intent("job", "commit", JOB, b"vote"), 1) == voted()


def test_what_is_settled_is_kept_for_its_time_and_as_long_as_something_is_held_for_it(tmp_path: Path) -> None:
    book, intent = WorkDatabase(tmp_path / "work.db", CHAIN, ME), Intent("job", "commit", JOB, b"op")
    book.put_with(voted(), intent, 1_000)
    book.settle(intent, IntentState.REFUSED, "x" * 10_000, 1_000)
    book.prune(1_000 + KEEP_MS)
    kept = book.intent("job", "commit")
    assert kept is not None and kept.state is IntentState.REFUSED and len(kept.note) == 500
    book.note_owner(JOB, "job")
    book.prune(1_000 + 10 * KEEP_MS)
    assert book.intent("job", "commit") == kept, "its job lives"
    book.drop_owner(JOB)
    book.prune(1_001 + KEEP_MS)
    assert book.intent("job", "commit") is None


def test_what_was_found_false_is_kept_for_its_whole_time_and_a_vote_as_long_as_its_job(tmp_path: Path) -> None:
    book, found = WorkDatabase(tmp_path / "work.db", CHAIN, ME), secrets.of_false(secrets.FalseClaim(b"a" * 20, JOB, b"o" * 20, 5))
    book.put_with(voted(), Intent("job", "commit", JOB, b"op"), 1_000)
    book.save(found, 1_000)
    book.prune(1_000 + KEEP_FALSE_MS)
    assert {secret.blob for secret in book.secrets()} == {voted().blob, found.blob}
    book.forget(JOB)
    book.prune(1_001 + KEEP_FALSE_MS)
    assert book.secrets() == []


def test_whoever_cannot_use_a_book_leaves_it_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "work.db"
    book = WorkDatabase(path, CHAIN, ME)
    book.put(Intent("job", "k", JOB, b"op"), 1)
    book.close()
    with contextlib.suppress(WorkDatabaseError):
        WorkDatabase(path, CHAIN, b"n" * 20)
    assert [intent.op for intent in WorkDatabase(path, CHAIN, ME).pending()] == [b"op"]
