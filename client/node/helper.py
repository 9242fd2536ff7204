"""What runs in a process that helps nodes to catch up: it takes pieces of work from a pipe, and ends when the pipe does.

The next piece is read while one is done. Nothing is imported here but what the work needs: see `client.node.helpers` for the other
side.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import msgspec

from learningchain.chain.node.checks import Check, Hashed, Made, Sent, Unhashed, are_signed, hash_blocks, make_buckets
from learningchain.client.node import process

Task = tuple[Callable[..., Any], msgspec.msgpack.Decoder[Any], msgspec.msgpack.Decoder[Any]]
"""A function of `chain.node.checks`, and what reads its arguments and its result."""

encode = msgspec.msgpack.Encoder().encode
NICE = 5
"""What helps must not starve what it helps."""
SIGNED, HASHED, MADE, SNAPSHOT = range(4)


def make_snapshot(url: str, chain_id: bytes, path: str) -> int | str:
    """As `chain.storage.snapshot.make`, or why there is no snapshot."""
    from learningchain.chain.storage.errors import StorageError
    from learningchain.chain.storage.snapshot import make

    try:
        return make(url, chain_id, path)
    except StorageError as fault:
        return str(fault)


TASKS: tuple[Task, ...] = (
    (are_signed, msgspec.msgpack.Decoder(tuple[bytes, list[Check]]), msgspec.msgpack.Decoder(bytes)),
    (hash_blocks, msgspec.msgpack.Decoder(tuple[list[Unhashed]]), msgspec.msgpack.Decoder(list[Hashed])),
    (make_buckets, msgspec.msgpack.Decoder(tuple[list[Sent]]), msgspec.msgpack.Decoder(tuple[list[Made], list[int]])),
    (make_snapshot, msgspec.msgpack.Decoder(tuple[str, bytes, str]), msgspec.msgpack.Decoder(int | str)),
)


def serve(pipe: Connection[bytes, bytes]) -> None:
    """It ends with the node, however that ends, leaves the keyboard's signals to it, and lets it go first.

    The node believes what comes from here: other processes of its user may not look into this one or change it either.
    """
    process.guard()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    pieces: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_read, args=(pipe, pieces), daemon=True).start()
    while (piece := pieces.get()) is not None:
        work, arguments, _ = TASKS[piece[0]]
        try:
            pipe.send_bytes(encode(work(*arguments.decode(memoryview(piece)[1:]))))
        except OSError:
            return


def _read(pipe: Connection[bytes, bytes], pieces: SimpleQueue[bytes | None]) -> None:
    try:
        while True:
            pieces.put(pipe.recv_bytes())
    except (EOFError, OSError):
        pieces.put(None)
