"""Data sets that are published: a manifest names their files, each of which is content of its own. Pure but for reading files.

A manifest is content too, and its CID is the set's name for everybody: the same files in the same folders have the same CID on
every machine, and a file that two sets share is sent once. A set is public: what must stay with its owner is own data
(`sandbox.data`), which no manifest ever names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.errors import Malformed
from learningchain.chain.host.terms import MAX_SET_BYTES, MAX_SET_FILES, MAX_SET_NAME
from learningchain.chain.storage import private
from learningchain.chain.types import Hash, Uint
from learningchain.p2p.content.cid import CidBytes, from_bytes
from learningchain.p2p.content.dag import Builder, chunks
from learningchain.sandbox import DataSet
from learningchain.sandbox.data import NAME_CAP, DataFile, OnBytes, survey
from learningchain.sandbox.phases import SETS

MAX_MANIFEST_BYTES = 8 << 20
"""Of the most files with the longest names."""


class SetFile(Wire, frozen=True):
    """One file: its name below the set's folder, its size, its CID, and the SHA-256 of its bytes."""

    name: Annotated[str, Meta(max_length=NAME_CAP)]
    size: Uint
    cid: CidBytes
    sha256: Hash


class PublishedSet(msgspec.Struct, frozen=True):
    """The files of a set in the order of their names. Raises ValueError for what is none."""

    files: tuple[SetFile, ...]

    def __post_init__(self) -> None:
        if len(self.files) > MAX_SET_FILES:
            raise ValueError(f"a set has at most {MAX_SET_FILES:,} files, not {len(self.files):,}: pack them into larger ones")
        if not 0 < self.size <= MAX_SET_BYTES:
            raise ValueError(f"the files of a set have 1 to {MAX_SET_BYTES} bytes together, not {self.size}")
        for file in self.files:
            from_bytes(file.cid)
        self.placed([Path()] * len(self.files)).below("n" * MAX_SET_NAME).below(SETS)  # as a job will find them

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def manifest(self) -> bytes:
        """LC-JOB-60: the only bytes that say this."""
        return encode(list(self.files))

    def placed(self, paths: Sequence[Path]) -> DataSet:
        """The set as files of this disk, in the manifest's order; what lies there is not looked at."""
        found = zip(self.files, paths, strict=True)
        return DataSet(tuple(DataFile(file.name, path, file.size, file.sha256) for file, path in found))


def read_manifest(raw: bytes) -> PublishedSet:
    """Raises ValueError with what is wrong."""
    try:
        files = decode(list[SetFile], raw, MAX_MANIFEST_BYTES)
    except Malformed as problem:
        raise ValueError(f"it is no manifest of a data set: {problem}") from None
    return PublishedSet(tuple(files))


def describe(folder: Path, on_bytes: OnBytes = lambda size: None) -> tuple[PublishedSet, list[Path]]:
    """The set that a folder is, and where its files lie. Raises ValueError for names and amounts and OSError, also for links, pipes
    and devices, which it names; before the first file is read."""
    found = sorted(survey(folder, MAX_SET_BYTES).items())
    if len(found) > MAX_SET_FILES:
        raise ValueError(f"{folder} has {len(found):,} files, and a set at most {MAX_SET_FILES:,}: pack them into larger ones")
    files = tuple(_named(name, path, on_bytes) for name, (path, _) in found)
    return PublishedSet(files), [path for _, (path, _) in found]


def _named(name: str, path: Path, on_bytes: OnBytes) -> SetFile:
    """One file, read once; never follows a link."""
    builder, digest = Builder(lambda _cid, _block: None), hashlib.sha256()
    with private.reading(path) as file:
        for chunk in chunks(file):
            builder.feed(chunk)
            digest.update(chunk)
            on_bytes(len(chunk))
    return SetFile(name, builder.size, builder.finish().to_bytes(), digest.digest())


def cid_of_manifest(manifest: bytes) -> str:
    builder = Builder(lambda _cid, _block: None)
    for chunk in chunks(BytesIO(manifest)):
        builder.feed(chunk)
    return str(builder.finish())
