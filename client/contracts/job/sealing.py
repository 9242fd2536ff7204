"""Hidden evaluation data on their way into a posting: encrypted with a key of their own, or noted by `hidden seal` before. The
command and Python share it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from learningchain.client import reading
from learningchain.client.sdk.types import Json, UsageError

SUFFIX = ".sealed.json"
MAX_NOTE = 4_096
_KEYS = ("cid", "plain_hash", "key_hash", "size")


@dataclass(frozen=True)
class Sealed:
    """An encrypted file and its key. `posted` is what a posting says of it: nothing that opens it."""

    path: Path
    key: bytes
    posted: Json


def encrypted(file: Path, folder: Path) -> Sealed:
    """A new key for each file: to reveal it opens nothing else. Raises `UsageError`."""
    from learningchain.chain.contracts.job.messages import MAX_HIDDEN_BYTES
    from learningchain.chain.crypto import sha256
    from learningchain.client.keys import hidden
    from learningchain.client.sdk.files import StreamName

    size = readable(file)
    if size + hidden.OVERHEAD > MAX_HIDDEN_BYTES:
        raise UsageError(f"{file} has {size} bytes; hidden data has at most {MAX_HIDDEN_BYTES - hidden.OVERHEAD}")
    path, key = folder / "sealed", secrets.token_bytes(hidden.KEY)
    plain_hash = hidden.encrypt(file, path, key, secrets.token_bytes(hidden.NONCE))
    name = StreamName()
    with path.open("rb") as source:
        while piece := source.read(1 << 20):
            name.feed(piece)
    posted = {
        "cid": name.finish()[0],
        "plain_hash": plain_hash.hex(),
        "key_hash": sha256(key).hex(),
        "size": path.stat().st_size,
    }
    return Sealed(path, key, posted)


def readable(file: Path) -> int:
    """The bytes of a file that is there and not empty. Raises `UsageError`."""
    if not file.is_file():
        raise UsageError(f"There is no file {file}" if not file.exists() else f"{file} is no file")
    if not (size := file.stat().st_size):
        raise UsageError(f"{file} is empty: evaluate could measure nothing on it")
    return size


def noted(file: Path) -> Json | None:
    """What a note of `hidden seal` says, None where the file is none: then it is to be sealed. Raises `UsageError`."""
    if not file.name.endswith(SUFFIX):
        return None
    readable(file)
    try:
        found = json.loads(reading.file(file, MAX_NOTE))
    except ValueError:
        found = None
    if not isinstance(found, dict) or set(_KEYS) - found.keys():
        raise UsageError(f"{file} is no note of hidden seal. Seal the data again: learningchain hidden seal FILE")
    return {name: found[name] for name in _KEYS}
