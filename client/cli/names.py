"""`name`: own names for people, beside every address and in its place where one is typed. No running node is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from learningchain.client.cli.common import HERE, Common, WrongUsage, cell, listing, show_names
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.keys import names

WhoIs = Annotated[str, Parameter(name="ACCOUNT", help="lc1... of the account, or the name that it has.")]


def set_name(
    account: WhoIs,
    name: Annotated[str, Parameter(name="NAME", help=f"At most {names.MAX_CHARACTERS} characters; quote one with spaces.")],
    /,
    *,
    common: Common = HERE,
) -> int:
    """Call an account by a name of your own, in place of the one that it had. Nobody else sees it."""
    if name.startswith("lc1") and not account.startswith("lc1"):
        raise WrongUsage(f"The address stands first: learningchain name set {name} {account}")
    address, wanted = _typed(common, account), names.checked(name)
    with names.changing(_folder(common)) as known:
        owner = names.Names(known).address(wanted)
        if owner not in (None, address):
            raise WrongUsage(f"{wanted} is {owner} already. Choose another name, or first: learningchain name remove {owner}")
        if address not in known and len(known) >= names.MAX_NAMES:
            raise WrongUsage(
                f"There are {names.MAX_NAMES} names already, the most that are kept. Remove one: learningchain name remove"
            )
        before = known.get(address)
        known[address] = wanted
        now = names.Names(known)
    document = {"id": address, "name": wanted, "before": before, "like": [n for n in now.like(wanted) if n != before]}
    replaced = f", no longer {before}" if before not in (None, wanted) else ""
    common.out.show(document, lambda console: console.print(f"{address} is called {wanted} here{replaced}.", soft_wrap=True))
    _warn(common, now, address, wanted)
    return 0


def _warn(common: Common, now: names.Names, address: str, wanted: str) -> None:
    for other in now.like(wanted):
        common.out.note(f"Take care: it looks like {other}, which is {now.address(other)}.")
    if other_address := names.near(address, now.by_address):
        common.out.note(f"Take care: this address begins and ends like that of {now.of(other_address)}, and is another.")


def list_names(*, common: Common = HERE) -> int:
    """The names that you gave."""
    known = names.load(_folder(common))
    rows = sorted(known.by_address.items(), key=lambda row: row[1].casefold())

    def people(console: Console) -> None:
        show_names(names.Names())
        if rows:
            console.print(listing(["name", "account"], [[name, cell(address)] for address, name in rows], whole={"account"}))
        else:
            console.print("No names yet. Give one: learningchain name set lc1... alice")

    common.out.show([{"id": address, "name": name} for address, name in rows], people)
    return 0


def remove_name(account: WhoIs, /, *, common: Common = HERE) -> int:
    """Forget a name. The account stays as it is."""
    address = _typed(common, account)
    with names.changing(_folder(common)) as known:
        name = known.pop(address, None)
        if name is None:
            raise WrongUsage(f"{address} has no name here. learningchain name list shows those that have")
    common.out.show({"id": address, "removed": name}, lambda console: console.print(f"{name} is {address} again.", soft_wrap=True))
    return 0


def _typed(common: Common, account: str) -> str:
    """The address that is meant. What is said of it here is about its name: none stands beside it."""
    address = common.account(account)
    show_names(names.Names())
    return address


def _folder(common: Common) -> Path:
    if not common.folder.is_dir():
        raise WrongUsage(
            f"There is no data folder {common.folder}, in which names are kept. Name one with --data, or make one: "
            "learningchain init"
        )
    return common.folder
