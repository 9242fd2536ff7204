"""`file`: give a file to the graph under its CID, get one, see what this node keeps for its users. `files`: all that lies here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.bars import Bar
from learningchain.client.cli.common import HERE, Common, WrongUsage, listing, show_list, size_text, span, when
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.sdk.types import ApiError, UnreachableError

if TYPE_CHECKING:
    from learningchain.client.schema.bodies import ContentView, FileStored, KeptForView, TransferView
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Fetched

MIB = 2**20
CidText = Annotated[str, Parameter(name="CID", help="The file's name in the graph, as file add prints it.")]


def add(path: Annotated[Path, Parameter(name="FILE", help="The file.")], /, *, common: Common = HERE) -> int:
    """Give a file to the graph: this node keeps it and serves it to whoever asks for its CID, until file remove."""
    if not path.is_file():
        raise WrongUsage(f"There is no file {path}")

    async def upload(node: Client) -> FileStored:
        with Bar(common.out, path.name) as on_progress:
            return await node.upload(path, on_progress)

    stored = common.ask(upload)
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

    async def download(node: Client) -> Fetched:
        with Bar(common.out, target.name) as on_progress:
            return await node.fetch(cid, target, max_size=max_mb * MIB, overwrite=force, on_progress=on_progress)

    found = common.ask(download)
    document = {"file": str(target), "bytes": found.size}
    common.out.show(document, lambda console: console.print(f"{target}: {found.size} bytes", soft_wrap=True))
    return 0


def list_files(*, common: Common = HERE) -> int:
    """What users gave to this node: by whom, how large, under which CID."""
    found = common.ask(lambda node: node.files())

    return show_list(
        common,
        found,
        "Nobody gave this node a file that it keeps.",
        ["cid", "bytes", "token"],
        lambda one: [one["cid"], f"{one['size']:,}", one["by"] or "owner"],
        right={"bytes"},
        whole={"cid"},
    )


def remove(cid: CidText, /, *, common: Common = HERE) -> int:
    """Keep a file no longer. What else holds it here, such as a posted job, goes on holding it."""
    done = common.ask(lambda node: node.remove_file(cid))
    common.out.show(done, lambda console: console.print(f"{cid} is not kept any more.", soft_wrap=True))
    return 0


def files(
    *,
    limit: Annotated[int, Parameter(help="How many, the largest first; at most 100.")] = 50,
    after: Annotated[str | None, Parameter(help="Go on after a page, with what it printed last.")] = None,
    common: Common = HERE,
) -> int:
    """What lies on this node's disk: for what, since when, and what may go. What is being fetched, with rate and time left."""

    async def ask(node: Client) -> Any:
        return await node.contents(limit=limit, after=after), await node.transfers()

    found, transfers = common.ask(ask)

    def people(console: Console) -> None:
        held = f"{size_text(found['used'])} of {size_text(found['quota'])}, of which {size_text(found['stays'])} stay"
        console.print(f"Content on this node: {held}.")
        if found["contents"]:
            columns = ["content", "size", "since", "for", "goes"]
            console.print(listing(columns, [_row(one) for one in found["contents"]], {"size"}, whole={"content"}))
        if transfers:
            columns = ["being fetched", "bytes", "rate", "left", "for"]
            rows = [[one["cid"], *progress(one), reasons(one["kept_for"])] for one in transfers]
            console.print(listing(columns, rows, {"bytes", "rate", "left"}, whole={"being fetched"}))

    common.out.show({**found, "transfers": transfers}, people)
    if found["next"]:
        common.out.note(f"There is more: learningchain files --after {found['next']}{common.again}")
    return 0


def _row(one: ContentView) -> list[Any]:
    """Of what is not whole, a download that may go on keeps its place."""
    size = size_text(one["size"]) + ("" if one["complete"] else ", not whole")
    return [one["cid"], size, when(one["since"]), reasons(one["kept_for"], one["reasons"]), _goes(one)]


def _goes(one: ContentView) -> str:
    """When it may be removed."""
    if one["goes"] is not None:
        return "first, when room is needed" if one["goes"] == 1 else f"{one['goes']}th, when room is needed"
    ends = [why["until"] for why in one["kept_for"] if why["until"] is not None]
    if ends and len(ends) == one["reasons"]:
        return f"may go from {when(max(ends))} on"
    return "stays"


def reasons(kept_for: list[KeptForView], count: int = 0) -> str:
    """What content is kept for, in a line."""
    told = [one["what"] + (f" ({one['of'] or ''} {one['ref'][:12]})".replace("( ", "(") if one["ref"] else "") for one in kept_for]
    more = [f"{count - len(told)} more"] if count > len(told) else []
    return ", ".join([*told, *more]) or "nothing"


def progress(one: TransferView) -> list[str]:
    """Bytes, rate and time left of a transfer."""
    size, rate, left = one["size"], one["rate"], one["left_s"]
    done = size_text(one["done"]) if size is None else f"{size_text(one['done'])} of {size_text(size)}"
    return [done, "-" if rate is None else f"{size_text(rate)}/s", "-" if left is None else span(left)]


async def coming_for(node: Client, ref: str) -> list[TransferView]:
    """What this node fetches for a job or a federation now: images, data, models, updates."""
    try:
        return [one for one in await node.transfers() if any(why["ref"] == ref for why in one["kept_for"])]
    except UnreachableError:
        raise
    except ApiError:  # an older node, or a token of less
        return []


def coming_table(coming: list[TransferView]) -> Any:
    """The first of such fetches, with rate and time left."""
    rows = [[one["kept_for"][0]["what"], one["cid"], *progress(one)] for one in coming[:8]]
    return listing(["being fetched", "content", "bytes", "rate", "left"], rows, {"bytes", "rate", "left"})
