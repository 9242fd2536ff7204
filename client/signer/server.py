"""The signer's side: one node at a time, one request after the other, and the guard before every vote. LC-SIG-5 to LC-SIG-8.

    connection --TLS--> hello --> WELCOME --> requests, each answered in its turn
                          |
                          +--> BUSY: another node is being served       FOREIGN, UNKNOWN_PROTOCOL: not this signer's

The guard answers for all connections of all lives of this process, so a second node, or one that was put back from a backup, gets
no signature that contradicts an earlier one, whether the first is still there or not. Who is silent for IDLE_S loses its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import Any, Final

import structlog

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts import MESSAGES
from learningchain.chain.crypto import address
from learningchain.chain.errors import InvalidTx, Malformed
from learningchain.chain.ledger.transition import beacon_secret
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.params import MAX_TX_BYTES
from learningchain.chain.storage.errors import StorageError
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.chain.types import SignedTx, TxBody, proposal_digest, tx_digest, vote_digest
from learningchain.client.keys.keystore import Identity
from learningchain.client.keys.statements import Speaker, statement_digest
from learningchain.client.signer import messages as m
from learningchain.client.signer.pairing import Endpoint
from learningchain.client.signer.reach import HeightReach
from learningchain.p2p.tls import binding_digest

log: Any = structlog.get_logger("signer")

IDLE_S: Final = 10.0
"""A node that sends nothing for so long is gone: its place is free for the next one. Nodes ping every PING_S."""
HELLO_S: Final = 5.0
HANDSHAKE_S: Final = 5.0
MAX_WAITING: Final = 16
"""Connections that have not said hello yet."""
FORGOT: Final = -1
_FORGOTTEN: Final = (
    "this guard forgot what it signed, and no node said yet up to which height that may have been. Start the node again while the "
    "signer runs"
)


class SignerServer:
    """`start` listens, `stop` ends. `for_good`: it signs what cannot be taken back, too (`MessageSpec.for_good`). `reach`: how far
    ahead. `failed` is done when the guard's disk failed: then nothing is signed any more."""

    def __init__(
        self, identity: Identity, guard: Guard, *, transactions: bool, for_good: bool = False, reach: HeightReach | None = None
    ) -> None:
        self._reach = reach or HeightReach(guard.signed[0], 0)
        self._identity, self._guard, self._transactions, self._for_good = identity, guard, transactions, for_good
        self._chain_id = guard.chain_id
        self._told = False
        """Since this start a node said up to where it may have signed. A guard that forgot signs no vote before."""
        self._serving: asyncio.StreamWriter | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._server: asyncio.Server | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, where: Endpoint, context: ssl.SSLContext) -> int:
        """Listen; the port, 0 for a socket in the file system. Raises OSError."""
        tls: dict[str, Any] = {"ssl": context, "ssl_handshake_timeout": HANDSHAKE_S, "limit": m.MAX_FRAME}
        if where[0] == "unix":
            path = where[1]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # of a life before: this process holds the folder's lock
            before = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._connected, path, **tls)
            finally:
                os.umask(before)
            return 0
        host, port = where[1]
        self._server = await asyncio.start_server(self._connected, host, port, **tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    # --- a connection ---------------------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._open.add(task)
        frames = m.Frames(reader, writer)
        try:
            if self._waiting < MAX_WAITING:
                await self._serve(frames, writer)
        except (Malformed, ConnectionError, TimeoutError, ssl.SSLError, OSError) as problem:
            log.info("a connection ended", why=str(problem) or type(problem).__name__)
        finally:
            self._open.discard(task)
            if self._serving is writer:
                self._serving = None
            writer.close()

    async def _serve(self, frames: m.Frames, writer: asyncio.StreamWriter) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(HELLO_S):
                hello = await frames.read_request()
        finally:
            self._waiting -= 1
        refusal = self.refused(hello)
        if refusal is not None:
            log.warning("a node was refused", why=refusal.text)
            async with asyncio.timeout(HELLO_S):
                await frames.write(refusal)
            return
        self._serving = writer
        log.info("a node is served")
        request = hello
        while True:
            async with asyncio.timeout(IDLE_S):  # who does not read its answers loses its place as well
                await frames.write(self.answer(request))
                request = await frames.read_request()

    def refused(self, hello: m.Request) -> m.SignerRefusal | None:
        if not isinstance(hello, m.SignerHello):
            return m.SignerRefusal(m.BAD_REQUEST, "the first message is a hello")
        if hello.protocol != m.PROTOCOL:
            return m.SignerRefusal(m.UNKNOWN_PROTOCOL, f"this signer speaks version {m.PROTOCOL}, the node {hello.protocol}")
        if hello.chain_id != self._chain_id:
            return m.SignerRefusal(m.FOREIGN, f"this signer signs for the network {self._chain_id.hex()[:16]} only")
        if refusal := self._too_far(hello.abstain):
            return refusal
        if self._serving is not None:
            return m.SignerRefusal(m.BUSY, "another node is being served: stop that one, one identity runs on one machine")
        return None

    # --- answers --------------------------------------------------------------------------------------------------------------

    def answer(self, request: m.Request) -> m.Answer:
        """The guard's sync blocks this process and nobody else: it has one node to serve, in the order in which that asks."""
        try:
            return self._answered(request)
        except StorageError as fault:
            log.error("the guard's disk failed: nothing is signed any more", why=str(fault))
            if not self.failed.done():
                self.failed.set_result(None)
            return m.SignerRefusal(m.BROKEN, "the signer's disk failed: its log says how")

    def _answered(self, request: m.Request) -> m.Answer:
        key, chain = self._identity.key, self._chain_id
        match request:
            case m.SignerHello(_, _, abstain):
                if abstain:
                    self._abstain(abstain)
                height, round_, kind = self._guard.signed
                return m.Welcome(m.PROTOCOL, self._identity.id, key.public, height, round_, kind)
            case m.VoteWanted(type_, height, round_, block):
                if len(block) not in (0, 32):
                    return m.SignerRefusal(m.BAD_REQUEST, "a block's id has 32 bytes, or none for nil")
                return self._guarded(Kind(type_), height, round_, vote_digest(chain, type_, height, round_, block))
            case m.ProposalWanted(height, round_, pol, block):
                return self._guarded(Kind.PROPOSAL, height, round_, proposal_digest(chain, height, round_, pol, block))
            case m.TxWanted(body):
                return self._transaction(body)
            case m.BindingWanted(spki):
                return m.SignatureMade(key.sign(binding_digest(chain, spki)))
            case m.StatementWanted(domain, body):
                return self._statement(domain, body)
            case m.SecretsWanted(height, count):
                own = self._identity.beacon_key
                return m.SecretsMade([beacon_secret(own, chain, h) for h in range(height, height + count)])
            case m.AbstainWanted(until):
                if refusal := self._too_far(until):
                    return refusal
                self._abstain(until)
                return m.SignerDone()
            case m.SignerPing():
                return m.SignerDone()

    def _abstain(self, until: int) -> None:
        self._guard.abstain(until)
        self._told = True

    def _guarded(self, kind: Kind, height: int, round_: int, digest: bytes) -> m.Answer:
        if self._guard.signed[0] == FORGOT and not self._told:
            return m.SignerRefusal(m.FORGOTTEN, _FORGOTTEN)
        if refusal := self._too_far(height):
            return refusal
        signature = self._guard.sign(kind, height, round_, digest, self._identity.key.sign)
        if signature is None:
            return m.Silence()
        self._reach.known(height)
        return m.SignatureMade(signature)

    def _too_far(self, height: int) -> m.SignerRefusal | None:
        """Nothing up to it would be signed ever after."""
        most = self._reach.most
        if height <= most:
            return None
        text = f"height {height} is further than the graph can be, {most} by what this signer knows"
        return m.SignerRefusal(m.BAD_REQUEST, f"{text}. If it is there, start the signer once with --height {height}")

    def _transaction(self, body: bytes) -> m.Answer:
        """Only what is a transaction of this identity: a digest of anything else is never signed."""
        if not self._transactions:
            return m.SignerRefusal(m.NOT_ALLOWED, "this signer signs no transactions (signer run --no-transactions)")
        try:
            tx = parse_tx(encode(SignedTx(decode(TxBody, body, MAX_TX_BYTES), bytes(64))))
        except (InvalidTx, Malformed) as problem:
            return m.SignerRefusal(m.BAD_REQUEST, f"no transaction: {problem}"[: m.MAX_TEXT])
        if tx.body.sender != self._identity.id:
            return m.SignerRefusal(m.BAD_REQUEST, f"a transaction of {address(tx.body.sender)}, not of this identity")
        if not self._for_good and any(MESSAGES[type(op)][1].for_good for op in tx.ops):
            return m.SignerRefusal(
                m.NOT_ALLOWED,
                "this signer signs nothing that nobody can take back: another key, guardians, leaving (signer run --for-good)",
            )
        return m.SignatureMade(self._identity.key.sign(tx_digest(self._chain_id, body)))

    def _statement(self, domain: str, body: bytes) -> m.Answer:
        """LC-SIG-12: only what a contract reads and finds to be about this identity on this network."""
        if not self._transactions:
            return m.SignerRefusal(m.NOT_ALLOWED, "this signer signs no statements (signer run --no-transactions)")
        identity = self._identity
        try:
            digest = statement_digest(domain, body, Speaker(self._chain_id, identity.id, identity.key.public))
        except Malformed as problem:
            return m.SignerRefusal(m.BAD_REQUEST, f"no statement: {problem}"[: m.MAX_TEXT])
        return m.SignatureMade(identity.key.sign(digest))
