"""The OpenAPI 3.1 description of the API, made from the table of routes and the types of requests and answers.

protocol_spec/openapi.json is these bytes: tests/unit/test_api_ops.py compares, and writes it where LC_WRITE_SPEC=1 is set.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from learningchain.client import contracts
from learningchain.client.api import event_schemas
from learningchain.client.api.errors import ErrorResponse
from learningchain.client.api.route import Route
from learningchain.client.api.table import PATH, ROUTES, THEMES
from learningchain.client.callbacks.following import CALLBACKS
from learningchain.client.config import ApiConfig
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.bodies import CallbackRequest, Strict
from learningchain.client.schema.choices import Schema

_REF = "#/components/schemas/{name}"
_PARAM = re.compile(r"{(\w+)}")
_TEXT = {"type": "string"}
_MADE = frozenset({"height", "tx", "cid", "job", "federation", "model", "request", "policy"})
"""Fields of answers by which something is read: the variable parts of paths are called so, too."""
_STATUS = {
    "200": "Done",
    "202": "Sent, not final yet",
    "400": "The request is not valid",
    "401": "The token is missing or wrong",
    "403": "The token is good, and not for this: its scope or its spending limit",
    "404": "There is no such thing",
    "408": "The body came too slowly",
    "409": "Refused by the rules, or by what is so now; name and code say why",
    "413": "Too large",
    "415": "The body is compressed in a way that is not read",
    "422": "The bytes are no transaction, or the value is none of this setting",
    "424": "Asked and paid as the rules say, and there is no agreed answer",
    "429": "This token has as much as one may have, at a time or in a day",
    "431": "The first line or a field of the header is too large",
    "503": "Not possible now",
}


def _types() -> list[Any]:
    found: dict[str, Any] = {str(ErrorResponse): ErrorResponse}
    for _, route in ROUTES:
        for kind in (route.request, route.either, route.response, route.streamed, route.query, route.refused):
            if kind is not None:
                found.setdefault(str(kind), kind)
    return list(found.values())


def _schemas() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """(schema by type's text, components)"""
    types = _types()
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    for schema in components.values():
        if "description" in schema:  # a docstring, which the compiler strips of its indentation since Python 3.13
            schema["description"] = inspect.cleandoc(schema["description"])
    for kind in _structs(Strict):
        if kind.CHOICES and kind.__name__ in components:
            components[kind.__name__]["allOf"] = _whole_cases(kind.CHOICES, components[kind.__name__].get("required", []))
    components[CallbackRequest.__name__]["properties"]["source"]["enum"] = sorted(contracts.parts(CALLBACKS))
    components |= event_schemas.components(_REF)
    for view in event_schemas.VIEWS:
        components[view]["allOf"] = [{"$ref": _REF.format(name=event_schemas.PAIRS)}]
    queries = {route.query.__name__ for _, route in ROUTES}
    _say_defaults(schema for name, schema in components.items() if name not in queries)
    _open_maps([components, *schemas])
    return {str(kind): schema for kind, schema in zip(types, schemas, strict=True)}, components


def _whole_cases(choices: tuple[Schema, ...], always: list[str]) -> list[Schema]:
    """Each case names also what is always needed: readers that look at one case alone see a whole request."""
    return [
        {word: [{**case, "required": sorted({*case.get("required", []), *always})} for case in cases]}
        for choice in choices
        for word, cases in choice.items()
    ]


def _say_defaults(components: Iterable[Schema]) -> None:
    """What a field is where it is left out stands in its description: beside `default`, makers of clients demand the field, or
    send what they read there."""
    for schema in components:
        for field in schema.get("properties", {}).values():
            default = field.pop("default", None)
            if default or default == 0:
                text = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
                field["description"] = "; ".join([*filter(None, [field.get("description")]), f"left out: {text}"])


def _open_maps(schema: Any) -> None:
    """Lists and objects of anything say so: makers of clients stop at a list that says nothing of its items, and let nobody put a
    member into an object that says nothing of them."""
    for one in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _open_maps(one)
    if isinstance(schema, dict) and schema.get("type") == "array" and "prefixItems" not in schema:
        schema.setdefault("items", {})
    if isinstance(schema, dict) and schema.get("type") == "object" and "properties" not in schema:
        schema.setdefault("additionalProperties", True)


def _structs(kind: type[Strict]) -> Iterator[type[Strict]]:
    for below in kind.__subclasses__():
        yield below
        yield from _structs(below)


def _query(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    described = components[route.query.__name__]
    required = described.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in described.get("properties", {}).items()
    ]


def _operation(theme: str, route: Route, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    path = [{"name": name, "in": "path", "required": True, "schema": PATH.get(name, _TEXT)} for name in _PARAM.findall(route.path)]
    said = {name: {"description": text, "required": False, "schema": _TEXT} for name, text in route.headers}
    answered = route.response or route.streamed
    content = {"application/json": {"schema": schemas[str(answered)]}} if answered else {route.media: {"schema": _TEXT}}
    error = {"application/json": {"schema": schemas[str(route.refused)]}}
    failures = {400, 431, 503, *route.failures} | (set() if route.public else {401, 403})
    statuses = ["200", "202"] if "wait" in route.query.__struct_fields__ else ["200"]
    answers: dict[str, Any] = {status: {"description": _STATUS[status], "content": content} for status in statuses}
    if said:
        answers["200"]["headers"] = said
    answers |= {str(status): {"description": _STATUS[str(status)], "content": error} for status in sorted(failures)}
    operation: dict[str, Any] = {
        "tags": [theme],
        "summary": route.summary,
        "description": _told(route, statuses),
        "operationId": route.handler.__name__,
        "parameters": [*path, *_query(route, components), *({"name": name, "in": "header", **one} for name, one in said.items())],
        "responses": answers,
    }
    if route.public:
        operation["security"] = []
    else:
        operation["x-token-scope"] = "full" if route.owner else route.needs.word
    if route.ticket:
        operation["security"] = [{"token": []}, {"ticket": []}]
    if route.request is not None:
        body = {"application/json": {"schema": schemas[str(route.request)]}}
        operation["requestBody"] = {"required": True, "content": body}
    elif route.upload:
        # A file may be empty; what has to be unpacked may not.
        bodies = {} if route.either is None else {"application/json": {"schema": schemas[str(route.either)]}}
        bodies["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": route.packed, "content": bodies}
    return operation


def _told(route: Route, statuses: Sequence[str]) -> str:
    """What a caller needs beside the fields: whose token it takes, how long it may be, and when it answers."""
    more = " or more" if route.needs < TokenScope.ALL else ""
    scope = "the node's own token" if route.owner else f"a token of `{route.needs.word}`{more}"
    told = [route.summary.rstrip(".") + ".", "Everybody may call it." if route.public else f"Takes {scope}."]
    if route.ticket:
        told.append("A browser may call it with a ticket instead.")
    if route.upload:
        also = "" if route.either is None else "JSON, or, where bytes follow the JSON, as octet-stream"
        told.append(f"The body is {also or 'the file itself'}.")
    if "202" in statuses:
        told.append("Answers 200 once the transaction is final, 202 where it is not after `wait` seconds.")
    return " ".join(told)


def _link(paths: dict[str, dict[str, Any]], components: dict[str, Any]) -> None:
    """What an answer names can be read: a final message and what it made, and the first row of a list."""
    reads = {path: methods["get"]["operationId"] for path, methods in paths.items() if "get" in methods and path.count("{") == 1}
    for path, methods in paths.items():
        for method, operation in methods.items():
            answer = operation["responses"]["200"]
            schema = answer["content"].get("application/json", {}).get("schema", {})
            if method == "get":
                fields, row = _fields(schema.get("items", {}), components), "0/"
            else:
                fields, row = _fields(schema, components), ""
            links = {}
            for read, identifier in reads.items():
                (name,), above = _PARAM.findall(read), read.partition("/{")[0]
                made = name if name in _MADE and read.endswith("}") else "ref" if above == path else ""
                field = "id" if row and above == path else made if not row else ""
                if field in fields:
                    links[identifier] = {"operationId": identifier, "parameters": {name: f"$response.body#/{row}{field}"}}
            if links:
                answer["links"] = links


def _fields(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Of an answer that is an object."""
    found: dict[str, Any] = components.get(schema.get("$ref", "").rpartition("/")[2], schema).get("properties", {})
    return found


def build() -> dict[str, Any]:
    """The whole document. The program's version stays out of it: it describes /v1, which does not change with every release."""
    schemas, components = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for theme, route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(theme, route, schemas, components)
    _link(paths, components)
    queries = {route.query.__name__ for _, route in ROUTES}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "LearningChain node",
            "version": "1",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "One node's API. Credits and losses are decimal text, ids hex, identities lc1…, times milliseconds, sizes bytes. "
                "Every refusal has one shape: error.kind, error.code, error.name, error.message; under /v2, which is the Open "
                "Inference Protocol, it is error, a text. The token stands in api.token in "
                "the node's data folder; tokens that may do less come from `learningchain token new`, and x-token-scope says what "
                "each request needs: read, predict, post, all, or full: the token in api.token."
            ),
        },
        "servers": [{"url": f"http://{ApiConfig().listen}", "description": "where a node listens by default: api.listen"}],
        "tags": [{"name": name, "description": (part.about or "").splitlines()[0]} for name, part in THEMES.items()],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "ticket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "of POST /v1/events/tickets; good once",
                },
            },
            "schemas": {name: schema for name, schema in sorted(components.items()) if name not in queries},
        },
    }


@cache
def document() -> bytes:
    """openapi.json, always the same bytes."""
    return msgspec.json.format(msgspec.json.encode(build()), indent=2) + b"\n"
