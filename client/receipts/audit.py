"""Checks what a node took over from its peers by certificates and roots: executes it again, with every signature checked.

It goes on where the last audit ended. The state there is put together from the changes that are kept with each block, and must have
the root that the block there names; where they are not kept, the audit starts at the first block. It may run beside the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from learningchain.chain.errors import BrokenInvariant, Malformed, SupplyBroken
from learningchain.chain.ledger.genesis import Genesis, first_state
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.state_diff import changes_of
from learningchain.chain.ledger.transition import Executed, commit
from learningchain.chain.node import decided
from learningchain.chain.node.batches import DecodedBlock, checks_of, mark, open_block
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.messages import SyncBlock, decode_certificate
from learningchain.chain.storage import state_diffs
from learningchain.chain.storage.blockstore import BlockStore, StoredBlock
from learningchain.chain.types import block_id
from learningchain.client.node.helpers import Helpers

BATCH_BYTES = 1_000_000
READ = 64


@dataclass(frozen=True)
class Findings:
    """Blocks `first` to `last` were executed and hold. `fault` says what is wrong with the one after `last`, if anything."""

    first: int
    last: int
    transactions: int
    fault: str


Watch = Callable[[int, Executed, State], bool]
"""Told of each block that holds, its height and the state after it; True ends the audit there."""


class Audit:
    def __init__(self, store: BlockStore, genesis: Genesis, *, again: bool, watch: Watch | None = None) -> None:
        """`again`: from the first block, whatever was audited before. With `watch` nothing is noted as audited. Raises
        `StorageError`."""
        self._store, self._watch, self._ended = store, watch, False
        head = store.head()
        self.last = head.height if head else 0
        """The last height that there is to check."""
        self._transactions = 0
        if store.base:
            # The state that its history rests on is gone, so nothing can be executed again; it executed all that came since.
            self.first, self.done = self.last + 1, self.last
            return
        begin = 0 if again else state_diffs.audited(store)
        self._state, self._parent, self.done = self._state_at(genesis, min(begin, self.last))
        self.first = self.done + 1
        self._chain_id, self._pool = genesis.chain_id, Mempool(genesis.chain_id, genesis.params)

    def _state_at(self, genesis: Genesis, height: int) -> tuple[State, bytes, int]:
        """The state after `height`, the id of its block, and the height: 0 where that state cannot be had from what is kept."""
        state, encoded = first_state(genesis)
        block = self._store.block(height)
        header = self._store.header(height)
        if height > 0 and block is not None and header is not None:
            items = {key: raw for key, raw in encoded if raw is not None}
            count = 0
            for _, changes in state_diffs.all_changes(self._store, height):
                count += 1
                items |= {record.key: record.value for record in changes.put}
                for key in changes.gone:
                    items.pop(key, None)
            if count == height and (made := State.load(items.items())).root == header.state_root:
                return made, block.block_id, height
        return state, genesis.chain_id, 0

    async def run(self, on_progress: Callable[[int], None]) -> Findings:
        """Every block up to the head that the store had, or to where `watch` ends it. `on_progress` is told each height up to which
        all holds."""
        if self.done >= self.last:
            return Findings(self.first, self.done, 0, "")
        helpers = Helpers()
        try:
            ahead: tuple[list[DecodedBlock], asyncio.Task[None]] | None = None
            for stored in self._batches():
                if self._ended:
                    break
                opened = [open_block(SyncBlock(b.block, decode_certificate(b.certificate)), None) for b in stored]
                following = opened, asyncio.create_task(self._check_signatures(helpers, opened))
                await asyncio.sleep(0)  # the signatures of these are checked while those before them are executed
                if ahead is not None:
                    await self._execute(*ahead, on_progress)
                ahead = following
            if ahead is not None and not self._ended:
                await self._execute(*ahead, on_progress)
            elif ahead is not None:
                await ahead[1]
        except (Malformed, BrokenInvariant, SupplyBroken) as fault:
            return Findings(self.first, self.done, self._transactions, f"block {self.done + 1}: {fault}")
        finally:
            helpers.close()
        return Findings(self.first, self.done, self._transactions, "")

    def _batches(self) -> Iterator[list[StoredBlock]]:
        batch: list[StoredBlock] = []
        size, height = 0, self.done
        while height < self.last:
            found = [b for b in self._store.blocks(height + 1, READ) if b.height <= self.last]
            if not found or found[0].height != height + 1:
                raise Malformed(f"block {height + 1} is not in the database")
            for block in found:
                batch.append(block)
                size += len(block.block)
                if size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
            height = found[-1].height
        if batch:
            yield batch

    async def _check_signatures(self, helpers: Helpers, opened: list[DecodedBlock]) -> None:
        checks, txs = checks_of(opened, self._state)
        mark(txs, checks, await helpers.are_signed(self._chain_id, checks))

    async def _execute(
        self, opened: list[DecodedBlock], signatures: asyncio.Task[None], on_progress: Callable[[int], None]
    ) -> None:
        await signatures
        try:
            for item in opened:
                executed = decided.check(self._state, self._parent, item, self._pool)
                if executed is None:
                    raise Malformed("its height was before it already")
                self._compare(self.done + 1, executed)
                commit(self._state, executed)
                self._parent, self.done = block_id(item.block.header), self.done + 1
                self._transactions += len(item.ids)
                if self._watch is not None and self._watch(self.done, executed, self._state):
                    self._ended = True
                    break
        finally:
            if self._watch is None:
                state_diffs.set_audited(self._store, self.done)
        on_progress(self.done)

    def _compare(self, height: int, executed: Executed) -> None:
        """What is kept of the block is what executing gives."""
        if self._store.receipts(height) != executed.receipt_bytes:
            raise Malformed("its receipts are stored otherwise than executing gives them")
        kept = state_diffs.changes_at(self._store, height)
        if kept is not None and kept != changes_of(executed.encoded):
            raise Malformed("its changes are stored otherwise than executing gives them")
