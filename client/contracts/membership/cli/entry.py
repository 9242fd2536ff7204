"""`invite`, `join`, `leave`: how members come and go."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.chain.errors import Malformed
from learningchain.client.cli.common import (
    HERE,
    PASSPHRASE_VARIABLE,
    Common,
    NotStarted,
    PassphraseFile,
    WrongUsage,
    amount,
    facts,
    named,
    passphrase,
    relative,
    seconds,
    show_list,
    span,
)
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.node import process
from learningchain.client.reading import variable

if TYPE_CHECKING:
    from learningchain.client.contracts.membership.http.schema import InvitationView, MemberAccount
    from learningchain.client.contracts.membership.http.token import JoinToken
    from learningchain.client.keys.keystore import Identity
    from learningchain.client.sdk.client import Client
    from learningchain.client.signer.pairing import Pairing

TOKEN_VARIABLE = "LEARNINGCHAIN_TOKEN"
ADMITTED_WITHIN_S = 60.0
LOOK_S = 0.2
SIGNER_S = 5.0
SHORTEST = 8
"""Characters of an invitation's id that name it."""

# --- invite -------------------------------------------------------------------------------------------------------------------


def invite(
    *,
    credits_: Annotated[str | None, Parameter(name="--credits", help="Credits of this node that the newcomer gets.")] = None,
    expires: Annotated[str, Parameter(help="How long the token can be used, such as 2h or 1d.")] = "1d",
    address: Annotated[
        list[str] | None,
        Parameter(negative="", help="Where the newcomer reaches this node, host:port. Default: as advertised. May be repeated."),
    ] = None,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Print one token that lets one machine join. It is used once and shown once: hand it over like a password."""
    sum_ = "0" if credits_ is None else amount(credits_, "--credits")
    lasts = seconds(expires, "--expires")
    wait = min(wait, MAX_WAIT)
    done = common.ask(lambda node: node.invite(credits=sum_, lasts_s=lasts, addresses=address or [], wait=wait))
    common.out.show(done, lambda console: console.print(done["token"], soft_wrap=True))
    common.out.note("On the new machine: learningchain join TOKEN. Whoever has the token may use it, once")
    if done["status"] == "final":
        revoke = f"learningchain invite revoke {done['invitation'][:16]}{common.again}"
        common.out.note(f"It can be used for {span(lasts)}. Take it back: {revoke}")
    return finished(common, done, wait)


def invite_list(*, common: Common = HERE) -> int:
    """This node's invitations, oldest first. Three count at a time: open ones, and used ones for a while."""
    found, clock = common.ask(_invitations)

    return show_list(
        common,
        found,
        "This node has invited nobody.",
        ["invitation", "state", "credits", "until"],
        lambda one: [one["invitation"][:16], one["state"], one["credits"], relative(one["until"], clock) if one["until"] else "-"],
        right={"credits"},
    )


async def _invitations(node: Client) -> tuple[list[InvitationView], int]:
    return await node.invitations(), (await node.status())["clock_now"]


def invite_revoke(
    invitation: Annotated[str, Parameter(name="INVITATION", help="Its id or the first characters of it, as invite list shows it.")],
    /,
    *,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Take an open invitation back; its credits return. What was used stays used."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> Any:
        known = [one["invitation"] for one in await node.invitations() if one["invitation"].startswith(invitation)]
        if len(invitation) < SHORTEST:
            raise WrongUsage(
                f"{invitation!r} is too short: {SHORTEST} characters at least name an invitation (learningchain invite list)"
            )
        if len(known) != 1:
            text = (
                f"{len(known)} of this node's invitations begin with {invitation}" if known else "This node has no such invitation"
            )
            raise WrongUsage(f"{text}. learningchain invite list shows them")
        return await node.revoke_invitation(known[0], wait=wait)

    done = common.ask(send)
    common.out.show(done, lambda console: console.print(f"Revoked {invitation}: whoever has its token is refused."))
    return finished(common, done, wait)


# --- leave --------------------------------------------------------------------------------------------------------------------


def leave(
    *,
    yes: Annotated[
        bool, Parameter(name="--yes", negative="", show_default=False, help="Leave; without it nothing is sent.")
    ] = False,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Leave the network: say what is open and what follows, and with --yes do it. The account and its credits stay."""
    wait = min(wait, MAX_WAIT)
    own, invitations, validator = common.ask(_open_matters)
    open_ = _open_words(own, invitations, validator=validator)
    follows = [
        "This identity posts, claims, verifies and invites no more, and no member connects to its node.",
        "It keeps its credits and may move them through another node's API. Open stakes and duties run to their end: a reveal or a "
        "vote that is missed costs what it costs anybody.",
        "An invitation brings it back, with its root and its strikes.",
    ]
    if not yes:
        document = {"open": open_, "follows": follows, "left": False}

        def people(console: Console) -> None:
            console.print(facts("Leaving", [("open", text) for text in open_ or ["nothing"]] + [("follows", t) for t in follows]))

        common.out.show(document, people)
        first = f"The validators vote it out of their set first: learningchain propose remove-validator {own['id']}"
        common.out.note(first if validator else f"Do it: learningchain leave --yes{common.again}")
        return 0
    done = common.ask(lambda node: node.leave(wait=wait))
    common.out.show(
        dict(done) | {"open": open_, "follows": follows, "left": "height" in done},
        lambda console: console.print("\n".join(["Left." if "height" in done else "Leaving.", *open_, *follows]), soft_wrap=True),
    )
    return finished(common, done, wait)


async def _open_matters(node: Client) -> tuple[MemberAccount, list[InvitationView], bool]:
    return await node.account(), await node.invitations(), (await node.status())["validator"]


def _open_words(own: MemberAccount, invitations: list[InvitationView], *, validator: bool) -> list[str]:
    found = []
    if validator:
        found.append("It is a validator: it leaves the set first, by the validators' vote.")
    if own.get("locked", "0") != "0":
        found.append(f"{own['locked']} credits are locked in stakes, bounties and invitations.")
    if own.get("frozen", "0") != "0":
        found.append(f"{own['frozen']} credits are frozen by a case, which goes on.")
    if count := sum(one["state"] == "open" for one in invitations):
        found.append(f"{count} open {'invitation ends' if count == 1 else 'invitations end'}, and their credits return.")
    if own.get("verifier"):
        found.append("It verifies: seats that it has already are still its own, and silence there is struck.")
    return found


# --- join ---------------------------------------------------------------------------------------------------------------------


def join(
    text: Annotated[
        str | None,
        Parameter(name="TOKEN", help=f"What learningchain invite printed. Default: ${TOKEN_VARIABLE}, unseen by others."),
    ] = None,
    /,
    *,
    name: Annotated[str | None, Parameter(help="What the node is called in its own displays.")] = None,
    listen: Annotated[str | None, Parameter(help="Where other nodes reach this one, host:port.")] = None,
    advertise: Annotated[list[str] | None, Parameter(negative="", help="Address to tell other nodes. May be repeated.")] = None,
    api_listen: Annotated[str | None, Parameter(help="Where the HTTP API listens, host:port.")] = None,
    work: Annotated[bool, Parameter(negative="", show_default=False, help="Run strangers' jobs and earn.")] = False,
    run: Annotated[bool, Parameter(negative="--no-run", help="Run the node once it is admitted, or end there.")] = True,
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Join a network by an invitation, on a machine that has nothing yet, and run the node. Safe to repeat after any failure."""
    if run and (why := process.why_no_node()):
        raise NotStarted(f"No node is made here: {why}")
    token = _token(text)
    data = common.folder
    changes = {
        "name": name,
        "network.listen": listen,
        "network.advertise": advertise,
        "network.peers": [contact.address for contact in token.contacts],
        "sync.trusted": trusted_block(token),
        "api.listen": api_listen,
        "work.enabled": work or None,
    }
    import asyncio

    common.out.note(f"Invitation of {_who(token)} to the network {token.network}")
    identity, word = _identity(common, data, passphrase_file, {k: v for k, v in changes.items() if v is not None})
    process.guard(PASSPHRASE_VARIABLE)
    _install_genesis(common, data, token)
    height = asyncio.run(_enter(common, token, identity))
    common.out.note(f"Admitted: {identity.address} is a member as of block {height}")
    document = {"address": identity.address, "network": token.network, "chain_id": token.chain_id.hex(), "height": height}
    common.out.show(document | {"data": str(data)}, lambda console: console.print(f"Joined {token.network} as {identity.address}"))
    if not run:
        common.out.note(f"Run it: learningchain node{common.again}")
        return 0
    common.out.note(f"The node starts; Ctrl-C stops it. Look around from a second terminal: learningchain status{common.again}")
    _tell_when_synced(common, height)
    from learningchain.client.daemon import start

    return start.run(data, word)


def trusted_block(token: JoinToken) -> str | None:
    """The block that the inviter vouches for, as `sync.trusted` names it; a network without a block has none."""
    return f"{token.height}-{token.block_id.hex()}" if token.height else None


def _who(token: JoinToken) -> str:
    from learningchain.chain.crypto import address

    return named(address(token.inviter))


def _token(text: str | None) -> JoinToken:
    from learningchain.client.contracts.membership.http.token import parse_token

    given = text if text is not None else variable(TOKEN_VARIABLE)
    if not given:
        raise WrongUsage(f"Say the token that learningchain invite printed, or set {TOKEN_VARIABLE}")
    try:
        return parse_token(given)
    except Malformed as e:
        raise WrongUsage(f"This token cannot be used: {e}") from None


def _identity(common: Common, data: Path, file: Path | None, changes: dict[str, Any]) -> tuple[Identity | Pairing, str | None]:
    """The identity that the folder holds, or its signer; or a new one. With its settings."""
    from learningchain.chain.storage.datadir import take_folder
    from learningchain.client import config
    from learningchain.client.keys.keystore import Keystore
    from learningchain.client.signer import pairing

    config.parse(config.render(changes), "this command")  # before anything is made
    keystore = data / "keystore.json"
    if os.path.lexists(data / pairing.FILE):
        if os.path.lexists(keystore):
            raise WrongUsage(f"{data} names a signer and has a keystore as well. Remove one of both: keystore.json or signer.pair")
        found = pairing.read_pairing(data / pairing.FILE)
        common.out.note(f"Identity {found.address}, whose key lies with the signer at {found.place}")
        config.change(data, changes)
        return found, None
    known = os.path.lexists(keystore)
    word = passphrase(file, confirm=not known)
    if known:
        identity = Keystore.open(keystore, word)
        common.out.note(f"Identity {identity.address}, which is here already")
    else:
        take_folder(str(data))
        identity = Keystore.create(keystore, word)
        common.out.note(f"Identity {identity.address}, new: back up {keystore} and remember its passphrase")
    config.change(data, changes)
    return identity, word


def genesis_fetch(
    text: Annotated[
        str | None,
        Parameter(name="TOKEN", help=f"What learningchain invite printed. Default: ${TOKEN_VARIABLE}, unseen by others."),
    ] = None,
    /,
    *,
    common: Common = HERE,
) -> int:
    """Put the genesis of an invitation's network into the data folder, checked against the token; the token is not used by it.
    For a signer's machine, whose folder needs the network's file before its node joins."""
    token, data = _token(text), common.folder
    if not data.is_dir():
        raise WrongUsage(f"There is no data folder {data}. Run: learningchain init")
    _install_genesis(common, data, token)
    document = {"network": token.network, "chain_id": token.chain_id.hex(), "data": str(data)}
    common.out.show(document, lambda console: console.print(f"{data} is of the network {token.network}.", soft_wrap=True))
    return 0


def _install_genesis(common: Common, data: Path, token: JoinToken) -> None:
    import asyncio

    from learningchain.client.cli.network import FILE, read_genesis
    from learningchain.client.contracts.membership.http import joining
    from learningchain.client.sdk.files import appearing

    target = data / FILE
    if os.path.lexists(target):
        if read_genesis(target, own=True).chain_id != token.chain_id:
            raise WrongUsage(f"{data} belongs to another network already. Use another data folder for this one: --data FOLDER")
        common.out.note("Genesis, which is here already")
        return
    genesis, raw = asyncio.run(joining.fetch_genesis(token))
    with appearing(target, overwrite=False) as f:
        f.write(raw)
    common.out.note(f"Genesis of {genesis.name}, as the invitation says: {genesis.chain_id.hex()[:16]}")


async def _enter(common: Common, token: JoinToken, identity: Identity | Pairing) -> int:
    from learningchain.client.contracts.membership.http import joining
    from learningchain.client.keys.keystore import Identity

    own = identity.key.public if isinstance(identity, Identity) else identity.key
    signature = await _signature(token, identity)
    return await joining.enter(
        token,
        own,
        signature,
        within_s=ADMITTED_WITHIN_S,
        told=lambda: common.out.note("Join sent: it waits for its block"),
        doubt=common.out.note,
    )


async def _signature(token: JoinToken, identity: Identity | Pairing) -> bytes:
    """Of the join, by the identity's key, wherever that lies."""
    from learningchain.client.contracts.membership.statements import JOIN, join_body
    from learningchain.client.keys.keystore import Identity
    from learningchain.client.keys.signing import SignerUnavailable
    from learningchain.client.keys.statements import Speaker, statement_digest
    from learningchain.client.signer.remote import RemoteSigner

    if isinstance(identity, Identity):
        own = identity.key.public
        body = join_body(token.chain_id, token.key.public, own)
        return identity.key.sign(statement_digest(JOIN, body, Speaker(token.chain_id, identity.id, own)))
    signer = RemoteSigner(identity, token.chain_id)
    try:
        await signer.start(SIGNER_S)
        return await signer.statement(JOIN, join_body(token.chain_id, token.key.public, identity.key))
    except SignerUnavailable as problem:
        raise NotStarted(f"The join was not signed: {problem}. Start the signer and run the same command again") from None
    finally:
        await signer.stop()


def _tell_when_synced(common: Common, height: int) -> None:
    """A line once the node has the blocks up to its admission. Ends with the process, whatever happens."""

    def watch() -> None:
        from learningchain.client.sdk.types import ApiError

        while True:
            time.sleep(LOOK_S)
            try:
                status = common.ask(lambda node: node.status())
            except (ApiError, WrongUsage, OSError):
                continue
            if status["height"] >= height:
                common.out.note(f"Synced to block {status['height']}; running with {status['peers']} peers")
                return

    threading.Thread(target=watch, daemon=True, name="synced").start()
