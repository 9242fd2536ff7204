"""`data`: the owner's own data on the node's engine, for training at home, which nobody else ever sees; and the opposite, folders
that are published for jobs, which everybody may fetch. Own data need no running node; publishing does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, WrongUsage, clean, facts, listing, size_text
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

if TYPE_CHECKING:
    from learningchain.client.data.table_schema import Lines, TableReport
    from learningchain.client.schema.bodies import SetView
    from learningchain.sandbox import Backend, OwnData

DataName = Annotated[str, Parameter(name="NAME", help="Of the data: a-z, 0-9, - and _, at most 32.")]
FOLDER = "folder"
SCHEMA = "schema"
"""What is noted of data: where they came from, and the hash of the schema that they were held against."""


def add(
    name: DataName,
    folder: Annotated[Path, Parameter(name="FOLDER", help="The folder whose files are copied.")],
    /,
    *,
    schema: Annotated[
        Path | None, Parameter(help="JSON that says what the folder's .csv files should hold; what does not fit is not added.")
    ] = None,
    common: Common = HERE,
) -> int:
    """Copy the files of a folder to the node's engine under a name. Only training at home sees them."""
    from learningchain.client.data.table_schema import SUFFIX, is_table
    from learningchain.sandbox.data import check_own_name, scan_folder, survey

    notes = {FOLDER: str(folder.expanduser().absolute())}
    with _refusals(), _bar(common) as step:
        check_own_name(name)
        found = survey(folder.expanduser())
        size = sum(size for _, size in found.values())
        if schema is not None:
            notes[SCHEMA] = _held_against(schema, found, step("Checking the tables", size))
        with _opened(common) as backend:
            backend.check_engine()  # before hours of reading
            data = scan_folder(folder.expanduser(), step("Reading", size))
            own = backend.add_data(name, data, notes=notes, on_bytes=step("Sending", data.size))
    rows = [("data", own.name), ("files", own.files), ("size", size_text(own.size)), ("hash", own.digest.hex())]
    common.out.show(_document(own), lambda console: console.print(facts("Your data are on this node's engine", rows)))
    if schema is not None and (others := sorted(name for name in found if not is_table(name))):
        shown = ", ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
        common.out.note(f"Not held against the schema, for they are no {SUFFIX} files: {shown}")
    return 0


def publish(
    folder: Annotated[Path, Parameter(name="FOLDER", help="The folder whose files everybody may fetch.")],
    /,
    *,
    common: Common = HERE,
) -> int:
    """Publish the files of a folder as a data set for jobs; its CID is printed. Everybody may fetch it, until data unpublish."""
    from learningchain.sandbox.data import survey

    with _refusals("published"), _bar(common) as step:
        size = sum(size for _, size in survey(folder.expanduser()).values())
        told = step("Naming and sending", 2 * size)
        found = common.ask(lambda node: node.publish(folder.expanduser(), told))
    common.out.show(found, lambda console: console.print(found["cid"], soft_wrap=True))
    what = f"{found['files']:,} file{'' if found['files'] == 1 else 's'}, {size_text(found['size'])}"
    common.out.note(f"{what}, public. For a job: learningchain job submit --set NAME={found['cid']} ...")
    return 0


def unpublish(
    cid: Annotated[str, Parameter(name="CID", help="Of the set, as data publish prints it.")], /, *, common: Common = HERE
) -> int:
    """Keep a published set no longer. What others fetched stays theirs, and jobs that run on it here hold it until they end."""
    done = common.ask(lambda node: node.unpublish(cid))
    common.out.show(done, lambda console: console.print(f"{cid} is not kept for being published any more.", soft_wrap=True))
    return 0


def list_data(*, common: Common = HERE) -> int:
    """Your own data on this node's engine, which nobody else sees, and the sets that it published, which everybody may fetch."""
    with _refusals(), _opened(common) as backend:
        kept = backend.list_data()
        lost = _lost(common, backend) if kept else []
    sets = _published(common)

    def people(console: Console) -> None:
        if not kept:
            console.print("No data yet. Add some: learningchain data add scans ./folder")
        else:
            rows = [[own.name, own.files, size_text(own.size), own.digest.hex()[:16], own.notes.get(FOLDER)] for own in kept]
            console.print(listing(["own data", "files", "size", "hash", "from"], rows, right={"files", "size"}))
        if sets:
            shown = [[one["cid"], one["files"], size_text(one["size"]), _where(one)] for one in sets]
            console.print(listing(["published set", "files", "size", "lies"], shown, {"files", "size"}, whole={"published set"}))

    own = [_document(one) | ({"lost": True} if one.name in lost else {}) for one in kept]
    common.out.show([*own, *({"published": True, **one} for one in sets)], people)
    return 0


