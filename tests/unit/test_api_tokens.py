"""Tokens that may do less than everything: every route names what it needs, and a limit is counted before anything is signed."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import structlog

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.membership import Invite, invitation_id
from learningchain.chain.contracts.prediction.records import terms_key as request_terms_key
from learningchain.chain.crypto import SigningKey, address
from learningchain.chain.types import format_credits, parse_credits
from learningchain.client.api import events
from learningchain.client.api.errors import RequestError
from learningchain.client.api.route import ServerLimits
from learningchain.client.api.submit import submit
from learningchain.client.api.table import ROUTES
from learningchain.client.contracts.prediction.http.postings import asked_privately, build_request
from learningchain.client.contracts.prediction.http.schema import PredictionRequest
from learningchain.client.keys import tokens as module
from learningchain.client.keys.tokens import DAY_MS, MAX_TOKENS, LimitReached, Token, TokenError, Tokens, TokenScope, now_ms
from tests.unit.api_kit import CREDIT, Api, serving
from tests.unit.test_api_files import pieces
from tests.unit.test_api_predictions import ROW, served

pytest_plugins = ["tests.unit.client_cli_kit"]

NOW = 1_800_000_000_000


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[Tokens]:
    made = Tokens(tmp_path / "tokens.db")
    yield made
    made.close()


def made(
    tokens: Tokens, can: TokenScope, most: int | None = None, days: float | None = None, now: int | None = None
) -> tuple[Token, str]:
    return tokens.new(can, most=most, days=days, label="", now=now_ms() if now is None else now)


# --- every route ---------------------------------------------------------------------------------------------------------------


async def test_every_route_refuses_each_token_that_may_less_than_it_needs_and_no_other(api: Api, tokens: Tokens) -> None:
    """Over the whole table, contracts' routes included: a query that no route takes ends each request behind the check."""
    texts = {scope: made(tokens, scope)[1] for scope in TokenScope}
    seen: set[TokenScope] = set()
    for _, route in ROUTES:
        path = re.sub(r"{\w+}", "x", route.path) + "?no_such_parameter=1"
        for scope, text in texts.items():
            status, answer = await api.call(route.method, path, token=text)
            if route.public or (scope >= route.needs and not route.owner):
                assert status == 400, f"{route.method} {route.path} with a token that may {scope.word}: {answer}"
            else:
                seen.add(route.needs)
                assert status == 403 and answer["error"]["name"] == "TOKEN_SCOPE", f"{route.method} {route.path}"
                assert ("api.token" if route.owner and scope >= route.needs else route.needs.word) in answer["error"]["message"]
    assert {TokenScope.POST, TokenScope.ALL} <= seen


async def test_no_token_that_was_made_says_whose_the_account_is_or_ends_it(api: Api, tokens: Tokens) -> None:
    """One with a limit of 5 credits for a day named its holder the guardian of the account, and had all of it a day later."""
    thief = address(b"t" * 20)
    _, text = made(tokens, TokenScope.ALL, most=5 * CREDIT, days=1)
    guardians = {"guardians": [thief], "threshold": 1, "delay": DAY_MS}
    empty: tuple[str, ...] = ("/v1/key", "/v1/recoveries", "/v1/objections", "/v1/leave")
    for path, body in (("/v1/guardians", guardians), *((path, {}) for path in empty)):
        error = await api.refused("POST", path, 403, token=text, json=body)
        assert error["name"] == "TOKEN_SCOPE" and "api.token" in error["message"]


def test_what_changes_something_is_never_open_to_readers() -> None:
    """Only what sends nothing, and says so here, may be asked with a POST by a token that reads."""
    harmless = {"/v1/events/tickets", "/v1/jobs/quote", "/v1/predictions/quote", "/v1/federations/quote"}
    for _, route in ROUTES:
        if route.method != "GET" and route.path not in harmless:
            assert not route.public and route.needs > TokenScope.READ, f"{route.method} {route.path}"


