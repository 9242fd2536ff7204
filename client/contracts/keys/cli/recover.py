"""`recover`: a lost key replaced by guardians. The machine that starts has no account's key, so guardians send for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from learningchain.client.cli.common import HERE, Common, PassphraseFile, WrongUsage, facts, passphrase
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.keys.cli.keys import Who, asked
from learningchain.client.contracts.keys.people import guardian_rows, recovery_rows


def start(
    account: Annotated[str, Parameter(name="ACCOUNT", help="lc1... of the account whose key is lost.")],
    /,
    *,
    genesis: Annotated[Path, Parameter(help="File of the network; a guardian has it too (genesis.json in its data folder).")],
    listen: Annotated[str | None, Parameter(help="Where other nodes reach this one, host:port.")] = None,
    api_listen: Annotated[str | None, Parameter(help="Where the HTTP API listens, host:port.")] = None,
    peer: Annotated[
        list[str] | None, Parameter(negative="", help="A node to connect to first, host:port. May be repeated.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Make a new key for an account whose key is lost, in an empty data folder, and print the request for its guardians."""
    from learningchain.chain.crypto import parse_address
    from learningchain.chain.storage.datadir import take_folder
    from learningchain.client import config
    from learningchain.client.cli.network import put_genesis, read_genesis
    from learningchain.client.contracts.keys.http.request import make_request
    from learningchain.client.keys.keyring import CURRENT
    from learningchain.client.keys.keystore import Keystore

    own, network, data = parse_address(common.account(account)), read_genesis(genesis), common.folder
    if os.path.lexists(data / CURRENT):
        raise WrongUsage(f"{data} holds an identity already ({data / CURRENT}). Choose another folder with --data")
    given: dict[str, Any] = {"network.listen": listen, "api.listen": api_listen, "network.peers": peer}
    changes = {key: value for key, value in given.items() if value is not None}
    config.parse(config.render(changes), "this command")  # before anything is made
    word = passphrase(passphrase_file, confirm=True)
    take_folder(str(data))
    config.change(data, changes)
    identity = Keystore.create_for(data / CURRENT, own, word)
    put_genesis(data, genesis)
    request = make_request(identity.key, own, network.chain_id)
    document = {"account": identity.address, "key": identity.key.public.hex(), "request": request, "data": str(data)}
    common.out.show(document, lambda console: console.print(request, soft_wrap=True))
    common.out.note(
        "Give this line to your guardians, in a way in which they know that it is you. "
        "Each says: learningchain recover approve LINE. When enough agreed and the delay is over, start the node here: "
        "learningchain node" + common.again
    )
    return 0


def approve(
    request: Annotated[str, Parameter(name="REQUEST", help="The line that recover start printed.")],
    /,
    *,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """This node's word, as a guardian, that an account shall have another key. Be sure that its owner asks for it."""
    from learningchain.chain.crypto import address
    from learningchain.client.contracts.keys.http.request import parse_request

    wanted, wait = parse_request(request), min(wait, MAX_WAIT)
    done = common.ask(lambda node: node.approve_recovery(request.strip(), wait=wait))
    account = address(wanted.account)
    found, clock = asked(common, account)

    def people(console: Console) -> None:
        console.print(facts(f"Your word on {account}", recovery_rows(found, clock)))

    common.out.show({**done, "account": account, "recovery": found["recovery"]}, people)
    return finished(common, done, wait)


def status(who: Who = None, /, *, common: Common = HERE) -> int:
    """How far the recovery of an account is: who agreed on which key, and when the account gets it."""
    found, clock = asked(common, who)
    rows = [("key", found["key"]), *recovery_rows(found, clock), *guardian_rows(found, clock)]
    document = {name: found[name] for name in ("id", "key", "key_changes", "recovery", "recovery_barred_until")}
    common.out.show(document, lambda console: console.print(facts(found["id"], rows)))
    return 0


def object_(*, wait: Wait = 30, common: Common = HERE) -> int:
    """Speak against a recovery of this node's own account: you have the key still. More than two thirds of the guardians have to
    agree now, or the recovery ends, and none begins for as long as the delay."""
    wait = min(wait, MAX_WAIT)
    done = common.ask(lambda node: node.object_recovery(wait=wait))
    found, clock = asked(common, None)

    def people(console: Console) -> None:
        console.print(facts("You objected to the recovery. Speak with your guardians.", recovery_rows(found, clock)))

    common.out.show({**done, "recovery": found["recovery"]}, people)
    return finished(common, done, wait)
