"""`restart`: the genesis of a network that goes on where another one lost its quorum for good.

    plan    what this node's chain ended with: what its people compare, and agree on
    make    the new network's file, from this node's chain and what was agreed
    check   the same once more on everybody's own node, and what differs

All three read the data folder; the old chain stays as it is. The rule is LC-BLK-37 to LC-BLK-40.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from learningchain.client.cli.common import HERE, Common, NotStarted, WrongUsage, facts, listing, named
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

if TYPE_CHECKING:
    from learningchain.chain.ledger.genesis import Genesis, RestartedGenesis
    from learningchain.chain.ledger.restart import Carried
    from learningchain.chain.ledger.state import State
    from learningchain.chain.types import Header

SHOWN = 40
"""Differences that are told; the others are counted."""


class ChainEnd(NamedTuple):
    """The last block of this node's chain, the state after it, and the genesis that it began from."""

    genesis: Genesis
    header: Header
    state: State


def plan(*, common: Common = HERE) -> int:
    """Show where this node's chain ends: what everybody compares before a restart. The node may run."""
    from learningchain.chain.crypto import address
    from learningchain.chain.ledger.transition import validators_of

    with _end(common) as end:
        validators = [address(v.id) for v in validators_of(end.state)]
        accounts, escrows = end.state.held()
    from learningchain.chain.types import block_id, format_credits, quorum

    document = {
        "chain_id": end.header.chain_id.hex(),
        "name": end.genesis.name,
        "height": end.header.height,
        "block_id": block_id(end.header).hex(),
        "state_root": end.header.state_root.hex(),
        "time": end.header.time,
        "credits": format_credits(accounts + escrows),
        "escrows": format_credits(escrows),
        "validators": validators,
        "quorum": quorum(len(validators)),
    }

    def people(console: Console) -> None:
        rows = [(name.replace("_", " "), document[name]) for name in ("chain_id", "height", "block_id", "state_root", "credits")]
        console.print(facts(end.genesis.name, [*rows, ("of them in escrows, which go back", document["escrows"])]))
        console.print(listing(["validator"], [[one] for one in validators]))

    common.out.show(document, people)
    common.out.note(
        f"{document['quorum']} of these {len(validators)} validators decide. If fewer will ever come back: compare height and "
        "block id with everybody; the highest is the base. Agree on a name and on who validates, then (--validator for each): "
        f"learningchain restart make FILE --name NAME --validator ACCOUNT{common.again}"
    )
    return 0


def make(
    out: Annotated[Path, Parameter(help="File to write.")],
    /,
    *,
    name: Annotated[str, Parameter(help="Name of the new network. Another one for each attempt from the same block.")],
    validator: Annotated[list[str], Parameter(negative="", help="Account that validates from now on. Repeat for each.")],
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite the file.")] = False,
    common: Common = HERE,
) -> int:
    """Make the file of the network that goes on after this node's last block. Everybody who does so comes to the same file."""
    from learningchain.chain.ledger.genesis import to_json
    from learningchain.client.sdk.files import appearing

    chosen = _accounts(common, validator)
    with _end(common) as end:
        made, carried = _restart(end, chosen, name)
    with appearing(out, overwrite=force, forced="--force") as file:
        file.write(to_json(made))
    document = _document(made) | {"file": str(out), "ended": _ended(carried)}
    common.out.show(document, lambda console: _say(console, document))
    common.out.note(f"Now everybody, on their own node, before anybody starts: learningchain restart check {out}")
    return 0


def check(
    file: Annotated[Path, Parameter(help="The new network's file.")],
    /,
    *,
    validator: Annotated[
        list[str] | None,
        Parameter(negative="", help="Account that was agreed on as a validator. Repeat for each: others are named."),
    ] = None,
    common: Common = HERE,
) -> int:
    """Make the file anew from this node's own chain, and say what differs. Exit code 1 where anything does."""
    from learningchain.chain.ledger.genesis import RestartedGenesis
    from learningchain.client.cli.network import read_genesis

    found = read_genesis(file)
    if not isinstance(found, RestartedGenesis):
        raise WrongUsage(f"{file} is the file of a network that begins anew: it has no base to check")
    agreed = None if validator is None else _accounts(common, validator)
    with _end(common) as end:
        wrong = _wrong_base(found, end) or _differences(found, end)
    if agreed is not None:
        wrong += _wrong_validators(found, agreed)
    document = _document(found) | {"holds": not wrong, "differences": wrong}

    def people(console: Console) -> None:
        _say(console, document)
        for line in wrong[:SHOWN]:
            console.print(named(f"DIFFERS: {line}"), soft_wrap=True)
        if len(wrong) > SHOWN:
            console.print(f"... and {len(wrong) - SHOWN} more")
        console.print("Do not start it." if wrong else "It is what this node's own chain leads to, byte for byte.")

    common.out.show(document, people)
    if not wrong and agreed is None:
        common.out.note("The validators are those of the file: compare them, and the fingerprint, aloud with everybody")
    return 1 if wrong else 0


