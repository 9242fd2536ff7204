"""What the machines have computed beside their loop: each task names its files and numbers, `computing.perform` does it. Frozen.

A path is a file of this node; a `MadeFile` is one that a task wrote, named as the content store names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace
from learningchain.client.contracts.federation.arithmetic.vault import VaultHead


@dataclass(frozen=True)
class MadeFile:
    path: Path
    cid: bytes
    size: int


@dataclass(frozen=True)
class UpdateToMake:
    """What every member's file is made of. `keys`: of the aggregators by their places; `size` of the models."""

    place: AttemptPlace
    member: bytes
    base: Path
    local: Path
    dims: int
    size: int
    keys: tuple[bytes, ...]


@dataclass(frozen=True)
class UpdateToOpen:
    """What an aggregator knows of every file. `position`: its own place; `private`: of its box key."""

    place: AttemptPlace
    member: bytes
    file: Path
    dims: int
    position: int
    private: bytes


@dataclass(frozen=True)
class MakeUpdate(UpdateToMake):
    """LC-FILE-5, 7 to 14 -> MadeFile."""

    clip: int
    secret: bool


@dataclass(frozen=True)
class TryReference:
    """LC-FILE-7, 18 -> bool: whether the update of this local model would be a reference. `size` of the models."""

    base: Path
    local: Path
    dims: int
    size: int
    clip: int


@dataclass(frozen=True)
class OpenUpdate(UpdateToOpen):
    """LC-FILE-15 -> OpenedUpdate. `reference`: it is the sponsor's, which must be one (LC-FILE-18)."""

    secret: bool
    aggregators: int
    reference: bool = False


@dataclass(frozen=True)
class OpenedUpdate:
    """`answer`: FETCHED, SIZE, HEADER, BOX, or NONE of a reference that is none. `seeds` by their masks, of FETCHED."""

    answer: str
    seeds: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class ReferenceFile:
    """The sponsor's update, with the seed of its one mask, and the deltas of the last sums, the latest first."""

    file: Path
    seed: bytes
    deltas: tuple[Path, ...]


@dataclass(frozen=True)
class SketchMasks:
    """LC-FILE-16, 17, 20, 22 -> one MadeFile for each of `masks`. `seeds`: of each mask, for every file that is judged; nothing
    where an open update has no such mask."""

    place: AttemptPlace
    beacon: bytes
    dims: int
    masks: tuple[tuple[bytes, ...], ...]
    files: int
    reference: ReferenceFile | None


@dataclass(frozen=True)
class ScreenFiles:
    """LC-FILE-17, 23 to 32 -> Screening. `files`: by the order of the commitments, None where AWAY; `parts` of the three masks."""

    place: AttemptPlace
    beacon: bytes
    dims: int
    files: tuple[Path | None, ...]
    parts: tuple[Path, ...]
    deltas: tuple[Path, ...]
    reference: ReferenceFile | None
    krum: bool
    aligned: bool


@dataclass(frozen=True)
class SumMasks:
    """LC-FILE-22, 33, 36 -> one MadeFile for each of `masks`: (number, seeds of the accepted)."""

    place: AttemptPlace
    dims: int
    masks: tuple[tuple[int, tuple[bytes, ...]], ...]
    dp_milli: int


@dataclass(frozen=True)
class SumFiles:
    """LC-FILE-33 to 35 -> (model, delta), both MadeFile, or None where a value is not finite. `parts`: sums of the three masks;
    with rule trimmed or median `seeds` open the accepted files, and parts are not looked at. `size` of the models."""

    dims: int
    size: int
    base: Path
    files: tuple[Path, ...]
    parts: tuple[Path, ...]
    seeds: tuple[bytes, ...]
    rule: str
    clip: int


@dataclass(frozen=True)
class MakeVault:
    """LC-FILE-40 -> MadeFile: the head, and behind it the local model as a hidden file under `key`. `size` of the models."""

    head: bytes
    key: bytes
    nonce: bytes
    local: Path
    dims: int
    size: int


@dataclass(frozen=True)
class ReadHead:
    """After which round a vault was made, and what stands before the model."""

    r: int
    head: VaultHead


@dataclass(frozen=True)
class ReadVault:
    """LC-FILE-42 -> ReadHead: what stands before the model in a file that shall be this member's vault."""

    federation: bytes
    member: bytes
    file: Path


@dataclass(frozen=True)
class OpenVault:
    """LC-FILE-5, 40 -> MadeFile: the local model, by the first of `keys` that opens it, or None where none does. `head`: bytes of
    the file before it; `size` of the models."""

    file: Path
    head: int
    keys: tuple[bytes, ...]
    dims: int
    size: int


VaultTask = MakeVault | ReadVault | OpenVault
FederationTask = MakeUpdate | TryReference | OpenUpdate | SketchMasks | ScreenFiles | SumMasks | SumFiles | VaultTask
