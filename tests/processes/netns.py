"""Network namespaces for real nodes: each node has its own stack, all hang on a switch that a test can cut in two.

    with Lan(["v0", "v1", "v2", "v3"]) as lan:
        async with Graph(folder, lan.roles(validators(4))) as graph:
            lan.inhabit(graph)
            …
            lan.cut({"v0", "v1"})     # frames between the two halves vanish; nobody is told
            lan.heal()

The switch is two bridges in a namespace of its own, so that the host's firewall has no say; a cut moves cables to the other bridge.
A second cable from each node to the host carries its HTTP API alone: nothing is forwarded there. `Lan` needs root; where the
machine refuses, it raises `Refused` with the reason. Whatever was made goes when it is left; what a killed run left goes with the
next one.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from tests.processes.harness import Graph, Role

PREFIX = "lct"
_REFUSALS = ("not permitted", "Permission denied", "not supported", "Unknown device type", "mount --make-shared")
PEERS_PORT, API_PORT = 7400, 7500


class Refused(Exception):
    """This machine makes no network namespaces. The text says why."""


def ip(*words: str) -> str:
    """Run `ip`. Raises `Refused` where this machine does not let anybody do that, RuntimeError for everything else."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        said = f"`ip {' '.join(words)}`: {done.stderr.strip() or f'exit code {done.returncode}'}"
        raise Refused(said) if any(word in said for word in _REFUSALS) else RuntimeError(said)
    return done.stdout


def _try(*words: str) -> None:
    with contextlib.suppress(Refused, RuntimeError):
        ip(*words)


def sweep() -> None:
    """Remove namespaces of test processes that are gone. Their cables go with them."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0] if line.split() else ""
        owner = name.removeprefix(PREFIX).split("-")[0]
        if name.startswith(PREFIX) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            _try("netns", "del", name)


class Lan:
    """One address for each name, all in one network; see the module."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._tag = f"{PREFIX}{os.getpid()}"
        self.switch = f"{self._tag}-sw"
        # A range that is set aside for tests of networks (RFC 2544), another part of it for each run.
        self._net = random.Random(os.getpid() ^ id(self)).randrange(256)
        self._made: list[str] = []
        self._cables: list[str] = []

    # addresses

    def namespace(self, name: str) -> str:
        return f"{self._tag}-{self.names.index(name)}"

    def address(self, name: str) -> str:
        return f"198.18.{self._net}.{10 + self.names.index(name)}"

    def _control(self, name: str) -> tuple[str, str]:
        """The host's and the node's end of the cable for the API."""
        base = 4 * self.names.index(name)
        return f"198.19.{self._net}.{base + 1}", f"198.19.{self._net}.{base + 2}"

    # life

    def __enter__(self) -> Self:
        if shutil.which("ip") is None:
            raise Refused("there is no `ip` here: install the package iproute2")
        try:
            sweep()
            self._namespace(self.switch)
            for bridge in ("left", "right"):
                self._in_switch("link", "add", bridge, "type", "bridge")
                self._in_switch("link", "set", bridge, "up")
            for name in self.names:
                self._plug_in(name)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._remove()

    def _namespace(self, namespace: str) -> None:
        ip("netns", "add", namespace)
        self._made.append(namespace)
        ip("-n", namespace, "link", "set", "lo", "up")

    def _in_switch(self, *words: str) -> None:
        ip("-n", self.switch, *words)

    def _plug_in(self, name: str) -> None:
        place, number = self.namespace(name), self.names.index(name)
        self._namespace(place)
        ip("link", "add", f"p{number}", "netns", self.switch, "type", "veth", "peer", "name", "graph", "netns", place)
        self._in_switch("link", "set", f"p{number}", "master", "left", "up")
        ip("-n", place, "addr", "add", f"{self.address(name)}/24", "dev", "graph")
        ip("-n", place, "link", "set", "graph", "up")
        self._connect_control(name)

    def _connect_control(self, name: str) -> None:
        place, number = self.namespace(name), self.names.index(name)
        host, inside = self._control(name)
        cable = f"{PREFIX}{self._net:x}{os.getpid() % 10**6}c{number}"
        self._cables.append(cable)
        ip("link", "add", cable, "type", "veth", "peer", "name", "control", "netns", place)
        ip("addr", "add", f"{host}/30", "dev", cable)
        ip("link", "set", cable, "up")
        ip("-n", place, "addr", "add", f"{inside}/30", "dev", "control")
        ip("-n", place, "link", "set", "control", "up")

    def replace_cable(self, name: str, device: str, *, at_node: bool) -> None:
        """Hang a device, which is in the right namespace already, on one end in place of the cable."""
        if not at_node:
            port = f"p{self.names.index(name)}"
            self._in_switch("link", "del", port)
            self._in_switch("link", "set", device, "name", port)
            self._in_switch("link", "set", port, "master", "left", "up")
            return
        place = self.namespace(name)
        ip("-n", place, "link", "set", device, "name", "graph")
        ip("-n", place, "addr", "add", f"{self.address(name)}/24", "dev", "graph")
        ip("-n", place, "link", "set", "graph", "up")

    def _remove(self) -> None:
        for cable in self._cables:  # the kernel takes its time with those of a namespace that goes
            _try("link", "del", cable)
        for namespace in reversed(self._made):
            _try("netns", "del", namespace)
        self._cables.clear()
        self._made.clear()

    # faults

    def cut(self, half: Collection[str]) -> None:
        """No frame passes any more between these and the others."""
        for number, name in enumerate(self.names):
            self._in_switch("link", "set", f"p{number}", "master", "right" if name in half else "left")

    def heal(self) -> None:
        self.cut(())

    # the graph in it

    def roles(self, roles: Sequence[Role]) -> list[Role]:
        """The same roles, with these addresses in their settings."""
        return [replace(role, settings={**role.settings, **self._settings(role.name)}) for role in roles]

    def _settings(self, name: str) -> dict[str, object]:
        listen = f"{self.address(name)}:{PEERS_PORT}"
        peers = [f"{self.address(other)}:{PEERS_PORT}" for other in self.names if other != name]
        return {"network.listen": listen, "network.peers": peers, "api.listen": f"{self._control(name)[1]}:{API_PORT}"}

    def inhabit(self, graph: Graph) -> None:
        """From their next start on the nodes run in their namespaces. A namespace may have another use than a node."""
        for name in self.names:
            if name not in graph.nodes:
                continue
            node = graph[name]
            node.program = ["ip", "netns", "exec", self.namespace(name), *node.program]
