"""Where the tasks of the machines find their files and leave what they make, and the model that a round begins from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import tensors
from learningchain.client.contracts.federation.arithmetic.tensors import Buffer
from learningchain.client.contracts.federation.tasks import MadeFile


class FileDesk(Protocol):
    """Where a task finds its files, and leaves what it makes."""

    def read(self, path: Path) -> Buffer:
        """The whole file, which the system may map. Raises OSError."""
        ...

    def write(self, pieces: Iterable[bytes]) -> MadeFile: ...

    def lay(self, pieces: Iterable[bytes]) -> Buffer:
        """What a task needs for a while and is as large as a model: on the disk, and gone with the task. Raises OSError."""
        ...


class CannotCompute(ValueError):
    """With these files it cannot be done, by anybody; the text says why."""


def read_base(desk: FileDesk, path: Path, dims: int, size: int) -> tuple[NDArray[np.float32], tensors.TensorLayout]:
    """LC-FILE-5: the ledger cannot look into a model, so everybody does that trains on it or adds to it."""
    file = desk.read(path)
    layout = tensors.read_layout(file)
    if (layout.dims, layout.size) != (dims, size):
        raise CannotCompute(f"the model has {layout.dims} values in {layout.size} bytes, the terms say {dims} in {size}")
    return tensors.read_model(file, layout), layout
