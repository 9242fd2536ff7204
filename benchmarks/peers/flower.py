"""Flower's gRPC server and five clients, each a process of an environment of its own, which pip makes with checked hashes.

A round begins when the benchmark says so and ends when the server has the mean of what came: the model goes out, the clients' `fit`
adds a number to each parameter, and comes back. No record of it is kept, nobody is screened, and the server sees every update.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.base import Processes, Unavailable

NODE = Path(__file__).with_name("flower_node.py")


class Flower:
    """`round` is one round of `owners` clients, in milliseconds."""

    def __init__(self, server: subprocess.Popen[bytes]) -> None:
        self._server = server

    def round(self) -> float:
        """Raises `Unavailable` where the server has ended."""
        told, said = self._server.stdin, self._server.stdout
        if told is None or said is None:
            raise Unavailable("Flower's server was started without pipes")
        told.write(b"go\n")
        told.flush()
        line = said.readline()
        if not line:
            raise Unavailable("Flower's server has ended in a round")
        return float(json.loads(line)["ms"])


@contextmanager
def running(python: str, owners: int, dims: int, rounds: int) -> Iterator[Flower]:
    """A server that plays so many rounds, and its clients. Raises `Unavailable`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Processes("flower") as processes:
        numbers = [str(one) for one in (port, owners, dims, rounds)]
        server = processes.start([python, str(NODE), "server", *numbers], talks=True)
        processes.wait_for_port(port)
        for _ in range(owners):
            processes.start([python, str(NODE), "client", *numbers])
        yield Flower(server)
