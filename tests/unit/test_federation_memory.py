"""What the arithmetic of a federation needs of a machine's memory does not grow with the model."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace
from learningchain.client.contracts.federation.desk import DiskDesk
from learningchain.client.contracts.federation.roles.computing import perform
from learningchain.client.contracts.federation.tasks import (
    MadeFile,
    MakeUpdate,
    OpenUpdate,
    ReferenceFile,
    SketchMasks,
    TryReference,
)
from learningchain.client.keys.boxes import public_of
from tests.federation_nodes import model_file

DIMS = 2**21
CLIP = 10**9
PLACE = AttemptPlace(bytes(32), bytes(32), 1, 1)
PRIVATE = bytes(range(32))


@pytest.fixture
def files(tmp_path: Path) -> tuple[DiskDesk, Path, Path, int]:
    rng = np.random.default_rng(1)
    base = rng.normal(0, 1, DIMS).astype(np.float32)
    paths = tmp_path / "base", tmp_path / "local"
    for path, values in zip(paths, (base, base + rng.normal(0, 0.0003, DIMS).astype(np.float32)), strict=True):
        path.write_bytes(model_file(values))
    (tmp_path / "made").mkdir()
    return DiskDesk(tmp_path / "made"), *paths, paths[0].stat().st_size


def done(task: Any, desk: DiskDesk) -> tuple[Any, int]:
    """The result, and the most bytes that it held at once."""
    tracemalloc.start()
    try:
        return perform(task, desk, os.urandom), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_reference_lies_on_the_disk_whatever_its_size(tmp_path: Path, files: tuple[DiskDesk, Path, Path, int]) -> None:
    """At 2^28 values, the most that there may be, each copy of it in memory would take a GiB."""
    desk, base, local, size = files
    fits, most = done(TryReference(base, local, DIMS, size, CLIP), desk)
    assert fits is True and most < 2 * DIMS
    assert not list((tmp_path / "made").iterdir()), "what was laid there for a while is gone"
    key = public_of(PRIVATE)
    made, most = done(MakeUpdate(PLACE, bytes(20), base, local, DIMS, size, (key, key, key), CLIP, False), desk)
    assert isinstance(made, MadeFile) and most < 4 * DIMS
    opened, most = done(OpenUpdate(PLACE, bytes(20), made.path, DIMS, 1, PRIVATE, False, 3, reference=True), desk)
    assert opened.answer == "FETCHED" and most < 2 * DIMS
    given = ReferenceFile(made.path, dict(opened.seeds)[1], ())
    task = SketchMasks(PLACE, bytes(32), DIMS, ((bytes(32),),), 1, given)
    _, most = done(task, desk)
    assert most < 16 * 2**20, "rows, and pieces: as much for every model"
