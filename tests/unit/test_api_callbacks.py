"""Callbacks over HTTP: asked for, shown, tested, tried again, removed; whose they are; a message that waits for its callback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.client.addresses import AllowedAddresses
from learningchain.client.api.callbacks import WantedCallback
from learningchain.client.api.errors import RequestError
from learningchain.client.api.route import ServerLimits
from learningchain.client.api.submit import submit
from learningchain.client.callbacks.database import TargetState
from learningchain.client.callbacks.posting import Caller
from learningchain.client.callbacks.service import CallbackService
from learningchain.client.callbacks.signatures import parse_secret, secret_text, signature
from learningchain.client.keys.tokens import FULL, TokenFile, Tokens, TokenScope, now_ms
from tests.slow import SLOW
from tests.unit.api_kit import TOKEN, Api, serving
from tests.unit.callbacks_kit import QUICK, SECRET, Chain, HttpServer, Thing, hang, ref_of, status, until

A = ref_of("a")
GIVEN = secret_text(SECRET)


@asynccontextmanager
async def telling(tmp_path: Path, *, limits: ServerLimits | None = None, answer_s: float = 0.3 * SLOW) -> AsyncIterator[Api]:
    """A node that takes callbacks, where A has been agreed and is final."""
    async with serving(tmp_path, limits=limits) as api:
        thing = Thing()
        thing.state[A] = ["agreed", "final"]
        caller = Caller(AllowedAddresses.of(["loopback"]), "1", answer_s=answer_s)
        tokens = TokenFile(tmp_path / "tokens.db")
        service = CallbackService(
            tmp_path / "callbacks.db",
            api.node.ledger,  # type: ignore[arg-type]
            Chain(),
            {"thing": thing.part()},
            caller,
            times=QUICK,
            why_not=tokens.why_not,
        )
        await service.start()
        api.node.callbacks = service
        yield api
        await service.stop()
        tokens.close()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with telling(tmp_path) as api:
        yield api


def wanted(url: str, **more: Any) -> dict[str, Any]:
    return {"source": "thing", "ref": A.hex(), "url": url} | more


async def test_one_is_asked_for_and_shown_and_its_secret_only_once(api: Api) -> None:
    async with HttpServer() as server:
        made = await api.post("/v1/callbacks", wanted(server.url()))
        secret = parse_secret(made["secret"])

        async def ended() -> bool:
            return (await api.get(f"/v1/callbacks/{A.hex()}"))["state"] == "ended"  # type: ignore[no-any-return]

        await until(ended)
        for post in server.posts:
            then = int(post.headers["webhook-timestamp"])
            assert post.headers["webhook-signature"] == signature(secret, post.id, then, post.body)
    (shown,) = await api.get("/v1/callbacks")
    assert [(one["event"], one["state"], one["status"]) for one in shown["events"]] == [
        ("agreed", "delivered", 204),
        ("final", "delivered", 204),
    ]
    assert "secret" not in shown
    metrics = (await api.get("/metrics")).decode()
    assert 'lc_callbacks{state="delivered"} 2.0' in metrics and 'lc_callback_attempts_total{end="told"} 2.0' in metrics


async def test_what_is_not_taken_says_why(api: Api) -> None:
    inside = ("https://169.254.169.254/latest", "of this machine")
    for url, why in (inside, ("ftp://x", "begins with"), ("https://a:b@c.d/", "credentials")):
        error = await api.refused("POST", "/v1/callbacks", 400, json=wanted(url))
        assert error["name"] == "BAD_CALLBACK" and why in error["message"]
        assert why in (await api.refused("POST", "/v1/callbacks/test", 400, json={"url": url}))["message"]
    assert "What is: thing" in (await api.refused("POST", "/v1/callbacks", 400, json=wanted("https://a.b/", source="x")))["message"]
    await api.refused("POST", "/v1/callbacks", 400, json=wanted("https://a.b/", secret="whsec_YQ=="))
    await api.refused("POST", "/v1/callbacks", 400, json=wanted("https://a.b/", ref="zz"))
    await api.post("/v1/callbacks", wanted("http://127.0.0.1:1/"))
    error = await api.refused("POST", "/v1/callbacks", 409, json=wanted("http://127.0.0.1:2/"))
    assert error["name"] == "CALLBACK_EXISTS"
    await api.refused("GET", f"/v1/callbacks/{ref_of('b').hex()}", 404)
    api.node.callbacks = None
    await api.refused("GET", "/v1/callbacks", 503)


async def test_it_is_tested_tried_again_and_removed(api: Api) -> None:
    async with HttpServer(status(204), status(410), status(200)) as server:
        tested = await api.post("/v1/callbacks/test", {"url": server.url(), "secret": GIVEN})
        assert tested == {"taken": True, "status": 204, "note": ""}
        await api.post("/v1/callbacks", wanted(server.url(), secret=GIVEN))
        service = api.node.callbacks
        assert service is not None

        async def gone() -> bool:
            found = await service.show(A)
            return found is not None and found[0].state is TargetState.GONE

        await until(gone)
        assert (await api.post(f"/v1/callbacks/{A.hex()}/retry", {})) == {"events": 2}
        await server.until(4)
    assert (await api.call("DELETE", f"/v1/callbacks/{A.hex()}"))[1] == {"removed": True}
    assert await api.get("/v1/callbacks") == []


async def test_a_token_sees_and_ends_its_own_alone(api: Api, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.db")
    own, other, all_, read, post = (
        tokens.new(scope, most=None, days=1, label="", now=10**12 * 2)[1]
        for scope in (TokenScope.PREDICT, TokenScope.PREDICT, TokenScope.ALL, TokenScope.READ, TokenScope.POST)
    )
    await api.refused("POST", "/v1/callbacks", 403, token=read, json=wanted("http://127.0.0.1:1/"))
    assert (await api.call("POST", "/v1/callbacks", token=own, json=wanted("http://127.0.0.1:1/")))[0] == 200
    for token, seen in ((own, 1), (other, 0), (post, 0), (all_, 1)):
        assert len(await api.get("/v1/callbacks", token=token)) == seen
        assert (await api.call("GET", f"/v1/callbacks/{A.hex()}", token=token))[0] == (200 if seen else 404)
    for token in (other, post):
        assert (await api.call("DELETE", f"/v1/callbacks/{A.hex()}", token=token))[0] == 404
    assert (await api.call("DELETE", f"/v1/callbacks/{A.hex()}", token=own))[0] == 200
    tokens.close()


async def test_a_revoked_token_s_callbacks_end_and_say_so(api: Api, tmp_path: Path) -> None:
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        token, text = tokens.new(TokenScope.PREDICT, most=None, days=1, label="", now=now_ms())
        expired, late = tokens.new(TokenScope.PREDICT, most=None, days=1, label="", now=now_ms())
        async with HttpServer(status(500)) as server:
            other = ref_of("b").hex()
            for whose, ref in ((text, A.hex()), (late, ref_of("c").hex()), (TOKEN, other)):
                body = {"source": "thing", "ref": ref, "url": server.url()}
                assert (await api.call("POST", "/v1/callbacks", token=whose, json=body))[0] == 200
            await server.until(1)
            tokens.revoke(token.id, now_ms())
            tokens._run("UPDATE tokens SET expires = ? WHERE id = ?", now_ms() - 1, expired.id)
            listed = {one["ref"]: one for one in await api.get("/v1/callbacks")}
    assert [(listed[ref]["state"], listed[ref]["token"]) for ref in (A.hex(), ref_of("c").hex(), other)] == [
        ("revoked", token.id),
        ("revoked", expired.id),
        ("open", ""),
    ]
    assert {(event["state"], event["note"].partition(", and ")[2]) for event in listed[A.hex()]["events"]} == {
        ("given_up", "it was revoked")
    }
    refused = await api.refused("POST", f"/v1/callbacks/{A.hex()}/retry", 409, json={})
    assert refused["name"] == "TOKEN_ENDED" and token.id in refused["message"]


async def test_a_token_that_may_do_everything_is_still_not_the_owner_and_its_callbacks_end_with_it(
    api: Api, tmp_path: Path
) -> None:
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        token, text = tokens.new(TokenScope.ALL, most=None, days=1, label="", now=now_ms())
        assert (await api.call("POST", "/v1/callbacks", token=text, json=wanted("http://127.0.0.1:1/")))[0] == 200
        assert (await api.get(f"/v1/callbacks/{A.hex()}"))["token"] == token.id
        tokens.revoke(token.id, now_ms())
        assert (await api.get(f"/v1/callbacks/{A.hex()}"))["state"] == "revoked"


async def test_tests_of_a_server_that_hangs_take_places_of_requests_that_wait(tmp_path: Path) -> None:
    async with telling(tmp_path, limits=ServerLimits(waits=1), answer_s=60) as api, HttpServer(hang) as server:
        first = asyncio.create_task(api.call("POST", "/v1/callbacks/test", json={"url": server.url()}))
        await server.until(1)
        assert (await api.refused("POST", "/v1/callbacks/test", 503, json={"url": server.url()}))["name"] == "TOO_MANY"
        first.cancel()


async def test_a_callback_is_kept_before_its_message_leaves_and_goes_with_a_message_that_never_left(api: Api) -> None:
    """What a contract's route does: nothing can happen to a reference between the message and the callback."""
    service = api.node.callbacks
    assert service is not None
    seen: list[Any] = []

    class Stub:
        node, token = api.node, FULL

    call: Any = Stub()
    wish = WantedCallback(call, "thing", "http://127.0.0.1:1/", None)
    ledger, submit_raw = api.node.ledger, api.node.ledger.submit_raw

    async def watched(raw: bytes) -> bytes:
        seen.append(await service.show(A))
        return await submit_raw(raw)

    ledger.submit_raw = watched  # type: ignore[method-assign]
    async with wish:
        await submit(call, "This", Transfer(ledger.ids["n1"], 5, b""), before=lambda tx: wish.keep(A))
    assert seen[0] is not None and wish.secret is not None and await service.show(A) is not None
    other = WantedCallback(call, "thing", "http://127.0.0.1:1/", GIVEN)
    with pytest.raises(RequestError):
        async with other:
            await other.keep(ref_of("b"))
            await submit(call, "This", Transfer(ledger.ids["n1"], 10**18, b""))
    assert await service.show(ref_of("b")) is None and other.secret is None
    again = WantedCallback(call, "thing", "http://127.0.0.1:1/", GIVEN)
    with pytest.raises(RequestError, match="already"):
        async with again:
            await submit(call, "This", Transfer(ledger.ids["n1"], 5, b""), before=lambda tx: again.keep(A))
    assert await service.show(A) is not None and len(seen) == 1
