"""`signer`: a validator's key in a process or on a machine of its own, away from strangers' code. Nodes get `signer use`."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, PASSPHRASE_VARIABLE, Common, NotStarted, PassphraseFile, WrongUsage, passphrase
from learningchain.client.cli.options import Parameter

if TYPE_CHECKING:
    from learningchain.client.keys.keystore import Identity
    from learningchain.client.signer.pairing import ServerSecrets


def pair(
    out: Annotated[Path, Parameter(name="FILE", help="New file for the node: it is a secret.")],
    /,
    *,
    listen: Annotated[str, Parameter(help="Where the signer waits: unix:/absolute/path or tcp:HOST:PORT.")],
    connect: Annotated[str | None, Parameter(help="Where the node finds it, if that is another address.")] = None,
    guard: Annotated[Path | None, Parameter(help="The file guard of the node that held this key; stop that node first.")] = None,
    never_signed: Annotated[
        bool, Parameter(negative="", show_default=False, help="This key never signed a block, here or anywhere.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Prepare this data folder as a signer's, and write the file that lets one node use it. An earlier file is good no more."""
    from learningchain.chain.storage import private
    from learningchain.client.cli.network import FILE as GENESIS
    from learningchain.client.cli.network import read_genesis
    from learningchain.client.cli.ready import runs_here
    from learningchain.client.keys.keystore import Keystore
    from learningchain.client.sdk.files import appearing
    from learningchain.client.signer import pairing

    data = common.folder
    own = Keystore.public(data / "keystore.json")
    if runs_here(data):
        raise WrongUsage(
            f"A node or a signer runs on {data}. Stop it first; a node's key moves, with its guard, to a folder of the signer's own"
        )
    chain_id = read_genesis(data / GENESIS).chain_id
    try:
        server, node = pairing.make(listen, connect or listen, own.address, own.public_key, time.time())
    except pairing.PairingError as problem:
        raise WrongUsage(str(problem)) from None
    known = _prepare_guard(data, chain_id, guard, never_signed)
    with appearing(out, overwrite=False, secret=True) as file:
        file.write(pairing.encoded(node))
    private.replace(data / pairing.SERVER_FILE, pairing.encoded(server))
    document = {"file": str(out), "address": own.address, "listen": listen, "connect": connect or listen, "guard": known}
    common.out.show(document, lambda console: console.print(f"{out}: {own.address} at {connect or listen}", soft_wrap=True))
    common.out.note(
        f"Next, on the node's machine: learningchain signer use {out.name}; here: learningchain signer run{common.again}"
    )
    if known == "forgotten":
        common.out.note("This signer does not know what its key signed: it signs blocks once a node says from which height on.")
    return 0


def _prepare_guard(data: Path, chain_id: bytes, source: Path | None, never_signed: bool) -> str:
    """What the guard knows. One that is there stays: it knows more than any copy."""
    import shutil

    from learningchain.chain.storage import private
    from learningchain.chain.storage.guard import Guard

    path = data / "guard"
    if source is not None and never_signed:
        raise WrongUsage("A key that never signed has no guard: say --guard or --never-signed, not both")
    if path.exists():
        if source is not None and not (source.exists() and source.samefile(path)):
            raise WrongUsage(f"{path} is there already and knows what this signer signed. It is not replaced: leave --guard out")
        Guard.open(str(path), chain_id=chain_id).close()
        return "kept"
    if source is not None:
        new = data / "guard.copy"
        with source.open("rb") as known, private.writing(new) as copy:
            shutil.copyfileobj(known, copy)
            copy.flush()
            os.fsync(copy.fileno())
        Guard.open(str(new), chain_id=chain_id).close()
        os.replace(new, path)
        private.sync_folder(data)  # the other one may go now
        return "copied"
    Guard.create(str(path), chain_id=chain_id, after_height=0 if never_signed else 1).close()
    return "new" if never_signed else "forgotten"


