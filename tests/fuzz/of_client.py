"""Targets: requests to the HTTP API, its answers as the SDK reads them, the files and settings of a node's owner."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import msgspec
from yarl import URL

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts import decode_message
from learningchain.chain.contracts.job.messages import Ballots
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.params import MAX_TX_BYTES
from learningchain.client import config
from learningchain.client.addresses import AllowedAddresses, CallbackUrl, UrlRefused, is_public
from learningchain.client.api.chain import _parse_raw
from learningchain.client.api.errors import ErrorResponse, RequestError
from learningchain.client.api.route import MAX_JSON, parse_account, parse_body, parse_field, parse_hash, parse_query
from learningchain.client.callbacks.posting import same_url
from learningchain.client.callbacks.signatures import parse_secret, secret_text
from learningchain.client.cli.common import WrongUsage, read_params
from learningchain.client.contracts.credits.api import build_transfer
from learningchain.client.contracts.credits.http.schema import TransferRequest
from learningchain.client.contracts.job.http.postings import build_job
from learningchain.client.contracts.job.http.schema import JobRequest, JobsQuery, ModelQuery
from learningchain.client.contracts.membership.http.schema import AccountsQuery, JudgementRequest
from learningchain.client.contracts.prediction.roles.private import BoxPlace, opened, plain_input
from learningchain.client.keys.boxes import public_of
from learningchain.client.keys.hidden import BadKey, decrypt
from learningchain.client.keys.keystore import Keystore, KeystoreError
from learningchain.client.schema import bodies as schema
from learningchain.client.sdk.http import NodeApi, StreamPlace, _events
from learningchain.client.sdk.types import ApiError as SdkError
from tests.fuzz.targets import Target, check, scratch, text_of

T = TypeVar("T")
_LOOP = asyncio.new_event_loop()
CLOCK = 1_700_000_000_000
RATE = 10
REQUESTS: list[Any] = [
    JobRequest,
    TransferRequest,
    schema.RawTxRequest,
    schema.RawTxsRequest,
    JudgementRequest,
]
QUERIES: list[Any] = [
    schema.NoQuery, schema.WaitQuery, AccountsQuery, schema.HistoryQuery, JobsQuery, schema.FileQuery,
    ModelQuery, schema.EventsQuery,
]  # fmt: skip


def _done(work: Coroutine[Any, Any, T]) -> T:
    return _LOOP.run_until_complete(work)


class _Stream:
    """A body that arrives in pieces, as request and as response."""

    def __init__(self, data: bytes, piece: int = 1_000) -> None:
        self._data, self._piece = data, piece

    async def iter_any(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._data), self._piece):
            yield self._data[at : at + self._piece]

    def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        return self.iter_any()


class _Request:
    def __init__(self, data: bytes = b"", query: str = "") -> None:
        self.content, self.content_length = _Stream(data), None
        self.query = URL.build(path="/", query_string=query, encoded=True).query


class _Response:
    def __init__(self, status: int, data: bytes) -> None:
        self.status, self.content = status, _Stream(data)


def _answered(error: RequestError) -> None:
    """A refusal has to reach its reader: as JSON."""
    check(400 <= error.status < 500, f"status {error.status}")
    check(msgspec.json.encode(ErrorResponse(error.body)), "cannot be answered")


def api_body(data: bytes) -> None:
    """The first byte says which request it is."""
    kind = REQUESTS[(data[0] if data else 0) % len(REQUESTS)]
    try:
        _act_on(_done(parse_body(_Request(data[1:]), kind)))  # type: ignore[arg-type]
    except RequestError as e:
        _answered(e)
        raise


def _act_on(body: Any) -> None:
    """As the routes do, up to the message that is signed."""
    match body:
        case JobRequest():
            raw = encode(build_job(body, CLOCK, RATE))
            try:
                decode_message(raw)
            except Malformed:
                return
        case TransferRequest():
            build_transfer(body)
        case schema.RawTxRequest():
            check(len(parse_field("raw", _parse_raw, body.raw)) <= MAX_TX_BYTES, "too long")
        case schema.RawTxsRequest():
            for text in body.raws:
                parse_field("raw", _parse_raw, text)
        case JudgementRequest():
            parse_account("account", body.account)


def api_query(data: bytes) -> None:
    """The server lets only ASCII into a URL; %XX stands for the rest."""
    kind = QUERIES[(data[0] if data else 0) % len(QUERIES)]
    try:
        query = parse_query(_Request(query=data[1:].decode("ascii", "ignore")), kind)  # type: ignore[arg-type]
        for name in query.__struct_fields__:
            value = getattr(query, name)
            check(not isinstance(value, float) or math.isfinite(value), f"{name} is {value}")
    except RequestError as e:
        _answered(e)
        raise


def api_path(data: bytes) -> None:
    check(parse_hash(text := text_of(data)).hex() == text, "a second text of the same id")


def sdk_answer(data: bytes) -> None:
    """The first byte is a hundredth of the status."""
    _done(NodeApi("http://127.0.0.1:1").answer(_Response(100 * (2 + (data[0] if data else 0) % 4), data[1:])))  # type: ignore[arg-type]


def sdk_events(data: bytes) -> None:
    async def read() -> int:
        reader = asyncio.StreamReader(limit=1 << 16)
        reader.feed_data(data)
        reader.feed_eof()
        return len([event async for event in _events(reader, StreamPlace())])  # type: ignore[arg-type]

    check(_done(read()) <= len(data), "events out of nothing")


def config_file(data: bytes) -> None:
    folder = scratch()
    (folder / config.FILE).write_bytes(data)
    loaded = config.load(folder, {})
    values = {name: config.value_of(loaded.config, name) for name in config.SETTINGS}
    check(config.parse(config.render(values), "") == values, "written, it says something else")
    check(msgspec.json.encode(config.shown(loaded.config)), "cannot be shown")


def config_value(data: bytes) -> None:
    """The first byte says which setting."""
    name = sorted(config.SETTINGS)[(data[0] if data else 0) % len(config.SETTINGS)]
    value = config.parse_value(name, text_of(data[1:]), "environment")
    check(config.parse(config.render({name: value}), "") == {name: value}, "written, it says something else")


def keystore_file(data: bytes) -> None:
    path = scratch() / "keystore.json"
    path.write_bytes(data)
    os.chmod(path, 0o600)
    check(len(Keystore.public(path).id) == 20, "no id")


def job_parameters(data: bytes) -> None:
    text = text_of(data)
    if not text.startswith("@"):  # the name of a file
        check(json.dumps(read_params(text)), "cannot be sent")


HIDDEN_KEY, HIDDEN_ROWS = bytes(range(32)), b"rows"


def hidden_file(data: bytes) -> None:
    source, target = scratch() / "hidden", scratch() / "plain"
    source.write_bytes(data)
    target.unlink(missing_ok=True)
    try:
        decrypt(source, target, HIDDEN_KEY, sha256(HIDDEN_ROWS))
    except BadKey:
        check(not target.exists() and not target.with_name("plain.part").exists(), "something is left of what was refused")
        raise
    check(target.read_bytes() == HIDDEN_ROWS, "another plaintext")


def stored_ballots(data: bytes) -> None:
    found: Any = decode(Ballots, data, MAX_TX_BYTES)
    check(encode(found) == data, "not canonical")


BOX_PRIVATE, BOX_PLACE = bytes(range(1, 33)), BoxPlace(bytes(32), 1, bytes(20))
BOX_PUBLIC = public_of(BOX_PRIVATE)


def private_box(data: bytes) -> None:
    """A requester's box, then its file."""
    key = opened(data[:80], BOX_PLACE, BOX_PUBLIC, [BOX_PRIVATE], sha256(HIDDEN_KEY))
    check(key == HIDDEN_KEY, "another key")
    check(plain_input(data[80:], key) == HIDDEN_ROWS, "another plaintext")


