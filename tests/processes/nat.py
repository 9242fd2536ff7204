"""Two private networks, each behind a router that translates addresses, on one public network between them.

    a0, a1, …  192.168.1.x -- router 44.0.0.1 == public == router 44.0.0.2 -- b0, b1, …  192.168.1.x

Both use the same private addresses, as most homes do. Routers let connections out and none in, but for port 7400 at 44.0.0.2, which
leads to b0. Names that begin with a live left, those with b right. As `netns.Lan` otherwise, whose switch has all the bridges.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Self

from tests.processes.netns import PEERS_PORT, Lan, Refused, ip

ROUTERS = {"a": "44.0.0.1", "b": "44.0.0.2"}
"""Their public addresses: of a range that is routed, so that they count as such; nothing leaves the namespaces."""
BRIDGES = {"a": "left", "b": "right"}


class TwoNats(Lan):
    def __enter__(self) -> Self:
        if shutil.which("iptables") is None:
            raise Refused("there is no `iptables` here: install the package iptables")
        super().__enter__()
        try:
            self._in_switch("link", "add", "public", "type", "bridge")
            self._in_switch("link", "set", "public", "up")
            for side in ROUTERS:
                self._make_router(side)
        except BaseException:
            self._remove()
            raise
        return self

    def address(self, name: str) -> str:
        """In its own network."""
        return f"192.168.1.{10 + int(name[1:])}"

    def _plug_in(self, name: str) -> None:
        super()._plug_in(name)
        self._in_switch("link", "set", f"p{self.names.index(name)}", "master", BRIDGES[name[0]])
        ip("-n", self.namespace(name), "route", "add", "default", "via", "192.168.1.1")

    def _make_router(self, side: str) -> None:
        place = f"{self._tag}-r{side}"
        self._namespace(place)
        for device, bridge, address in (("lan", BRIDGES[side], "192.168.1.1"), ("wan", "public", ROUTERS[side])):
            port = f"{side}{device}"
            ip("link", "add", port, "netns", self.switch, "type", "veth", "peer", "name", device, "netns", place)
            self._in_switch("link", "set", port, "master", bridge, "up")
            ip("-n", place, "addr", "add", f"{address}/24", "dev", device)
            ip("-n", place, "link", "set", device, "up")
        _inside(place, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        table = ["iptables", "-t", "nat"]
        _inside(place, *table, "-A", "POSTROUTING", "-o", "wan", "-j", "MASQUERADE")
        forward = ["iptables", "-A", "FORWARD", "-i", "wan", "-m", "conntrack"]
        _inside(place, *forward, "--ctstate", "ESTABLISHED,RELATED,DNAT", "-j", "ACCEPT")
        _inside(place, "iptables", "-A", "FORWARD", "-i", "wan", "-j", "DROP")
        if side == "b":
            to = f"{self.address('b0')}:{PEERS_PORT}"
            _inside(
                place, *table, "-A", "PREROUTING", "-i", "wan", "-p", "tcp", "--dport", str(PEERS_PORT), "-j", "DNAT", "--to", to
            )


def _inside(namespace: str, *command: str) -> None:
    """Raises `Refused`: a kernel without the tables of a firewall cannot do it."""
    done = subprocess.run(["ip", "netns", "exec", namespace, *command], capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"`{' '.join(command)}`: {done.stderr.strip() or f'exit code {done.returncode}'}")
