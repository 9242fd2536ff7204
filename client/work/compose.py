"""What a node's work goes by: its settings, its engine, and whether its account is called to duties."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.crypto import address
from learningchain.client.config import Config, WorkConfig, gpus_without_cluster, own_gpus, own_sections
from learningchain.client.node.interface import Ledger
from learningchain.client.work.engine import ThreadedSandbox
from learningchain.sandbox import AsyncBackend, BackendSettings, Check, make_backend


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
        devices=own_gpus(config.work.gpus),
    )
    backend = make_backend(s.backend, settings)
    lacking = [
        Check(name, ok=False, detail=why) for name, why in gpus_without_cluster(config.work.gpus, config.cluster.kind).items()
    ]
    return ThreadedSandbox(backend, config.work.concurrent + 1, self_test=True, answers=config.serve.slots, lacking=lacking)