def callback_url(data: bytes) -> None:
    """What is let through is read by the library that calls it as the check read it, and is no address of this machine."""
    text = text_of(data)
    found = CallbackUrl.parse(text, AllowedAddresses())
    same = same_url(found)
    check((same.host, same.port, same.user) == (found.host, found.port, None), "read in two ways")
    check(found.address is None or (found.encrypted and is_public(found.address)), "let through")


def callback_secret(data: bytes) -> None:
    secret = parse_secret(text_of(data))
    check(parse_secret(secret_text(secret)) == secret, "another secret")


TARGETS = {
    "private-box": Target(private_box, (BadKey,), 4_096),
    "callback-url": Target(callback_url, (UrlRefused, ValueError), 2_100),
    "callback-secret": Target(callback_secret, (ValueError,), 256),
    "api-body": Target(api_body, (RequestError,), min(MAX_JSON, 16_384)),
    "api-query": Target(api_query, (RequestError,), 512),
    "api-path": Target(api_path, (ValueError,), 80),
    "sdk-answer": Target(sdk_answer, (SdkError, ValueError)),
    "sdk-events": Target(sdk_events, (SdkError, ValueError)),
    "config-file": Target(config_file, (config.ConfigError,)),
    "config-value": Target(config_value, (config.ConfigError,), 512),
    "keystore-file": Target(keystore_file, (KeystoreError,), 17_000),
    "job-parameters": Target(job_parameters, (WrongUsage,)),
    "hidden-file": Target(hidden_file, (BadKey,)),
    "stored-ballots": Target(stored_ballots, (Malformed,)),
}
