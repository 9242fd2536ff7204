"""Joins the sandbox and the work machines to a node.

A node whose engine is missing or fails the self-test keeps its ledger running and says what is wrong; it runs no stranger's job.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from msgspec import structs

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.crypto import address
from learningchain.client.config import Config, WorkConfig, own_sections
from learningchain.client.node.block_figures import AnyFigure
from learningchain.client.node.driver import now_ms
from learningchain.client.node.interface import Files, KeptRoom, Ledger
from learningchain.client.work.events import Secret
from learningchain.client.work.peers import Penalize, Send
from learningchain.client.work.runner import WorkDriver
from learningchain.client.work.trials import Trials
from learningchain.sandbox import BackendSettings, OwnData, make_backend

log: Any = structlog.get_logger("work")


class WorkService:
    """The working part of a node; `client.node.interface.Runs` for the API."""

    def __init__(
        self,
        data: Path,
        config: Config,
        ledger: Ledger,
        files: Files,
        *,
        train: bool,
        sign: Callable[[bytes], bytes] | None = None,
        derive: Callable[[bytes, bytes], Sequence[bytes]] | None = None,
        send: Send = lambda _, __, ___: False,
        penalize: Penalize = lambda _, __: None,
    ) -> None:
        self._sign, self._derive, self._send, self._penalize = sign, derive, send, penalize
        self._data, self._ledger, self._files, self._sandbox = data, ledger, files, config.sandbox
        self._train = train
        self._settings = self._of(config)
        self._work: WorkDriver | None = None

    def _of(self, config: Config) -> WorkConfig:
        return structs.replace(config.work, enabled=self._train, serve=config.serve, **own_sections(config))

    def reconfigure(self, config: Config) -> None:
        """Take up the owner's policy about work as it is now."""
        self._settings = self._of(config)
        if self._work is not None:
            self._work.reconfigure(self._settings)

    def drawn(self) -> bool:
        """Whether this account may be called to a duty now: the flag may come, and go, while the node runs."""
        called = (contract.drawn for contract in CONTRACTS if contract.drawn is not None)
        return any(is_drawn(self._ledger.state, self._ledger.own_id) for is_drawn in called)

    @property
    def report(self) -> dict[str, Any] | None:
        """What the sandbox's self-test said; None before it is over."""
        return self._work.report if self._work else None

    async def start(self) -> None:
        """Returns at once: the engine is looked for, and its limits are proved, while the node runs. Raises `UnknownBackend`."""
        s = self._sandbox
        settings = BackendSettings(
            data=self._data / "sandbox",
            node_tag=address(self._ledger.own_id)[:20],
            engine=s.engine,
            runtime=s.runtime,
            cache_dir=Path(s.cache_dir) if s.cache_dir else None,
            disk_from=s.disk_from_mb << 20,
            data_cap=s.data_mb << 20,
        )
        self._work = WorkDriver(
            self._ledger,
            self._files,
            make_backend(s.backend, settings),
            self._data / "work",
            self._settings,
            now=now_ms,
            rng=secrets.token_bytes,
            self_test=True,
            drawn=self.drawn,
            sign=self._sign,
            derive=self._derive,
            send=self._send,
            penalize=self._penalize,
        )
        await self._work.start()
        log.info("looking for work", train=self._settings.enabled, verify=self._settings.verify and self.drawn())

    @property
    def runs(self) -> bool:
        """Whether this node runs anything: else it needs no engine."""
        return self._work is not None and self._work.runs

    def failing(self) -> list[dict[str, Any]]:
        """Parts of the work that fail at present."""
        return self._work.failing() if self._work else []

    def notices(self) -> list[dict[str, Any]]:
        """What the operator should know at present."""
        return self._work.notices() if self._work else []

    def served(self) -> list[dict[str, Any]]:
        """The models that this node serves, and how many of their containers are there."""
        return self._work.served() if self._work else []

    def figures(self) -> list[AnyFigure]:
        """What it has under way, for the metrics."""
        return self._work.figures() if self._work else []

    @property
    def trials(self) -> Trials | None:
        """None where this node runs nothing, or has not started."""
        return self._work.trials if self._work is not None and self._work.runs else None

    def on_message(self, peer: bytes, channel: int, payload: bytes) -> None:
        """A message of a peer on a channel of a contract's machines."""
        if self._work is not None:
            self._work.on_message(peer, channel, payload)

    async def own_data(self) -> list[OwnData]:
        """The owner's own data on this node's engine. Raises OSError."""
        return [] if self._work is None else await self._work.own_data()

    async def remove_data(self, name: str) -> None:
        """Raises as `sandbox.Backend.remove_data`."""
        if self._work is None:
            raise OSError("this node runs nothing, so it looks after no data: learningchain data remove does")
        await self._work.remove_data(name)

    def book(self, name: str) -> bytes | None:
        """What a machine of this node's work keeps (`KeepBook`), as it is now; None where it keeps nothing."""
        return None if self._work is None else self._work.book(name)

    async def keep(self, secret: Secret) -> None:
        """Keep what a user hands to this node's work."""
        if self._work is not None:
            await self._work.keep(secret)

    async def kept(self, kind: str, beginning: bytes = b"") -> list[Secret]:
        """What this node keeps of a kind, under keys that begin so."""
        return await self._work.kept(kind, beginning) if self._work is not None else []

    async def room(self, kind: str, beginning: bytes, most: int) -> KeptRoom:
        """For one more of a kind whose key begins so, where `most` are kept in all."""
        return await self._work.room(kind, beginning, most) if self._work is not None else KeptRoom(0, 0, most)

    async def stop(self, *, leave: bool = False) -> None:
        """`leave`: trainings go on, for the node to come back to within minutes."""
        if self._work is not None:
            await self._work.stop(leave=leave)

    # client.node.interface.Runs

    def list_runs(self) -> list[dict[str, Any]]:
        return self._work.list_runs() if self._work else []

    def explain(self, ref: bytes) -> str | None:
        return self._work.explain(ref) if self._work else None

    def ended_runs(self) -> dict[tuple[str, str], int]:
        return self._work.ended_runs() if self._work else {}

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        return self._work.get_run(run_id) if self._work else None

    def cancel_run(self, run_id: str) -> bool:
        return self._work.cancel_run(run_id) if self._work else False
