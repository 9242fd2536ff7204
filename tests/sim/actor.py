"""What else runs on a simulated machine beside its node: the content store, a worker, a verifier.

An actor lives as long as its machine's hardware: `stop` tells it that the machine went down, and it must forget what was not on
its disk; `start` tells it that the machine came up again. It speaks through `machine.emit(peer, payload, channel)`, which goes
through the same faulty network as everything else, and waits with `machine.after(ms, action)`, which a crash makes void.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from learningchain.chain.node import events as e

if TYPE_CHECKING:
    from tests.sim.machine import Machine


class Actor:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def start(self) -> None:
        """The machine is up, its node has started; no peer is connected yet."""

    def stop(self) -> None:
        """The machine is down."""

    def on_peer(self, peer: int, up: bool) -> None:
        """A connection came or went. `peer` is the number of a machine."""

    def on_payload(self, channel: int, peer: int, payload: bytes) -> None:
        """Something that came on another channel than the node's."""

    def on_decided(self, decided: e.Decided) -> None:
        """The machine's node decided a height, or did so again after a crash."""

    def on_dropped(self, dropped: e.TxDropped) -> None:
        """A transaction that the node's pool held will not come into a block."""
