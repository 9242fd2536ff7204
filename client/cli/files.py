"""`file`: give a file to the graph under its CID, get one, and see what this node keeps for its users."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from learningchain.client.cli.common import HERE, Common, WrongUsage, listing

MIB = 2**20
CidText = Annotated[str, Parameter(name="CID", help="The file's name in the graph, as file add prints it.")]


def add(path: Annotated[Path, Parameter(name="FILE", help="The file.")], /, *, common: Common = HERE) -> int:
    """Give a file to the graph: this node keeps it and serves it to whoever asks for its CID, until file remove."""
    if not path.is_file():
        raise WrongUsage(f"There is no file {path}")
    stored = common.ask(lambda node: node.upload(path))
    common.out.show(stored, lambda console: console.print(stored["cid"], soft_wrap=True))
    common.out.note(f"Every member may ask for it. A model answers rows in it: learningchain predict MODEL {stored['cid']}")
    return 0


def get(
    cid: CidText,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="File to write. Default: the CID.")] = None,
    max_mb: Annotated[int, Parameter(help="Largest file to take, in MiB.")] = 1_024,
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite the file.")] = False,
    common: Common = HERE,
) -> int:
    """Get a file by its CID, from this node or over it from the graph; it is checked against its CID."""
    target = out or Path(cid)
    found = common.ask(lambda node: node.fetch(cid, target, max_size=max_mb * MIB, overwrite=force))
    document = {"file": str(target), "bytes": found.size}
    common.out.show(document, lambda console: console.print(f"{target}: {found.size} bytes", soft_wrap=True))
    return 0


def list_files(*, common: Common = HERE) -> int:
    """What users gave to this node: by whom, how large, under which CID."""
    found = common.ask(lambda node: node.files())

    def people(console: Console) -> None:
        if not found:
            console.print("Nobody gave this node a file that it keeps.")
            return
        rows = [[one["cid"], f"{one['size']:,}", one["by"] or "owner"] for one in found]
        console.print(listing(["cid", "bytes", "token"], rows, {"bytes"}, whole={"cid"}))

    common.out.show(found, people)
    return 0


def remove(cid: CidText, /, *, common: Common = HERE) -> int:
    """Keep a file no longer. What else holds it here, such as a posted job, goes on holding it."""
    done = common.ask(lambda node: node.remove_file(cid))
    common.out.show(done, lambda console: console.print(f"{cid} is not kept any more.", soft_wrap=True))
    return 0
