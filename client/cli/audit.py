"""`audit`: execute again what the node took over from its peers by certificates."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from client.cli.common import HERE, Common, NotStarted


def audit(
    *,
    again: Annotated[
        bool, Parameter(negative="", show_default=False, help="From the first block, whatever was checked before.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Execute every block that was taken over, with every signature checked. The node may run; what was checked is kept."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from chain.storage.blockstore import BlockStore
    from chain.storage.errors import StorageError
    from client import config as configuration
    from client.audit import Audit, Findings
    from client.daemon import StartError, load_genesis

    data = common.folder
    try:
        genesis = load_genesis(data)
        settings = configuration.load(data)
        where = settings.config.storage.url or str(data / "db")
        store = BlockStore.open(where, chain_id=genesis.chain_id, create=False)
    except (StartError, StorageError, configuration.ConfigError) as fault:
        raise NotStarted(f"Nothing can be audited: {fault}") from None
    base = store.base
    if base and again:
        store.close()
        raise NotStarted(
            f"Nothing can be audited again: this node began from a snapshot after block {base}, and the state there is not kept. "
            "Audit a node that has the whole chain"
        )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        work = Audit(store, genesis, again=again)
        with Progress(*columns, console=common.out.notes, transient=True, disable=not common.out.notes.is_terminal) as bar:
            task = bar.add_task("blocks", total=work.last, completed=work.done)
            found: Findings = asyncio.run(work.run(lambda height: bar.update(task, completed=height)))
    except StorageError as fault:
        raise NotStarted(f"The audit ends: {fault}") from None
    finally:
        store.close()

    def people(console: Console) -> None:
        if found.fault:
            console.print(f"The chain does not hold at {found.fault}")
            console.print(
                "More than two thirds of the validators signed this block, or the database was changed here, or this version of "
                "the program executes it otherwise than theirs did. Keep the data folder as evidence, and ask the other members "
                "to audit theirs, and with which version."
            )
        if found.last >= found.first:
            console.print(
                f"Blocks {found.first} to {found.last} hold: {found.transactions} transactions, each executed with its signature "
                "checked."
            )
        elif base:
            console.print(
                f"This node began from a snapshot: blocks up to {base} are not here, every later one was executed when it came. "
                "To check those before it, audit a node that has the whole chain."
            )
        elif not found.fault:
            console.print("Every block was executed here already. To check all of them once more: learningchain audit --again")

    common.out.show(
        {
            "holds": not found.fault,
            "first": found.first,
            "audited": found.last,
            "transactions": found.transactions,
            "fault": found.fault,
        },
        people,
    )
    return 1 if found.fault else 0
