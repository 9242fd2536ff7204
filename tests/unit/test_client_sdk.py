"""The SDK against an API with fixed answers: what goes over the wire, what comes back, and every way in which it can fail."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import SigningKey, account_id, address, parse_address
from learningchain.chain.errors import TxCode
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.types import net_of
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, SetRequest
from learningchain.client.sdk import node as sdk_node
from learningchain.client.sdk import types as t
from learningchain.client.sdk.client import Client, SyncClient
from learningchain.client.sdk.files import appearing
from tests.unit.client_fake_api import (
    ACCOUNT,
    CHAIN,
    DONE,
    JOB,
    MODEL,
    OTHER,
    OWN,
    STATUS,
    TOKEN,
    TX,
    Fake,
    cid_of,
    refusal,
    serving,
)

KEY = SigningKey(bytes(range(1, 33)))
ME = address(account_id(KEY.public))


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with serving() as fake:
        yield fake


@pytest.fixture
def api(server: Fake) -> Iterator[Fake]:
    before = dict(server.answers)
    server.seen.clear()
    yield server
    server.hold.clear()
    server.answers = before


@pytest.fixture
async def node(api: Fake) -> AsyncIterator[Client]:
    async with Client(api.url, TOKEN, timeout_s=5) as client:
        yield client


async def test_reading(node: Client) -> None:
    assert await node.status() == STATUS
    assert await node.balance() == "12.5"
    assert (await node.account(OTHER))["id"] == OTHER
    assert (await node.history(limit=5))[0]["amount"] == "-2"
    assert (await node.accounts())[0] == ACCOUNT
    assert (await node.supply())["supply"] == "999"
    assert [event["topic"] for event in await node.job_events(JOB)][-2:] == ["claim", "job.posted"]
    assert [job["id"] async for job in node.every_job()] == [JOB]
    assert (await node.block())["txs"] == [TX]
    assert (await node.tx(TX))["code"] == 0
    assert (await node.receipt(7, 1))["tx"] == TX
    assert (await node.proof(b"g/"))["height"] == 7
    assert await node.handovers(start=3) == ["93"]
    assert [job["id"] for job in await node.jobs(live=True)] == [JOB]
    assert (await node.job(JOB))["winner"] == OTHER
    assert (await node.peers())[0]["id"] == OTHER
    assert (await node.run("r-17"))["phase"] == (await node.runs())[0]["phase"] == "train"
    assert (await node.cancel_run("r-17"))["cancelled"]
    assert await node.config() == {"name": "node"}


async def test_submitting(node: Client, api: Fake) -> None:
    assert (await node.transfer(OTHER, "1.5", memo="hello", wait=2))["height"] == 8
    assert api.seen[-1][2] == {"wait": "2"}
    assert api.bodies("POST", "/v1/transfers") == [{"to": OTHER, "amount": "1.5", "memo": "hello"}]
    image = ImageRequest(reference="x@sha256:" + "0" * 64)
    digits = SetRequest(cid="bafy", size=3, files=1, name="digits")
    posted = await node.submit_job(
        JobRequest(image=image, bounty="5", expires_in_s=60, finalists=2, params={"a": 1}, data=[digits])
    )
    assert posted["job"] == JOB and api.seen[-1][2] == {}
    (body,) = api.bodies("POST", "/v1/jobs")
    assert body["image"] == {"reference": "x@sha256:" + "0" * 64}
    assert (body["bounty"], body["expires_in_s"], body["finalists"], body["params"]) == ("5", 60, 2, {"a": 1})
    assert body["data"] == [{"cid": "bafy", "size": 3, "files": 1, "name": "digits", "use": "both"}]
    await node.judge(OTHER, confirm=True)
    assert api.bodies("POST", "/v1/judgements") == [{"account": OTHER, "confirm": True}]
    await node.release("job", JOB, give_back=True)
    assert api.bodies("POST", "/v1/releases") == [{"contract": "job", "ref": JOB, "give_back": True}]


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("rejected", 409, t.RejectedError),
        ("invalid", 409, t.InvalidError),
        ("usage", 400, t.UsageError),
        ("not_found", 404, t.NotFoundError),
        ("unauthorized", 401, t.UnauthorizedError),
        ("unavailable", 503, t.UnavailableError),
    ],
)
async def test_every_kind_of_error(node: Client, api: Fake, kind: str, status: int, error: type[t.ApiError]) -> None:
    api.answers["POST /v1/transfers"] = refusal(kind, status, 100, "SELF_TRANSFER")
    with pytest.raises(error) as e:
        await node.transfer(OTHER, "1")
    assert type(e.value) is error
    assert (e.value.code, e.value.name, e.value.kind) == (100, "SELF_TRANSFER", kind)
    assert e.value.as_json()["error"]["message"] == f"{kind} because of the test"


async def test_a_silent_node_is_given_up(api: Fake) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        async with Client(f"http://127.0.0.1:{s.getsockname()[1]}", TOKEN, timeout_s=0.2) as client:
            with pytest.raises(t.UnreachableError, match="in time"):
                await client.status()


async def test_an_endless_answer_is_cut(node: Client, api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learningchain.client.sdk.http.MAX_ANSWER", 1000)
    api.answers["GET /v1/status"] = STATUS | {"more": "x" * 2000}
    with pytest.raises(t.UnreachableError, match="sent more"):
        await node.status()


@pytest.mark.parametrize("text", ["../../etc", "a/b", "a?b=c", "", "a" * 200, "ä"])
async def test_ids_cannot_become_other_paths(node: Client, api: Fake, text: str) -> None:
    for call in (node.tx(text), node.job(text), node.account(text), node.cancel_run(text)):
        with pytest.raises(t.UsageError):
            await call
    assert api.seen == []


# --- transactions signed by the caller -----------------------------------------------------------------------------------------


async def test_own_transactions_carry_rising_sequences(node: Client, api: Fake) -> None:
    api.answers[f"GET /v1/accounts/{ME}"] = ACCOUNT | {"id": ME, "sequences": [4, 9, 0, 0]}
    op = Transfer(parse_address(OTHER), 5, b"")
    for lane in (0, 0, 1):
        await node.submit_tx([op], KEY, lane=lane, valid_for=10)
    sent = [parse_tx(bytes.fromhex(body["raw"])) for body in api.bodies("POST", "/v1/tx")]
    assert [(tx.body.lane, tx.body.sequence) for tx in sent] == [(0, 4), (0, 5), (1, 9)]
    assert all(tx.body.net == net_of(bytes.fromhex(CHAIN)) and tx.body.valid_until == 17 for tx in sent)
    assert all(tx.ops == [op] and address(tx.body.sender) == ME for tx in sent)


@pytest.mark.parametrize(
    ("answer", "error", "next_sequence"),
    [
        (refusal("rejected", 409, 1), t.RejectedError, 5),  # it stands in a block: the sequence is used
        (refusal("invalid", 409, TxCode.SEQUENCE_GAP), t.InvalidError, 4),  # it does not: the ledger's count stands
        (refusal("unavailable", 503), t.UnavailableError, 4),
    ],
)
async def test_sequences_after_a_refusal(node: Client, api: Fake, answer: Any, error: type[t.ApiError], next_sequence: int) -> None:
    api.answers[f"GET /v1/accounts/{ME}"] = ACCOUNT | {"id": ME}
    api.answers["POST /v1/tx"] = [answer, (200, DONE)]
    with pytest.raises(error):
        await node.submit_tx([Transfer(parse_address(OTHER), 5, b"")], KEY)
    await node.submit_tx([Transfer(parse_address(OTHER), 5, b"")], KEY)
    last = parse_tx(bytes.fromhex(api.bodies("POST", "/v1/tx")[-1]["raw"]))
    assert last.body.sequence == next_sequence


# --- files ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 600_000])
async def test_upload_names_what_was_sent(node: Client, api: Fake, tmp_path: Path, size: int) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(b"\x07" * size)
    seen: list[tuple[int, int]] = []
    stored = await node.upload(path, lambda done, total: seen.append((done, total)))
    assert stored == {"cid": cid_of(b"\x07" * size)[0], "size": size}
    assert api.seen[-1][3] == path.read_bytes()
    assert seen == sorted(seen) and (not size or seen[-1] == (size, size))


async def test_upload_that_the_node_names_otherwise(node: Client, api: Fake, tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(b"abc")
    api.answers["POST /v1/files"] = {"cid": cid_of(b"abd")[0], "size": 3}
    with pytest.raises(t.BadContentError):
        await node.upload(path)


async def test_model_is_saved_and_checked(node: Client, tmp_path: Path) -> None:
    seen: list[int] = []
    got = await node.fetch_model(JOB, tmp_path, on_progress=lambda done, _: seen.append(done))
    assert got.path == tmp_path / f"model-{JOB[:16]}"
    assert got.path.read_bytes() == MODEL
    assert (got.cid, got.sha256) == cid_of(MODEL) and got.size == len(MODEL) == seen[-1]
    with pytest.raises(t.UsageError, match="not overwritten"):
        await node.fetch_model(JOB, got.path)
    assert (await node.fetch_model(JOB, got.path, overwrite=True)).size == len(MODEL)


@pytest.mark.parametrize("wrong", [MODEL[:-1], MODEL + b"x", MODEL[:-1] + b"x", b"", MODEL * 3])
async def test_wrong_bytes_are_never_kept(node: Client, api: Fake, tmp_path: Path, wrong: bytes) -> None:
    api.answers[f"GET /v1/jobs/{JOB}/model"] = (200, wrong)
    with pytest.raises(t.BadContentError):
        await node.fetch_model(JOB, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# --- events --------------------------------------------------------------------------------------------------------------------


async def test_events(node: Client, api: Fake) -> None:
    api.answers["GET /v1/events"] = (
        200,
        b': hello\r\nretry: 10\r\n\r\nevent: block\r\ndata: {"height":8}\r\n\r\n'
        b'event: note\ndata: {"topic":\ndata: "claim"}\n\nevent: empty\n\ndata:[1]\n\n',
    )
    found = []
    with pytest.raises(t.UnreachableError, match="closed the stream"):
        async for event in node.watch(kinds=["block", "note"]):
            found.append(event)
    assert found == [t.Event("block", {"height": 8}), t.Event("note", {"topic": "claim"}), t.Event("message", {"value": [1]})]
    assert api.seen[-1][2] == {"kinds": "block,note"}


def whole(number: int) -> bytes:
    return f'id: 0123abcd-{number}\nevent: block\ndata: {{"height":{number}}}\n\n'.encode()


async def test_a_stream_that_breaks_goes_on_where_it_broke(node: Client, api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk_node, "WATCH_AGAIN_S", (0.0, 0.0, 0.0))
    busy = {"error": {"kind": "unavailable", "code": None, "name": "TOO_MANY_OWN", "message": "too many", "retry_after_s": None}}
    api.came_back.clear()
    api.answers["GET /v1/events"] = [
        (200, b": ok\nid: 0123abcd-0\n\n"),
        (200, whole(1) + whole(2) + b"id: 0123abcd-3\nevent: block\ndata: {cut"),
        (429, busy),
        (200, whole(3)),
    ]
    found, heights = node.watch(kinds=["block"]), []
    for _ in range(3):
        event = await anext(found)
        heights.append((event.data["height"], event.id))
    assert heights == [(number, f"0123abcd-{number}") for number in (1, 2, 3)], "each once, in order"
    assert api.came_back == [None, "0123abcd-0", "0123abcd-2", "0123abcd-2"]


async def test_a_stream_that_always_breaks_is_given_up(node: Client, api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk_node, "WATCH_AGAIN_S", (0.0, 0.0))
    api.came_back.clear()
    api.answers["GET /v1/events"] = (200, whole(1))
    with pytest.raises(t.UnreachableError):
        async for _ in node.watch():
            pass
    assert len(api.came_back) == 3, "whoever sends one event each time is not asked for ever"


# --- without await -------------------------------------------------------------------------------------------------------------


def test_everything_without_await(api: Fake, tmp_path: Path) -> None:
    with SyncClient(api.url, TOKEN) as node:
        assert node.status()["height"] == 7
        assert node.balance(OWN) == "12.5"
        assert node.transfer(OTHER, "1", wait=1)["height"] == 8
        assert node.fetch_model(JOB, tmp_path).size == len(MODEL)
        with pytest.raises(t.NotFoundError):
            node.tx("00" * 32)
        api.answers["GET /v1/events"] = (200, b'event: block\ndata: {"height":8}\n\n')
        api.hold.set()
        assert next(iter(node.watch())).data == {"height": 8}
    node.close()  # twice does no harm


def test_the_two_clients_offer_the_same_calls() -> None:
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public - {"url"} == {name for name in vars(SyncClient) if not name.startswith("_")}


# --- at the bounds -------------------------------------------------------------------------------------------------------------


async def test_a_proxy_of_the_environment_sees_no_token(api: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Client(api.url, TOKEN) as node:
        assert await node.status() == STATUS


async def test_an_event_of_many_lines_is_bounded_and_many_events_are_not(node: Client, api: Fake) -> None:
    line = b"data: " + b"1" * 1_000 + b"\n"
    api.answers["GET /v1/events"] = (200, line * 1_100 + b"\n")
    with pytest.raises(t.UnreachableError, match="more than"):
        await anext(node.watch())
    api.answers["GET /v1/events"] = (200, (b": " + b"x" * 1_000 + b"\n" + b"data: 1\n\n") * 1_500)
    found = []
    with pytest.raises(t.UnreachableError, match="closed the stream"):
        async for event in node.watch():
            found.append(event)
    assert len(found) == 1_500


async def test_another_identity_of_the_same_key_has_sequences_of_its_own(node: Client, api: Fake) -> None:
    """After a rotation the key is another than the one that the account was named by."""
    api.answers[f"GET /v1/accounts/{ME}"] = ACCOUNT | {"id": ME, "sequences": [4, 0, 0, 0]}
    api.answers[f"GET /v1/accounts/{OTHER}"] = ACCOUNT | {"id": OTHER, "sequences": [70, 0, 0, 0]}
    op = Transfer(parse_address(OWN), 5, b"")
    for sender in (None, parse_address(OTHER), None):
        await node.submit_tx([op], KEY, sender=sender)
    sent = [parse_tx(bytes.fromhex(body["raw"])).body for body in api.bodies("POST", "/v1/tx")]
    assert [(address(body.sender), body.sequence) for body in sent] == [(ME, 4), (OTHER, 70), (ME, 5)]


def test_a_file_appears_whole_or_not_at_all_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    place = tmp_path / "out"
    with pytest.raises(KeyError), appearing(place, overwrite=False) as file:
        file.write(b"half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with appearing(place, overwrite=False) as file:
        file.write(b"whole")
        assert not place.exists()
    assert place.read_bytes() == b"whole" and place.stat().st_mode & 0o777 == 0o644
    (tmp_path / "nowhere").symlink_to(tmp_path / "not" / "there")
    for taken in (place, tmp_path / "nowhere"):
        with pytest.raises(t.UsageError, match="say --force"), appearing(taken, overwrite=False, forced="--force"):
            pass
    with appearing(place, overwrite=True) as file:
        file.write(b"other")
    assert place.read_bytes() == b"other"


async def test_a_failed_fetch_keeps_the_old_file(node: Client, api: Fake, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"old")
    api.answers[f"GET /v1/jobs/{JOB}/model"] = refusal("unavailable", 503)
    with pytest.raises(t.UnavailableError):
        await node.fetch_model(JOB, tmp_path / "m", overwrite=True)
    assert (tmp_path / "m").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