def _lost(common: Common, backend: Backend) -> list[str]:
    """Names of data that the engine has no more, told with what to do; the rest is listed without an engine, too."""
    from learningchain.sandbox import SandboxError

    try:
        lost = backend.lost_data()
    except (SandboxError, OSError) as problem:
        common.out.note(f"Whether they are still on the engine is not known: {problem}")
        return []
    for name in lost:
        again = f"learningchain data remove {name}{common.again}"
        common.out.note(
            f"The data {name} are gone from the engine, where somebody removed their volume: {again}, then add them again"
        )
    return lost


def _published(common: Common) -> list[SetView]:
    """Told by the node; own data are told without one."""
    from learningchain.client.sdk.types import UnreachableError

    try:
        return common.ask(lambda node: node.sets())
    except UnreachableError:
        common.out.note("The node does not answer: sets that it published are not shown.")
        return []


def _where(one: SetView) -> str:
    return "on this node" if one["here"] == one["size"] else f"{size_text(one['here'])} on this node"


def remove(name: DataName, /, *, common: Common = HERE) -> int:
    """Remove data from the node's engine. The folder that they came from stays as it is."""
    with _refusals(), _opened(common) as backend:
        own = backend.remove_data(name)
    document = _document(own) | {"removed": True}
    common.out.show(document, lambda console: console.print(f"{own.name} is no longer on this node's engine."))
    return 0


def _document(own: OwnData) -> dict[str, Any]:
    return {"name": own.name, "digest": own.digest.hex(), "files": own.files, "bytes": own.size, **own.notes}


def _held_against(schema: Path, found: dict[str, tuple[Path, int]], on_bytes: Any) -> str:
    """The hash of the schema, where the tables fit it. Raises `WrongUsage` with the first misfits."""
    import hashlib

    from learningchain.client.data.table_schema import (
        MAX_MISFITS,
        MAX_SCHEMA_BYTES,
        SUFFIX,
        BadTableSchema,
        check_tables,
        is_table,
        parse_table_schema,
    )
    from learningchain.client.sdk.files import beginning

    try:
        raw = beginning(schema.expanduser(), MAX_SCHEMA_BYTES + 1)
        wanted = parse_table_schema(raw)
    except BadTableSchema as problem:
        raise WrongUsage(f"{schema}: {problem}. Ask whoever posted it for another one") from None
    tables = {name: path for name, (path, _) in sorted(found.items()) if is_table(name)}
    if not tables:
        raise WrongUsage(f"There is no {SUFFIX} file in the folder, and the schema {schema} is about tables. Nothing was added")
    report: TableReport = check_tables(wanted, _opened_tables(tables), on_bytes)
    if report.misfits:
        more = ["there may be more"] if len(report.misfits) == MAX_MISFITS else []
        told = "\n  ".join([*map(str, report.misfits), *more])
        raise WrongUsage(f"The tables do not fit the schema, and nothing was added. Correct them:\n  {told}")
    return hashlib.sha256(raw).hexdigest()


def _opened_tables(tables: dict[str, Path]) -> Iterator[tuple[str, Lines]]:
    """One open at a time."""
    for name, path in tables.items():
        with path.open("rb") as file:
            yield name, file


@contextmanager
def _opened(common: Common) -> Iterator[Backend]:
    from learningchain.client.cli.local_sandbox import own_sandbox

    with own_sandbox(common) as backend:
        yield backend


@contextmanager
def _refusals(done: str = "added") -> Iterator[None]:
    """What the folder, the name or the engine says against it, as a refusal that people can read."""
    from learningchain.sandbox import SandboxError

    try:
        yield
    except SandboxError as problem:
        raise WrongUsage(_sentence(f"{problem}")) from None
    except ValueError as problem:
        raise WrongUsage(_sentence(f"{problem}")) from None
    except OSError as problem:
        what = f"{problem.filename}: {problem.strerror}" if problem.strerror else str(problem)
        raise WrongUsage(f"The data cannot be read: {clean(what)}. Nothing was {done}") from None


def _sentence(text: str) -> str:
    from learningchain.client.sdk.values import sentence

    return clean(sentence(text))


@contextmanager
def _bar(common: Common) -> Iterator[Any]:
    """`step(text, total)` begins a part and gives what is told of each piece of it."""
    from rich.progress import Progress

    from learningchain.client.cli.bars import columns

    shown = not common.out.as_json and common.out.notes.is_terminal
    with Progress(*columns(), console=common.out.notes, transient=True, disable=not shown) as bar:

        def step(text: str, total: int) -> Any:
            task = bar.add_task(text, total=total)
            return lambda size: bar.advance(task, size)

        yield step