def test_who_may_post_and_pay_neither_stops_runs_nor_removes_data_nor_votes() -> None:
    """What a route does not say it needs is everything: a program that posts jobs is not to decide for the account."""
    of_all = {
        ("DELETE", "/v1/runs/{run}"),
        ("DELETE", "/v1/data/{name}"),
        ("POST", "/v1/transfers"),
        ("POST", "/v1/proposals"),
        ("POST", "/v1/votes"),
        ("POST", "/v1/withdrawals"),
        ("POST", "/v1/invitations"),
        ("POST", "/v1/judgements"),
        ("POST", "/v1/box-key"),
        ("POST", "/v1/federations/{federation}/preview"),
        ("GET", "/v1/federations/{federation}/own"),
        ("GET", "/v1/predictions/{request}/key"),
    }
    needs = {(route.method, route.path): route.needs for _, route in ROUTES}
    assert {needs[place] for place in of_all} == {TokenScope.ALL}


async def test_the_full_token_stays_and_nonsense_is_nobody(api: Api, tokens: Tokens) -> None:
    assert (await api.get("/v1/status"))["height"] == 0
    _, text = made(tokens, TokenScope.ALL)
    for wrong in (
        text[:-1],
        text + "x",
        text.replace("lct_", "lct-"),
        "lct_",
        "lct_00000000_" + "A" * 43,
        text[:13] + "A" * 43,
        "é",
    ):
        error = await api.refused("GET", "/v1/status", 401, token=wrong.encode().decode("latin-1"))
        assert error["name"] == "UNAUTHORIZED"


