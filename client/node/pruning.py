"""Dropping old blocks, where the operator wants fewer than all (`storage.keep_blocks`): in small steps beside the node.

A step holds up a commit for some milliseconds, and after it the disk has a rest of `REST` times as long. Whatever the setting says,
these are kept:

- what a double signing can still be reported of (`evidence_age`), which is more than peers that were away for a while lack,
- what receipts and results are asked of: blocks not older than `job_keep` and `appeal`, or what else a contract's parameters say
  (`chain.params.Kept`), by the block times,
- all that follows on the snapshot that peers are taking from this node.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.host import read_params
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import params_of
from learningchain.chain.params import KEPT, MAX_INT
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import DiskFull, StorageError
from learningchain.chain.storage.pruning import Horizon, drop_step
from learningchain.client.config import parse_keep

log: Any = structlog.get_logger("pruning")

REST: Final = 9
"""A tenth of the time at most goes to dropping blocks, and to whatever waits for it."""
AGAIN_S: Final = 60.0
"""Until a disk that is full is tried again."""


def kept_at_least(state: State) -> tuple[int, int]:
    """(blocks, milliseconds) that the ledger's rules and people rely on, whatever the setting says."""
    longest = 0
    for contract in CONTRACTS:
        if contract.params is not None:
            params = read_params(state, contract.number, contract.params)
            names = (f.encode_name for f in msgspec.structs.fields(contract.params) if KEPT in getattr(f.type, "__metadata__", ()))
            longest = max([longest, *(getattr(params, name) for name in names)])
    return params_of(state).evidence_age, longest


class Pruner:
    """`state` gives the ledger's, `served` the height of the snapshot that peers take; `done` is told the first block kept."""

    def __init__(
        self,
        store: BlockStore,
        keep: str,
        state: Callable[[], State],
        served: Callable[[], int | None],
        done: Callable[[int], None],
    ) -> None:
        self._store, self._keep = store, parse_keep(keep)
        self._state, self._served, self._done = state, served, done
        self._decided = asyncio.Event()

    def decided(self) -> None:
        """There is a new block."""
        self._decided.set()

    def horizon(self) -> Horizon | None:
        """What is kept now; None: all."""
        if self._keep is None:
            return None
        least, served = kept_at_least(self._state()), self._served()
        blocks, ms = (max(pair) for pair in zip(self._keep, least, strict=True))
        return Horizon(blocks, ms, MAX_INT if served is None else served)

    async def run(self) -> None:
        """Until it is cancelled. What the disk refuses is tried again: the node itself stops where it cannot write."""
        while self._keep is not None:
            self._decided.clear()
            try:
                await self._drop()
            except DiskFull as fault:
                log.warning("old blocks cannot be dropped: the disk is full", why=str(fault))
                await asyncio.sleep(AGAIN_S)
                continue
            except StorageError as fault:
                log.error("old blocks are dropped no more", why=str(fault))
                return
            await self._decided.wait()

    async def _drop(self) -> None:
        first, more = self._store.base + 1, True
        while more and (horizon := self.horizon()) is not None:
            began = time.monotonic()
            more = await asyncio.to_thread(drop_step, self._store, horizon)
            self._done(self._store.base + 1)
            if more:
                await asyncio.sleep(REST * (time.monotonic() - began))
        if self._store.base + 1 > first:
            log.debug("old blocks were dropped", first=first, last=self._store.base)
