"""`hidden seal`: evaluation data that nobody can read before all models are shown. Encrypted here; the node keeps the key."""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from learningchain.client import reading
from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, size_text

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json

SUFFIX = ".sealed.json"
MAX_NOTE = 4_096
_KEYS = ("cid", "plain_hash", "key_hash", "size")


@dataclass(frozen=True)
class Sealed:
    """An encrypted file and its key. `posted` is what a posting says of it: nothing that opens it."""

    path: Path
    key: bytes
    posted: Json


def seal(
    file: Annotated[Path, Parameter(name="FILE", help="What evaluate finds as /lc/in/eval, once all models are shown.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Where to note what was sealed. Default: FILE.sealed.json")] = None,
    common: Common = HERE,
) -> int:
    """Encrypt a file, upload it, and leave the key with this node. Then: job submit --hidden FILE.sealed.json

    The note that is written opens nothing. Only this node, with this data folder, can reveal the key, and it does so by itself:
    keep it running until the job has ended.
    """
    note = out or file.with_name(file.name + SUFFIX)
    if note.exists():
        raise WrongUsage(f"{note} is there already: it may belong to a job that was posted. Name another one with --out")

    async def work(node: Client) -> Json:
        await node.status()  # an unreachable node is told before the work
        with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:
            sealed = await asyncio.to_thread(encrypted, file, Path(scratch))
            await hand_over(node, common, sealed)
        return sealed.posted

    posted = common.ask(work)
    with note.open("x", encoding="utf-8") as target:
        target.write(json.dumps(posted, indent=2) + "\n")
    rows: list[tuple[str, Any]] = [
        ("sealed", posted["cid"]),
        ("size", size_text(posted["size"])),
        ("key's hash", posted["key_hash"]),
    ]
    common.out.show(posted | {"note": str(note)}, lambda console: _tell(console, note, rows))
    return 0


def _tell(console: Console, note: Path, rows: list[tuple[str, Any]]) -> None:
    console.print(facts(f"Sealed; noted in {note}", rows))


async def hand_over(node: Client, common: Common, sealed: Sealed) -> None:
    """The key first: a job whose key is nowhere would burn its deposit."""
    from learningchain.client.contracts.job.cli.jobs import Bar

    await node.keep_hidden_key(sealed.key)
    with Bar(common.out, "hidden data") as on_progress:
        await node.upload(sealed.path, on_progress)


def encrypted(file: Path, folder: Path) -> Sealed:
    """A new key for each file: to reveal it opens nothing else. Raises `WrongUsage`."""
    from learningchain.chain.contracts.job.messages import MAX_HIDDEN_BYTES
    from learningchain.chain.crypto import sha256
    from learningchain.client.keys import hidden
    from learningchain.client.sdk.files import StreamName

    size = readable(file)
    if size + hidden.OVERHEAD > MAX_HIDDEN_BYTES:
        raise WrongUsage(f"{file} has {size} bytes; hidden data has at most {MAX_HIDDEN_BYTES - hidden.OVERHEAD}")
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
    """The bytes of a file that is there and not empty. Raises `WrongUsage`."""
    if not file.is_file():
        raise WrongUsage(f"There is no file {file}" if not file.exists() else f"{file} is no file")
    if not (size := file.stat().st_size):
        raise WrongUsage(f"{file} is empty: evaluate could measure nothing on it")
    return size


def noted(file: Path) -> Json | None:
    """What a note of `hidden seal` says, None where the file is none: then it is to be sealed. Raises `WrongUsage`."""
    if not file.name.endswith(SUFFIX):
        return None
    readable(file)
    try:
        found = json.loads(reading.file(file, MAX_NOTE))
    except ValueError:
        found = None
    if not isinstance(found, dict) or set(_KEYS) - found.keys():
        raise WrongUsage(f"{file} is no note of hidden seal. Seal the data again: learningchain hidden seal FILE")
    return {name: found[name] for name in _KEYS}
