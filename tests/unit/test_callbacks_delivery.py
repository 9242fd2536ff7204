"""Callbacks against real HTTP servers: at least once, signed, in order, whatever the other side does."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import sqlite3
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.addresses import AllowedAddresses
from learningchain.client.callbacks import database as stored
from learningchain.client.callbacks.database import (
    CallbackDatabase,
    CallbackDatabaseError,
    CallbackTarget,
    NewRow,
    RowState,
    TargetState,
    TooManyTargets,
)
from learningchain.client.callbacks.following import CallbackPart
from learningchain.client.callbacks.posting import Caller, Told
from learningchain.client.callbacks.service import CallbackService, RetryTimes
from learningchain.client.callbacks.signatures import parse_secret, secret_text
from learningchain.client.keys.tokens import TokenError
from learningchain.client.work.events import Secret
from tests.slow import SLOW
from tests.unit.callbacks_kit import (
    CHAIN,
    OWN,
    SECRET,
    Chain,
    HttpServer,
    Post,
    Thing,
    cut,
    hang,
    ref_of,
    service,
    status,
    until,
)

A, B = ref_of("a"), ref_of("b")
AGREED, FAILED, FINAL = ("thing_agreed", "a"), ("thing_failed", "a"), ("thing_final", "a")


def played(
    play: Callable[[Chain, CallbackService], Awaitable[None]], path: Path, *, chain: Chain | None = None, **more: object
) -> None:
    """A node's callbacks from start to stop."""

    async def main() -> None:
        graph = chain or Chain()
        callbacks = service(path, graph, **more)  # type: ignore[arg-type]
        await callbacks.start()
        try:
            async with asyncio.timeout(30 * SLOW):
                await play(graph, callbacks)
        finally:
            await callbacks.stop()

    asyncio.run(main())


async def states(callbacks: CallbackService, ref: bytes = A) -> list[tuple[str, str]]:
    found = await callbacks.show(ref)
    return [] if found is None else [(row.event, row.state.name) for row in found[1]]


async def ended(callbacks: CallbackService, ref: bytes = A, state: TargetState = TargetState.ENDED) -> None:
    async def done() -> bool:
        found = await callbacks.show(ref)
        return found is not None and found[0].state is state

    await until(done)


def test_each_event_is_posted_signed_and_in_order(tmp_path: Path) -> None:
    async def play(chain: Chain, callbacks: CallbackService) -> None:
        async with HttpServer() as server:
            secret = await callbacks.add("thing", A, server.url("/in?x=1"), None, "")
            assert secret is not None and len(secret) == 32
            chain.decide(("thing_agreed", "b"), AGREED, ("other", "a"))
            chain.decide(FINAL)
            await ended(callbacks)
        one, two = server.posts
        assert (one.id, two.id) == (f"{A.hex()}:agreed", f"{A.hex()}:final")
        assert one.path == "/in?x=1" and one.headers["content-type"] == "application/json"
        assert one.said == {
            "type": "thing.agreed",
            "timestamp": "1970-01-01T00:00:00.000Z",
            "network": CHAIN.hex(),
            "ref": A.hex(),
            "height": 1,
            "data": {"noted": {"values": [7]}, "what": "agreed"},
        }
        for post in server.posts:
            signed = f"{post.id}.{post.headers['webhook-timestamp']}.".encode() + post.body
            mac = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
            assert post.headers["webhook-signature"] == f"v1,{mac}"

    played(play, tmp_path)


