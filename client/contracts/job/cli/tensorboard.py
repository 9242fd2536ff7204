"""Event files for TensorBoard, as `job watch --export DIR` writes them: `tensorboard --logdir DIR` draws them.

A file is a row of TFRecords (length, masked CRC-32C of it, data, masked CRC-32C of them); each data is an `Event` of TensorFlow's
event.proto, of whose fields four are written: wall_time, step, file_version, and a summary with one tag and one number.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learningchain.client.contracts.job.cli.shown import Shown

FILE = "events.out.tfevents.0.learningchain"
MAX_CURVES = 1_000
_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8


def _table() -> list[int]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return found


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720), which zlib does not have."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """A TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)


def version_event() -> bytes:
    """The first event of a file."""
    return b"\x09" + struct.pack("<d", 0.0) + _field(3, b"brain.Event:2")


def scalar_event(time_ms: int, step: int, tag: str, value: float) -> bytes:
    """A number at a step."""
    summary = _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
    return b"\x09" + struct.pack("<d", time_ms / 1_000) + b"\x10" + _varint(step) + _field(5, summary)


def _field(number: int, data: bytes) -> bytes:
    """A field of protobuf that has a length."""
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


class TensorBoardExport:
    """A folder for each of this node's runs and for each claimant, with its losses. Records are only ever added to a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tensorboard"
        self._steps: dict[str, int] = {}
        """The last step of each curve."""

    def update(self, shown: Shown) -> None:
        """What is new since the last time. Raises OSError."""
        for event in shown.events:
            if event["topic"] == "claim":
                name = f"claims-{event['data'].get('claimant')}"
                self._add(name, int(event["time"]), [{"step": self._steps.get(name, 0) + 1, "loss": event["data"].get("loss")}])
        for run in shown.runs:
            self._add(f"run-{run['id']}", int(run.get("started") or 0), run.get("progress") or [])

    def _add(self, name: str, time_ms: int, steps: Iterable[Mapping[str, Any]]) -> None:
        last, data = self._steps.get(name, -1), b""
        for one in steps:
            step, loss = _number(one.get("step")), _number(one.get("loss"))
            if step is not None and loss is not None and last < step < 2**63:
                last = int(step)
                data += record(scalar_event(time_ms, last, "loss", loss))
        if not data or (name not in self._steps and len(self._steps) >= MAX_CURVES):
            return
        folder = self._folder / "".join(c for c in name if c.isalnum() or c in "-_")[:128]
        folder.mkdir(parents=True, exist_ok=True)
        first = name not in self._steps
        with (folder / FILE).open("wb" if first else "ab") as file:  # of an earlier watch: the curve is written whole again
            file.write((record(version_event()) if first else b"") + data)
        self._steps[name] = last


def _number(value: Any) -> float | None:
    """What a stranger's program said, where it is a number that a float of 32 bits holds."""
    try:
        found = float(value)
        struct.pack("<f", found)
    except (TypeError, ValueError, OverflowError):
        return None
    return found
