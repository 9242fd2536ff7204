"""What is alive grows ten times as old as a time after which something ends, and nothing of it is lost. By the rules themselves,
with a clock that is handed in. Which other tests do the same, and which times nothing alive reaches, stands in `test_times`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.callbacks import database as callbacks
from learningchain.client.callbacks.database import CallbackDatabase, TargetState
from learningchain.client.config import LONGEST_RUN_S, WorkConfig
from learningchain.client.contracts.federation.roles import cleanup
from learningchain.client.contracts.federation.roles.cleanup import FedCleanUp
from learningchain.client.contracts.job.roles import policy
from learningchain.client.contracts.job.roles.secrets import KEEP_FALSE_MS
from learningchain.client.contracts.membership.roles import box
from learningchain.client.keys import tokens
from learningchain.client.keys.tokens import Tokens, TokenScope
from learningchain.client.work import transfers, warm
from learningchain.client.work.database import Intent, WorkDatabase
from learningchain.client.work.transfers import Transfers, fetch_ms
from learningchain.client.work.warm import Start
from learningchain.p2p.address_book import FORMER_S, AddressBook
from learningchain.p2p.content import moves
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.events import DownloadFinished, LeavesMoved, MoveOpened, OpenMove
from learningchain.p2p.content.exchange import NOBODY_MS, STALL_MS
from learningchain.sandbox.docker import checkpoints, store
from learningchain.sandbox.docker.checkpoints import CheckpointCopier
from learningchain.sandbox.docker.reaper import LEAVE_S
from learningchain.sandbox.docker.reaper_program import GRACE_S, STAYS_LABEL, UNTIL_LABEL, fate, until_label
from tests.federation_nodes import FedWorld
from tests.unit import callbacks_kit, test_content_moves, test_p2p_moves, test_work_box_keys, test_work_places, test_work_warm
from tests.unit.content_kit import ScriptedPeer, World, pattern, root_of
from tests.unit.test_callbacks_database import of, row, target, tell
from tests.unit.test_federation_cleanup import told
from tests.unit.test_federation_machines import SMALL
from tests.unit.test_sandbox_checkpoints import CAP, Beside, Taken
from tests.unit.test_sandbox_guard import pulled
from tests.unit.test_work_policy import ME, NOW, limits, offer
from tests.unit.test_work_transfers import Dripping, get
from tests.unit.work_kit import run_virtual

TEN = 10
ROOT, BLOCKS = root_of(pattern(40 * CHUNK))


def a_connection_that_brings_little(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One leaf shortly before each stall, over ten tickets, which are good for a shorter time here: so a small file lasts."""
    monkeypatch.setattr(moves, "RUN", 1)
    monkeypatch.setattr(moves, "TICKET_MS", ticket := 2 * moves.SPARE_MS)
    world, opened = test_content_moves.Moving(1, delay=2_000), set[int]()
    world.fetch(test_content_moves.ROOT)
    while world.now < TEN * max(ticket, moves.MOVE_STALL_MS):
        for move in set(world.open) - opened:
            world.feed(MoveOpened(move))
        opened |= set(world.open)
        world.pass_time(moves.MOVE_STALL_MS - 1_000)
        for move in world.open:
            world.feed(LeavesMoved(move, 1, CHUNK))
    assert len(world.of(OpenMove)) >= TEN // 2 and not world.ended and not world.penalized


