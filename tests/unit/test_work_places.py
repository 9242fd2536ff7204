"""Places of downloads and what the work database remembers: any order of calls, second calls, calls given up, restarts."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from client.contracts.job import secrets
from client.contracts.job.secrets import KEEP_FALSE_MS
from client.work.database import KEEP_MS, Intent, IntentState, WorkDatabase, WorkDatabaseError
from client.work.events import Model, Secret
from client.work.order import FairQueue
from client.work.transfers import SLOWEST, WINDOW_S, Transfers
from p2p.content.faults import FetchFailed
from tests.unit.test_work_transfers import MB, SLOW, Dripping, get
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


def test_the_longest_waiting_urgent_one_comes_before_all_others(tmp_path: Path) -> None:
    async def main() -> None:
        transfers, order = Transfers(Dripping(tmp_path), places=1), []

        async def hold(name: str, urgent: bool) -> None:
            async with transfers.place(name, urgent=urgent):
                order.append(name)
                await asyncio.sleep(1)

        names = ["first", "plain 1", "urgent 1", "plain 2", "urgent 2"]
        await asyncio.gather(*(hold(name, name.startswith("urgent")) for name in names))
        assert order == ["first", "urgent 1", "urgent 2", "plain 1", "plain 2"]

    run_virtual(main())


def test_hurrying_one_makes_no_other_less_urgent(tmp_path: Path) -> None:
    async def main() -> None:
        files = Dripping(tmp_path)
        transfers = Transfers(files, places=1)
        hog = get(transfers, files.offer("hog"))
        await asyncio.sleep(0)
        seat, plain = files.offer("seat"), files.offer("plain")
        tasks = [get(transfers, files.offer("before")), get(transfers, seat, urgent=True)]
        await asyncio.sleep(0)
        transfers.hurry(plain)  # nobody asked for it
        await hog
        await asyncio.sleep(0)
        assert files.under_way == {seat}
        await asyncio.gather(*tasks)

    run_virtual(main())


def test_what_has_all_its_bytes_is_given_time_to_become_durable(tmp_path: Path) -> None:
    """A busy disk takes minutes: no download ends for that, with its last byte here."""

    class Late(Dripping):
        async def fetch(
            self, cid: str, *, max_size: int, timeout_s: float, on_progress: Callable[[int, int], None] | None = None
        ) -> Path:
            assert on_progress is not None
            on_progress(0, max_size)
            on_progress(max_size, max_size)
            await asyncio.sleep(5 * WINDOW_S)
            return self.folder / cid

    async def main() -> None:
        files = Late(tmp_path)
        assert isinstance((await get(Transfers(files), files.offer("large")))[1], Path)

    run_virtual(main())


def test_of_several_slow_ones_the_slowest_makes_room_and_a_fast_one_never(tmp_path: Path) -> None:
    async def main() -> None:
        files = Dripping(tmp_path)
        transfers = Transfers(files, places=3)
        rates = {"slow": 4, "slowest": 2, "fast": 2 * SLOWEST / SLOW["rate"]}
        tasks = {
            name: get(transfers, files.offer(name, size=2_000 * MB, rate=SLOW["rate"] * factor / (3 if name != "fast" else 1)))
            for name, factor in rates.items()
        }
        await asyncio.sleep(2 * WINDOW_S)
        waiting = get(transfers, files.offer("honest"))
        await waiting
        assert {name for name, task in tasks.items() if task.done()} == {"slowest"}
        for task in tasks.values():
            task.cancel()

    run_virtual(main())


def test_a_download_that_was_ended_is_over_before_its_caller_hears_of_it(tmp_path: Path) -> None:
    """Else the next try would meet the end of the last one."""

    class Slowly(Dripping):
        async def fetch(
            self, cid: str, *, max_size: int, timeout_s: float, on_progress: Callable[[int, int], None] | None = None
        ) -> Path:
            self.under_way.add(cid)
            try:
                await asyncio.sleep(10**6)
            finally:
                await asyncio.sleep(1)
                self.under_way.discard(cid)
            return self.folder / cid

    async def main() -> None:
        files = Slowly(tmp_path)
        _, problem = await get(Transfers(files), files.offer("drip"))
        assert isinstance(problem, FetchFailed)
        assert files.under_way == set()

    run_virtual(main())


# --- the order of owners ----------------------------------------------------------------------------------------------------------


def test_blame_counts_at_once_stays_when_all_is_told_anew_and_the_barred_have_no_place() -> None:
    order = FairQueue()

    def walk() -> list[bytes]:
        return [item for item, _ in order.walk(())]

    for item, owner, rank in ((b"a1", b"A", (1,)), (b"a2", b"A", (2,)), (b"b1", b"B", (3,))):
        order.add(item, owner, rank)
    assert walk() == [b"a1", b"a2", b"b1"]
    order.blame(b"A")
    assert walk() == [b"b1", b"a1", b"a2"]
    assert sorted([b"a1", b"b1"], key=lambda item: order.place(item) or ()) == [b"b1", b"a1"]
    order.clear()
    assert walk() == [] and b"a1" not in order
    order.add(b"a3", b"A", (0,))
    order.add(b"b2", b"B", (9,))
    assert walk() == [b"b2", b"a3"], "told anew, blamed as before"
    order.bar(b"B", True)
    assert walk() == [b"a3"] and order.place(b"b2") is None
    order.bar(b"B", False)
    assert walk() == [b"b2", b"a3"] and order.place(b"b2") is not None
    order.add(b"b2", b"A", (7,))
    assert walk() == [b"a3", b"b2"] and order.owner(b"b2") == b"A", "an item has one owner"
    for item in (b"a3", b"b2", b"b2"):
        order.drop(item)
    assert walk() == [] and len(order) == 0


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


def test_a_job_that_ended_is_forgotten_and_no_other(tmp_path: Path) -> None:
    book, other = WorkDatabase(tmp_path / "work.db", CHAIN, ME), b"k" * 32
    for number, job in enumerate((JOB, other)):
        book.save(stored(bytes([number]) * 32, job), 1)
        book.attempt_started("job", job, 1)
        book.attempt_done("job", job, 1)
    assert book.forget(JOB) == [Path("/m")]
    assert book.attempts(2) == {"job": {other: {1}}}
    assert book.secrets() == [stored(b"\1" * 32, other)]
    assert book.forget(JOB) == []


def test_a_pin_is_taken_back_alone_and_its_time_is_the_last_one_given(tmp_path: Path) -> None:
    book = WorkDatabase(tmp_path / "work.db", CHAIN, ME)
    book.pin("bafy", "image:1", JOB)
    book.pin("bafy", "won:1", JOB, 5)
    book.pin("bafy", "won:1", JOB, 9)
    book.pin("bafk", "won:1", JOB, 3)
    book.unpin("bafy", "image:1")
    assert sorted(book.pins()) == [("bafk", "won:1", JOB, 3), ("bafy", "won:1", JOB, 9)]


def test_what_is_settled_and_what_was_found_false_are_kept_for_their_whole_time(tmp_path: Path) -> None:
    book = WorkDatabase(tmp_path / "work.db", CHAIN, ME)
    intent, found = Intent("job", "commit", JOB, b"op"), secrets.of_false(secrets.FalseClaim(b"a" * 20, JOB, b"o" * 20, 5))
    book.put_with(voted(), intent, 1_000)
    book.save(found, 1_000)
    book.settle(intent, IntentState.REFUSED, "x" * 10_000, 1_000)
    book.forget(JOB)
    book.prune(1_000 + KEEP_FALSE_MS)
    assert [secret.blob for secret in book.secrets()] == [found.blob], "a vote goes with its job"
    book.prune(1_001 + KEEP_FALSE_MS)
    assert book.secrets() == []
    book.prune(1_000 + KEEP_MS)
    kept = book.intent("job", "commit")
    assert kept is not None and kept.state is IntentState.REFUSED and len(kept.note) == 500
    book.prune(1_001 + KEEP_MS)
    assert book.intent("job", "commit") is None


def test_whoever_cannot_use_a_book_leaves_it_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "work.db"
    book = WorkDatabase(path, CHAIN, ME)
    book.put(Intent("job", "k", JOB, b"op"), 1)
    book.close()
    with contextlib.suppress(WorkDatabaseError):
        WorkDatabase(path, CHAIN, b"n" * 20)
    assert [intent.op for intent in WorkDatabase(path, CHAIN, ME).pending()] == [b"op"]
