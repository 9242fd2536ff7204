"""`propose`, `proposals`, `vote`, `withdraw`, `parameters`: what the validators decide together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from learningchain.client.cli.common import HERE, Common, WrongUsage, clean, listing, relative, seconds, show_list
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

if TYPE_CHECKING:
    from learningchain.client.contracts.governance.http.schema import ParameterView, ProposalView
    from learningchain.client.schema.bodies import TxAnswer
    from learningchain.client.sdk.client import Client

Details = dict[str, Any]
USES = {
    "admit": "KEY",
    "remove": "ACCOUNT",
    "verifier": "ACCOUNT on|off",
    "ban": "ACCOUNT",
    "lift-ban": "ACCOUNT",
    "add-validator": "ACCOUNT",
    "remove-validator": "ACCOUNT",
    "parameters": "NAME=VALUE...",
    "upgrade": "VERSION HEIGHT",
}


def propose(
    action: Annotated[str, Parameter(name="ACTION", help="; ".join(f"{name} {uses}" for name, uses in USES.items()) + ".")],
    /,
    *details: Annotated[str, Parameter(name="DETAILS", help="What the action needs, as ACTION lists it.")],
    expires: Annotated[str, Parameter(help="How long it is open: 60s, 10m, 2h, 7d.")] = "7d",
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Ask the validators. It is this one's yes as well; more than two thirds of all validators decide."""
    wait = min(wait, MAX_WAIT)
    wanted, until = _details(common, action, list(details)), seconds(expires, "--expires")
    done = common.ask(lambda node: node.propose(action, wanted, expires_s=until, wait=wait))
    _say(common, done, f"Proposed: {action} {' '.join(details)}.", _became(done) or _OPEN)
    return finished(common, done, wait)


def _details(common: Common, action: str, given: list[str]) -> Details:
    """The request's fields. Raises `WrongUsage`."""
    if action not in USES:
        raise WrongUsage(f"There is no action {action!r}. They are: {', '.join(USES)}")
    fits = bool(given) if action == "parameters" else len(given) == len(USES[action].split())
    if not fits:
        raise WrongUsage(f"Write: learningchain propose {action} {USES[action]}")
    if action == "admit":
        if not re.fullmatch(r"0[23][0-9a-f]{64}", given[0]):
            raise WrongUsage(
                f"{given[0][:80]!r} is no public key, which has 66 hex digits. On the newcomer's machine: "
                "learningchain id --public-key"
            )
        return {"key": given[0]}
    if action == "parameters":
        values: dict[str, int] = {}
        for name, value in map(_value, given):
            if name in values:
                raise WrongUsage(f"The parameter {name} stands there twice")
            values[name] = value
        return {"values": values}
    if action == "upgrade":
        if not all(text.isdecimal() for text in given):
            raise WrongUsage("VERSION and HEIGHT are whole numbers: learningchain propose upgrade 2 120000")
        return {"version": int(given[0]), "height": int(given[1])}
    if action == "verifier" and given[1] not in ("on", "off"):
        raise WrongUsage("A verifier flag is set on or off")
    account = {"account": common.account(given[0])}
    return account | ({"on": given[1] == "on"} if action == "verifier" else {})


def _value(text: str) -> tuple[str, int]:
    """NAME=VALUE; a length of time takes a unit, as in the genesis file's `--param`."""
    name, equals, value = text.partition("=")
    if value[-1:] in ("s", "m", "h", "d"):
        return name, round(1_000 * seconds(value, f"Parameter {name}"))
    if not equals or not value.isdecimal():
        raise WrongUsage(f"{text!r} is no NAME=VALUE with a whole number or a time such as 30s. See: learningchain parameters")
    return name, int(value)


_OPEN = "It is open until more than two thirds of the validators said yes: learningchain proposals"
_ENDS = {
    "proposal.accepted": "That decided it: the proposal is accepted.",
    "proposal.rejected": "That decided it: so many said no that the proposal is rejected.",
    "proposal.failed": "It has the votes, and was refused when it was to be carried out: it ended without effect.",
    "proposal.waits": "It has the votes, and is carried out with the next block: the set of validators changes once a block.",
}


