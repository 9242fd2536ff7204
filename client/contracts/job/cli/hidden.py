"""`hidden seal`: evaluation data that nobody can read before all models are shown. Encrypted here; the node keeps the key."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, size_text
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.job.sealing import SUFFIX, Sealed, encrypted

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json


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
    from learningchain.client.cli.bars import Bar

    await node.keep_hidden_key(sealed.key)
    with Bar(common.out, "hidden data") as on_progress:
        await node.upload(sealed.path, on_progress)
