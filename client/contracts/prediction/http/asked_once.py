"""A request that is sent once, whatever happened to its caller: one key of a caller is one request.

    call with a key                     what happens
    new to this node                    signed; on the disk with its key; sent
    known, the request stands           that request is the answer
    known, its transaction may come     the same bytes are sent again: the ledger takes them once
    known, and it can come no more      nothing was paid; it is asked anew, under the same key

The key is on the disk before the message leaves the node: after a kill between the two the next call sends those bytes.
Keys are kept for longer than results (LC-PRE-46), among the secrets of the node's work and so in its backups. A key that begins
with `run:` is of one run of a program, as the SDK makes them for each batch of `predict_many`: it is kept for a day, and takes the
place of no other one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import request_id_of
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.host import read_params
from learningchain.chain.types import tx_id
from learningchain.client.api.errors import RequestError, invalid, unavailable, usage
from learningchain.client.api.route import Call
from learningchain.client.contracts.prediction.http.postings import ROWS_JSON
from learningchain.client.contracts.prediction.http.schema import PredictionRequest

if TYPE_CHECKING:
    pass

KIND: Final = "prediction.asked"
"""Of the secrets: a request that was signed under a caller's key."""
RUN_KIND: Final = "prediction.asked.run"
"""The same of a key that is of one run of a program."""
RUN: Final = "run:"
RUN_MS: Final = 86_400_000
HEADER: Final = "Idempotency-Key"
LONGER_MS: Final = 7 * 86_400_000
"""Keys are kept for so much longer than results."""
MOST: Final = 20_000
"""Keys of one node, of each of the two kinds."""
HOLDER: Final = 16
"""Bytes with which the places of all keys of a token begin."""
MOST_KEY: Final = 128
GONE: Final = frozenset({TxCode.SEQUENCE_USED, TxCode.EXPIRED})
_UNDER_WAY: Final[WeakKeyDictionary[Any, set[bytes]]] = WeakKeyDictionary()
"""Keys of calls that have not sent yet, of each node in this process."""


class SignedRequest(msgspec.Struct, frozen=True):
    """`asked`: SHA-256 of what the caller asked for. `raw`: the signed transaction; empty where the node refused to send it, and it
    never left. Amounts as the answer shows them."""

    asked: bytes
    raw: bytes
    charge: str
    tip: str

    @property
    def request(self) -> bytes:
        return request_id_of(tx_id(self.raw), 0)


class OnceKey:
    """One call's key, and what this node knows under it."""

    def __init__(self, call: Call, kind: str, id_: bytes, known: list[SignedRequest], asked: bytes) -> None:
        self._call, self._kind, self._id, self._asked = call, kind, id_, asked
        self._steps = len(known)
        self._last = known[-1] if known and known[-1].raw else None
        self._kept = False

    async def keep(self, raw: bytes, charge: str, tip: str) -> None:
        """On the disk when this returns. Raises `RequestError`: nothing may be sent."""
        node = self._call.node
        params = read_params(node.ledger.state, records.NUMBER, PredictionParams)
        blob = msgspec.msgpack.encode(SignedRequest(self._asked, raw, charge, tip))
        place = self._id + self._steps.to_bytes(4)
        from learningchain.client.work.events import Secret  # what work needs loads after the node's start

        keep_ms = RUN_MS if self._kind == RUN_KIND else params.pred_keep + LONGER_MS
        await node.work.stores.secrets.keep(Secret(self._kind, place, b"", blob, keep_ms=keep_ms))
        # A node that has just started knew nothing when it was asked first, and the first record of a place stays.
        if blob not in [one.blob for one in await node.work.stores.secrets.of(self._kind, place)]:
            raise unavailable("This node keeps keys as soon as it has started, and nothing was sent. Try again in a moment")
        self._steps, self._kept = self._steps + 1, True

    async def not_sent(self) -> None:
        """The node refused what was kept: its bytes are not sent again."""
        if self._kept:
            await self.keep(b"", "", "")

    async def standing(self) -> SignedRequest | None:
        """The request of an earlier call, which stands or is on its way again; None where there is none, or it will never come."""
        last = self._last
        if last is None or await self._stands(last.request):
            return last
        try:
            await self._call.node.ledger.submit_raw(last.raw)
        except InvalidTx as e:
            # It may have come while the ledger was asked.
            if await self._stands(last.request):
                return last
            if e.code in GONE:
                return None
            raise invalid("The request of this key was signed before and could not be sent", e) from None
        return last

    async def _stands(self, request: bytes) -> bool:
        if self._call.node.ledger.state.get(records.terms_key(request)) is not None:
            return True
        return bool(await self._call.node.archived([request]))


