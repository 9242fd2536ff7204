"""Targets: what a node and other machines of its owner say to each other, lists of data sets, tokens, and keys that they bring."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

from learningchain.chain.errors import Malformed
from learningchain.client.machines import frames as f
from learningchain.client.machines import trust
from learningchain.client.machines.set_cache import listing_of, read_listing
from learningchain.sandbox import DataSet
from learningchain.sandbox.data import DataFile
from tests.fuzz.targets import Target, check, text_of

_LOOP = asyncio.new_event_loop()
NOW = 1_700_000_000.0
FOLDER = Path("/sets")
SECRETS = trust.make_node_secrets(NOW)


def _read(data: bytes, *, of_node: bool) -> None:
    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        frames, at = f.FrameReader(reader), 0
        while True:
            frame = await (frames.of_node() if of_node else frames.of_machine())
            raw = f.framed(frame)
            check(data[at : at + len(raw)] == raw, "not canonical")
            at += len(raw)

    _LOOP.run_until_complete(read())


def machine_frames(data: bytes) -> None:
    """The end of what came ends every connection."""
    try:
        _read(data, of_node=False)
    except ConnectionError:
        return


def node_frames(data: bytes) -> None:
    try:
        _read(data, of_node=True)
    except ConnectionError:
        return


def machine_token(data: bytes) -> None:
    found = trust.parse_token(text_of(data))
    check(trust.parse_token(found.text()) == found, "not what it says")


def machine_key(data: bytes) -> None:
    pem = trust.issue(SECRETS, "gpu1", data, NOW)
    check(len(trust.fingerprint(pem)) == 32, "no certificate")


def set_listing(data: bytes) -> None:
    """Behind the digest that was ordered. A file's name says nothing of where it lies."""
    found = read_listing(data[32:], data[:32], FOLDER)
    check(found.digest == data[:32] and all(file.path.parent == FOLDER for file in found.files), "files of another set or place")


TARGETS = {
    "machine-frames": Target(machine_frames, (Malformed,), 8_192),
    "node-frames": Target(node_frames, (Malformed,), 8_192),
    "set-listing": Target(set_listing, (Malformed,), 8_192),
    "machine-token": Target(machine_token, (trust.BadToken,), 2_048),
    "machine-key": Target(machine_key, (Malformed,), 512),
}


def _frames(*messages: f.FromMachine | f.FromNode) -> bytes:
    return b"".join(map(f.framed, messages))


def _of_machines() -> list[bytes]:
    hello = f.MachineHello(f.PROTOCOL, "1", "1", "x86_64", 4_000, 4_096, "", [f.HeldRun("train-1", bytes(32))])
    told = (f.Began("train-1"), f.RunProgress("train-1", 1, 2, "0.5"), f.Printed("train-1", "a\n"), f.MachinePing())
    over = f.RunOver("train-1", "ok", "done", 0, 1_000, "a\n")
    return [
        _frames(f.JoinMachine(f.PROTOCOL, bytes(32), b"key")),
        _frames(hello, *told, over),
        _frames(f.Want("train-1", "")),
        _frames(f.Want("train-1", "checkpoint")),
        _frames(f.WantSet("train-1", bytes(32))),
        _frames(f.GiveOutput("train-1", "model", 7)),
        _frames(f.AskNode(f.PROTOCOL)),
    ]


def _of_nodes() -> list[bytes]:
    take = f.Take("train-1", b"{}", 1 << 20, 1 << 20, 10, 2, 0, [f.InputFile("checkpoint", 7)], "a/b@sha256:" + "a" * 64)
    ends = (f.EndRun("train-1", "over"), f.ReleaseRun("train-1"), f.DropImage("sha256:" + "a" * 64), f.MachinePing())
    return [
        _frames(f.Admitted("gpu1"), take, *ends),
        _frames(f.Joined("gpu1", "a", "b")),
        _frames(f.MachineRefused("no")),
        _frames(f.Sized(7), f.OutputReceived()),
        _frames(f.SetSized(70, 1 << 20)),
        _frames(f.NodeSays("1", 1_000)),
    ]


def _listings() -> list[bytes]:
    files = [DataFile(name, FOLDER / name, len(name), hashlib.sha256(name.encode()).digest()) for name in ("a", "b/c", "d.bin")]
    return [data.digest + listing_of(data) for data in (DataSet(tuple(files[:n])) for n in (1, 3))]


EXAMPLES: dict[str, Callable[[], list[bytes]]] = {
    "machine-frames": _of_machines,
    "node-frames": _of_nodes,
    "set-listing": _listings,
    "machine-token": lambda: [trust.MachineJoinToken("10.0.0.7:7403", b"c" * 32, b"s" * 32).text().encode()],
    "machine-key": lambda: [trust.public_der(trust.new_key())],
}
