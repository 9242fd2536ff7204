"""`db check` and `db copy`: the node's database is looked through, or moved between a file and a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client import reading
from learningchain.client.cli.common import HERE, Common, NotStarted, WrongUsage, facts
from learningchain.client.cli.options import Parameter

if TYPE_CHECKING:
    from learningchain.chain.storage.blockstore import BlockStore

MAX_URL = 1_024
STANDARD_INPUT = "-"


def check(
    *,
    quick: Annotated[bool, Parameter(negative="", show_default=False, help="Only what every start looks at.")] = False,
    common: Common = HERE,
) -> int:
    """Look through the node's database: every block, receipt, certificate, index and hash of the state. The node must not run."""
    with _opened(common) as store:
        store.check(full=not quick)
        document = _document(store)
    rows = [(name.replace("_", " "), value) for name, value in document.items()]
    common.out.show(document | {"holds": True}, lambda console: console.print(facts("The database holds", rows)))
    return 0


def copy(
    target: Annotated[
        str,
        Parameter(
            name="TARGET",
            allow_leading_hyphen=True,
            help="A new file, or the URL of an empty database; - reads it from standard input.",
        ),
    ],
    /,
    *,
    use: Annotated[
        bool, Parameter(negative="", show_default=False, help="Write storage.url, so that the node uses the copy from now on.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Copy the node's database, compare every row, and check the copy. One that was interrupted goes on. The node must not run."""
    from learningchain.chain.storage import copying
    from learningchain.chain.storage.database_url import masked
    from learningchain.client import config as configuration

    where = _target(target)
    with _opened(common) as store:
        copied = copying.copy_store(store, where, lambda table, rows: common.out.note(f"{table}: {rows} rows"))
    if use:
        own = str(common.folder / "db")
        try:
            configuration.change(common.folder, {"storage.url": "" if where == own else where})
        except configuration.ConfigError as fault:
            raise NotStarted(f"The copy is good, and the setting is as it was: {fault}") from None
    document: dict[str, Any] = {
        "target": masked(where),
        "height": copied.height,
        "block": copied.block_id.hex(),
        "state_root": copied.state_root.hex(),
        "rows": copied.rows,
        "used": use,
    }
    common.out.show(document, lambda console: console.print(facts("The same blocks, head and state", list(document.items()))))
    if not use:
        common.out.note(
            "The node uses its old database as before. To use the copy: the same command with --use, or set storage.url"
        )
    return 0


# --- parts -----------------------------------------------------------------------------------------------------------------------


def _target(given: str) -> str:
    """A path, or a URL. What is typed is seen by every user of the machine, so no password may be in it."""
    from learningchain.chain.storage.database_url import FORM, MARK, parse, secrets

    if given == STANDARD_INPUT:
        given = sys.stdin.readline(MAX_URL + 1).removeprefix(reading.MARK).strip()
        if not given or len(given) > MAX_URL:
            raise WrongUsage(f"Standard input holds no URL of at most {MAX_URL} characters in its first line")
    elif MARK in given and secrets(given):
        raise WrongUsage(
            "A password on the command line is seen by every user of this machine. Keep it in ~/.pgpass, or give - and the URL on "
            "standard input"
        )
    if MARK not in given:
        return str(Path(given).absolute())
    try:
        parse(given)
    except ValueError as fault:
        raise WrongUsage(f"This database cannot be used: {fault}. {FORM}") from None
    return given


def _document(store: BlockStore) -> dict[str, Any]:
    head = store.head()
    found: dict[str, Any] = {"database": store.where, "height": head.height if head else 0}
    if head is not None:
        found |= {"block": head.block_id.hex(), "state_root": store.open_state().root.hex(), "first_block": store.base + 1}
    return found


@contextmanager
def _opened(common: Common) -> Iterator[BlockStore]:
    """The database of a node that does not run, held against one that would start. Raises `NotStarted`."""
    from learningchain.chain.storage.blockstore import BlockStore
    from learningchain.chain.storage.datadir import DataDir
    from learningchain.chain.storage.errors import StorageError
    from learningchain.client import config as configuration
    from learningchain.client.daemon.faults import StartError
    from learningchain.client.daemon.opening import load_genesis

    try:
        folder = DataDir.open(str(common.folder), create=False)
    except StorageError as fault:
        raise NotStarted(str(fault)) from None
    try:
        genesis, settings = load_genesis(common.folder), configuration.load(common.folder)
        where = settings.config.storage.url or folder.db
        store = BlockStore.open(where, chain_id=genesis.chain_id, create=False, hold=True)
        try:
            yield store
        finally:
            store.close()
    except (StartError, StorageError, configuration.ConfigError) as fault:
        raise NotStarted(str(fault)) from None
    finally:
        folder.close()
