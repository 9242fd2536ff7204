"""The node's side: asks its signer, and comes back after every loss. LC-SIG-9 to LC-SIG-11.

    TRYING --TLS, hello--> SERVED --> one request after the other; a ping where there is none for PING_S
      ^                       |
      +---- any failure ------+       what was asked for fails with `SignerUnavailable`; votes wait and are asked for again

Votes and proposals that the signer did not answer are asked for again when it is back: which of them may still be signed is the
guard's to say. What it signed is checked before it is used. For the loop's thread alone.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

import structlog

from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.crypto import ZERO_HASH, verify
from learningchain.chain.errors import Malformed
from learningchain.chain.types import Proposal, Vote, proposal_is_signed, tx_digest, vote_is_signed
from learningchain.client.keys.signing import SignedByUs, SignerUnavailable, Wanted
from learningchain.client.keys.statements import Speaker, statement_digest
from learningchain.client.signer import messages as m
from learningchain.client.signer.pairing import Pairing, client_context, parse_place
from learningchain.p2p.tls import binding_digest

log: Any = structlog.get_logger("signer")

PING_S: Final = 2.0
ANSWER_S: Final = 5.0
CONNECT_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 2.0
MAX_QUEUED: Final = 4_096
MAX_HELD: Final = 8
"""Votes and proposals that wait for their signature; the oldest of more never come."""
AHEAD: Final = 16
"""Heights whose secrets of the beacon are fetched before they are needed."""
MAX_SECRETS: Final = 4_096
TRUSTING: Final = (2**48, 0, 0)
"""What a node takes for the guard's highest place where it does not know it: the guard itself has the last word."""

