"""Calls about the node and its ledger, whatever contracts there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from learningchain.client.sdk.calls import Calls, call, stream
from learningchain.client.sdk.http import NodeApi, Progress, StreamPlace, document, path_id
from learningchain.client.sdk.types import (
    ApiError,
    BadContentError,
    Event,
    Fetched,
    Json,
    RejectedError,
    UnreachableError,
)

if TYPE_CHECKING:
    from learningchain.chain.crypto import SigningKey
    from learningchain.client.schema.bodies import (
        BlockView,
        CallbackRemoved,
        CallbackRetried,
        CallbackTested,
        CallbackView,
        ConnectionView,
        ContentsView,
        DashboardLink,
        FileKept,
        FileRemoved,
        FileStored,
        HistoryView,
        LoadView,
        MachineDrained,
        MachineRemoved,
        MachineToken,
        MachineView,
        RawBlockView,
        Ready,
        ReasonView,
        ReceiptFileView,
        ReceiptProof,
        RunCancelled,
        SetRemoved,
        SettingChanged,
        SetView,
        StateProofView,
        StatusView,
        StreamTicket,
        TransferView,
        TxAnswer,
        TxView,
    )

WATCH_AGAIN_S: Final = (0.2, 1.0, 3.0, 15.0)
"""Before each try to take up a stream that broke; the last one is when a node has noticed that the old connection is gone."""
STANDS_S: Final = 5.0
"""A connection that stood as long was a good one."""


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
        return cast("StatusView", await self.api.get("/v1/status"))

    @call
    async def dashboard_link(self, *, plain: bool = False) -> DashboardLink:
        """What logs one browser in to the node's dashboard, once; `sdk_http.link_url` makes an address of it. `plain`: at the
        API's own address, for a browser that does not find names below localhost."""
        query = {"plain": "true"} if plain else None
        return cast("DashboardLink", await self.api.call("POST", "/v1/dashboard/links", query=query))

    @call
    async def history(self, account: str | None = None, *, before: int | None = None, limit: int = 50) -> list[HistoryView]:
        """Movements of credits, newest first; go on with `before` = the last entry's `cursor`."""
        if account is None:
            account = (await self.status())["id"]
        return await self.api.rows(f"/v1/accounts/{path_id(account)}/history", before=before, limit=limit)

    @call
    async def load(self, *, limit: int = 1) -> LoadView:
        """The load of the node's machine: its newest samples, oldest first."""
        return cast("LoadView", await self.api.get("/v1/load", limit=limit))

    @call
    async def peers(self) -> list[Json]:
        return await self.api.rows("/v1/peers")

    @call
    async def connections(self) -> list[ConnectionView]:
        """Connections that came, went, failed or were refused lately, with the reason; newest first."""
        return await self.api.rows("/v1/connections")

    @call
    async def callbacks(self, *, limit: int = 100, before: CallbackView | None = None) -> list[CallbackView]:
        """Where the node tells what happens to something, the newest first, and how that goes. `before`: the last one of the page
        before."""
        after = None if before is None else f"{before['created']}-{before['ref']}"
        return await self.api.rows("/v1/callbacks", limit=limit, before=after)

    @call
    async def callback(self, ref: str) -> CallbackView:
        return cast("CallbackView", await self.api.get(f"/v1/callbacks/{path_id(ref)}"))

    @call
    async def add_callback(self, source: str, ref: str, url: str, *, secret: str | None = None) -> CallbackView:
        """Have what happens to `ref`, of the contract `source`, told to a URL: at least once, signed, in order. Without a secret
        the node makes one, and answers with it this once."""
        body = {"source": source, "ref": ref, "url": url} | ({} if secret is None else {"secret": secret})
        return cast("CallbackView", document(await self.api.call("POST", "/v1/callbacks", body=body)))

    @call
    async def test_callback(self, url: str, *, secret: str | None = None) -> CallbackTested:
        """Have an event of the name `test` posted to a URL now."""
        body = {"url": url} | ({} if secret is None else {"secret": secret})
        return cast("CallbackTested", document(await self.api.call("POST", "/v1/callbacks/test", body=body, extra_s=20.0)))

    @call
    async def retry_callback(self, ref: str) -> CallbackRetried:
        """Try now what waits or was given up."""
        return cast("CallbackRetried", document(await self.api.call("POST", f"/v1/callbacks/{path_id(ref)}/retry")))

    @call
    async def remove_callback(self, ref: str) -> CallbackRemoved:
        """Tell nothing more of it, and forget it."""
        return cast("CallbackRemoved", document(await self.api.call("DELETE", f"/v1/callbacks/{path_id(ref)}")))

    @call
    async def ready(self) -> Ready:
        """Whether the node is in step with the graph and its sandbox holds. Raises `UnavailableError` with the reason where not."""
        return cast("Ready", await self.api.get("/readyz"))

    @call
    async def config(self) -> Json:
        """The node's effective settings."""
        return await self.api.get("/v1/config")

    @call
    async def set_config(self, name: str, value: str) -> SettingChanged:
        """Write a setting as `learningchain config set` takes it. Only some may be changed so; `effective` says from when on it
        counts."""
        return cast("SettingChanged", await self.api.call("PUT", f"/v1/config/{path_id(name)}", body={"value": value}))

    @call
    async def block(self, height: int | str = "latest") -> BlockView:
        return cast("BlockView", await self.api.get(f"/v1/blocks/{path_id(str(height))}"))

    @call
    async def raw_block(self, height: int) -> RawBlockView:
        """A block with all its transactions, and its certificate with the signatures, encoded, in hex."""
        return cast("RawBlockView", await self.api.get(f"/v1/blocks/{path_id(str(height))}/raw"))

    @call
    async def tx(self, tx: str) -> TxView:
        return cast("TxView", await self.api.get(f"/v1/tx/{path_id(tx)}"))

    @call
    async def receipt(self, height: int, index: int) -> ReceiptProof:
        """A receipt with its proof, its block's header and certificate, all encoded, in hex. 0 is the block's own receipt; that of
        a transaction is one more than its `index`. Nothing of it need be believed: protocol_spec/blocks.md says how to check it."""
        return cast("ReceiptProof", await self.api.get(f"/v1/blocks/{path_id(str(height))}/receipts/{path_id(str(index))}"))

    @call
    async def proof(self, key: bytes) -> StateProofView:
        """What the state holds under a key (protocol_spec/merkle.md), with the proof of that, or of its absence, and the block."""
        return cast("StateProofView", await self.api.get(f"/v1/proofs/{key.hex()}"))

    @call
    async def receipt_file(self, ref: str, *, trusted: int | None = None) -> ReceiptFileView:
        """What became of a transaction, by its id, as a receipt file in hex under `file`: `check_receipt` checks it offline from a
        genesis alone. `ref` can also be HEIGHT-INDEX; index 0 is the block's own receipt. With `trusted` it begins at the block of
        that height instead of genesis."""
        return cast("ReceiptFileView", await self.api.get(f"/v1/receipts/{path_id(ref)}", trusted=trusted))

    @call
    async def records_file(self, keys: Sequence[bytes], *, trusted: int | None = None) -> ReceiptFileView:
        """What the newest state holds under at most 16 keys (protocol_spec/merkle.md), or that it holds nothing, as a receipt
        file."""
        asked = ",".join(key.hex() for key in keys)
        return cast("ReceiptFileView", await self.api.get("/v1/receipts", keys=asked, trusted=trusted))

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
    async def reasons(self, refs: Sequence[str]) -> list[ReasonView]:
        """Why this node leaves the work of at most 32 jobs alone; None where it does it, will, or has none of it."""
        return cast("list[ReasonView]", await self.api.rows("/v1/reasons", refs=",".join(refs))) if refs else []

    @call
    async def run(self, run: str) -> Json:
        return await self.api.get(f"/v1/runs/{path_id(run)}")

    @call
    async def cancel_run(self, run: str) -> RunCancelled:
        return cast("RunCancelled", await self.api.call("DELETE", f"/v1/runs/{path_id(run)}"))

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
        valid_for: int = 5_000,
        wait: float = 0,
    ) -> TxAnswer:
        """Sign contract messages with `key` and offer them. `valid_for` is in blocks.

        Sequences go on from this client's last one, so several may be outstanding; after a refusal the ledger's count stands again.
        """
        import msgspec

        from learningchain.chain.codec import encode
        from learningchain.chain.crypto import account_id, address
        from learningchain.chain.ledger.tx import sign_tx
        from learningchain.chain.types import TxBody, net_of

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
        except RejectedError:
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
    async def files(self) -> list[FileKept]:
        """Files that the holder of this token keeps on the node; with the owner's token all that users keep there."""
        return cast("list[FileKept]", await self.api.rows("/v1/files"))

    @call
    async def remove_file(self, cid: str) -> FileRemoved:
        """Keep a file no longer. What else holds it there, such as a posted job, goes on holding it."""
        return cast("FileRemoved", await self.api.call("DELETE", f"/v1/files/{path_id(cid)}"))

    @call
    async def publish(self, folder: Path, on_bytes: Callable[[int], None] = lambda size: None) -> SetView:
        """Make a folder a data set of the graph: the node keeps its files and serves them to whoever asks. `on_bytes` is told of
        all of them twice: as they are named, and as they are sent. Raises ValueError and OSError for what cannot be one."""
        import asyncio
        import tempfile

        from learningchain.client.data.published import cid_of_manifest, describe
        from learningchain.p2p.content.cid import from_bytes

        found, paths = await asyncio.to_thread(describe, folder, on_bytes)
        cid = cid_of_manifest(found.manifest)
        sent: set[bytes] = set()
        for file, path in zip(found.files, paths, strict=True):
            if file.cid not in sent:
                stored = await self.api.upload(path, of_set=cid)
                if stored["cid"] != str(from_bytes(file.cid)):
                    raise BadContentError(f"{path} changed while it was published. Let it be, and publish the folder again")
            sent.add(file.cid)
            on_bytes(file.size)
        with tempfile.NamedTemporaryFile(prefix="learningchain-") as manifest:
            manifest.write(found.manifest)
            manifest.flush()
            await self.api.upload(Path(manifest.name), of_set=cid)
        return await self.published(cid)

    @call
    async def published(self, cid: str) -> SetView:
        """What a published data set is, and how much of it lies on the node."""
        return cast("SetView", await self.api.get(f"/v1/sets/{path_id(cid)}"))

    @call
    async def sets(self) -> list[SetView]:
        """Data sets that the holder of this token published on the node."""
        return cast("list[SetView]", await self.api.rows("/v1/sets"))

    @call
    async def contents(self, *, limit: int = 50, after: str | None = None) -> ContentsView:
        """What lies on the node's disk, the largest first: since when, for what, and what may go. `after`: `next` of the page
        before."""
        return cast("ContentsView", await self.api.get("/v1/contents", limit=limit, after=after))

    @call
    async def transfers(self) -> list[TransferView]:
        """What the node fetches now, with rate and time left, the oldest first."""
        return cast("list[TransferView]", await self.api.rows("/v1/transfers"))

    @call
    async def machines(self) -> list[MachineView]:
        """Other machines that train for the node."""
        return cast("list[MachineView]", await self.api.rows("/v1/machines"))

    @call
    async def add_machine(self, name: str, address: str = "") -> MachineToken:
        """A token with which one machine joins within an hour. `address`: where it reaches the node, if not where that listens."""
        return cast("MachineToken", await self.api.call("POST", "/v1/machines", body={"name": name, "address": address}))

    @call
    async def drain_machine(self, name: str, drain: bool = True) -> MachineDrained:
        """Let a machine take no further run, or some again; those that it has go on."""
        return cast("MachineDrained", await self.api.call("PUT", f"/v1/machines/{path_id(name)}", body={"drain": drain}))

    @call
    async def remove_machine(self, name: str) -> MachineRemoved:
        """Let a machine train for the node no more; its runs end."""
        return cast("MachineRemoved", await self.api.call("DELETE", f"/v1/machines/{path_id(name)}"))

    @call
    async def unpublish(self, cid: str) -> SetRemoved:
        """Keep a published data set no longer. What else holds it there, such as a posted job, goes on holding it."""
        return cast("SetRemoved", await self.api.call("DELETE", f"/v1/sets/{path_id(cid)}"))

    @call
    async def fetch(
        self, cid: str, dest: Path, *, max_size: int, overwrite: bool = False, on_progress: Progress | None = None
    ) -> Fetched:
        """A file by CID, from the node or over it from the graph, checked against its CID."""
        query = {"max_size": max_size}
        return await self.api.download(f"/v1/files/{path_id(cid)}", query, cid, dest, max_size, overwrite, on_progress)

    @call
    async def stream_ticket(self) -> StreamTicket:
        """What opens `/v1/events?ticket=...` once, in place of the token: for a program that can send no header."""
        return cast("StreamTicket", await self.api.call("POST", "/v1/events/tickets"))

    @stream
    async def watch(self, *, kinds: Sequence[str] | None = None) -> AsyncIterator[Event]:
        """What happens on the node from now on: "block", "note" (the ledger's events), "run" (progress), "notice" (of
        `status`); `kinds` asks for some.

        A connection that breaks is made anew, and goes on where it broke; where the node no longer has what came meanwhile, "gap"
        says so: read the state again. Ends with `UnreachableError` when that did not help within seconds.
        """
        import asyncio
        import time

        place, waits = StreamPlace(), iter(WATCH_AGAIN_S)
        while True:
            began = time.monotonic()
            try:
                async for event in self.api.events(kinds, place):
                    yield event
            except ApiError as problem:
                if time.monotonic() - began > STANDS_S:
                    waits = iter(WATCH_AGAIN_S)
                again = isinstance(problem, UnreachableError) or problem.name in ("TOO_MANY", "TOO_MANY_OWN")
                wait = next(waits, None) if again and place.last is not None else None
                if wait is None:
                    raise
                await asyncio.sleep(wait)