def _became(done: TxAnswer) -> str:
    """What this word made of the proposal; empty where nothing is decided yet, or nobody waited."""
    topics = [str(event.get("topic")) for event in done.get("events", [])]
    return next((text for topic, text in _ENDS.items() if topic in topics), "")


def _say(common: Common, done: TxAnswer, *texts: str) -> None:
    def people(console: Console) -> None:
        console.print(clean(" ".join(texts)), soft_wrap=True)

    common.out.show(done, people)


async def _open(node: Client) -> tuple[list[ProposalView], int]:
    return await node.proposals(), (await node.status())["clock_now"]


def proposals(*, common: Common = HERE) -> int:
    """Open proposals, the one that expires first first, and which of them wait for this node's word."""
    found, clock = common.ask(_open)

    show_list(
        common,
        found,
        "No proposal is open.",
        ["proposal", "asks to", "yes", "no", "expires", "your word"],
        lambda one: [
            one["proposal"][:12],
            one["text"],
            f"{len(one['yes'])} of {one['needed']}",
            len(one["no"]),
            relative(one["expires"], clock),
            one["own_word"] or (" or ".join(one["may"]) if one["may"] else "-"),
        ],
        right={"no"},
        whole={"proposal"},
    )
    if any(len(one["may"]) == 2 for one in found):
        common.out.note("Say your word: learningchain vote PROPOSAL yes, or no")
    return 0


async def _named(node: Client, text: str) -> str:
    """The whole id of an open proposal, by its first characters, or `latest`: where one alone is open. Raises `WrongUsage`."""
    if len(text) == 64:
        return text
    begin = "" if text == "latest" else text.lower()
    found = [one["proposal"] for one in await node.proposals() if one["proposal"].startswith(begin)]
    if len(found) != 1:
        why = "No open proposal begins" if not found else f"{len(found)} open proposals begin"
        raise WrongUsage(f"{why} with {text!r}. learningchain proposals lists them")
    return found[0]


def vote(
    proposal: Annotated[
        str, Parameter(name="PROPOSAL", help="Its id or the first characters of it; latest, where one alone is open.")
    ],
    word: Annotated[Literal["yes", "no"], Parameter(name="WORD", help="yes or no.")],
    /,
    *,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """A validator's word on a proposal. More than two thirds of all validators decide; a later word replaces it."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        found = await _named(node, proposal)
        common.goes_on("Your word may be on its way already", "proposals")
        return await node.vote(found, yes=word == "yes", wait=wait)

    done = common.ask(send)
    _say(common, done, f"This validator's word: {word}.", _became(done) or _OPEN)
    return finished(common, done, wait)


def withdraw(
    proposal: Annotated[
        str, Parameter(name="PROPOSAL", help="Its id or the first characters of it; latest, where one alone is open.")
    ],
    /,
    *,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Take a proposal back that this node made and that is still open."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.withdraw(await _named(node, proposal), wait=wait)

    done = common.ask(send)
    _say(common, done, "The proposal is withdrawn." if "height" in done else "The withdrawal is on its way.")
    return finished(common, done, wait)


def parameters(*, common: Common = HERE) -> int:
    """The network's parameters in force, and between which values the validators may change each."""
    found = common.ask(lambda node: node.parameters())

    def people(console: Console) -> None:
        rows = [[one["contract"], one["name"], _shown(one, one["value"]), _bounds(one)] for one in found]
        console.print(listing(["of", "parameter", "value", "by vote"], rows, whole={"parameter"}))

    common.out.show(found, people)
    return 0


def _shown(one: ParameterView, value: int) -> str:
    from learningchain.client.contracts.governance.http.views import with_unit

    return with_unit(value, one["unit"])


def _bounds(one: ParameterView) -> str:
    low, high = one["low"], one["high"]
    return "never" if low is None or high is None else f"{_shown(one, low)} to {_shown(one, high)}"