_Asked = tuple[m.Request, "asyncio.Future[m.Answer]"]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SignerRefused(SignerUnavailable):
    """The signer is there, and says no."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class RemoteSigner:
    """See the module's text. `start` it, `stop` it in the end."""

    def __init__(self, pairing: Pairing, chain_id: bytes) -> None:
        self.pairing, self._chain_id = pairing, chain_id
        self._context = client_context(pairing)
        self._queue: deque[_Asked] = deque()
        self._work = asyncio.Event()
        self._up = asyncio.Event()
        self._held: list[Wanted] = []
        self._done: Callable[[SignedByUs], None] = lambda message: None
        self._floor = self._floor_told = 0
        self._secrets: OrderedDict[int, bytes] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._voting: asyncio.Task[None] | None = None
        self._down_since, self._why = _now_ms(), "it was not reached yet"
        self._refusal: tuple[int, str] | None = None
        """Since when the signer is there and refuses to vote, and why."""
        self.signed = TRUSTING
        """The guard's highest place when it was reached last."""

    # --- life -----------------------------------------------------------------------------------------------------------------

    async def start(self, patience_s: float) -> bool:
        """Whether the signer answered within this time. It is tried on in any case."""
        self._spawn(self._keep())
        try:
            async with asyncio.timeout(patience_s):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def failing(self) -> list[dict[str, Any]]:
        """For the node's status: nothing where the signer is there."""
        if self._up.is_set():
            since, refusal = self._refusal or (0, "")
            return [{"part": "signer", "since": since, "why": f"the signer refuses to vote: {refusal}"}] if refusal else []
        why = f"no signer at {self.pairing.place}: {self._why}. The node follows the graph and signs nothing until it is back"
        return [{"part": "signer", "since": self._down_since, "why": why}]

    # --- the connection -------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._live()
            except (OSError, ssl.SSLError, Malformed, TimeoutError, SignerRefused, asyncio.IncompleteReadError) as fault:
                if self._lost(str(fault) or type(fault).__name__):
                    pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_S)

    def _lost(self, why: str) -> bool:
        """Whether it was there before."""
        was_up = self._up.is_set()
        if was_up or why != self._why:
            log.warning("the signer is out of reach: this node signs nothing", place=self.pairing.place, why=why)
        if was_up:
            self._down_since = _now_ms()
        self._up.clear()
        self._why = why
        while self._queue:
            _, future = self._queue.popleft()
            if not future.done():
                future.set_exception(SignerUnavailable(f"the signer is out of reach: {why}"))
        return was_up

    async def _live(self) -> None:
        """One connection until it ends, which it always does with an exception."""
        async with asyncio.timeout(CONNECT_S):
            frames = await self._connect()
            try:
                floor = self._floor
                await frames.write(m.SignerHello(m.PROTOCOL, self._chain_id, floor))
                self._welcome(await frames.read_answer())
            except BaseException:
                frames.close()
                raise
        try:
            self._up.set()
            self._floor_told = floor
            log.info("the signer is there", place=self.pairing.place)
            self._vote()
            while True:
                await self._turn(frames)
        finally:
            frames.close()

    async def _connect(self) -> m.Frames:
        kind, place = parse_place(self.pairing.place)
        tls: dict[str, Any] = {"ssl": self._context, "server_hostname": "signer", "limit": m.MAX_FRAME}
        if kind == "unix":
            return m.Frames(*await asyncio.open_unix_connection(str(place), **tls))
        return m.Frames(*await asyncio.open_connection(place[0], int(place[1]), **tls))

    def _welcome(self, answer: m.Answer) -> None:
        if isinstance(answer, m.SignerRefusal):
            raise SignerRefused(answer.code, answer.text)
        if not isinstance(answer, m.Welcome) or answer.protocol != m.PROTOCOL:
            raise Malformed("the signer's first answer is no welcome")
        if (answer.id, answer.key) != (self.pairing.id, self.pairing.key):
            raise Malformed("the signer holds another key than the pairing says: make the pairing anew")
        self.signed = answer.signed_height, answer.signed_round, answer.signed_kind

    async def _turn(self, frames: m.Frames) -> None:
        if not self._queue:
            self._work.clear()
            try:
                async with asyncio.timeout(PING_S):
                    await self._work.wait()
            except TimeoutError:
                await self._exchange(frames, m.SignerPing())
            return
        request, future = self._queue.popleft()
        try:
            answer = await self._exchange(frames, request)
        except BaseException as fault:
            if not future.done():
                future.set_exception(SignerUnavailable(f"the signer went away: {fault}"))
            raise
        if future.done():
            return  # whoever asked has gone
        if isinstance(answer, m.SignerRefusal):
            future.set_exception(SignerRefused(answer.code, answer.text))
        else:
            future.set_result(answer)

    async def _exchange(self, frames: m.Frames, request: m.Request) -> m.Answer:
        async with asyncio.timeout(ANSWER_S):
            await frames.write(request)
            return await frames.read_answer()

    async def _ask(self, request: m.Request, *, first: bool = False) -> m.Answer:
        """Raises `SignerUnavailable`, at once where the signer is out of reach."""
        if not self._up.is_set():
            raise SignerUnavailable(f"the signer is out of reach: {self._why}")
        if len(self._queue) >= MAX_QUEUED:
            raise SignerUnavailable(f"{MAX_QUEUED} requests wait for the signer already")
        future: asyncio.Future[m.Answer] = asyncio.get_running_loop().create_future()
        (self._queue.appendleft if first else self._queue.append)((request, future))
        self._work.set()
        return await future

    # --- the consensus --------------------------------------------------------------------------------------------------------

    def serve(self, done: Callable[[SignedByUs], None]) -> None:
        """`done` gets what was signed."""
        self._done = done

    def sign(self, request: Wanted) -> None:
        """The signed message comes later, or never."""
        self._held = [*self._held, request][-MAX_HELD:]
        self._vote()

    def abstain(self, until: int) -> None:
        """Nothing up to this height is asked for, or to be signed, any more."""
        self._floor = max(self._floor, until)
        self._held = [one for one in self._held if one.height > self._floor]
        self._vote()

    def _vote(self) -> None:
        if self._up.is_set() and (self._voting is None or self._voting.done()):
            self._voting = self._spawn(self._sign_held())

    async def _sign_held(self) -> None:
        """In their order, before whatever else waits. What the signer did not hear stays for its next connection."""
        try:
            while True:
                if self._floor_told < self._floor:
                    floor = self._floor
                    await self._ask(m.AbstainWanted(floor), first=True)
                    self._floor_told = max(self._floor_told, floor)
                    continue
                if not self._held:
                    return
                request = self._held[0]
                message = await self._signed(request)
                self._refusal = None
                if request in self._held:
                    self._held.remove(request)
                if message is not None:
                    self._done(message)
        except SignerRefused as refusal:
            if self._refusal is None or self._refusal[1] != str(refusal):
                self._refusal = _now_ms(), str(refusal)
                log.warning("the signer refuses to vote", why=str(refusal))
            self._held.clear()
        except SignerUnavailable:
            return

    async def _signed(self, r: Wanted) -> SignedByUs | None:
        """None where the guard is silent. Raises `SignerUnavailable`."""
        message: SignedByUs
        if isinstance(r, SignVote):
            answer = await self._ask(m.VoteWanted(r.type, r.height, r.round, r.block_id), first=True)
            if not isinstance(answer, m.SignatureMade):
                return None
            message = Vote(r.type, r.height, r.round, r.block_id, self.pairing.id, answer.signature)
            good = vote_is_signed(self._chain_id, message, self.pairing.key)
        else:
            answer = await self._ask(m.ProposalWanted(r.height, r.round, r.pol_round, r.block_id), first=True)
            if not isinstance(answer, m.SignatureMade):
                return None
            message = Proposal(r.height, r.round, r.pol_round, r.block_id, self.pairing.id, answer.signature)
            good = proposal_is_signed(self._chain_id, message, self.pairing.key)
        if not good:
            log.error("the signer made a signature that is not good: it is not used", height=r.height)
        return message if good else None

    # --- transactions, TLS, the beacon ----------------------------------------------------------------------------------------

    async def transaction(self, body: bytes) -> bytes:
        """The signature (64 bytes) of a transaction's body. Raises `SignerUnavailable`."""
        return await self._checked(m.TxWanted(body), tx_digest(self._chain_id, body))

    async def binding(self, spki: bytes) -> bytes:
        """The signature that ties a TLS key to the identity (LC-P2P-4). Raises `SignerUnavailable`."""
        return await self._checked(m.BindingWanted(spki), binding_digest(self._chain_id, spki))

    async def statement(self, domain: str, body: bytes) -> bytes:
        """The signature of a statement (LC-SIG-12). Raises `SignerUnavailable`, and `Malformed` where no signer would make it."""
        speaker = Speaker(self._chain_id, self.pairing.id, self.pairing.key)
        return await self._checked(m.StatementWanted(domain, body), statement_digest(domain, body, speaker))

    async def _checked(self, request: m.Request, digest: bytes) -> bytes:
        answer = await self._ask(request)
        if not isinstance(answer, m.SignatureMade) or not verify(self.pairing.key, digest, answer.signature):
            raise SignerUnavailable("the signer answered with something else than a good signature")
        return answer.signature

    def secret(self, height: int) -> bytes:
        """LC-BLK-12: of the beacon, for a block at this height; zeros where it was not fetched: the block then earns no reward."""
        return self._secrets.get(height, ZERO_HASH)

    async def fetch_secrets(self, height: int, count: int) -> None:
        """Raises `SignerUnavailable`."""
        answer = await self._ask(m.SecretsWanted(height, count))
        if isinstance(answer, m.SecretsMade):
            self._secrets |= {height + i: secret for i, secret in enumerate(answer.secrets)}
            while len(self._secrets) > MAX_SECRETS:
                self._secrets.popitem(last=False)

    def prepare(self, height: int, last: int | None) -> None:
        """Fetch, aside, the secrets of the blocks that this node may make next after `height`, and of the one that it made last."""
        wanted = [] if last is None or last in self._secrets else [(last, 1)]
        if height + AHEAD // 2 not in self._secrets or height + 1 not in self._secrets:
            wanted.append((height + 1, AHEAD))
        if wanted and self._up.is_set():
            self._spawn(self._fetch_all(wanted))

    async def _fetch_all(self, wanted: list[tuple[int, int]]) -> None:
        try:
            for height, count in wanted:
                await self.fetch_secrets(height, count)
        except SignerUnavailable:
            return  # asked for again after the next block
