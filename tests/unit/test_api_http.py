"""The gate of the HTTP API: token, Host, sizes, strict parsing, one shape for every refusal."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import structlog
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from learningchain.chain.storage.errors import StorageDamaged
from learningchain.client.api.route import ServerLimits
from learningchain.client.api.server import ApiServer
from learningchain.client.api.table import ROUTES
from tests.unit.api_kit import TOKEN, Api, FakeNode, serving


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


def example(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "t", "ü" * 43])
async def test_without_the_token_nothing_is_answered_but_health(api: Api, token: str | None) -> None:
    for _, route in ROUTES:
        if not route.public:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            error = await api.refused(route.method, example(route.path), 401, token=None, headers=headers)
            assert error["kind"] == "unauthorized"
    for path in ("/healthz", "/readyz", "/metrics", "/v1/openapi.json"):
        assert (await api.call("GET", path, token=None))[0] == 200


async def test_who_is_refused_for_want_of_a_token_is_told_the_scheme_and_nobody_else_is(api: Api) -> None:
    """RFC 9110, 11.6.1"""
    said = {}
    for path, headers in (("/v1/status", {}), ("/v1/nothing", {"Authorization": f"Bearer {TOKEN}"}), ("/healthz", {})):
        async with api.session.get(api.url + path, headers=headers) as response:
            said[response.status] = response.headers.get("WWW-Authenticate")
    assert said == {401: 'Bearer realm="learningchain"', 404: None, 200: None}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7401", "127.0.0.1.evil.example", "10.0.0.1", "[::2]:1", ""])
async def test_a_foreign_host_name_is_refused_even_with_the_token(api: Api, host: str) -> None:
    error = await api.refused("GET", "/v1/status", 403, headers={"Host": host})
    assert error["name"] == "WRONG_HOST"
    assert (await api.refused("GET", "/healthz", 403, headers={"Host": host}))["name"] == "WRONG_HOST"


async def test_a_server_on_all_addresses_answers_addresses_but_no_names(tmp_path: Path) -> None:
    async with serving(tmp_path, listen="0.0.0.0") as api:
        await api.get("/v1/status", headers={"Host": "192.168.1.7:7401"})
        await api.refused("GET", "/v1/status", 403, headers={"Host": "evil.example"})


async def test_no_answer_allows_another_origin(api: Api) -> None:
    headers = {"Origin": "http://evil.example", "Authorization": f"Bearer {TOKEN}"}
    for path in ("/v1/status", "/metrics", "/v1/openapi.json", "/nothing"):
        async with api.session.get(api.url + path, headers=headers) as response:
            assert not [name for name in response.headers if name.lower().startswith("access-control")]
            assert response.headers["X-Content-Type-Options"] == "nosniff", path
            keeps = "no-cache" if "openapi" in path else "no-store"
            assert response.headers["Cache-Control"] == keeps, path


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "object"),
        (b"[]", "object"),
        (b"{}", "to"),
        (b'{"to": "lc1", "amount": 5}', "$.amount"),
        (b'{"to": "lc1", "amount": "5", "fee": "1"}', "fee"),
        (b'{"to": "lc1", "amount": "5"}', "to is not valid"),
        (b'{"to": "lc1", "amount": "1e5"}', "to is not valid"),
        (b'{"to": null, "amount": "5"}', "$.to"),
    ],
)
async def test_a_body_that_is_not_what_was_asked_for_names_the_field(api: Api, body: bytes, named: str) -> None:
    error = await api.refused("POST", "/v1/transfers", 400, data=body)
    assert error["kind"] == "usage"
    assert named in error["message"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v1/jobs?limit=0", "limit"),
        ("/v1/jobs?limit=1001", "limit"),
        ("/v1/jobs?limit=ten", "limit"),
        ("/v1/jobs?before=-1", "before"),
        ("/v1/jobs?before=99999999999999999999", "before"),
        ("/v1/jobs?live=perhaps", "live"),
        ("/v1/jobs?colour=red", "colour"),
        ("/v1/jobs?limit=1&limit=2", "twice"),
        ("/v1/status?x=1", "x"),
        ("/v1/accounts?after=lc1zzz", "after"),
        ("/v1/blocks/-1", "height"),
        ("/v1/blocks/0x10", "height"),
        ("/v1/tx/zz", "tx"),
        ("/v1/jobs/" + "A" * 64, "job"),
    ],
)
async def test_queries_and_ids_are_parsed_strictly(api: Api, path: str, named: str) -> None:
    error = await api.refused("GET", path, 400)
    assert error["kind"] == "usage"
    assert named in error["message"]


async def test_a_json_body_above_the_bound_is_refused_announced_or_not(api: Api) -> None:
    too_large = b"x" * (256 * 1024 + 1)
    assert (await api.refused("POST", "/v1/transfers", 413, data=too_large))["name"] == "TOO_LARGE"

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 1024

    assert (await api.refused("POST", "/v1/transfers", 413, data=stream()))["name"] == "TOO_LARGE"


async def test_a_compressed_body_is_refused_and_not_unpacked(api: Api) -> None:
    bomb = gzip.compress(b" " * 10**7)
    error = await api.refused("POST", "/v1/transfers", 415, data=bomb, headers={"Content-Encoding": "gzip"})
    assert error["name"] == "BAD_ENCODING"


async def test_requests_above_the_limit_are_refused_and_the_slot_comes_back(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ServerLimits(requests=1)) as api:
        api.node.files.hold = asyncio.Event()
        cid = api.node.files.put(b"data")
        held = asyncio.create_task(api.call("GET", f"/v1/files/{cid}"))
        while (await api.call("GET", "/healthz"))[0] != 503:
            await asyncio.sleep(0)
        api.node.files.hold.set()
        assert (await held)[0] == 200
        assert (await api.call("GET", "/healthz"))[0] == 200


async def test_a_fault_of_the_node_is_logged_and_told_without_its_text(api: Api) -> None:
    api.node.fault = RuntimeError("a secret of the node")
    error = await api.refused("GET", "/v1/status", 500)
    assert (error["kind"], error["name"]) == ("unavailable", "INTERNAL")
    assert "secret" not in error["message"]


async def test_a_server_says_its_port_and_an_address_that_is_taken_is_an_error(tmp_path: Path, api: Api) -> None:
    other = ApiServer(FakeNode(tmp_path), listen=("127.0.0.1", api.port), token=TOKEN, version="1")
    with pytest.raises(OSError, match="address"):
        await other.start()
    with pytest.raises(ValueError, match="token"):
        ApiServer(FakeNode(tmp_path), listen=("127.0.0.1", 0), token="short", version="1")


async def test_damage_on_the_disk_is_told_with_what_to_do(api: Api) -> None:
    api.node.fault = StorageDamaged("The database is damaged at height 3", "a checksum does not match", "Check the disk")
    error = await api.refused("GET", "/v1/status", 500)
    assert (error["kind"], error["name"]) == ("unavailable", "STORAGE")
    assert error["message"] == "The database is damaged at height 3: a checksum does not match. Check the disk"


# --- what clients of HTTP take for granted ----------------------------------------------------------------------------------------


async def test_head_is_answered_as_get_without_the_body(api: Api) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/healthz", "/metrics", "/v1/status", "/v1/openapi.json", "/v1/jobs", "/v2", "/v2/health/live"):
        async with api.session.get(api.url + path, headers=headers) as whole:
            await whole.read()
        async with api.session.head(api.url + path, headers=headers) as response:
            assert response.status == whole.status == 200 and await response.read() == b"", path
            assert response.headers["Content-Type"] == whole.headers["Content-Type"]
    async with api.session.head(api.url + "/v1/status") as response:
        assert response.status == 401
    async with api.session.head(api.url + "/v1/events", headers=headers) as response:
        assert response.status == 405, "a stream has no end"
    async with api.session.delete(api.url + "/v1/status", headers=headers) as response:
        assert response.status == 405 and set(response.headers["Allow"].split(", ")) == {"GET", "HEAD"}


async def test_the_api_s_description_is_sent_packed_and_not_again(api: Api) -> None:
    url = api.url + "/v1/openapi.json"
    async with api.session.get(url, headers={"Accept-Encoding": "identity"}) as response:
        plain, tag = await response.read(), response.headers["ETag"]
        assert "Content-Encoding" not in response.headers
    async with api.session.get(url, headers={"Accept-Encoding": "br, gzip;q=0.8"}) as response:
        assert response.headers["Content-Encoding"] == "gzip" and int(response.headers["Content-Length"]) < len(plain) / 4
        assert gzip.decompress(await response.read()) == plain and response.headers["ETag"] == tag
    for known, status in ((tag, 304), (f'"x", W/{tag}', 304), ('"x"', 200)):
        async with api.session.get(url, headers={"If-None-Match": known}) as response:
            assert response.status == status and (await response.read() == b"") is (status == 304)


async def test_a_form_is_not_kept_with_its_envelope(api: Api) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"x" * 1000, filename="x")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with api.session.post(api.url + "/v1/files", data=form, headers=headers) as response:
        assert response.status == 415 and "--data-binary @FILE" in (await response.json())["error"]["message"]


SECRETS = {"Cookie": "; ".join(f"_xsrf_{n}={'SECRET' * 40}" for n in range(20))}


@pytest.mark.parametrize(
    ("query", "fields", "bound"),
    [
        ("", SECRETS, "one of its fields has more than 4,096 bytes. A browser sends the cookies"),
        ("", {f"X-{n}": "SECRET" for n in range(40)}, "it has more than 32 fields"),
        ("?cursor=" + "SECRET" * 2_000, {}, "its first line has more than 8,190 bytes"),
    ],
    ids=["cookies", "fields", "a query"],
)
async def test_a_header_that_is_too_large_is_told_with_its_bound_and_stays_out_of_the_log(
    api: Api, query: str, fields: dict[str, str], bound: str
) -> None:
    with structlog.testing.capture_logs() as log:
        async with api.session.get(api.url + "/v1/jobs" + query, headers=fields) as response:
            error = (await response.json())["error"]
    assert response.status == 431 and error["name"] == "HEADERS_TOO_LARGE" and bound in error["message"]
    assert "SECRET" not in str(log) + str(error)


async def test_metrics_come_as_openmetrics_to_whoever_asks_for_them(api: Api) -> None:
    asked = "application/openmetrics-text;version=x,text/plain;version=0.0.4;q=0.5"
    for accept, kind, parsed in (
        (asked, "application/openmetrics-text; version=1.0.0; charset=utf-8", openmetrics.text_string_to_metric_families),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", text_string_to_metric_families),
    ):
        async with api.session.get(api.url + "/metrics", headers={"Accept": accept}) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, kind)
            found = {one.name: one for one in parsed(await response.text())}
        assert [sample.value for sample in found["lc_sandbox_ok"].samples] in ([0.0], [1.0])


async def test_what_the_inference_protocol_does_not_have_is_refused_in_its_form(api: Api) -> None:
    for method, path, status in (
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/repository/index", 404),
        ("POST", "/v2", 405),
        ("DELETE", "/v2/health/live", 405),
        ("GET", "/v2/models/x/infer", 405),
    ):
        async with api.session.request(method, api.url + path, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            body = await response.json()
            assert response.status == status and isinstance(body["error"], str) and list(body) == ["error"], (path, body)
            assert (response.headers.get("Allow") is not None) is (status == 405)


@pytest.mark.parametrize("path", ["/v2/models/x/infer", "/v2?x", "/v2"])
@pytest.mark.parametrize(("fields", "status"), [(SECRETS, 431), ({"Host": "evil.example"}, 403)])
async def test_nor_is_there_another_form_where_a_request_cannot_be_read(
    api: Api, path: str, fields: dict[str, str], status: int
) -> None:
    for _ in range(2):  # a connection that is kept, too
        await (await api.session.get(api.url + "/v2/health/live")).read()
        async with api.session.post(api.url + path, headers=fields) as response:
            body = await response.json()
            assert response.status == status and isinstance(body["error"], str) and list(body) == ["error"]
