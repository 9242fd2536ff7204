"""Parts that a node has where its settings or its contracts ask for them: other machines, callbacks, notifications, the watch of a
database server, the local network, connections for large files, the door for those who want to join."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from learningchain.chain.ledger.genesis import Genesis, to_json
from learningchain.client import contracts
from learningchain.client.api.route import API
from learningchain.client.config import Config
from learningchain.client.daemon.faults import StartError
from learningchain.client.daemon.opening import version
from learningchain.client.daemon.service import RunningNode
from learningchain.client.keys.tokens import FILE as TOKENS
from learningchain.client.keys.tokens import TokenFile
from learningchain.client.node import process
from learningchain.client.node.block_figures import OwnFigures
from learningchain.client.node.driver import now_ms
from learningchain.client.node.ledger import NodeLedger
from learningchain.p2p.address_book import parse_endpoint
from learningchain.p2p.lan import LanDiscovery
from learningchain.p2p.mdns import Announcement
from learningchain.p2p.mover.mover import Mover
from learningchain.p2p.outsiders import Door
from learningchain.p2p.tls import CA
from learningchain.p2p.transport import Network

if TYPE_CHECKING:
    from learningchain.sandbox import AsyncBackend

log: Any = structlog.get_logger("daemon")

VALIDATORS_RATE = 100
"""Megabytes a second by data connections, where the owner set nothing."""


def make_engine(view: RunningNode, config: Config, data: Path, own_id: bytes) -> AsyncBackend:
    """Make the engine here, with the owner's other machines where it has some. Raises `UnknownBackend`, `MachineError`."""
    from learningchain.client import work

    own = work.make_engine(config, data, own_id)
    if config.cluster.kind == "none":
        return own
    from learningchain.client.machines.backend import MachinesBackend, make_leases

    engine = MachinesBackend(own, data, config.cluster.listen, now_ms, version(), config.cluster.trusted)
    if config.cluster.kind == "slurm":
        engine.leases = make_leases(config, data, engine.hub)
    view.machines = engine.hub
    engine.hub.start()
    return engine


def open_notify(view: RunningNode, config: Config, data: Path, stack: contextlib.AsyncExitStack) -> None:
    """Where nothing is set, nothing follows."""
    from learningchain.client.notify.service import NotifyService

    if not (config.notify.url or config.notify.command):
        return
    try:
        view.notify = NotifyService.of(config, data, view.ledger, view.work.notices, version())
    except (OSError, ValueError) as fault:
        log.error("nobody is told: notify.secret cannot be used", why=str(fault))
        view.faults["notify"] = f"notify.secret of the data folder cannot be used: {fault}. Remove it, and start the node again"
        return
    view.notify.start()
    stack.push_async_callback(view.notify.stop)


async def open_callbacks(view: RunningNode, config: Config, data: Path, stack: contextlib.AsyncExitStack) -> None:
    """A node whose database of them cannot be used does everything else, and says so."""
    from learningchain.client.addresses import AllowedAddresses
    from learningchain.client.callbacks.database import CallbackDatabaseError
    from learningchain.client.callbacks.following import find_sources
    from learningchain.client.callbacks.posting import Caller
    from learningchain.client.callbacks.service import CallbackService

    caller = Caller(AllowedAddresses.of(config.callback.allow), version())
    tokens = TokenFile(data / TOKENS)
    stack.callback(tokens.close)
    path = data / "callbacks.db"
    kept = view.work.stores.secrets.of
    service = CallbackService(path, view.ledger, view, find_sources(), caller, why_not=tokens.why_not, kept=kept)
    stack.push_async_callback(service.stop)
    try:
        await service.start()
    except CallbackDatabaseError as fault:
        log.error("callbacks are off", why=str(fault))
        view.callback_fault = str(fault)
    else:
        view.callbacks = service


def watch_database(url: str, tell: Callable[[str], None], stack: contextlib.AsyncExitStack) -> None:
    """`tell` hears on the loop's thread why the server cannot be used, and an empty text once it can."""
    loop = asyncio.get_running_loop()
    if "://" not in url:
        return
    from learningchain.chain.storage.server_look import probe
    from learningchain.client.node.database_watch import DatabaseWatch

    def tell_later(why: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, why)

    watch = DatabaseWatch(probe(url), tell_later)
    stack.callback(watch.stop)
    watch.start()


def make_lan(chain_id: bytes, own_id: bytes, network: Network, listen: str) -> LanDiscovery:
    """Make what finds peers on the local network. Raises `StartError` for an address at which nobody there reaches this node."""
    host = parse_endpoint(listen)[0]
    own = Announcement(chain_id, own_id, network.port())
    where = ipaddress.IPv4Address("127.0.0.1" if host == "localhost" or ":" in host else host)
    if where.is_loopback:
        raise StartError(
            f"network.mdns is on, and network.listen = {listen} is no address at which others on the local network reach this "
            "node. Set network.listen to this machine's IPv4 address there, or to 0.0.0.0, or network.mdns to false"
        )
    return LanDiscovery(own, where, network.is_news, network.add_candidate)


def moving_rate(config: Config, *, votes: bool) -> int:
    """What the owner says; without a word of theirs a validator's votes go first, which wait for the same disk."""
    return config.network.bulk_mb_s or (VALIDATORS_RATE if votes else 0)


def make_mover(
    network: Network, genesis: Genesis, config: Config, tell: Callable[[str], None], stack: contextlib.AsyncExitStack
) -> Mover:
    """Make what moves large files over connections of their own, before it is known who votes."""
    mover = Mover(
        listen=(parse_endpoint(config.network.listen)[0], config.network.bulk_port),
        chain_id=genesis.chain_id,
        ca=CA(genesis.ca_cert, genesis.ca_key),
        leaf=lambda: network.leaf,
        find=network.whereabouts,
        mb_s=moving_rate(config, votes=False),
        prepare=process.guard,
        tell=tell,
    )
    stack.callback(mover.close)
    return mover


def make_figures(own_id: bytes) -> list[OwnFigures]:
    """Make what contracts count of this node."""
    return [part.figures(own_id) for part in contracts.parts(API).values() if part.figures is not None]


def make_door(ledger: NodeLedger, genesis: Genesis) -> Door | None:
    """Which contract answers those that ask to join, where one does."""
    text = functools.cache(lambda: to_json(genesis))
    doors = [part.door for part in contracts.parts(API).values() if part.door is not None]
    return doors[0](ledger, text, lambda: int(time.monotonic() * 1_000)) if doors else None