def test_the_published_example_of_the_scheme() -> None:
    """The example of the Standard Webhooks' libraries."""
    from learningchain.client.callbacks.signatures import signature

    secret = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert parse_secret(secret_text(SECRET)) == SECRET
    for wrong in ("whsec_", "whsec_" + base64.b64encode(bytes(23)).decode(), "whsec_" + base64.b64encode(bytes(65)).decode(), "%%"):
        with pytest.raises(ValueError, match="secret"):
            parse_secret(wrong)


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (status(500), "the answer was 500"),
        (status(404), "the answer was 404"),
        (status(301, "Location: /elsewhere\r\n"), "never followed"),
        (status(307, "Location: http://127.0.0.1:1/\r\n"), "never followed"),
        (cut, ""),
    ],
    ids=["500", "404", "301", "307", "cut"],
)
def test_what_is_no_success_is_tried_again_until_it_is_one(tmp_path: Path, answer: object, note: str) -> None:
    async def play(chain: Chain, callbacks: CallbackService) -> None:
        async with HttpServer(answer, answer, answer, status(200)) as server:  # type: ignore[arg-type]
            await callbacks.add("thing", A, server.url(), SECRET, "")
            chain.decide(AGREED)
            await server.until(2)
            assert note in (await callbacks.show(A))[1][0].note  # type: ignore[index]
            chain.decide(FINAL)
            await ended(callbacks)
            assert [post.id.rpartition(":")[2] for post in server.posts] == ["agreed"] * 4 + ["final"]
            assert {post.path for post in server.posts} == {"/"}
            assert len({post.body for post in server.posts[:4]}) == 1

    played(play, tmp_path)


def test_what_was_given_up_goes_on_when_its_user_says_so(tmp_path: Path) -> None:
    """Also what happened meanwhile: the state says it."""
    thing = Thing()

    async def play(chain: Chain, callbacks: CallbackService) -> None:
        async with HttpServer(status(410), status(200)) as server:
            await callbacks.add("thing", A, server.url(), SECRET, "")
            chain.decide(AGREED)
            await ended(callbacks, state=TargetState.GONE)
            chain.decide(FINAL)
            thing.state[A] = ["agreed", "final"]
            assert await callbacks.retry(A) == 1
            await ended(callbacks)
            assert [post.id.rpartition(":")[2] for post in server.posts] == ["agreed", "agreed", "final"]
            assert await callbacks.retry(A) == 0

    played(play, tmp_path, thing=thing)


def test_after_three_days_an_event_is_given_up_and_the_next_one_tried(tmp_path: Path) -> None:
    clock = [10**12]

    def now() -> int:
        clock[0] += 1  # a millisecond for each look
        return clock[0]

    async def play(chain: Chain, callbacks: CallbackService) -> None:
        async with HttpServer(*[status(500)] * 5, status(200)) as server:
            await callbacks.add("thing", A, server.url(), SECRET, "")
            chain.decide(AGREED)
            await server.until(3)
            clock[0] += 10_000_000
            await until(lambda: given_up(callbacks))
            chain.decide(FINAL)
            await ended(callbacks)
            assert await states(callbacks) == [("agreed", "GIVEN_UP"), ("final", "DELIVERED")]
            target = (await callbacks.show(A))[0]  # type: ignore[index]
            assert target.secret == SECRET, "who may try again needs it"

    async def given_up(callbacks: CallbackService) -> bool:
        return ("agreed", "GIVEN_UP") in await states(callbacks)

    played(play, tmp_path, now=now, times=RetryTimes(first=1, most=5, until=10_000_000, disk=5))


