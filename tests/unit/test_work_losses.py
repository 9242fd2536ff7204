"""Losses that evaluations measured: kept for their ref, opened after a restart too, gone with the ref; what an end of a run is."""

from __future__ import annotations

import errno
import os
import random
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from learningchain.chain.losses import LossTree, check_opening, draw_probe
from learningchain.client.work.artifacts import KeptLosses, Models
from learningchain.client.work.checkpoints import Checkpoints
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.engine import RunLog
from learningchain.client.work.events import OpenLosses, RunEnded, StartRun, one_of_run
from learningchain.client.work.execution import Execution
from learningchain.client.work.warm_pool import WarmPool
from learningchain.sandbox import Evaluated, EvaluatedModels, RunResult, RunSpec, RunStatus
from tests.unit.work_kit import Inline

REF, OTHER = b"r" * 32, b"s" * 32
LOSSES = array("q", [random.Random(4).randrange(-(10**18), 10**18) >> number % 60 for number in range(300)])
MEASURED = LossTree(LOSSES).measurement
SPEC = RunSpec(run_id="verify-1", image_id="sha256:" + "a" * 64, phase="evaluate", budget_s=1, inputs={"model": Path("m")})


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def kept(tmp_path: Path, executor: ThreadPoolExecutor) -> KeptLosses:
    return KeptLosses(tmp_path / "losses", executor)


def wanted(run: str = "verify-1", ref: bytes = REF, measured: Any = MEASURED) -> OpenLosses:
    return OpenLosses("scope", "tag", ref, run, measured, draw_probe(b"b" * 32, REF, 0, 1, len(LOSSES)))


async def test_what_was_kept_is_opened_also_after_a_restart(tmp_path: Path, kept: KeptLosses, executor: ThreadPoolExecutor) -> None:
    await kept.keep(REF, "verify-1", LOSSES)
    raw = (tmp_path / "losses" / REF.hex() / "verify-1").read_bytes()
    assert raw == b"".join(loss.to_bytes(8, "big", signed=True) for loss in LOSSES), "8 bytes each, whatever the machine"
    again = KeptLosses(tmp_path / "losses", executor)
    await again.load()
    assert again.refs == {REF}
    assert again.read(REF, "verify-1") == LOSSES
    found = await again.open(wanted())
    assert found.opening is not None
    shown = check_opening(MEASURED, wanted().probe, found.opening)
    assert shown[:8] == [LOSSES[at] for at in wanted().probe.positions]
    assert (found.scope, found.tag, found.reason) == ("scope", "tag", "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"", "0 bytes are no losses"),
        (bytes(7), "7 bytes are no losses"),
        (bytes(8 * (2**20 + 1)), "8388616 bytes|8388609 bytes"),
        (bytes(8 * len(LOSSES)), "not those that were measured"),
    ],
)
async def test_nothing_is_opened_that_was_not_measured(kept: KeptLosses, content: bytes | None, why: str) -> None:
    """A wrong opening would be refused by the ledger, and cost more than silence about it."""
    await kept.keep(REF, "verify-1", LOSSES)
    path = kept.path(REF, "verify-1")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found = await kept.open(wanted())
    assert found.opening is None
    assert any(part in found.reason for part in why.split("|")), found.reason


async def test_a_link_in_the_place_of_losses_is_not_followed(tmp_path: Path, kept: KeptLosses) -> None:
    await kept.keep(REF, "verify-1", LOSSES)
    path = kept.path(REF, "verify-1")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert (await kept.open(wanted())).opening is None
    await kept.keep(REF, "verify-1", LOSSES)
    assert not path.is_symlink()
    assert (await kept.open(wanted())).opening is not None


async def test_a_disk_that_refuses_leaves_nothing_half_written(kept: KeptLosses, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        await kept.keep(REF, "verify-1", LOSSES)
    assert list(kept.path(REF, "verify-1").parent.iterdir()) == []


# --- what an end of a run is ---------------------------------------------------------------------------------------------------


class Engine:
    def __init__(self, result: RunResult) -> None:
        self.result = result

    async def run(self, *_: Any) -> RunResult:
        return self.result


async def ended(tmp_path: Path, kept: KeptLosses, result: RunResult, spec: RunSpec | str = SPEC, keep: bool = True) -> RunEnded:
    log, inline = RunLog(lambda: 1), Inline()
    book = WorkDatabase(tmp_path / "work.db", bytes(32), bytes(20))
    models, warm = Models(tmp_path / "models", inline), cast(WarmPool, None)
    execution = Execution(Engine(result), log, models, kept, book, inline, warm, Checkpoints(tmp_path / "kept"))  # type: ignore[arg-type]
    start = StartRun("verify-1", REF, spec, ("verify", 1), keep=keep)
    found = await execution.run(start, execution.begin(start))
    book.close()
    return found


GOOD = RunResult(status=RunStatus.OK, reason="done", result=Evaluated(MEASURED, LOSSES))


async def test_a_machine_hears_of_the_measurement_and_the_losses_are_on_the_disk_before(tmp_path: Path, kept: KeptLosses) -> None:
    assert await ended(tmp_path, kept, GOOD) == RunEnded("verify-1", RunStatus.OK, "done", MEASURED)
    assert kept.read(REF, "verify-1") == LOSSES


async def test_of_several_models_each_has_its_losses_on_the_disk(tmp_path: Path, kept: KeptLosses) -> None:
    each = (Evaluated(MEASURED, LOSSES), None, Evaluated(MEASURED, LOSSES))
    found = await ended(tmp_path, kept, RunResult(status=RunStatus.OK, reason="done", result=EvaluatedModels(each)))
    assert found.result == (MEASURED, None, MEASURED)
    assert {path.name for path in kept.path(REF, "").iterdir()} == {one_of_run("verify-1", 0), one_of_run("verify-1", 2)}
    assert kept.read(REF, one_of_run("verify-1", 2)) == LOSSES


async def test_losses_that_the_disk_refuses_are_this_nodes_trouble(
    tmp_path: Path, kept: KeptLosses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, losses: array[int]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept, "_write", refuse)
    found = await ended(tmp_path, kept, GOOD)
    assert (found.status, found.result) == (RunStatus.ENGINE_ERROR, None)
    assert "the losses could not be kept on this disk" in found.reason
