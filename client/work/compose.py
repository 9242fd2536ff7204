"""Composes a node's work: the machines of every contract, and the driver that runs them.

The daemon and the tests call the same `compose`. What differs between them is handed in: clock, randomness, engine, threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from msgspec import structs

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.crypto import address
from learningchain.client.config import Config, WorkConfig, own_sections, parse_gpus
from learningchain.client.node.interface import Files, Ledger
from learningchain.client.work.computing import Computing
from learningchain.client.work.engine import ThreadedSandbox
from learningchain.client.work.fetching import Seek
from learningchain.client.work.machine import Slice, find_slices
from learningchain.client.work.peers import Penalize, Send
from learningchain.client.work.runner import WorkDriver
from learningchain.sandbox import AsyncBackend, BackendSettings, make_backend


def work_settings(config: Config, *, train: bool) -> WorkConfig:
    """Return what the work goes by: the sections [work], [serve] and those of contracts. `train`: the command's word in the place
    of `work.enabled`."""
    return structs.replace(config.work, enabled=train, serve=config.serve, **own_sections(config))


def is_drawn(ledger: Ledger) -> bool:
    """Say whether this account may be called to a duty now: the flag may come, and go, while the node runs."""
    called = (contract.drawn for contract in CONTRACTS if contract.drawn is not None)
    return any(is_called(ledger.state, ledger.own_id) for is_called in called)


def make_engine(config: Config, data: Path, own_id: bytes) -> AsyncBackend:
    """Make the backend that [sandbox] names, with threads of its own; its limits are proved before its first run. `data` is the
    node's folder. Raises `UnknownBackend`."""
    s = config.sandbox
    settings = BackendSettings(
        data=data / "sandbox",
        node_tag=address(own_id)[:20],
        engine=s.engine,
        runtime=s.runtime,
        cache_dir=Path(s.cache_dir) if s.cache_dir else None,
        disk_from=s.disk_from_mb << 20,
        data_cap=s.data_mb << 20,
        images_cap=s.images_mb << 20,
        sets_cap=config.work.data_mb << 20,
        devices=tuple(gpu.device for gpu in parse_gpus(config.work.gpus)),
    )
    backend = make_backend(s.backend, settings)
    return ThreadedSandbox(backend, config.work.concurrent + 1, self_test=True, answers=config.serve.slots)


def compose(
    settings: WorkConfig,
    ledger: Ledger,
    files: Files,
    data: Path,
    engine: AsyncBackend,
    *,
    now: Callable[[], int],
    rng: Callable[[int], bytes],
    slices: Sequence[Slice] | None = None,
    executor: Executor | None = None,
    computing: Computing | None = None,
    sign: Callable[[bytes], bytes] | None = None,
    derive: Callable[[bytes, bytes], Sequence[bytes]] | None = None,
    send: Send = lambda _, __, ___: False,
    penalize: Penalize = lambda _, __: None,
    seek: Seek = lambda _: None,
) -> WorkDriver:
    """Compose the work of a node whose folder is `data`. The arguments mean what they do for `WorkDriver`; `slices` are those of
    every contract where none are handed in."""
    return WorkDriver(
        ledger,
        files,
        engine,
        data / "work",
        settings,
        slices=find_slices() if slices is None else slices,
        drawn=partial(is_drawn, ledger),
        now=now,
        rng=rng,
        executor=executor,
        computing=computing,
        sign=sign,
        derive=derive,
        send=send,
        penalize=penalize,
        seek=seek,
    )