def use(
    source: Annotated[Path, Parameter(name="FILE", help="What signer pair wrote.")],
    /,
    *,
    common: Common = HERE,
) -> int:
    """Let the node of this data folder sign by a signer. Its own keystore must be gone from here."""
    from learningchain.chain.storage import private
    from learningchain.chain.storage.datadir import take_folder
    from learningchain.client import config
    from learningchain.client.signer import pairing

    data = common.folder
    try:
        found = pairing.read_pairing(source)
    except pairing.PairingError as problem:
        raise WrongUsage(str(problem)) from None
    for name, what in (("keystore.json", "a key of its own"), ("guard", "a guard of its own")):
        if os.path.lexists(data / name):
            raise WrongUsage(
                f"{data / name} gives this node {what}: a validator that signs in two places signs twice and loses its seat. Stop "
                "the node and move the file to the signer's machine first"
            )
    take_folder(str(data))
    if not (data / config.FILE).exists():
        config.change(data, {})
    private.replace(data / pairing.FILE, pairing.encoded(found))
    common.out.show(
        {"address": found.account, "signer": found.place, "data": str(data)},
        lambda console: console.print(f"The node of {data} is {found.account} and signs at {found.place}.", soft_wrap=True),
    )
    return 0


def run(
    *,
    no_transactions: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Sign proposals and votes only: the node can then move no credits."),
    ] = False,
    for_good: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Sign also what cannot be taken back: another key, guardians, leaving."),
    ] = False,
    height: Annotated[int, Parameter(help="The graph's height, where signer and node were away for weeks; 0: what it knows.")] = 0,
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Hold the key and sign for one node until interrupted."""
    from learningchain.client.keys.keystore import Keystore, KeystoreError
    from learningchain.client.node import logs, process
    from learningchain.client.signer import pairing

    if why := process.why_no_node():
        raise NotStarted(f"The signer does not start: {why}")
    data = common.folder
    try:
        Keystore.public(data / "keystore.json")
        server = pairing.read_server(data / pairing.SERVER_FILE)
    except KeystoreError as problem:
        raise NotStarted(f"The signer does not start: {problem}") from None
    except FileNotFoundError:
        raise NotStarted(
            f"The signer does not start: {data} is tied to no node. Run: learningchain signer pair FILE --listen unix:/path"
        ) from None
    except pairing.PairingError as problem:
        raise NotStarted(f"The signer does not start: {problem}") from None
    word = passphrase(passphrase_file, confirm=False)
    process.guard(PASSPHRASE_VARIABLE)
    logs.configure("info", "console")
    try:
        identity = Keystore.open(data / "keystore.json", word)
    except KeystoreError as problem:
        raise NotStarted(f"The signer does not start: {problem}") from None
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(data, identity, server, height, transactions=not no_transactions, for_good=for_good))


async def _serve(data: Path, identity: Identity, secrets: ServerSecrets, height: int, *, transactions: bool, for_good: bool) -> int:
    import time

    import structlog

    from learningchain.chain.storage.datadir import DataDir
    from learningchain.chain.storage.errors import StorageError
    from learningchain.chain.storage.guard import Guard
    from learningchain.client.cli.network import FILE as GENESIS
    from learningchain.client.cli.network import read_genesis
    from learningchain.client.signer.pairing import parse_place, server_context
    from learningchain.client.signer.reach import HeightReach
    from learningchain.client.signer.server import SignerServer

    try:
        folder = DataDir.open(str(data), create=False)
    except StorageError as fault:
        raise NotStarted(f"The signer does not start: {fault}") from None
    try:
        genesis = read_genesis(data / GENESIS)
        guard = Guard.open(folder.guard, chain_id=genesis.chain_id)
    except StorageError as fault:
        folder.close()
        raise NotStarted(f"The signer does not start: {fault}. Or make the folder anew: learningchain signer pair") from None
    log: Any = structlog.get_logger("signer")
    reach = HeightReach(max(height, guard.signed[0]), time.time() - genesis.time / 1_000)
    server = SignerServer(identity, guard, transactions=transactions, for_good=for_good, reach=reach)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await server.start(parse_place(secrets.listen), server_context(secrets))
        log.info("signer started", address=identity.address, listen=secrets.listen)
        waits = asyncio.create_task(stop.wait())
        ends: set[asyncio.Future[None]] = {server.failed, waits}  # type: ignore[arg-type]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
        return 1 if server.failed.done() else 0
    except OSError as fault:
        raise NotStarted(f"The signer cannot listen at {secrets.listen}: {fault.strerror or fault}") from None
    finally:
        await server.stop()
        guard.close()
        folder.close()
