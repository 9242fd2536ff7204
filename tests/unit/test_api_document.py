"""What openapi.json says of texts, choices, links and methods is so. An outside fuzzer asks the rest (tests/apifuzz)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from learningchain.chain.crypto import address, parse_address
from learningchain.chain.types import parse_credits, parse_loss
from learningchain.client.api.openapi import build
from learningchain.client.api.posting import parse_digest
from learningchain.client.api.table import ROUTES
from learningchain.client.contracts.prediction.settings import parse_model
from learningchain.client.schema import texts
from learningchain.p2p.address_book import parse_endpoint
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.p2p.content.cid import parse as parse_cid
from tests.unit.api_kit import Api, serving

HASH = "ab" * 32
LC1 = address(bytes(range(20)))
CID = str(cid_of(Codec.RAW, b"x"))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


def pattern(text: Any) -> str:
    """Of one of the aliases of client/schema/texts.py."""
    (meta,) = get_args(text)[1:]
    found: str = meta.extra_json_schema["pattern"]
    return found


@pytest.mark.parametrize(
    ("text", "parse", "good", "bad"),
    [
        (
            texts.GivenAmount,
            parse_credits,
            ("0", "12", "0.5", "8999999999999.999999"),
            ("", "1.", ".5", "-1", "+1", "01", "1e3", "0.1234567", "1\n", "99999999999999"),
        ),
        (texts.GivenLoss, parse_loss, ("0", "-0.5", "123456789.123456789123456789"), ("", "1e3", "nan", "00", "1234567890", "+1")),
        (texts.Address, parse_address, (LC1,), ("", LC1[:-1], LC1 + "q", LC1.upper(), "lc1" + "b" * 38)),
        (texts.Digest, parse_digest, (HASH, f"sha256:{HASH}"), ("", HASH.upper(), HASH[:-1], f"sha512:{HASH}")),
        (texts.CidText, parse_cid, (CID,), ("", CID.upper(), CID[:-1], "Qm" + "a" * 44, CID.replace("b", "z", 1))),
        (texts.ModelText, parse_model, (HASH, f"{LC1}/digits"), ("", "digits", f"{LC1}/", f"{LC1}/A", f"{HASH}/x")),
        (
            texts.Endpoint,
            parse_endpoint,
            ("a.example:7400", "127.0.0.1:1", "a:65535"),
            ("", "a", ":1", "a:0", "a:65536", "a b:1"),
        ),
    ],
)
def test_what_a_pattern_takes_its_parser_takes_and_neither_takes_another_form(
    text: Any, parse: Callable[[str], object], good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    form = re.compile(pattern(text).replace("$", r"\Z"))
    for one in good:
        assert form.match(one), one
        parse(one)
    for one in bad:
        assert not form.match(one), one
        with pytest.raises(ValueError):
            parse(one)


def test_an_inference_is_described_as_the_json_that_it_is() -> None:
    described = build()
    for path in ("/v2/models/{inference_model}/infer", "/v2/models/{inference_model}/versions/{model_version}/infer"):
        asked = described["paths"][path]["post"]
        bodies = asked["requestBody"]["content"]
        assert list(bodies) == ["application/json", "application/octet-stream"]
        sent = bodies["application/json"]["schema"], asked["responses"]["200"]["content"]["application/json"]["schema"]
        assert sent == tuple({"$ref": f"#/components/schemas/{name}"} for name in ("InferenceBody", "InferenceAnswer"))
    tensor = described["components"]["schemas"]["InferenceTensor"]
    assert tensor["required"] == ["name", "datatype", "shape"] and set(tensor["properties"]) == {
        *tensor["required"],
        "data",
        "parameters",
    }
    assert described["servers"][0]["url"] == "http://127.0.0.1:7401" and described["info"]["license"]["identifier"] == "Apache-2.0"


def test_what_may_be_left_out_is_demanded_by_no_maker_of_clients() -> None:
    """openapi-typescript demands what has a `default`, and takes no member of an object that says nothing of its members."""
    described = build()["components"]["schemas"]
    fields = [field for schema in described.values() for field in schema.get("properties", {}).values()]
    assert not [field for field in fields if "default" in field]
    job = described["JobRequest"]
    assert job["required"] == ["image", "bounty"] and job["properties"]["finalists"]["description"] == "left out: 4"
    assert job["properties"]["tol"]["description"] == "a loss that is not negative; left out: 0"
    assert (
        job["properties"]["params"]["additionalProperties"]
        is described["EventView"]["properties"]["data"]["additionalProperties"]
        is True
    )


def test_every_link_leads_to_a_part_of_the_path_by_a_field_of_the_answer() -> None:
    described = build()
    reads = {methods["get"]["operationId"]: methods["get"] for methods in described["paths"].values() if "get" in methods}
    found = 0
    for methods in described["paths"].values():
        for operation in methods.values():
            answer = operation["responses"]["200"]
            for link in answer.get("links", {}).values():
                ((name, where),) = link["parameters"].items()
                assert {"path"} == {p["in"] for p in reads[link["operationId"]]["parameters"] if p["name"] == name}
                schema = answer["content"]["application/json"]["schema"]
                schema = schema["items"] if where.startswith("$response.body#/0/") else schema
                fields = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
                assert where.rpartition("/")[2] in fields
                found += 1
    assert found > 60
    made = described["paths"]["/v1/jobs"]["post"]["responses"]["200"]["links"]
    assert made["get_job"] == {"operationId": "get_job", "parameters": {"job": "$response.body#/job"}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/jobs", {"image": {"reference": "x@sha256:" + HASH}, "bounty": "5"}),
        ("/v1/jobs", {"image": {"reference": "x@sha256:" + HASH}, "bounty": "5", "expires_in_s": 9, "expiry": 9}),
        ("/v1/jobs", {"image": {}, "bounty": "5", "expires_in_s": 9}),
        ("/v1/jobs", {"image": {"reference": "x@sha256:" + HASH, "cid": CID}, "bounty": "5", "expires_in_s": 9}),
        ("/v1/models", {"name": "m", "kind": "number"}),
        ("/v1/models", {"name": "m", "kind": "class", "job": HASH}),
        ("/v1/proposals", {"action": "ban"}),
        ("/v1/proposals", {"action": "parameters", "values": {}}),
        ("/v1/predictions/quote", {"model": HASH, "n": 3}),
        ("/v1/predictions/quote", {"model": HASH, "n": 3, "rows": [1], "input": "1"}),
    ],
)
async def test_what_the_document_forbids_together_is_refused_as_malformed(api: Api, path: str, body: dict[str, Any]) -> None:
    assert "allOf" in build()["components"]["schemas"][_request_of(path)]
    assert (await api.refused("POST", path, 400, json=body))["name"] == "BAD_REQUEST"


@pytest.mark.parametrize("name", ["", "A", "a b", "a\n"])
async def test_a_set_of_a_name_that_is_none_is_refused_before_it_is_quoted(api: Api, name: str) -> None:
    image = {"reference": "x@sha256:" + HASH}
    data = [{"cid": CID, "size": 1, "files": 1, "name": name}]
    body = {"image": image, "bounty": "5", "expires_in_s": 90, "data": data}
    assert "data.name" in (await api.refused("POST", "/v1/jobs/quote", 400, json=body))["message"]


def _request_of(path: str) -> str:
    (request,) = [route.request for _, route in ROUTES if (route.method, route.path) == ("POST", path)]
    assert request is not None
    return request.__name__


async def test_an_invitation_without_end_is_refused_by_the_rules(api: Api) -> None:
    error = await api.refused("POST", "/v1/invitations", 409, json={"lasts_ms": 2**63 - 2})
    assert error["kind"] == "rejected"
