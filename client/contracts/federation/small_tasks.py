"""What the machines have computed of federations with cells, beside `tasks`: `roles.small_computing.perform` does it. Frozen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace
from learningchain.client.contracts.federation.tasks import MadeFile, UpdateToMake, UpdateToOpen


@dataclass(frozen=True)
class JudgedFile:
    """A file of the attempt: the number of its member's cell, whether the file counts, and whether all of the cell do."""

    cell: int
    counts: bool
    complete: bool


@dataclass(frozen=True)
class CellSeeds:
    """A cell that sums: of each mask that this place knows the seeds of the members. `again`: another set with a common member
    was summed on this base."""

    cell: int
    again: bool
    seeds: tuple[tuple[bytes, ...], ...]


@dataclass(frozen=True)
class MakeSmall(UpdateToMake):
    """LC-FILE-50 to 55 -> MadeFile, with seeds and blinds that are used once and kept nowhere. `reference`: the sponsor's, which is
    open (LC-FILE-61)."""

    reference: bool


@dataclass(frozen=True)
class OpenSmall(UpdateToOpen):
    """LC-FILE-15, 54 -> OpenedUpdate. `reference`: it is the sponsor's, which must be one (LC-FILE-61)."""

    reference: bool


@dataclass(frozen=True)
class ViewShares:
    """LC-FILE-56, 58 -> one MadeFile for share 0 and one for each of `masks`, the seeds of all files. `files`: their members and
    paths, in the order of the commitments."""

    place: AttemptPlace
    beacon: bytes
    dims: int
    files: tuple[tuple[bytes, Path], ...]
    masks: tuple[tuple[bytes, ...], ...]


@dataclass(frozen=True)
class ScreenSmall:
    """LC-FILE-57, 58 -> SmallScreen. `files` in the order of the commitments; `parts` of share 0 and the three masks."""

    place: AttemptPlace
    dims: int
    files: tuple[JudgedFile, ...]
    parts: tuple[Path, ...]


@dataclass(frozen=True)
class SumSmallMasks:
    """LC-FILE-59 -> one MadeFile for each of `masks`, which are numbers. `cells`: those that sum, by their numbers."""

    place: AttemptPlace
    beacon: bytes
    dims: int
    masks: tuple[int, ...]
    cells: tuple[CellSeeds, ...]
    dp_milli: int


@dataclass(frozen=True)
class SummedCells:
    """`models`: the candidates, in the order of LC-FILE-62 and 63; None where a value is not finite."""

    sums: MadeFile
    models: tuple[MadeFile | None, ...]


@dataclass(frozen=True)
class SumSmall:
    """LC-FILE-60 to 63 -> SummedCells, or None where the sum is not finite. `cells`: number and files of each that sums;
    `parts`: of the three masks; `reference`: the sponsor's file and its seed. `size` of the models."""

    place: AttemptPlace
    dims: int
    size: int
    base: Path
    cells: tuple[tuple[int, tuple[Path, ...]], ...]
    parts: tuple[Path, ...]
    reference: tuple[Path, bytes] | None
    radius: int


@dataclass(frozen=True)
class ProposeModels:
    """LC-FILE-62, 63 -> MadeFile: the candidates that are finite, one behind the other, as `evaluates` takes them. Refused where
    they are not those that the ledger names. `size` of the models."""

    place: AttemptPlace
    dims: int
    size: int
    base: Path
    sums: Path
    radius: int
    models: tuple[bytes, ...]


SmallTask = MakeSmall | OpenSmall | ViewShares | ScreenSmall | SumSmallMasks | SumSmall | ProposeModels
