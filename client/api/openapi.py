"""The OpenAPI 3.1 description of the API, made from the table of routes and the types of requests and answers.

protocol_spec/openapi.json is these bytes: tests/unit/test_api_ops.py compares, and writes it where LC_WRITE_SPEC=1 is set.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

import msgspec

from client.api import event_schemas
from client.api.errors import ErrorResponse
from client.api.route import Route
from client.api.table import PATH, ROUTES, THEMES

_REF = "#/components/schemas/{name}"
_PARAM = re.compile(r"{(\w+)}")
_TEXT = {"type": "string"}
_STATUS = {
    "200": "Done",
    "202": "Sent, not final yet",
    "400": "The request is not valid",
    "401": "The token is missing or wrong",
    "404": "There is no such thing",
    "408": "The body came too slowly",
    "413": "Too large",
    "422": "Refused by the rules; name and code say why",
    "503": "Not possible now",
}


def _types() -> list[Any]:
    found: dict[str, Any] = {str(ErrorResponse): ErrorResponse}
    for _, route in ROUTES:
        for kind in (route.request, route.response, route.query):
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
    components |= event_schemas.components(_REF)
    for view in event_schemas.VIEWS:
        components[view]["allOf"] = [{"$ref": _REF.format(name=event_schemas.PAIRS)}]
    return {str(kind): schema for kind, schema in zip(types, schemas, strict=True)}, components


def _query(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    described = components[route.query.__name__]
    required = described.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in described.get("properties", {}).items()
    ]


def _operation(theme: str, route: Route, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    path = [{"name": name, "in": "path", "required": True, "schema": PATH.get(name, _TEXT)} for name in _PARAM.findall(route.path)]
    if route.response is None:
        content: dict[str, Any] = {route.media: {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": schemas[str(route.response)]}}
    error = {"application/json": {"schema": schemas[str(ErrorResponse)]}}
    failures = {400, 503, *route.failures} | (set() if route.public else {401})
    statuses = ["200", "202"] if "wait" in route.query.__struct_fields__ else ["200"]
    answers = {status: {"description": _STATUS[status], "content": content} for status in statuses}
    answers |= {str(status): {"description": _STATUS[str(status)], "content": error} for status in sorted(failures)}
    operation: dict[str, Any] = {
        "tags": [theme],
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": path + _query(route, components),
        "responses": answers,
    }
    if route.public:
        operation["security"] = []
    if route.request is not None:
        body = {"application/json": {"schema": schemas[str(route.request)]}}
        operation["requestBody"] = {"required": True, "content": body}
    elif route.upload:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    return operation


def build() -> dict[str, Any]:
    """The whole document. The program's version stays out of it: it describes /v1, which does not change with every release."""
    schemas, components = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for theme, route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(theme, route, schemas, components)
    queries = {route.query.__name__ for _, route in ROUTES}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "LearningChain node",
            "version": "1",
            "description": (
                "One node's API. Credits and losses are decimal text, ids hex, identities lc1…, times milliseconds, sizes bytes. "
                "Every refusal has one shape: error.kind, error.code, error.name, error.message. The token stands in api.token in "
                "the node's data folder."
            ),
        },
        "tags": [{"name": name, "description": (module.__doc__ or "").splitlines()[0]} for name, module in THEMES.items()],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: schema for name, schema in sorted(components.items()) if name not in queries},
        },
    }


@cache
def document() -> bytes:
    """openapi.json, always the same bytes."""
    return msgspec.json.format(msgspec.json.encode(build()), indent=2) + b"\n"
