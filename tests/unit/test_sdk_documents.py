"""A document of the API is described once: what a call of the SDK gives back is what its route declares."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import AsyncIterator, Sequence
from typing import Any, get_args, get_type_hints, is_typeddict

import msgspec
import pytest

from learningchain.client import contracts
from learningchain.client.api.accounts import AccountView
from learningchain.client.api.table import ROUTES
from learningchain.client.contracts.federation.http.schema import DeployRequest, FederationImage, FederationRequest, InitialModel
from learningchain.client.contracts.governance.http.schema import ParameterView, ProposalView
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.contracts.prediction.http.schema import ModelRequest, PolicyRequest, PredictionRequest
from learningchain.client.schema.bodies import Strict
from learningchain.client.sdk.calls import SDK, Calls, call
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.http import NodeApi
from learningchain.client.sdk.node import NodeCalls
from learningchain.client.sdk.types import Json
from tests.unit.api_kit import route_of
from tests.unit.client_fake_api import ACCOUNT, TOKEN, Fake, serving

PARTS: list[type[Calls]] = [NodeCalls, *(part.calls for part in contracts.parts(SDK).values())]
GIVEN: dict[Any, Any] = {
    bytes: b"k",
    Sequence[bytes]: (b"k",),
    int: 1,
    bool: True,
    dict[str, Any]: {"account": ACCOUNT},
    ModelRequest | Json: ModelRequest(name="x", kind="number"),
    PredictionRequest | Json: PredictionRequest(model="0" * 64, input="1"),
    PolicyRequest | Json: PolicyRequest(model="0" * 64, accept="below", threshold="1", rates=[]),
    DeployRequest | Json: DeployRequest(name="x", kind="number"),
    FederationRequest | Json: FederationRequest(
        image=FederationImage(reference="x"), model=InitialModel(cid="b", size=9, dims=1), bounty="1", target="0", rounds=1
    ),
    JobRequest | Json: JobRequest(image=ImageRequest(reference="x"), bounty="1", expires_in_s=60),
}
"""What a call is made with; a text for what is not here."""
TRANSFERS = {"publish", "upload", "fetch", "fetch_model", "fetch_federation_model"}
"""Calls that move a file: what they give back is more than a document."""
MADE_OF = {
    "balance": str,
    "handovers": list[str],
    "submit_tx": None,
    "keep_hidden_key": str,
    "predict": None,
    "predict_many": None,
    "send_rows": None,
}
"""Calls that give back a part of a document, or make several requests."""


def documents() -> dict[str, Any]:
    """What the modules of the SDK name for type checkers alone, so that a question to the node loads none of it."""
    found: dict[str, Any] = {"ParameterView": ParameterView, "ProposalView": ProposalView}
    for part in PARTS:
        for block in ast.parse(inspect.getsource(inspect.getmodule(part) or part)).body:
            named = block.body if isinstance(block, ast.If) else []
            for one in (one for one in named if isinstance(one, ast.ImportFrom) and one.module and ".schema" in one.module):
                found |= {alias.name: getattr(importlib.import_module(str(one.module)), alias.name) for alias in one.names}
    return found | {"MemberAccount": AccountView}  # which has what every contract adds


MADE_AT_ITS_START = documents()
NOT_ASKED = {
    *("HandoversView", "Health", "HiddenKept", "TxsAnswer"),
    *("InferenceReady", "ModelMetadata", "ServerLive", "ServerMetadata"),
}
"""Answers that no call gives back whole: some are unpacked, one is for a supervisor, one for who sends many at once; those of the
Open Inference Protocol are for its own clients."""


class AnyAnswer(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        return [] if name == "handovers" else "0" * 64


class Asked(NodeApi):
    """Answers anything; knows what was asked for last."""

    def __init__(self) -> None:
        super().__init__("http://nobody")
        self.last: tuple[str, str] = ("", "")

    async def call(self, method: str, path: str, **how: Any) -> Any:
        self.last = method, path
        route = route_of(method, path)
        return [] if route is not None and str(route.response).startswith("list[") else AnyAnswer()


def calls() -> list[tuple[type[Calls], str]]:
    return [
        (part, name)
        for part in PARTS
        for name, found in vars(part).items()
        if isinstance(found, call) and name not in TRANSFERS | MADE_OF.keys()
    ]


@pytest.mark.parametrize(("part", "name"), calls(), ids=lambda given: given if isinstance(given, str) else given.__name__)
async def test_a_call_gives_back_what_its_route_declares(part: type[Calls], name: str) -> None:
    run = vars(part)[name]._run
    hints = get_type_hints(run, localns=MADE_AT_ITS_START)
    wanted = {
        parameter.name: GIVEN.get(hints[parameter.name], "0" * 64)
        for parameter in list(inspect.signature(run).parameters.values())[1:]
        if parameter.default is parameter.empty
    }
    api = Asked()
    await getattr(part(api), name)(**wanted)
    route = route_of(*api.last)
    assert route is not None, f"{name} asks for {api.last}, which no route answers"
    assert hints["return"] == route.response, f"{name} and {route.method} {route.path} describe the same answer differently"


def test_every_answer_of_the_api_is_one_of_a_call() -> None:
    given = {str(get_type_hints(vars(part)[name]._run, localns=MADE_AT_ITS_START)["return"]) for part, name in calls()}
    missed = [
        route.path
        for _, route in ROUTES
        for answer in (route.response, *get_args(route.response))
        if is_typeddict(answer) and answer.__name__ not in NOT_ASKED and not any(answer.__name__ in one for one in given)
    ]
    # The file's answer is what `upload` gives back, beside its own check of the bytes; a proof is asked for before all calls.
    assert missed == ["/v1/proof", "/v1/files"]


# --- versions -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def told() -> AsyncIterator[tuple[Client, Fake]]:
    with serving() as fake:
        async with Client(fake.url, TOKEN, timeout_s=5) as client:
            yield client, fake


async def test_a_request_is_sent_as_it_says_and_without_what_it_does_not_say(told: tuple[Client, Fake]) -> None:
    client, fake = told
    image = ImageRequest(reference="x@sha256:" + "0" * 64)
    job = JobRequest(image=image, bounty="5", expires_in_s=60, params={"a": None}, limits=LimitsRequest(eval_s=60))
    await client.submit_job(job)
    (sent,) = fake.bodies("POST", "/v1/jobs")
    assert sent["image"] == {"reference": image.reference} and "fee" not in sent and "train_s" not in sent["limits"]
    assert (sent["limits"]["eval_s"], sent["finalists"]) == (60, 4)
    assert msgspec.convert(sent, JobRequest) == job
    as_it_is = {"image": {"reference": image.reference}, "bounty": "5", "expires_in_s": 60, "of_a_newer_node": 1}
    await client.submit_job(as_it_is)
    assert fake.bodies("POST", "/v1/jobs")[-1] == as_it_is


def test_requests_are_strict_wherever_they_lie() -> None:
    for _, route in ROUTES:
        for kind in (route.request, route.query):
            assert kind is None or issubclass(kind, Strict), f"{route.method} {route.path} takes what it does not know"