def a_peer_that_answers_late(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.connect(ScriptedPeer(b"a", BLOCKS, delay=STALL_MS // 2))
    world.fetch(ROOT)
    assert isinstance(world.run(ROOT), DownloadFinished) and world.now > TEN * STALL_MS


def a_peer_that_comes_and_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.fetch(ROOT)
    while world.now < TEN * NOBODY_MS:
        world.connect(ScriptedPeer(b"a", BLOCKS, delay=1_000))
        for _ in range(8):
            world.step()
        world.disconnect(b"a")
        until = world.now + NOBODY_MS - 1_000
        while world.now < until:
            world.step()
        assert not world.ended
    world.connect(ScriptedPeer(b"a", BLOCKS))
    assert isinstance(world.run(ROOT), DownloadFinished)


def a_vote_whose_job_lives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = WorkDatabase(folder / "work.db", test_work_places.CHAIN, test_work_places.ME)
    vote = test_work_places.voted()
    book.put_with(vote, Intent("job", "commit", test_work_places.JOB, b"op"), 1_000)
    book.note_owner(test_work_places.JOB, "job")
    book.prune(1_000 + TEN * KEEP_FALSE_MS)
    assert [secret.blob for secret in book.secrets()] == [vote.blob]


def a_callback_that_is_told_now_and_then(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = CallbackDatabase(folder / "db", callbacks_kit.CHAIN, callbacks_kit.OWN)
    db.add(target("a"), 1)
    db.prune(TEN * callbacks.KEEP_MS)
    for part in range(TEN + 1):
        now = part * callbacks.SILENT_MS
        db.note([row("a", f"round {part}")], None, now)
        tell(db, "a", now=now)
        db.prune(now)
    assert of(db, "a").state is TargetState.OPEN
    db.close()


def a_training_of_twenty_days(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner said so."""
    most = TEN * LONGEST_RUN_S
    given = offer(left=2_000 * most, limits=limits(train_s=most), bounty=10**9)
    assert policy.explain(WorkConfig(enabled=True, max_run_s=most), given, clock=NOW, me=ME) is None


def the_present_box_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = test_work_box_keys.Bench()
    bench.settle()
    assert bench.settle(bench.record.box_since + TEN * box.KEEP_MS) == [] and set(bench.disk) == {bench.shown}


def a_federation_that_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FedWorld(**SMALL)
    clock = world.chain().clock + TEN * cleanup.KEEP_MS
    assert told(FedCleanUp(lambda: ()), world, clock=clock) == ([], [])


def a_token_without_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Tokens(folder / "tokens.db")
    first, _ = kept.new(TokenScope.READ, most=None, days=None, label="", now=0)
    kept.new(TokenScope.READ, most=None, days=None, label="", now=TEN * tokens.KEEP_MS)
    assert first.id in {one.id for one in kept.rows()}
    kept.close()


def a_slow_download(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little faster than what ends alone; whoever gives it time gives it as much as its size takes."""

    async def main() -> None:
        rate, wanted = 1.5 * transfers.LEAST, TEN * max(transfers.PATIENCE_S, transfers.WINDOW_S, transfers.STEP_S)
        files = Dripping(folder)
        seconds, path = await get(Transfers(files), files.offer("slow", size=int(rate * wanted), rate=rate))
        assert isinstance(path, Path) and seconds >= wanted

    run_virtual(main())
    assert fetch_ms(TEN * transfers.FETCH_MS * transfers.SLOWEST // 1_000) >= TEN * transfers.FETCH_MS


def a_container_that_waits_for_a_question(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, old = test_work_warm.warmth(), TEN * warm.PROVEN_S
    start = test_work_warm.one(pool.serve(test_work_warm.A, 100, 1, 0.0), Start)
    pool.started(start.container, 0.0)
    pool._models[test_work_warm.A].used = old
    assert test_work_warm.one(pool.died(start.container, old), Start), "it did not fail: the next one comes at once"


def an_address_that_is_true(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, who = AddressBook(), test_p2p_moves.peer(1)
    book.succeeded(who, "10.0.0.1:1", test_p2p_moves.NOW)
    book.expire(test_p2p_moves.NOW + TEN * FORMER_S)
    assert test_p2p_moves.known(book, who) == ["10.0.0.1:1"]


def a_container_whose_node_lives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = TEN * max(GRACE_S, LEAVE_S)
    for labels in ({UNTIL_LABEL: until_label(old)}, {UNTIL_LABEL: until_label(old), STAYS_LABEL: "1"}, {}):
        assert not fate(labels, True, now=old, gone_s=None, leave_s=LEAVE_S)


def a_pull_that_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the rate that an image is given time for."""
    seconds = int(TEN * max(store.PULL_PATIENCE_S, store.PULL_WINDOW_S))
    size = int(store.PULL_SLOWEST * seconds)
    pulled(store.PULL_SLOWEST, seconds, cap=size, total=size)


def a_checkpoint_that_is_copied_while_its_job_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_STEP", 1)
    now, taken = [0.0], Taken()

    def slow() -> float:
        now[0] += 1.0
        return now[0]

    sidecar: Any = Beside([b"x"] * 1_000)
    one = CheckpointCopier(sidecar, folder / "c", CAP, taken, every_s=0.0, now=slow)
    steps = 0
    while one.step():
        now[0], steps = now[0] + 1, steps + 1
    assert steps > TEN * checkpoints.LAST_S and taken.contents == [b"x" * 1_000]


ALIVE: dict[Callable[[Path, pytest.MonkeyPatch], None], str] = {
    a_connection_that_brings_little: "p2p/content/moves.py TICKET_MS MOVE_STALL_MS",
    a_peer_that_answers_late: "p2p/content/exchange.py STALL_MS",
    a_peer_that_comes_and_goes: "p2p/content/exchange.py NOBODY_MS",
    a_vote_whose_job_lives: "client/contracts/job/roles/secrets.py KEEP_FALSE_MS",
    a_callback_that_is_told_now_and_then: "client/callbacks/database.py KEEP_MS SILENT_MS",
    a_training_of_twenty_days: "client/config/sections.py LONGEST_RUN_S",
    the_present_box_key: "client/contracts/membership/roles/box.py KEEP_MS",
    a_federation_that_goes_on: "client/contracts/federation/roles/cleanup.py KEEP_MS",
    a_token_without_an_end: "client/keys/tokens.py KEEP_MS",
    a_slow_download: "client/work/transfers.py PATIENCE_S WINDOW_S STEP_S FETCH_MS",
    a_container_that_waits_for_a_question: "client/work/warm.py PROVEN_S",
    an_address_that_is_true: "p2p/address_book.py FORMER_S",
    a_container_whose_node_lives: "sandbox/docker/reaper_program.py GRACE_S\nsandbox/docker/reaper.py LEAVE_S",
    a_pull_that_goes_on: "sandbox/docker/store.py PULL_WINDOW_S PULL_PATIENCE_S",
    a_checkpoint_that_is_copied_while_its_job_runs: "sandbox/docker/checkpoints.py LAST_S",
}
"""By what is alive: files with the constants that it outlives."""


@pytest.mark.parametrize("alive", ALIVE, ids=lambda alive: alive.__name__)
def test_what_is_alive_outlives_it_ten_times(
    alive: Callable[[Path, pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive(tmp_path, monkeypatch)
