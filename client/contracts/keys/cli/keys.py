"""`key` and `guardians`: this identity's key, and who may give it another one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import (
    HERE,
    Common,
    PassphraseFile,
    WrongUsage,
    facts,
    passphrase,
    seconds,
)
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.keys.people import guardian_rows, recovery_rows

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client

Who = Annotated[str | None, Parameter(name="ACCOUNT", help="lc1... of an account, or its name. Without it: this node's own.")]


GUARDIANS = ("guardians", "guardian_threshold", "guardian_delay", "guardians_coming")


def rotate(*, passphrase_file: PassphraseFile = None, wait: Wait = 30, common: Common = HERE) -> int:
    """Replace this identity's key. Balance, history and duties stay; the old key is refused from that block on. The running node
    goes on with the new key by itself, and the data folder keeps both until the block is final."""
    from learningchain.chain.contracts.keys import new_key_digest
    from learningchain.client.keys.keyring import CURRENT, make_next, seal
    from learningchain.client.keys.keystore import Keystore
    from learningchain.client.signer.pairing import FILE as PAIRED

    if os.path.lexists(common.folder / PAIRED) and not os.path.lexists(common.folder / CURRENT):
        raise WrongUsage(
            f"The key of {common.folder} lies with a remote signer, and is not replaced through its node. Stop both, move keystore "
            "and guard back into the node's folder, remove signer.pair there, start the node, and rotate then"
        )
    own = Keystore.public(common.folder / CURRENT)  # a missing identity is told before a passphrase is asked for
    word, wait = passphrase(passphrase_file, confirm=False), min(wait, MAX_WAIT)
    status = common.ask(lambda node: node.status())
    if status["id"] != own.address:
        raise WrongUsage(f"The node that answers is {status['id']}, the data folder {common.folder} is {own.address}'s")
    common.out.note("The new key is made, and written into the data folder before anybody hears of it.")
    old, new = make_next(common.folder, word)
    signature = new.key.sign(new_key_digest(bytes.fromhex(status["chain_id"]), old.id, new.key.public))
    public, sealed = new.key.public.hex(), seal(old.key, new.key).hex()
    common.out.note("Both keys have signed the rotation.")
    done = common.ask(lambda node: node.rotate_key(public, signature.hex(), sealed, wait=wait))

    def people(console: Console) -> None:
        if "height" in done:
            console.print(f"{old.address} has the key {public} since block {done['height']}.", soft_wrap=True)

    common.out.show({**done, "key": public}, people)
    if "height" in done:
        common.out.note(
            f"Make a new backup: learningchain backup FILE{common.again}. Copies from before hold a key that is refused."
        )
    return finished(common, done, wait)


def asked(common: Common, who: str | None) -> tuple[Any, int]:
    """What the node says of an account, with this contract's part of it, and the chain clock."""
    account = None if who is None else common.account(who)

    async def look(node: Client) -> tuple[Any, int]:
        return await node.account(account), (await node.status())["clock_now"]

    return common.ask(look)


def show(who: Who = None, /, *, common: Common = HERE) -> int:
    """The key of an account, how often it changed, its guardians, and a recovery that is open."""
    found, clock = asked(common, who)
    fields = ("id", "key", "key_changes", *GUARDIANS, "recovery_barred_until", "recovery")
    rows: list[tuple[str, Any]] = [("key", found["key"]), ("replaced", f"{found['key_changes']} times")]
    rows += guardian_rows(found, clock) + recovery_rows(found, clock)
    common.out.show({name: found[name] for name in fields}, lambda console: console.print(facts(found["id"], rows)))
    return 0


def show_guardians(who: Who = None, /, *, common: Common = HERE) -> int:
    """Who may give an account another key, how many of them must agree, and how long its owner can object."""
    found, clock = asked(common, who)
    document = {name: found[name] for name in ("id", *GUARDIANS)}
    common.out.show(document, lambda console: console.print(facts(found["id"], guardian_rows(found, clock))))
    if not found["guardians"]:
        common.out.note("Nobody can bring this account back if its key is lost: learningchain guardians set ACCOUNT... names some.")
    return 0


def set_guardians(
    who: Annotated[list[str] | None, Parameter(name="ACCOUNT", help="lc1... or the name of each guardian, up to 16.")] = None,
    /,
    *,
    threshold: Annotated[int | None, Parameter(help="How many must agree. Without it: more than half.")] = None,
    delay: Annotated[str, Parameter(help="How long there is to object, such as 3d. The network sets the least.")] = "3d",
    none: Annotated[bool, Parameter(negative="", show_default=False, help="Nobody may, from now on.")] = False,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Name the accounts that together may give this one another key. They act when you ask them to, in person; for the delay
    whoever has the present key can object, and then it takes more than two thirds of them. Others follow them after that delay."""
    if bool(who) == none:
        raise WrongUsage("--none goes without guardians. Say one or the other" if who else "Name the guardians, or say --none")
    ids, wait = sorted({common.account(one) for one in who or []}), min(wait, MAX_WAIT)
    needed = 0 if none else len(ids) // 2 + 1 if threshold is None else threshold
    if not 0 <= needed <= len(ids):
        raise WrongUsage(f"--threshold is from 1 to {len(ids)}, the number of guardians, not {needed}")
    ms = 0 if none else round(seconds(delay, "--delay") * 1_000)
    done = common.ask(lambda node: node.set_guardians(ids, needed, ms, wait=wait))

    found, clock = asked(common, None)

    def people(console: Console) -> None:
        console.print(facts("Who may recover this account", guardian_rows(found, clock)))

    common.out.show({**done, **{name: found[name] for name in GUARDIANS}}, people)
    return finished(common, done, wait)
