"""`balance`, `accounts`, and a validator's words: `judge`, `release`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from client import contracts
from client.cli.common import HERE, Common, facts, listing, named, relative, size_text
from client.cli.ledger import MAX_WAIT, Wait, finished, role_of

if TYPE_CHECKING:
    from client.api.accounts import AccountView
    from client.api.schema import TxAnswer
    from client.sdk import Client

PAGE = 1_000


def balance(
    who: Annotated[str | None, Parameter(name="ACCOUNT", help="lc1... or a name; default: this node's.")] = None,
    /,
    *,
    common: Common = HERE,
) -> int:
    """Credits of an account."""
    who = None if who is None else common.account(who)
    found, clock = common.ask(lambda node: _standing(node, who))

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("free", found.get("balance")), ("locked", found.get("locked"))]
        if found.get("frozen", "0") != "0":
            rows.append(("frozen", found["frozen"]))
        if earned := found.get("bandwidth"):
            rows.append(("bandwidth", f"{size_text(max(0, earned['left']))} left, {size_text(earned['per_s'])}/s"))
        rows.append(("status", found.get("status")))
        if strikes := found.get("strikes"):
            rows.append(("strikes", len(strikes)))
        if case := found.get("case"):
            votes = f"{len(case['confirm'])} confirm, {len(case['lift'])} lift"
            rows.append(("suspension", f"decided {relative(case['until'], clock)}; {votes}"))
        console.print(facts(str(found.get("id")), rows))

    common.out.show(found, people)
    return 0


async def _standing(node: Client, who: str | None) -> tuple[AccountView, int]:
    return await node.account(who), (await node.status())["clock_now"]


def accounts(*, common: Common = HERE) -> int:
    """Accounts of the network, with their credits."""
    found = common.ask(_every_account)

    def people(console: Console) -> None:
        rows: list[list[Any]] = [
            [a.get("id"), role_of(a), a.get("status"), a.get("balance"), a.get("locked"), len(a.get("strikes") or [])]
            for a in found
        ]
        names = ["account", "role", "status", "free", "locked", "strikes"]
        if known := common.names:
            names.insert(1, "name")
            rows = [[Text(str(row[0])), known.of(row[0]), *row[1:]] for row in rows]
        console.print(listing(names, rows, {"free", "locked", "strikes"}, whole={"account"}))

    common.out.show(found, people)
    return 0


async def _every_account(node: Client) -> list[AccountView]:
    found: list[AccountView] = []
    while page := await node.accounts(after=found[-1]["id"] if found else None, limit=PAGE):
        found += page
        if len(page) < PAGE:
            break
    return found


def release(
    contract: Annotated[str, Parameter(name="CONTRACT", help="job or membership, as learningchain status shows it.")],
    ref: Annotated[str, Parameter(name="REF", help="The job's id or its first characters, or lc1... or the name of the account.")],
    /,
    *,
    give_back: Annotated[
        bool,
        Parameter(
            name=("--give-back",),
            negative="--retry",
            show_default=False,
            help="End it and return what it holds to whom it came from, or let it run again.",
        ),
    ],
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """A validator's word on a job or case that is parked, because a program failed there. More than two thirds decide."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> tuple[str, TxAnswer]:
        named_by = contracts.parts("references").get(contract)
        whole = await named_by.find(node, ref) if named_by else common.account(ref)
        return whole, await node.release(contract, whole, give_back=give_back, wait=wait)

    whole, done = common.ask(send)

    def people(console: Console) -> None:
        console.print(
            f"This validator's word: {'give back' if give_back else 'retry'} {named(whole)}. What is parked: learningchain status"
        )

    common.out.show(done, people)
    return finished(common, done, wait)


def judge(
    who: Annotated[str, Parameter(name="ACCOUNT", help="lc1... of the suspended account, or its name.")],
    /,
    *,
    lift: Annotated[
        bool, Parameter(name=("--lift",), negative="--confirm", show_default=False, help="Lift the suspension, or confirm the ban.")
    ],
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """A validator's word on a suspended account. More than two thirds of the validators decide."""
    who = common.account(who)
    wait = min(wait, MAX_WAIT)
    done = common.ask(lambda node: node.judge(who, confirm=not lift, wait=wait))

    def people(console: Console) -> None:
        console.print(
            f"This validator's word: {'lift' if lift else 'ban'} {named(who)}. Its standing: learningchain balance {who}",
            soft_wrap=True,
        )

    common.out.show(done, people)
    return finished(common, done, wait)