@asynccontextmanager
async def asked_once(call: Call) -> AsyncIterator[OnceKey | None]:
    """The call's key; None where it has none. Raises `RequestError`, also where another call with it is under way."""
    text = _key_of(call)
    if text is None:
        yield None
        return
    # A token sees nothing of another one's, and its own are counted by how their places begin.
    holder = sha256(call.token.id.encode())[:HOLDER]
    id_ = holder + sha256(text.encode())
    kind = RUN_KIND if text.startswith(RUN) else KIND
    with _alone(call, id_):
        kept = sorted(await call.node.work.stores.secrets.of(kind, id_), key=lambda one: one.key)
        known = [msgspec.msgpack.decode(one.blob, type=SignedRequest) for one in kept]
        asked = digest(call.body)
        if known and known[-1].asked != asked:
            why = "Another request was asked under this key. Choose a new key for each request, and ask the same under the same one"
            raise usage(why, name="KEY_REUSED", status=409)
        if not known:
            await _room(call, kind, holder)
        yield OnceKey(call, kind, id_, known, asked)


async def _room(call: Call, kind: str, holder: bytes) -> None:
    """One holder may have as many keys as places are free, so that none fills them all: the first half of them, a second one beside
    it a half of the rest, and so on. Raises `RequestError`."""
    room = await call.node.work.stores.secrets.room(kind, holder, MOST)
    if not room.free:
        raise unavailable(f"This node keeps {MOST} keys, the most it does: nothing was sent", name="TOO_MANY_KEYS")
    if not room.own_free:
        raise unavailable(
            f"This token has {room.own} of the {MOST} keys that this node keeps, and {room.free} are left to others: nothing was "
            f"sent. Keys go {LONGER_MS // 86_400_000} days after their results; ask without one, or by another token",
            name="TOO_MANY_OWN_KEYS",
        )


def digest(body: PredictionRequest) -> bytes:
    """Of what is asked for. What it may cost at most is no part of it: the price may have changed meanwhile."""
    try:
        return sha256(msgspec.json.encode(msgspec.structs.replace(body, idempotency_key=None, max_charge=None)))
    except (ValueError, TypeError, RecursionError):
        raise usage(ROWS_JSON) from None


def _key_of(call: Call) -> str | None:
    body: PredictionRequest = call.body
    header = call.request.headers.getall(HEADER, [])
    given = {*header, *([body.idempotency_key] if body.idempotency_key is not None else [])}
    if len(given) > 1:
        raise usage(f"Two different keys were given. Give one: {HEADER}, or idempotency_key in the body")
    for text in given:
        if not 1 <= len(text) <= MOST_KEY or not (text.isascii() and text.isprintable()):
            raise usage(f"{HEADER} is not valid: 1 to {MOST_KEY} printable ASCII characters")
        return str(text)
    return None


@contextmanager
def _alone(call: Call, id_: bytes) -> Iterator[None]:
    under_way = _UNDER_WAY.setdefault(call.node, set())
    if id_ in under_way:
        raise RequestError(409, "unavailable", "KEY_BUSY", "Another call with this key is being sent. Ask again in a moment")
    under_way.add(id_)
    try:
        yield
    finally:
        under_way.discard(id_)
