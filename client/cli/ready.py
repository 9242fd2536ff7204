"""`status --wait`: what a node is waited for, told at once and whenever it changes, and when to wait longer cannot help.

look -> ready? then done
     -> hopeless? then the end, with why and what to do
     -> otherwise what is missing: the node, blocks, the sandbox, peers
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from learningchain.chain.storage import private
from learningchain.client.cli.common import Common, NeverReady, WrongUsage, in_commands
from learningchain.client.sdk.types import ApiError, NotFoundError, UnauthorizedError, UnavailableError, UnreachableError

if TYPE_CHECKING:
    from learningchain.client.schema.bodies import StatusView
    from learningchain.client.sdk.client import Client

POLL_S = 0.25
AGAIN_S = 5.0
"""How often a number that changes, such as blocks that are missing, is told again."""
GRACE_S = 30.0
"""For how long nothing may run on the data folder, or nobody be known to connect to: nodes take some seconds to start."""
_ELSEWHERE = ("certificate refused, it belongs to another network", "another network:")
_OUTSIDER = "is not an active member"
"""How the texts of `learningchain peers` say what no time mends."""


class Awaited(NamedTuple):
    """What is waited for. `kind` stays the same while a number in `text` changes."""

    kind: str
    text: str
    error: ApiError


async def ready(common: Common, seconds: float) -> None:
    """Returns once the node is ready. Raises why it is not when the time is over; before that, when waiting cannot help."""
    import asyncio

    watch = _Watch(common)
    end, last, told_at = time.monotonic() + seconds, Awaited("", "", UnavailableError("")), 0.0
    while (missing := await watch.look()) is not None:
        now = time.monotonic()
        if missing.kind != last.kind or (missing.text != last.text and now >= told_at + AGAIN_S):
            common.out.note(f"Waiting for {missing.text}")
            last, told_at = missing, now
        if now >= end:
            raise missing.error
        await asyncio.sleep(min(POLL_S, end - now))


class _Watch:
    """Looks at a node again and again. `since` is when nothing was known to run, or nobody to be connected to, at first."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._since: dict[str, float] = {}
        self._ran = False

    async def look(self) -> Awaited | None:
        """What is missing; None where the node is ready. The token is read each time: a node writes it at its first start."""
        try:
            async with self._common.client() as node:
                return await self._of_node(node)
        except UnauthorizedError:
            raise WrongUsage(self._foreign()) from None
        except UnreachableError as e:
            return self._not_there(e)

    async def _of_node(self, node: Client) -> Awaited | None:
        status = await node.status()
        self._ran = True
        self._since.pop("start", None)
        missing = await self._not_ready(node) or self._alone(status)
        if missing is not None:
            missing = await self._counted(node, status, missing)
            if not status.get("peers"):
                await self._hopeless(node, status)
        return missing

    async def _not_ready(self, node: Client) -> Awaited | None:
        try:
            await node.ready()
        except UnavailableError as e:
            text = in_commands(e.message).removeprefix("Not ready: ")
            return Awaited(e.name or text, f"the sandbox: {text}" if e.name == "SANDBOX" else text, e)
        return None

    def _alone(self, status: StatusView) -> Awaited | None:
        """Who has no peers cannot know whether it is in step, unless there is no other validator."""
        if status.get("peers") or not [v for v in status.get("validators", []) if v != status.get("id")]:
            self._since.pop("peers", None)
            return None
        why = "Not ready: no peer is connected, so nobody says how far the graph is. Look at: learningchain peers"
        return Awaited("peers", "peers: none is connected", UnavailableError(why, name="PEERS"))

    async def _counted(self, node: Client, status: StatusView, missing: Awaited) -> Awaited:
        """Blocks are counted by what peers say of themselves."""
        if missing.kind != "SYNCING":
            return missing
        best, height = max((int(p.get("height") or 0) for p in await node.peers()), default=0), status.get("height", 0)
        text = f"{best - height:,} blocks: the node is at {height:,}, its peers at {best:,}" if best > height else missing.text
        return missing._replace(text=text)

    # --- when waiting cannot help ------------------------------------------------------------------------------------------------

    def _not_there(self, e: UnreachableError) -> Awaited:
        """Nobody answers at the API. Of a node on this machine the data folder tells whether it runs."""
        folder = self._common.folder
        if self._common.api is not None:
            return Awaited("start", f"an answer: {e.message}", e)
        if not (folder / "genesis.json").exists():
            raise WrongUsage(f"There is no network in {folder}, so no node can run on it. Run: learningchain genesis install FILE")
        if runs_here(folder):
            self._ran = True
            self._since.pop("start", None)
            return Awaited("answer", "the node's API: the node is starting or stopping", e)
        if self._ran:
            raise NeverReady(f"The node on {folder} ended while it was waited for. Its log says why; start it: learningchain node")
        if self._for("start") > GRACE_S:
            raise UnreachableError(
                f"No node runs on {folder}. Start it: learningchain node{self._common.again}, or name another with --data"
            )
        return Awaited("start", f"the node to start: none runs on {folder} (learningchain node{self._common.again})", e)

    def _for(self, what: str) -> float:
        """Seconds since something is as it is."""
        return time.monotonic() - self._since.setdefault(what, time.monotonic())

    def _foreign(self) -> str:
        file = self._common.token_file or self._common.folder / "api.token"
        return (
            f"The node that answers does not know the token in {file}: it runs on another data folder, or the file is another "
            "node's. Name its folder with --data, or the token with --token-file"
        )

    async def _hopeless(self, node: Client, status: StatusView) -> None:
        """Of a node without peers. Raises where the graph will not have it, or where it knows nobody."""
        own, network = status.get("id"), status.get("network")
        try:
            if (await node.account(own)).get("status") == "banned":
                raise NeverReady(f"{own} is banned from network {network}: no peer takes it. Its standing: learningchain balance")
        except NotFoundError:
            raise NeverReady(
                f"{own} is no member of network {network}: no peer takes it. Send its members your key (learningchain id), or "
                "install the file of the network that you belong to: learningchain genesis install FILE"
            ) from None
        await self._unwanted(node)

    async def _unwanted(self, node: Client) -> None:
        seen = await node.connections()
        refused = _last_refusals(seen)
        if refused and all(_OUTSIDER in reason and by_peer for by_peer, reason in refused):
            raise NeverReady(
                "Every peer refuses this node: it is no active member there, or was banned. Send the members your key "
                "(learningchain id), and compare with them: learningchain genesis show"
            )
        if refused and all(reason.startswith(_ELSEWHERE) for _, reason in refused):
            raise NeverReady(
                "Every peer belongs to another network: its genesis file differs from this node's. Compare with its owner: "
                "learningchain genesis show"
            )
        settings: Any = await node.config()
        setting, lan = settings.get("network.peers"), settings.get("network.mdns")
        configured = setting.get("value") if isinstance(setting, dict) else None
        if seen or configured or configured is None or (isinstance(lan, dict) and lan.get("value")):
            self._since.pop("peers", None)
        elif self._for("peers") > GRACE_S:
            raise WrongUsage(
                f"No peer is configured, none is known, and nobody connected for {GRACE_S:g} s. Name one and start the node again: "
                "learningchain config set network.peers HOST:PORT. On a local network, network.mdns finds some by itself"
            )


def _last_refusals(seen: list[Any]) -> list[tuple[bool, str]]:
    """(whether the peer refused, why) of the last dial to each address; `seen` is newest first. The node itself is no peer."""
    found: dict[str, tuple[bool, str]] = {}
    for event in seen:
        if event["event"] in ("refused by peer", "dial failed") and "the node itself" not in event["reason"]:
            found.setdefault(event["address"], (event["event"] == "refused by peer", event["reason"]))
    return list(found.values())


def runs_here(folder: Path) -> bool:
    """Whether a node runs on this data folder."""
    return _running(folder / "lock")


def _running(lock: Path) -> bool:
    """Whether the process that locked a data folder last is there. The lock is not tried: a node that starts would meet it."""
    pid = locked_by(lock)
    try:
        if pid is not None:
            os.kill(pid, 0)
    except PermissionError:
        return True  # it is somebody else's, and there
    except (OSError, OverflowError):
        return False
    return pid is not None


def locked_by(lock: Path) -> int | None:
    """The process whose id stands in a lock file, there or gone; None where the file holds none."""
    try:
        with private.reading(lock) as file:
            pid = int(file.read(32))
    except (OSError, ValueError):
        return None
    return pid if pid > 0 else None