def test_an_answer_of_any_length_is_not_read() -> None:
    """10 GB behind a good status: told, and the server gets rid of no more than buffers hold. Headers without end: a failure."""
    sent = [0]

    async def flood(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\nContent-Encoding: gzip\r\n\r\n")
        while sent[0] < 10**10:
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent[0] += 1 << 16

    async def headers(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: " + b"a" * 60_000)
            await writer.drain()

    async def main() -> None:
        caller = Caller(AllowedAddresses.of(["loopback"]), "1")
        async with HttpServer(flood) as server:
            outcome = await caller.post(server.url(), SECRET, "id", 1, b"{}")
            assert outcome == type(outcome)(Told.TOLD, 200, "")
        assert sent[0] < 64 * 2**20
        async with HttpServer(headers) as server:
            outcome = await caller.post(server.url(), SECRET, "id", 1, b"{}")
            assert outcome.end is Told.FAILED

    asyncio.run(main())


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    async def main() -> None:
        hit = []
        context = own_certificate()
        server = await asyncio.start_server(lambda *_: hit.append(1), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        outcome = await Caller(AllowedAddresses.of(["loopback"]), "1").post(f"https://127.0.0.1:{port}/", SECRET, "id", 1, b"{}")
        assert outcome.end is Told.FAILED and "ertificate" in outcome.note and not hit
        server.close()

    asyncio.run(main())


def own_certificate() -> ssl.SSLContext:
    import datetime
    import tempfile

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    at = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(at).not_valid_after(at.replace(year=2100))
    certificate = made.sign(key, hashes.SHA256())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        form = serialization.PrivateFormat.PKCS8
        file.write(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name)
    return context


# --- nothing is lost -----------------------------------------------------------------------------------------------------------


def test_what_was_decided_and_never_told_is_read_from_the_blocks_at_the_next_start(tmp_path: Path) -> None:
    """The node is killed between the decision and the row."""
    chain = Chain()

    async def before(chain: Chain, callbacks: CallbackService) -> None:
        await callbacks.add("thing", A, "http://127.0.0.1:1/", SECRET, "")
        chain.decide(AGREED, told=False)
        chain.decide(FINAL, told=False)

    played(before, tmp_path, chain=chain)

    async def after(chain: Chain, callbacks: CallbackService) -> None:
        await until(lambda: has(callbacks, 2))
        assert [name for name, _ in await states(callbacks)] == ["agreed", "final"]

    played(after, tmp_path, chain=chain)


async def has(callbacks: CallbackService, count: int, ref: bytes = A) -> bool:
    return len(await states(callbacks, ref)) == count


def test_an_answer_that_the_node_did_not_live_to_note_is_asked_for_again(tmp_path: Path) -> None:
    """At least once, with the same id: the receiver does it once."""

    async def first(chain: Chain, callbacks: CallbackService) -> None:
        server = HttpServer(hang)
        async with server:
            await callbacks.add("thing", A, server.url(), SECRET, "")
            chain.decide(FINAL)
            await server.until(1)
        seen.append(server.posts[0].id)

    seen: list[str] = []
    chain = Chain()
    played(first, tmp_path, chain=chain)

    async def second(chain: Chain, callbacks: CallbackService) -> None:
        assert await states(callbacks) == [("final", "WAITING")]
        found = await callbacks.show(A)
        assert found is not None and found[1][0].id == seen[0]

    played(second, tmp_path, chain=chain)


def test_a_disk_that_refuses_costs_time_and_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(chain: Chain, callbacks: CallbackService) -> None:
        async with HttpServer() as server:
            await callbacks.add("thing", A, server.url(), SECRET, "")
            kept, left = CallbackDatabase.note, [3]

            def note(self: CallbackDatabase, *given: object) -> list[NewRow]:
                left[0] -= 1
                if left[0] >= 0:
                    raise sqlite3.OperationalError("database or disk is full")
                return kept(self, *given)  # type: ignore[arg-type]

            tried, refused = CallbackDatabase.tried, [2]

            def once(self: CallbackDatabase, *given: object) -> None:
                refused[0] -= 1
                if refused[0] >= 0:
                    raise sqlite3.OperationalError("database or disk is full")
                tried(self, *given)  # type: ignore[arg-type]

            monkeypatch.setattr(CallbackDatabase, "note", note)
            monkeypatch.setattr(CallbackDatabase, "tried", once)
            chain.decide(AGREED)
            chain.decide(FINAL)
            await ended(callbacks)
            assert [post.id.rpartition(":")[2] for post in server.posts] == ["agreed"] * 3 + ["final"]

    played(play, tmp_path)


def test_after_the_last_word_nothing_more_is_told_though_it_waits(tmp_path: Path) -> None:
    async def play(chain: Chain, callbacks: CallbackService) -> None:
        for ref in (A, B):
            await callbacks.add("thing", ref, "http://127.0.0.1:1/", SECRET, "")
        chain.decide(FAILED)
        chain.decide(AGREED, ("thing_final", "b"))
        await until(lambda: has(callbacks, 1, B))
        assert [name for name, _ in await states(callbacks)] == ["failed"]

    played(play, tmp_path)


# --- users and bounds ----------------------------------------------------------------------------------------------------------


def target(name: str, owner: str = "", created: int = 0) -> CallbackTarget:
    return CallbackTarget(ref_of(name), "thing", "https://example.org/", SECRET, owner, created)


def test_the_number_of_targets_is_bounded_for_each_and_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_OPEN", 3)
    monkeypatch.setattr(stored, "MAX_TARGETS", 5)
    db = CallbackDatabase(tmp_path / "db", CHAIN, OWN)
    assert all(db.add(target(f"x{n}", "x"), 1) for n in range(3))
    with pytest.raises(TooManyTargets, match="one requester"):
        db.add(target("x3", "x"), 1)
    assert db.add(target("y0", "y"), 1) and db.add(target("y1", "y"), 1)
    with pytest.raises(TooManyTargets, match="a node keeps"):
        db.add(target("y2", "y"), 1)
    db.note([NewRow(ref_of("x1"), "final", b"{}", True)], None, 5)
    _, row = db.head(ref_of("x1"))  # type: ignore[misc]
    db.tried(row, RowState.DELIVERED, 0, 200, "", 6)
    assert db.target(ref_of("x1")).secret == b""  # type: ignore[union-attr]
    assert db.add(target("y2", "y"), 1) and db.target(ref_of("x1")) is None and db.rows(ref_of("x1")) == []
    assert len(db.targets("y", 10)) == 3 and len(db.targets(None, 4)) == 4
    db.close()


def test_the_file_is_its_owners_alone_and_of_one_network(tmp_path: Path) -> None:
    path = tmp_path / "db"
    CallbackDatabase(path, CHAIN, OWN).close()
    assert path.stat().st_mode & 0o077 == 0
    for chain_id, own in ((b"x" * 32, OWN), (CHAIN, b"x" * 20)):
        with pytest.raises(CallbackDatabaseError, match="another identity or network"):
            CallbackDatabase(path, chain_id, own)
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(CallbackDatabaseError, match="cannot be opened"):
        CallbackDatabase(path, CHAIN, OWN)


# --- from one start to the next --------------------------------------------------------------------------------------------------


class Sealed(Thing):
    """A thing whose data this node can open: `a` has a secret, `b` has none here."""

    def part(self) -> CallbackPart:
        return super().part()._replace(secret_of=self.secret_of, opened=self.opened)

    def secret_of(self, reader: object, ref: bytes) -> tuple[str, bytes]:
        return "thing.key", ref

    def opened(self, reader: object, ref: bytes, data: dict[str, Any], secret: bytes) -> dict[str, Any]:
        return data | {"opened": secret.decode()}


async def test_what_this_node_keeps_makes_plain_what_it_tells_also_after_a_kill(tmp_path: Path) -> None:
    chain = Chain()

    async def kept(kind: str, beginning: bytes = b"") -> list[Secret]:
        return [Secret(kind, A, b"", b"in plain")] if (kind, beginning) == ("thing.key", A) else []

    chain.kept = kept  # type: ignore[method-assign]
    async with HttpServer() as server, asyncio.timeout(30 * SLOW):
        first = service(tmp_path, chain, Sealed())
        await first.start()
        for ref in (A, B):
            assert await first.add("thing", ref, server.url(), SECRET, "")
        chain.decide(AGREED, ("thing_agreed", "b"))
        await server.until(2)
        await first.stop()
        chain.decide(FINAL, told=False)
        again = service(tmp_path, chain, Sealed())
        await again.start()
        await ended(again)
        await again.stop()
    told = {post.id: post.said["data"].get("opened") for post in server.posts}
    assert told == {f"{A.hex()}:agreed": "in plain", f"{B.hex()}:agreed": None, f"{A.hex()}:final": "in plain"}


async def test_a_callback_lives_no_longer_than_its_token(tmp_path: Path) -> None:
    """What waits is posted no more, what comes is not noted, its secret goes; the owner's own and another token's go on."""
    chain, ended = Chain(), dict[str, str]()
    made = service(tmp_path, chain, why_not=lambda owner, now: ended.get(owner))
    async with HttpServer(status(500)) as server:
        await made.start()
        for name, owner in (("a", "t1"), ("b", "t1"), ("c", "t2"), ("d", "")):
            assert await made.add("thing", ref_of(name), server.url(f"/{name}"), SECRET, owner)
        chain.decide(*(("thing_agreed", name) for name in "acd"))
        await server.until(3)
        ended["t1"] = "it was revoked"
        shown = {one.ref[:1].decode(): one.state.name for one in await made.targets(None, 10)}
        assert shown == {"a": "REVOKED", "b": "REVOKED", "c": "OPEN", "d": "OPEN"}
        found = await made.show(ref_of("a"))
        assert found is not None and found[0].secret == b""
        assert [(row.state.name, row.note) for row in found[1]] == [("GIVEN_UP", "token t1 asked for this, and it was revoked")]
        assert await made.retry(ref_of("a")) == 0
        server.answers = [status(204)]
        chain.decide(*(("thing_final", name) for name in "abcd"))

        async def told() -> bool:
            return {one.state.name for one in await made.targets("t2", 9) + await made.targets("", 9)} == {"ENDED"}

        await until(told)
        since = len(server.posts)
        assert [len((await made.show(ref_of(name)))[1]) for name in "abcd"] == [1, 0, 2, 2]  # type: ignore[index]
    await made.stop()
    again = service(tmp_path, chain)  # another look at the same file: nothing of the token's is taken up again
    await again.start()
    assert len(server.posts) == since and again.metrics()["rows"]["waiting"] == 0
    await again.stop()


async def test_an_attempt_looks_at_the_token_first_and_tokens_that_cannot_be_read_end_nothing(tmp_path: Path) -> None:
    chain, says = Chain(), ["broken"]

    def why_not(owner: str, now: int) -> str | None:
        if says[0] == "broken":
            raise TokenError("the file cannot be read")
        return says[0] or None

    made = service(tmp_path, chain, why_not=why_not)
    async with HttpServer(status(204)) as server:
        await made.start()
        assert await made.add("thing", ref_of("a"), server.url(), SECRET, "t1")
        chain.decide(("thing_agreed", "a"))

        async def noted() -> bool:
            return bool(made.metrics()["rows"].get("waiting"))

        await until(noted)
        assert server.posts == []
        says[0] = ""
        await server.until(1)
        says[0] = "it has expired"
        chain.decide(("thing_final", "a"))

        async def over() -> bool:
            return made.metrics()["rows"]["given_up"] == 1

        await until(over)
        assert [post.id.rpartition(":")[2] for post in server.posts] == ["agreed"]
    await made.stop()


def test_an_event_while_an_attempt_fails_makes_the_next_one_no_sooner(tmp_path: Path) -> None:
    async def play(chain: Chain, callbacks: CallbackService) -> None:
        async with HttpServer(hang) as server:
            await callbacks.add("thing", A, server.url(), SECRET, "")
            chain.decide(AGREED)
            await server.until(1)
            chain.decide(FINAL)
            await until(lambda: failed(callbacks))
            due = callbacks._schedule.next_due()
            assert due is not None and due >= 10**8

    async def failed(callbacks: CallbackService) -> bool:
        return callbacks.metrics()["attempts"] == {"failed": 1} and callbacks.metrics()["running"] == 0

    played(play, tmp_path, answer_s=0.3 * SLOW, now=lambda: 1_000, times=RetryTimes(first=10**8, most=10**8, until=10**12, disk=5))
