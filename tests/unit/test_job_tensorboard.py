"""Event files for TensorBoard: each record by its checksums, each curve whole, whatever strangers' programs say."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.contracts.job.cli.shown import Shown
from learningchain.client.contracts.job.cli.tensorboard import FILE, TensorBoardExport, crc32c, scalar_event, version_event

ADDRESS = "lc1p6d9qa0fjffaqk75dwpvn5dydvk7trshr6d9x3"


def claim(loss: str, time: int) -> Any:
    return {"topic": "claim", "time": time, "height": 1, "data": {"claimant": ADDRESS, "loss": loss}}


def shown(steps: list[Any], *events: Any, run: str = "r-17") -> Shown:
    return Shown({"claims": []}, [{"id": run, "started": 5_000, "progress": steps}], 0, None, list(events))  # type: ignore[typeddict-item]


def records(file: Path) -> list[bytes]:
    """Each record of a file, whose checksums are right."""
    raw, found = file.read_bytes(), []
    while raw:
        length, data = raw[:8], raw[12 : 12 + struct.unpack("<Q", raw[:8])[0]]
        for part, at in ((length, 8), (data, 12 + len(data))):
            crc = crc32c(part)
            assert struct.unpack("<I", raw[at : at + 4])[0] == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        found.append(data)
        raw = raw[16 + len(data) :]
    return found


def curve(folder: Path, name: str) -> list[bytes]:
    first, *rest = records(folder / "tensorboard" / name / FILE)
    assert first == version_event()
    return rest


def test_the_checksum_and_an_event_are_as_their_specifications_have_them() -> None:
    assert crc32c(b"123456789") == 0xE3069283, "RFC 3720's check value"
    time, step, number = struct.pack("<d", 5.0).hex(), "10ac02", struct.pack("<f", 0.5).hex()
    assert scalar_event(5_000, 300, "loss", 0.5).hex() == f"09{time}{step}2a0d0a0b0a046c6f737315{number}"


def test_a_curve_grows_and_a_second_watch_writes_it_whole_again(tmp_path: Path) -> None:
    steps = [{"step": at, "of": 9, "loss": str(1 / at)} for at in range(1, 5)]
    for _ in range(2):
        export = TensorBoardExport(tmp_path)
        export.update(shown(steps[:2], claim("0.5", 1_000)))
        export.update(shown(steps, claim("0.25", 2_000)))
        export.update(shown(steps))
        assert curve(tmp_path, "run-r-17") == [scalar_event(5_000, at, "loss", 1 / at) for at in range(1, 5)]
        assert curve(tmp_path, f"claims-{ADDRESS}") == [scalar_event(1_000, 1, "loss", 0.5), scalar_event(2_000, 2, "loss", 0.25)]


@pytest.mark.parametrize(
    "said", [{"step": "x", "loss": 1}, {"loss": 1}, {"step": 2, "loss": 1e300}, {"step": 2**70, "loss": 1}, {"step": -4, "loss": 1}]
)
def test_what_is_no_step_with_a_loss_is_left_out(tmp_path: Path, said: dict[str, Any]) -> None:
    TensorBoardExport(tmp_path).update(shown([{"step": 1, "loss": 1}, said], run="../../r"))
    assert len(curve(tmp_path, "run-r")) == 1, "and a run's id leads to no other folder"
