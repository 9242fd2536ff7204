"""What a machine keeps in a book, and what waits for it: effects that the driver carries out for any contract, on a toy."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from learningchain.chain.contracts.credits import Transfer
from learningchain.client.node.interface import PRIVATE
from learningchain.client.work import WorkDriver
from learningchain.client.work.artifacts import cid_of_file
from learningchain.client.work.computing import TaskRefused
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.events import (
    Chain,
    Compute,
    Computed,
    ComputeFailed,
    KeepBook,
    PeerSaid,
    RunEnded,
    SendPeer,
    ServeFile,
    StartRun,
    StopServing,
)
from learningchain.client.work.machine import Hearing, LedgerStatus, Machine, Recalled, WorkPart, knows_no_ref
from learningchain.p2p.content.cid import parse
from learningchain.sandbox import OwnData, RunStatus
from tests.unit.test_work_graph import VALIDATORS, Graph, tmp_path
from tests.unit.work_kit import Node, run_virtual

__all__ = ["tmp_path"]
REF, CHANNEL = b"toy".ljust(32, b"."), 3


class Diary(Machine):
    """Says once what it is told to say."""

    name = "toy.diary"

    def __init__(self, known: Recalled) -> None:
        self.known, self.saying, self.heard = known, list[Any](), list[Any]()

    def handle(self, given: Any) -> list[Any]:
        if not isinstance(given, Chain):
            self.heard.append(given)
        said, self.saying = self.saying, []
        return said


class Desk:
    """In place of the process that computes."""

    async def perform(self, module: str, task: Any) -> Any:
        if task == "impossible":
            raise TaskRefused("it cannot be")
        return module, task

    def close(self) -> None: ...


class Slow:
    """A disk that keeps a book when it is let."""

    def __init__(self, database: WorkDatabase) -> None:
        self.open, self._keep = False, database.keep_book

    def __call__(self, name: str, blob: bytes) -> None:
        if not self.open:
            raise sqlite3.OperationalError("database or disk is full")
        self._keep(name, blob)


def a_node(folder: Path) -> Node:
    return Graph(folder).nodes[VALIDATORS[0]]


async def driven(
    node: Node, made: list[Diary], sent: list[Any], files: set[Path] | None = None, kind: type[Diary] = Diary
) -> WorkDriver:
    def machines(known: Recalled) -> list[Diary]:
        made.append(kind(known))
        return made[-1:]

    toy = WorkPart(
        name="toy",
        knows=knows_no_ref,
        machines=machines,
        ledger_statuses={Transfer: lambda *_: (LedgerStatus.STANDS, None)},
        tasks="toy.tasks",
        files=lambda _: files or set(),
        hears=Hearing(CHANNEL, lambda reader, me, sender, payload: payload),
    )
    return await node.start(slices=[toy], computing=Desk(), send=lambda *message: bool(sent.append(message)) or True)


def test_nothing_is_said_before_the_book_is_on_the_disk_and_the_next_process_has_it(tmp_path: Path) -> None:
    async def main() -> None:
        made, sent = list[Diary](), list[Any]()
        node = a_node(tmp_path)
        work = await driven(node, made, sent)
        disk = work._stores.database.keep_book = Slow(work._stores.database)  # type: ignore[method-assign]
        first = [KeepBook("toy.book", b"one"), SendPeer(CHANNEL, b"a" * 20, b"1")]
        made[0].saying = [*first, KeepBook("toy.book", b"two"), SendPeer(CHANNEL, b"a" * 20, b"2")]
        await asyncio.sleep(3)
        made[0].saying = [SendPeer(CHANNEL, b"a" * 20, b"3")]
        await asyncio.sleep(10)
        assert not sent, "the disk has nothing yet"
        assert work.books.get("toy.book") == b"one", "who reads it here sees what it will be"
        disk.open = True
        await asyncio.sleep(20)
        assert sent == [(b"a" * 20, CHANNEL, payload) for payload in (b"1", b"2", b"3")], "in their order"
        await node.kill()
        work = await driven(node, made, sent)
        assert made[-1].known.books == {"toy.book": b"two"}
        await work.stop()

    run_virtual(main())


def test_tasks_own_data_and_peers_are_answered(tmp_path: Path) -> None:
    async def main() -> None:
        made, sent = list[Diary](), list[Any]()
        node = a_node(tmp_path)
        work = await driven(node, made, sent)
        own = OwnData(name="rows", digest=bytes(32), size=1, files=1)

        async def listed() -> list[OwnData]:
            return [own]

        node.engine.own_data = listed  # type: ignore[method-assign]
        made[0].saying = [
            Compute("scope", "good", REF, "task"),
            Compute("scope", "bad", REF, "impossible"),
            StartRun("toy-1", REF, lambda owned: f"there are {sorted(owned)}", ("local", 1)),
        ]
        await asyncio.sleep(3)
        work.on_message(b"b" * 20, CHANNEL, b"hello")
        work.on_message(b"b" * 20, CHANNEL + 1, b"nobody's")
        await asyncio.sleep(3)
        heard = made[0].heard
        assert Computed("scope", "good", ("toy.tasks", "task")) in heard
        assert ComputeFailed("scope", "bad", "it cannot be") in heard
        (ended,) = [one for one in heard if isinstance(one, RunEnded)]
        assert (ended.status, ended.reason) == (RunStatus.NOT_STARTED, "there are ['rows']")
        assert [one for one in heard if isinstance(one, PeerSaid)] == [PeerSaid(b"b" * 20, b"hello")]
        await work.stop()

    run_virtual(main())


def test_what_no_book_names_of_what_was_computed_goes_at_a_start(tmp_path: Path) -> None:
    async def main() -> None:
        node = a_node(tmp_path)
        folder = node.folder / "work" / "made"
        folder.mkdir(parents=True)
        for name in ("named", "left", "torn.part"):
            (folder / name).write_bytes(b"x")
        work = await driven(node, list[Diary](), [], {folder / "named"})
        assert [path.name for path in folder.iterdir()] == ["named"]
        await work.stop()

    run_virtual(main())


def test_files_are_served_to_some_and_go_with_their_end(tmp_path: Path) -> None:
    async def main() -> None:
        made, sent = list[Diary](), list[Any]()
        node = a_node(tmp_path)
        work = await driven(node, made, sent)
        folder = node.folder / "work" / "made"
        folder.mkdir(parents=True)
        (folder / "new").write_bytes(b"an update")
        name, _ = cid_of_file(folder / "new")
        path = folder / name.to_bytes().hex()
        (folder / "new").rename(path)
        made[0].saying = [ServeFile(REF, name.to_bytes(), path, (b"a" * 20,))]
        await asyncio.sleep(3)
        assert node.files.allowed == {str(name): {b"a" * 20}}
        assert node.files.pins[str(name)] == {f"{PRIVATE}fed-file:{REF.hex()}"}
        made[0].saying = [StopServing(REF, name.to_bytes())]
        await asyncio.sleep(3)
        assert node.files.allowed[str(name)] == frozenset() and not node.files.pins[str(name)] and not path.exists()
        assert parse(str(name)) == name
        await work.stop()

    run_virtual(main())
