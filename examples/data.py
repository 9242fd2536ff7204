"""Where the data of the examples come from: files that scikit-learn bundles, or that lie beside the example, each with its hash.

Every fifth row is for evaluation, the others are for training. Only the people who build an image need this module.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import zlib
from collections.abc import Iterable
from pathlib import Path

MAX_BYTES = 1 << 20


class DataMissing(Exception):
    """The data of an example cannot be found or are not what they should be; the text says what to do."""


def bundled(name: str, sha256: str) -> bytes:
    """A file of scikit-learn's, unpacked. Raises DataMissing."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        install = "pip install 'learningchain[demo]', or in a clone: make setup"
        raise DataMissing(f"{name} comes with scikit-learn, which is not installed. {install}")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name
    return pinned(path, sha256, "install scikit-learn again")


def pinned(path: Path, sha256: str, advice: str) -> bytes:
    """A file's content, unpacked where it is packed by gzip, which must have this hash. Raises DataMissing."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if path.suffix == ".gz":
            raw = zlib.decompressobj(wbits=31).decompress(raw, MAX_BYTES + 1)
    except (OSError, zlib.error) as problem:
        raise DataMissing(f"cannot read {path}: {problem}; {advice}") from None
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise DataMissing(f"{path} is not the file that this example was made with (SHA-256 {sha256[:16]}…); {advice}")
    return raw


def split(names: Iterable[str], rows: Iterable[Iterable[str]]) -> tuple[bytes, bytes]:
    """(train.csv, eval.csv) as `examples.tabular` reads them: a line of names, then a row a line."""
    head, lines = list(names), [list(row) for row in rows]
    training = [line for index, line in enumerate(lines) if index % 5]
    return _csv(head, training), _csv(head, lines[::5])


def _csv(head: list[str], lines: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    return text.getvalue().encode()