async def test_a_revoked_and_an_expired_token_end_at_once(api: Api, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, text = made(tokens, TokenScope.READ)
    assert (await api.call("GET", "/v1/status", token=text))[0] == 200
    tokens.revoke(gone.id, now_ms())
    assert "revoked" in (await api.refused("GET", "/v1/status", 401, token=text))["message"]
    _, text = made(tokens, TokenScope.READ, days=1.0, now=now_ms() - DAY_MS)
    assert "expired" in (await api.refused("GET", "/v1/status", 401, token=text))["message"]


async def test_an_open_stream_ends_when_its_token_does(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.db")
    async with serving(tmp_path, limits=ServerLimits(heartbeat_s=0.05)) as api:
        gone, text = made(tokens, TokenScope.READ)
        async with api.session.get(f"{api.url}/v1/events", headers={"Authorization": f"Bearer {text}"}) as response:
            assert response.status == 200 and await response.content.readline() == b": ok\n"
            tokens.revoke(gone.id, now_ms())
            async with asyncio.timeout(20):
                await response.content.read()  # returns when the node ends the stream
    tokens.close()


async def test_a_stream_ends_where_nobody_can_say_whether_its_token_is_good(tokens: Tokens) -> None:
    token, _ = made(tokens, TokenScope.READ)

    class Quiet:
        dropped = False

        async def take(self) -> bytes:
            await asyncio.sleep(0)
            return b""

    def damaged() -> Tokens:
        raise TokenError("the file is damaged")

    call: Any = SimpleNamespace(token=token, context=SimpleNamespace(tokens=damaged))
    response, listener = mock.AsyncMock(), Quiet()
    async with asyncio.timeout(20):
        await events._pump(call, response, listener, heartbeat_s=0.01)  # type: ignore[arg-type]


async def test_a_damaged_file_lets_nobody_in_and_keeps_the_full_token(tmp_path: Path) -> None:
    (tmp_path / "tokens.db").write_bytes(b"no database" * 100)
    async with serving(tmp_path) as api:
        await api.get("/v1/status")
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                refused = await api.refused("GET", "/v1/status", 401, token="lct_00000000_" + "A" * 43)
                assert refused["name"] == "UNAUTHORIZED"
    assert [line["event"] for line in logs] == ["tokens cannot be read"], "once: strangers fill no log"


async def test_a_token_that_ended_makes_nobody_known(tmp_path: Path) -> None:
    """Whoever had one would not take turns with the other strangers, for as long as it likes."""
    limits = ServerLimits(strangers_per_s=0.001, strangers_at_once=1)
    with closing(Tokens(tmp_path / "tokens.db")) as tokens:
        gone, text = made(tokens, TokenScope.READ)
        tokens.revoke(gone.id, now_ms())
    async with serving(tmp_path, limits=limits) as api:
        assert "revoked" in (await api.refused("GET", "/v1/status", 401, token=text))["message"]
        waits = asyncio.create_task(api.call("GET", "/v1/status", token=text))
        for _ in range(10):
            await api.get("/v1/status")
        assert not waits.done()
        waits.cancel()


def test_no_route_signs_around_the_limit() -> None:
    """Whatever the API has signed goes through `client.api.submit`, which counts it."""
    root = Path(module.__file__).parents[1]
    api = [*(root / "api").rglob("*.py"), *(root / "contracts").rglob("*api*.py")]
    assert len(api) > 10
    assert [path.name for path in api if "ledger.submit(" in path.read_text()] == ["submit.py"]


# --- spending ------------------------------------------------------------------------------------------------------------------


async def send(api: Api, text: str, amount: str) -> tuple[int, Any]:
    body = {"to": address(api.node.ledger.ids["n1"]), "amount": amount}
    return await api.call("POST", "/v1/transfers?wait=5", token=text, json=body)


async def test_a_limit_holds_before_anything_is_signed(api: Api, tokens: Tokens) -> None:
    _, text = made(tokens, TokenScope.ALL, most=5 * CREDIT)
    assert (await send(api, text, "3"))[0] == 200
    height = api.node.ledger.height
    status, answer = await send(api, text, "2.000001")
    assert (status, answer["error"]["name"]) == (403, "TOKEN_LIMIT")
    assert "5 credits 2 are left" in answer["error"]["message"]
    assert api.node.ledger.height == height, "nothing was signed"
    assert (await send(api, text, "2"))[0] == 200
    assert (await send(api, text, "0.000001"))[0] == 403
    assert tokens.rows()[0].spent == 5 * CREDIT


async def test_no_more_is_signed_for_a_counted_caller_than_what_was_counted(api: Api, tokens: Tokens) -> None:
    """A model's owner may raise its price in the very block: a request that allows all would then lock all."""
    api.node.ledger.declare()
    model = await served(api)
    for most, asked, allowed in ((CREDIT, "900", None), (CREDIT, None, None), (None, "900", 900 * CREDIT)):
        _, text = made(tokens, TokenScope.PREDICT, most=most)
        body = {"model": model, "n": 3, **ROW} | ({"max_charge": asked} if asked else {})
        status, answer = await api.call("POST", "/v1/predictions?wait=10", token=text, json=body)
        assert status == 200, answer
        charge = parse_credits(answer["charge"])
        terms: Any = api.node.ledger.state.get(request_terms_key(bytes.fromhex(answer["request"])))
        assert terms.terms.max_charge == (allowed or charge)
        assert most is None or tokens.rows()[-1].spent == charge
    _, text = made(tokens, TokenScope.PREDICT, most=CREDIT)
    lower = {"model": model, "n": 3, **ROW, "max_charge": "0.000001"}
    status, answer = await api.call("POST", "/v1/predictions?wait=10", token=text, json=lower)
    assert (status, answer["error"]["name"]) == (409, "CHARGE_TOO_HIGH"), "a caller may allow less"


async def test_what_a_block_decides_counts_as_what_the_message_allows(api: Api, tokens: Tokens) -> None:
    """A kind, not the one message: whoever signs one of these by another route is counted by what it allows, too."""
    api.node.ledger.declare()
    model = await served(api)
    body = PredictionRequest(model=model, n=3, rows=[[0.1, 0.7]], max_charge="900")
    asked, _ = asked_privately(body, bytes)
    quoted = build_request(body, api.node.ledger.state, asked, api.node.ledger.clock)
    token, _ = made(tokens, TokenScope.ALL, most=5 * CREDIT)
    call: Any = SimpleNamespace(node=api.node, token=token, context=SimpleNamespace(tokens=lambda: tokens))
    with pytest.raises(RequestError, match="takes 900 credits"):
        await submit(call, "The request", quoted)
    assert tokens.rows()[-1].spent == 0


async def test_a_token_keeps_a_share_of_the_files_and_can_give_it_back(api: Api, tokens: Tokens, tmp_path: Path) -> None:
    """Whatever it may spend: what it has kept never takes the owner's room, nor the spool more than its share."""
    files = api.node.files
    files.quota = 4_000
    token, text = made(tokens, TokenScope.POST, 0)
    status, one = await api.call("POST", "/v1/files", data=b"a" * 600, token=text)
    assert status == 200 and files.kept == [(one["cid"], f"user:{token.id}")]
    for upload in (b"b" * 500, pieces(b"b" * 500)):
        refused = await api.refused("POST", "/v1/files", 503, data=upload, token=text)
        assert refused["name"] == "QUOTA_FULL" and "400 bytes of this token's share" in refused["message"]
    assert not list((tmp_path / "spool").iterdir()) and len(files.added) == 1
    assert (await api.call("POST", "/v1/files", data=b"c" * 3_000))[0] == 200, "the owner's room is untouched"
    assert (await api.refused("POST", "/v1/files", 503, data=b"d" * 500))["name"] == "QUOTA_FULL"

    assert [kept["size"] for kept in await api.get("/v1/files", token=text)] == [600], "it sees its own"
    everything = await api.get("/v1/files")
    assert [(kept["size"], kept["by"]) for kept in everything] == [(600, token.id), (3_000, None)]
    assert (await api.refused("DELETE", f"/v1/files/{everything[1]['cid']}", 404, token=text))["name"] == "NOT_KEPT"
    assert (await api.call("DELETE", f"/v1/files/{one['cid']}", token=text))[0] == 200
    assert (await api.call("POST", "/v1/files", data=b"b" * 900, token=text))[0] == 200
    (other,) = await api.get("/v1/files", token=text)
    assert (await api.call("DELETE", f"/v1/files/{other['cid']}"))[0] == 200, "the owner takes back what a token keeps"


async def test_tokens_of_less_leave_the_owner_a_place(tmp_path: Path, tokens: Tokens) -> None:
    """Each has a quarter of the places and all have half, whatever they ask for at the same time."""
    async with serving(tmp_path, limits=ServerLimits(downloads=8)) as api:
        files = api.node.files
        files.hold, cid = asyncio.Event(), files.put(b"a file")
        readers = [made(tokens, TokenScope.READ)[1] for _ in range(3)]
        held = [asyncio.create_task(api.call("GET", f"/v1/files/{cid}", token=reader)) for reader in readers[:2] * 2]
        async with asyncio.timeout(20):
            while files.waiting < 4:
                await asyncio.sleep(0.01)
        for reader in readers:
            refused = await api.refused("GET", f"/v1/files/{cid}", 503, token=reader)
            assert refused["name"] == "TOO_MANY" and "for this token" in refused["message"]
        held += [asyncio.create_task(api.call("GET", f"/v1/files/{cid}")) for _ in range(4)]
        async with asyncio.timeout(20):
            while files.waiting < 8:
                await asyncio.sleep(0.01)
        files.hold.set()
        assert [status for status, _ in await asyncio.gather(*held)] == [200] * 8
        assert (await api.call("GET", f"/v1/files/{cid}", token=readers[2]))[0] == 200, "given back"


async def test_what_was_not_sent_is_not_counted(api: Api, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    from learningchain.chain.errors import InvalidTx, TxCode

    _, text = made(tokens, TokenScope.ALL, most=5 * CREDIT)
    assert (await send(api, text, "2000"))[0] == 409, "more than the account has"
    assert tokens.rows()[0].spent == 0

    async def full(*_: Any, **__: Any) -> bytes:
        assert tokens.rows()[0].spent == 3 * CREDIT, "counted before it is signed"
        raise InvalidTx(TxCode.MEMPOOL_FULL, "full")

    monkeypatch.setattr(api.node.ledger, "submit", full)
    assert (await send(api, text, "3"))[0] == 409
    assert tokens.rows()[0].spent == 0


async def test_what_may_have_left_the_node_stays_counted(api: Api, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes its connection as soon as the message was signed spends what it spends."""
    token, _ = made(tokens, TokenScope.ALL, most=5 * CREDIT)
    call: Any = SimpleNamespace(node=api.node, token=token, context=SimpleNamespace(tokens=lambda: tokens))
    submit_raw = api.node.ledger.submit_raw

    async def cut(raw: bytes) -> bytes:
        await submit_raw(raw)
        raise asyncio.CancelledError

    monkeypatch.setattr(api.node.ledger, "submit_raw", cut)
    with pytest.raises(asyncio.CancelledError):
        await submit(call, "This", Transfer(api.node.ledger.ids["n1"], 3 * CREDIT, b""))
    assert tokens.rows()[0].spent == 3 * CREDIT


async def test_many_requests_at_once_do_not_spend_more(api: Api, tokens: Tokens) -> None:
    _, text = made(tokens, TokenScope.ALL, most=5 * CREDIT)
    statuses = [status for status, _ in await asyncio.gather(*(send(api, text, "1") for _ in range(12)))]
    assert sorted(statuses) == [200] * 5 + [403] * 7


async def test_a_bounty_counts_with_all_that_it_locks(api: Api, tokens: Tokens) -> None:
    """What leaves the free credits, whatever the contract calls it."""
    from learningchain.client.api.submit import try_out

    ledger = api.node.ledger
    ledger.declare()
    before: Any = ledger.state.get(b"a/" + ledger.own_id)
    posting = ledger.posting()
    spends = try_out(ledger, posting)
    assert spends >= posting.bounty
    ledger.block(boss=posting)
    after: Any = ledger.state.get(b"a/" + ledger.own_id)
    assert before.balance - after.balance == spends


async def test_what_comes_back_to_the_account_lifts_no_limit(api: Api, tokens: Tokens) -> None:
    """Or whoever may spend 5 credits would lock and free others' invitations until the limit is what it likes."""
    ledger = api.node.ledger
    key = SigningKey(b"i" * 32).public
    invitation = invitation_id(key)
    assert ledger.block(boss=Invite(key, ledger.clock + DAY_MS, 7 * CREDIT)) == [0]
    _, text = made(tokens, TokenScope.ALL, most=5 * CREDIT)
    assert (await send(api, text, "3"))[0] == 200
    before: Any = ledger.state.get(b"a/" + ledger.own_id)
    assert (await api.call("POST", "/v1/revocations?wait=5", token=text, json={"invitation": invitation.hex()}))[0] == 200
    after: Any = ledger.state.get(b"a/" + ledger.own_id)
    assert after.balance - before.balance == 7 * CREDIT
    assert tokens.rows()[0].spent == 3 * CREDIT
    assert (await send(api, text, "2.000001"))[0] == 403


# --- the file ------------------------------------------------------------------------------------------------------------------


def test_what_was_counted_stays_counted_and_no_secret_lies_on_the_disk(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.db")
    token, text = made(tokens, TokenScope.POST, most=10)
    tokens.charge(token, 7, now_ms())
    tokens.close()
    again = Tokens(tmp_path / "tokens.db")
    assert again.rows()[0].spent == 7
    with pytest.raises(LimitReached, match=format_credits(3)):
        again.charge(token, 4, now_ms())
    again.close()
    secret = text.split("_", 2)[2].encode()
    assert all(secret not in path.read_bytes() for path in tmp_path.iterdir())
    assert (tmp_path / "tokens.db").stat().st_mode & 0o777 == 0o600


def test_a_charge_of_a_token_that_ended_meanwhile_is_refused(tokens: Tokens) -> None:
    token, _ = made(tokens, TokenScope.POST, days=1, now=NOW)
    tokens.charge(token, 1, NOW)
    with pytest.raises(LimitReached, match="expired"):
        tokens.charge(token, 1, NOW + DAY_MS)
    tokens.revoke(token.id, NOW)
    with pytest.raises(LimitReached, match="revoked"):
        tokens.charge(token, 1, NOW)


def test_bounds_of_a_token(tokens: Tokens) -> None:
    for days in (0, -1, 3_651, float("nan"), float("inf")):
        with pytest.raises(TokenError, match="days"):
            tokens.new(TokenScope.READ, most=None, days=days, label="", now=NOW)
    for label in ("x" * 65, "a\nb"):
        with pytest.raises(TokenError, match="label"):
            tokens.new(TokenScope.READ, most=None, days=None, label=label, now=NOW)
    with pytest.raises(TokenError, match="no token"):
        tokens.revoke("nothing", NOW)


def test_tokens_are_bounded_and_old_ones_go(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 3)
    first, _ = made(tokens, TokenScope.READ, days=1, now=NOW)
    for _ in range(2):
        made(tokens, TokenScope.READ, now=NOW)
    with pytest.raises(TokenError, match="most that are kept"):
        made(tokens, TokenScope.READ, now=NOW)
    made(tokens, TokenScope.READ, now=NOW + 92 * DAY_MS)
    assert first.id not in {token.id for token in tokens.rows()}
    assert MAX_TOKENS == 256


def test_who_looks_a_token_up_waits_for_nobody_who_writes(tokens: Tokens, tmp_path: Path) -> None:
    """The loop that votes does, and a charge holds the file while it syncs."""
    token, text = made(tokens, TokenScope.POST, most=5 * CREDIT)
    assert [tokens._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")] == ["wal", 2]
    assert tokens._reads.execute("PRAGMA busy_timeout").fetchone()[0] <= 100, "milliseconds"
    writer = sqlite3.connect(tmp_path / "tokens.db", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("UPDATE tokens SET spent = 7")
    assert tokens.find(text) == token and tokens.is_good(token, token.created)
    writer.execute("ROLLBACK")
    writer.close()


# --- the commands --------------------------------------------------------------------------------------------------------------


def test_a_token_is_made_shown_once_listed_and_revoked(run: Any, tmp_path: Path) -> None:
    done = run("token", "new", "--can", "predict", "--max", "5", "--days", "30", "--label", "phone", "--data", tmp_path, "--json")
    assert done.code == 0, done.err
    text, id_ = done.json["token"], done.json["id"]
    assert (done.json["can"], done.json["max"], done.json["spent"]) == ("predict", "5", "0")
    listed = run("token", "list", "--data", tmp_path, "--json")
    assert listed.json[0]["id"] == id_ and listed.json[0]["usable"] is True
    assert text not in listed.out and text not in run("token", "list", "--data", tmp_path).out
    assert run("token", "revoke", id_, "--data", tmp_path).code == 0
    assert json.loads(run("token", "list", "--data", tmp_path, "--json").out)[0]["usable"] is False
    assert run("token", "revoke", "ffffffff", "--data", tmp_path).code == 2


@pytest.mark.parametrize("words", [["--max", "-1"], ["--max", "x"], ["--days", "0"], ["--days", "x"], ["--can", "everything"]])
def test_a_token_that_cannot_be_is_refused(run: Any, tmp_path: Path, words: list[str]) -> None:
    assert run("token", "new", *(["--can", "read"] if "--can" not in words else []), *words, "--data", tmp_path).code == 2
