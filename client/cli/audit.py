"""`audit`: execute again what the node took over from its peers by certificates, or the whole chain from genesis."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, NotStarted, WrongUsage, clean
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

if TYPE_CHECKING:
    from learningchain.chain.ledger.genesis import Genesis
    from learningchain.chain.storage.blockstore import BlockStore
    from learningchain.client.receipts.audit import Audit, Findings


def audit(
    *,
    again: Annotated[
        bool, Parameter(negative="", show_default=False, help="From the first block, whatever was checked before.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Execute every block that was taken over, with every signature checked. The node may run; what was checked is kept."""
    from learningchain.chain.storage.state_diffs import audited
    from learningchain.client.receipts.audit import Audit

    with opened(common) as (store, genesis):
        base, head = store.base, store.head()
        if base and (again or (head is not None and audited(store) < head.height)):
            raise NotStarted(lacks(base))
        found = run(common, Audit(store, genesis, again=again))

    def people(console: Console) -> None:
        if found.fault:
            console.print(f"The chain does not hold at {found.fault}")
            console.print(FAULTY)
        if found.last >= found.first:
            console.print(
                f"Blocks {found.first} to {found.last} hold: {found.transactions} transactions, each executed with its signature "
                "checked."
            )
        elif base:
            console.print(
                f"Blocks up to {base} are not kept here, every later one was executed when it came. To check those before it, "
                "audit an archive node, which keeps all."
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


def chain(*, common: Common = HERE) -> int:
    """Execute the whole chain again from genesis, with every signature checked: same draws, payments and roots, or where not."""
    return audit(again=True, common=common)


# --- parts -----------------------------------------------------------------------------------------------------------------------


def lacks(base: int) -> str:
    """Why a node that began from a snapshot, or dropped old blocks, cannot execute anything again."""
    return (
        f"Nothing can be audited: blocks 1 to {base} are not kept here, nor is the state after them. This node began from a "
        "snapshot, or drops old blocks (storage.keep_blocks). Audit an archive node, which keeps all blocks and shows "
        "first_block 1 in its status"
    )


_ID = re.compile(r"[0-9a-f]{6,64}", re.ASCII)


def check_id(text: str, kind: str, listing: str) -> None:
    """That it is the beginning of an id. Raises `WrongUsage`."""
    if not _ID.fullmatch(text):
        raise WrongUsage(f"{text[:80]!r} is no {kind}: give at least six hex digits of its id (learningchain {listing})")


def head_of(kind: str, ref: bytes, root: bytes, found: Findings, differs: list[str], *, holds: bool = True) -> dict[str, Any]:
    """How the document begins of one job or federation that was executed again."""
    return {
        "holds": not found.fault and not differs and holds,
        "fault": found.fault,
        "differs": differs,
        kind: ref.hex() or None,
        "first": found.first,
        "audited": found.last,
        "transactions": found.transactions,
        "state_root": root.hex() or None,
    }


def say(console: Console, found: Findings, differs: list[str], lines: Iterable[str] | None) -> None:
    """The same for people, around the `lines` of what was followed; None where it was not found."""

    def tell(text: str) -> None:
        console.print(clean(text), soft_wrap=True)

    if found.fault:
        tell(f"The chain does not hold at {found.fault}")
        tell(FAULTY)
    tell(
        f"Blocks {found.first} to {found.last} were executed from genesis: {found.transactions} transactions, each with its "
        "signature checked; transactions, receipts and state have the roots that the validators signed."
    )
    if lines is None:
        return
    for line in lines:
        tell(line)
    for difference in differs:
        tell(f"This node tells otherwise: {difference}")
    if not differs:
        tell("This node tells the same of it.")


@contextmanager
def opened(common: Common, otherwise: str = "Nothing can be audited") -> Iterator[tuple[BlockStore, Genesis]]:
    """The database and the genesis of the data folder. Raises `NotStarted`."""
    from learningchain.chain.storage.blockstore import BlockStore
    from learningchain.chain.storage.errors import StorageError
    from learningchain.client import config as configuration
    from learningchain.client.daemon.faults import StartError
    from learningchain.client.daemon.opening import load_genesis

    data = common.folder
    try:
        genesis = load_genesis(data)
        settings = configuration.load(data)
        store = BlockStore.open(settings.config.storage.url or str(data / "db"), chain_id=genesis.chain_id, create=False)
    except (StartError, StorageError, configuration.ConfigError) as fault:
        raise NotStarted(f"{otherwise}: {fault}") from None
    try:
        yield store, genesis
    except StorageError as fault:
        raise NotStarted(f"{otherwise} any further: {fault}") from None
    finally:
        store.close()


def run(common: Common, work: Audit) -> Findings:
    """With a bar of progress where somebody looks."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=common.out.notes, transient=True, disable=not common.out.notes.is_terminal) as bar:
        task = bar.add_task("blocks", total=work.last, completed=work.done)
        return asyncio.run(work.run(lambda height: bar.update(task, completed=height)))


FAULTY = (
    "More than two thirds of the validators signed this block, or the database was changed here, or this version of "
    "the program executes it otherwise than theirs did. Keep the data folder as evidence, and ask the other members "
    "to audit theirs, and with which version."
)
"""What a block that does not hold means, and what to do."""
