"""`accounts`, cases, and a validator's words: `judge`, `release`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client import contracts
from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, listing, named, relative, show_list
from learningchain.client.cli.entries import COMMANDS
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished, role_of
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console, Text

if TYPE_CHECKING:
    from learningchain.client.contracts.membership.http.schema import MemberAccount, OpenCase
    from learningchain.client.schema.bodies import TxAnswer
    from learningchain.client.sdk.client import Client

PAGE = 1_000


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


async def _every_account(node: Client) -> list[MemberAccount]:
    found: list[MemberAccount] = []
    while page := await node.accounts(after=found[-1]["id"] if found else None, limit=PAGE):
        found += page
        if len(page) < PAGE:
            break
    return found


def case_list(*, common: Common = HERE) -> int:
    """Open cases, the one that ends first first, and which of them wait for this node's word."""
    found, clock = common.ask(_every_case)

    show_list(
        common,
        found,
        "No account is suspended.",
        ["account", "ends", "posters", "to ban", "to lift", "your word"],
        lambda one: [one["account"], *_case_row(one, clock)],
        whole={"account"},
    )
    if any(_waits(one) for one in found):
        common.out.note("Look at one: learningchain case show ACCOUNT. Measure it yourself: learningchain job recheck JOB")
    return 0


async def _every_case(node: Client) -> tuple[list[OpenCase], int]:
    return await node.cases(), (await node.status())["clock_now"]


def _waits(one: OpenCase) -> bool:
    return bool(one["may"]) and one["own_word"] is None


def _case_row(one: OpenCase, clock: int) -> list[Any]:
    case = one["case"]
    ban = "by proposal" if case["to_ban"] is None else f"{len(case['confirm'])} of {case['to_ban']}"
    lift = f"{len(case['lift'])} of {case['to_lift']}"
    own = one["own_word"] or ("waits for it" if _waits(one) else "-")
    posters = f"{len({ref['origin'] for ref in case['refs']})}{', corroborated' if case['corroborated'] else ''}"
    return [relative(case["until"], clock), posters, ban, lift, own]


def case_show(
    who: Annotated[str, Parameter(name="ACCOUNT", help="lc1... of the suspended account, or its name.")],
    /,
    *,
    common: Common = HERE,
) -> int:
    """What a case is about, what it needs to become a ban, what happens if nobody speaks, and what this node may say."""
    who = common.account(who)
    found, clock = common.ask(_every_case)
    one = next((one for one in found if one["account"] == who), None)
    if one is None:
        raise WrongUsage(f"There is no open case against {named(who)}. learningchain case list shows those that there are")

    def people(console: Console) -> None:
        case = one["case"]
        rows: list[tuple[str, Any]] = [("decided", relative(case["until"], clock))]
        rows += [("", sentence) for sentence in case["words"]]
        rows += [("job", f"{ref['ref']} of {named(ref['owner'])}") for ref in case["refs"]]
        for word, judges in (("confirm", case["confirm"]), ("lift", case["lift"])):
            rows.append((f"judges who {word}", named(", ".join(judges)) or "nobody"))
        rows.append(
            ("your word", one["own_word"] or (" or ".join(one["may"]) if one["may"] else "none: this node is no judge of it"))
        )
        console.print(facts(f"Case against {who}", rows))

    common.out.show(one, people)
    if _waits(one):
        common.out.note(f"Measure it yourself: learningchain job recheck {one['case']['refs'][0]['ref'][:12]} --claimant {who}")
        words = " or ".join(f"--{word}" for word in one["may"])
        common.out.note(f"Say it: learningchain judge {who} {words}. Nobody is banned by silence")
    return 0


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
        find = _finder(contract)
        whole = common.account(ref) if find is None else await find(node, ref)
        return whole, await node.release(contract, whole, give_back=give_back, wait=wait)

    whole, done = common.ask(send)

    def people(console: Console) -> None:
        console.print(
            f"This validator's word: {'give back' if give_back else 'retry'} {named(whole)}. What is parked: learningchain status"
        )

    common.out.show(done, people)
    return finished(common, done, wait)


def _finder(contract: str) -> Callable[[Client, str], Awaitable[str]] | None:
    """What finds by the beginning of its id what a contract keeps; None of one that keeps accounts alone."""
    part = contracts.parts(COMMANDS).get(contract)
    if part is None or not part.find:
        return None
    module, _, function = part.find.partition(":")
    found: Callable[[Client, str], Awaitable[str]] = getattr(import_module(f"{contracts.packages()[contract]}.{module}"), function)
    return found


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
    """A validator's word on a suspended account. More than two thirds of the judges that may confirm ban it at the case's end, more
    than half where false claims were measured for two posters; more than half of all lift it at once. A later word of the same one
    replaces it."""
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
