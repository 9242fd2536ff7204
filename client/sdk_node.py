"""Calls about the node and its ledger, whatever contracts there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from chain.codec import encode
from chain.crypto import SigningKey, account_id, address
from chain.ledger.tx import sign_tx
from chain.types import TxBody, net_of
from client.api.schema import (
    BlockView,
    ConnectionView,
    FileStored,
    HistoryView,
    Ready,
    ReceiptProof,
    RunCancelled,
    StateProofView,
    StatusView,
    TxAnswer,
    TxView,
)
from client.sdk_calls import Calls, call, stream
from client.sdk_http import NodeApi, Progress, path_id
from client.sdk_types import ApiError, Event, Fetched, Json, Rejected


class NodeCalls(Calls):
    def __init__(self, api: NodeApi) -> None:
        super().__init__(api)
        self._sequences: dict[tuple[str, bytes, int], int] = {}

    @property
    def url(self) -> str:
        return self.api.url

    # --- reading ----------------------------------------------------------------------------------------------------------------

    @call
    async def status(self) -> StatusView:
        return cast(StatusView, await self.api.get("/v1/status"))

    @call
    async def history(self, account: str | None = None, *, before: int | None = None, limit: int = 50) -> list[HistoryView]:
        """Movements of credits, newest first; go on with `before` = the last entry's `cursor`."""
        if account is None:
            account = (await self.status())["id"]
        return await self.api.rows(f"/v1/accounts/{path_id(account)}/history", before=before, limit=limit)

    @call
    async def peers(self) -> list[Json]:
        return await self.api.rows("/v1/peers")

    @call
    async def connections(self) -> list[ConnectionView]:
        """Connections that came, went, failed or were refused lately, with the reason; newest first."""
        return await self.api.rows("/v1/connections")

    @call
    async def ready(self) -> Ready:
        """Whether the node is in step with the graph and its sandbox holds. Raises `Unavailable` with the reason where not."""
        return cast(Ready, await self.api.get("/readyz"))

    @call
    async def config(self) -> Json:
        """The node's effective settings."""
        return await self.api.get("/v1/config")

    @call
    async def block(self, height: int | str = "latest") -> BlockView:
        return cast(BlockView, await self.api.get(f"/v1/blocks/{path_id(str(height))}"))

    @call
    async def tx(self, tx: str) -> TxView:
        return cast(TxView, await self.api.get(f"/v1/tx/{path_id(tx)}"))

    @call
    async def receipt(self, height: int, index: int) -> ReceiptProof:
        """A receipt with its proof, its block's header and certificate, all encoded, in hex. 0 is the block's own receipt; that of
        a transaction is one more than its `index`. Nothing of it need be believed: protocol_spec/blocks.md says how to check it."""
        return cast(ReceiptProof, await self.api.get(f"/v1/blocks/{path_id(str(height))}/receipts/{path_id(str(index))}"))

    @call
    async def proof(self, key: bytes) -> StateProofView:
        """What the state holds under a key (protocol_spec/merkle.md), with the proof of that, or of its absence, and the block."""
        return cast(StateProofView, await self.api.get(f"/v1/proofs/{key.hex()}"))

    @call
    async def handovers(self, start: int = 1, limit: int = 64) -> list[str]:
        """Encoded validator set changes from height `start` on, in hex: they lead from a known validator set to those that follow
        it."""
        return list((await self.api.get("/v1/handovers", start=start, limit=limit))["handovers"])

    @call
    async def runs(self) -> list[Json]:
        """Runs of the node's own worker and verifier, with progress."""
        return await self.api.rows("/v1/runs")

    @call
    async def run(self, run: str) -> Json:
        return await self.api.get(f"/v1/runs/{path_id(run)}")

    @call
    async def cancel_run(self, run: str) -> RunCancelled:
        return cast(RunCancelled, await self.api.call("DELETE", f"/v1/runs/{path_id(run)}"))

    # --- submitting -------------------------------------------------------------------------------------------------------------

    @call
    async def submit_raw(self, raw: bytes, *, wait: float = 0) -> TxAnswer:
        """Offer a signed transaction."""
        return await self.api.submit("/v1/tx", {"raw": raw.hex()}, wait)

    @call
    async def submit_tx(
        self,
        ops: Sequence[Any],
        key: SigningKey,
        *,
        sender: bytes | None = None,
        lane: int = 0,
        valid_for: int = 100,
        wait: float = 0,
    ) -> TxAnswer:
        """Sign contract messages with `key` and offer them. `valid_for` is in blocks.

        Sequences go on from this client's last one, so several may be outstanding; after a refusal the ledger's count stands again.
        """
        own = account_id(key.public) if sender is None else sender
        status = await self.status()
        chain_id = bytes.fromhex(status["chain_id"])
        slot = (status["chain_id"], own, lane)
        if slot not in self._sequences:
            self._sequences[slot] = (await self.api.get(f"/v1/accounts/{address(own)}"))["sequences"][lane]
        sequence = self._sequences[slot]
        self._sequences[slot] = sequence + 1
        body = TxBody(net_of(chain_id), own, lane, sequence, status["height"] + valid_for, [msgspec.Raw(encode(op)) for op in ops])
        try:
            return await self.submit_raw(sign_tx(key, chain_id, body), wait=wait)
        except Rejected:
            raise  # it stands in a block: its sequence is used
        except ApiError:
            self._sequences.pop(slot, None)
            raise

    # --- files and events -------------------------------------------------------------------------------------------------------

    @call
    async def upload(self, path: Path, on_progress: Progress | None = None) -> FileStored:
        """Give a file to the node, which keeps and serves it. The CID it answers is checked against the bytes sent."""
        return await self.api.upload(path, on_progress)

    @call
    async def fetch(
        self, cid: str, dest: Path, *, max_size: int, overwrite: bool = False, on_progress: Progress | None = None
    ) -> Fetched:
        """A file by CID, from the node or over it from the graph, checked against its CID."""
        query = {"max_size": max_size}
        return await self.api.download(f"/v1/files/{path_id(cid)}", query, cid, dest, max_size, overwrite, on_progress)

    @stream
    async def watch(self, *, kinds: Sequence[str] | None = None) -> AsyncIterator[Event]:
        """What happens on the node from now on: "block", "note" (the ledger's events), "run" (progress); `kinds` asks for some.

        Ends with `Unreachable` when the connection breaks. Events in between are lost then: read the state again.
        """
        async for event in self.api.events(kinds):
            yield event