# --- this node's chain --------------------------------------------------------------------------------------------------------


@contextmanager
def _end(common: Common) -> Iterator[ChainEnd]:
    """Raises `NotStarted`."""
    from learningchain.client.cli.audit import opened

    with opened(common, "Nothing can be restarted") as (store, genesis):
        head = store.head()
        if head is None or head.header is None:
            raise NotStarted(
                "Nothing can be restarted: this node has no block yet. Start it once, so that it takes what others have"
            )
        yield ChainEnd(genesis, head.header, store.open_state())


def _accounts(common: Common, texts: list[str]) -> list[bytes]:
    from learningchain.chain.crypto import parse_address

    return [parse_address(common.account(text)) for text in texts]


def _restart(end: ChainEnd, validators: list[bytes], name: str) -> tuple[RestartedGenesis, Carried]:
    """Raises `NotStarted`."""
    from learningchain.chain.errors import BrokenInvariant, Malformed, SupplyBroken
    from learningchain.chain.ledger.restart import restart

    try:
        return restart(end.genesis, end.state, end.header, validators, name)
    except (Malformed, BrokenInvariant, SupplyBroken) as fault:
        raise NotStarted(f"Such a network cannot start: {fault}") from None


# --- comparing ----------------------------------------------------------------------------------------------------------------


def _wrong_base(found: RestartedGenesis, end: ChainEnd) -> list[str]:
    """Whether the file goes on from where this node's chain ends."""
    from learningchain.chain.types import block_id

    base, own = found.base, end.header
    if base.chain_id != own.chain_id:
        return [f"the file restarts the chain {base.chain_id.hex()}, this node is of {own.chain_id.hex()}"]
    if base.height < own.height:
        lost = f"{base.height + 1} to {own.height}" if own.height > base.height + 1 else str(own.height)
        return [f"the file goes back to block {base.height}, and this node has a newer certified one: block {lost} would be undone"]
    if base.height > own.height:
        return [
            f"the file goes on after block {base.height}, this node's chain ends with {own.height}. Where a member has the rest, "
            "start the node until it has them too, then check again. Where nobody can show them, the file is forged"
        ]
    if base.block_id != block_id(own):
        return [f"block {base.height} of the file is {base.block_id.hex()}, this node's certified one is {block_id(own).hex()}"]
    return []


def _differences(found: RestartedGenesis, end: ChainEnd) -> list[str]:
    from learningchain.chain.ledger.genesis import to_json
    from learningchain.chain.ledger.restart import differences

    try:
        made, _ = _restart(end, [v.id for v in found.validators], found.name)
    except NotStarted as fault:
        return [str(fault)]
    wrong = differences(made, found)
    if not wrong and to_json(made) != to_json(found):
        return ["the file is another one than this node's chain leads to"]
    return wrong


def _wrong_validators(found: RestartedGenesis, agreed: list[bytes]) -> list[str]:
    from learningchain.chain.crypto import address

    has = {v.id for v in found.validators}
    return [
        *(f"{address(one)} validates by the file, and was not agreed on" for one in sorted(has - set(agreed))),
        *(f"{address(one)} was agreed on, and does not validate by the file" for one in sorted(set(agreed) - has)),
    ]


# --- words --------------------------------------------------------------------------------------------------------------------


def fingerprint(chain_id: bytes) -> str:
    """What people read to each other: the network's id in groups of four."""
    text = chain_id.hex()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _ended(carried: Carried) -> list[dict[str, str]]:
    return [{"contract": one.contract, "ref": one.ref.hex()} for one in carried.ended]


def _document(made: RestartedGenesis) -> dict[str, Any]:
    from learningchain.chain.crypto import address

    base = made.base
    return {
        "chain_id": made.chain_id.hex(),
        "name": made.name,
        "fingerprint": fingerprint(made.chain_id),
        "base": {
            "chain_id": base.chain_id.hex(),
            "height": base.height,
            "block_id": base.block_id.hex(),
            "state_root": base.state_root.hex(),
        },
        "records": len(base.records),
        "validators": [address(v.id) for v in base.validators],
    }


def _say(console: Console, document: dict[str, Any]) -> None:
    base = document["base"]
    rows = [
        ("fingerprint", document["fingerprint"]),
        ("goes on from chain", base["chain_id"]),
        ("after block", f"{base['height']}, {base['block_id']}"),
        ("records carried", document["records"]),
    ]
    if "ended" in document:
        rows.append(
            ("ended, everything given back", ", ".join(f"{e['contract']} {e['ref'][:16]}" for e in document["ended"]) or "-")
        )
    console.print(facts(document["name"], rows))
    console.print(listing(["validates"], [[one] for one in document["validators"]]))
