"""A contract's message from what a person types: `Transfer`, `to=lc1…`, `amount=2.5`. The other way round: `client.schema.render`.

A field is read as its contract's descriptor says, or else by its type, so a new contract needs no line here. Pure.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts import MESSAGES, decode_message
from learningchain.chain.crypto import parse_address
from learningchain.chain.errors import Malformed
from learningchain.chain.host import Contract, Form, OneOf
from learningchain.chain.types import parse_credits, parse_loss
from learningchain.client.config import suggest
from learningchain.client.schema.render import contract_number
from learningchain.p2p.content import cid

MAX_NESTED = 16
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def message_of(name: str, given: Mapping[str, Any]) -> Any:
    """The message of type `name` with these fields: texts, or what JSON gives. Raises `ValueError` saying which field and why."""
    kinds = {kind.__name__: (kind, contract) for kind, (contract, _) in MESSAGES.items()}
    if name not in kinds:
        raise ValueError(f"there is no message {name}{suggest(name, list(kinds)) or ': ' + ', '.join(sorted(kinds))}")
    kind, contract = kinds[name]
    message = _record(contract, kind, given, "", 0)
    try:
        return decode_message(encode(message))  # the bounds of its type
    except Malformed as problem:
        raise ValueError(f"{name} cannot be like this: {problem}") from None


def _record(contract: Contract, kind: type, given: Mapping[str, Any], where: str, depth: int) -> Any:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    hints = get_type_hints(kind, include_extras=True)
    unknown = next((name for name in given if name not in fields and name != "type"), None)
    if unknown is not None:
        raise ValueError(f"{kind.__name__} has no field {where}{unknown}{suggest(unknown, list(fields))}: {_shape(fields)}")
    free = {name for name in fields if _form(contract, kind, name) is Form.MEMO}
    given = {name: "" for name in free if name not in given} | {**given}
    missing = [name for name, field in fields.items() if name not in given and field.required]
    if missing:
        raise ValueError(f"{kind.__name__} lacks {where}{missing[0]}: {_shape(fields)}")
    made = {}
    for name, raw in given.items():
        if name == "type":
            continue
        try:
            made[name] = _value(contract, _form(contract, kind, name), hints[name], raw, f"{where}{name}.", depth + 1)
        except (ValueError, TypeError, RecursionError) as problem:
            text = str(problem)
            raise ValueError(text if text.startswith((where + name, kind.__name__)) else f"{where}{name}: {text}") from None
    return kind(**made)


def _form(contract: Contract, kind: type, name: str) -> Form | OneOf | None:
    return contract.forms.get(f"{kind.__name__}.{name}") or contract.forms.get(name)


def _shape(fields: Mapping[str, Any]) -> str:
    return "it has " + ", ".join(fields)


def _value(contract: Contract, form: Form | OneOf | None, kind: Any, raw: Any, where: str, depth: int) -> Any:
    if depth > MAX_NESTED:
        raise ValueError("it is nested too deeply")
    kind = _bare(kind)
    if get_origin(kind) is list:
        return _items(contract, form, kind, raw, where, depth)
    if isinstance(form, OneOf):
        return _one_of(form, raw)
    match form:
        case Form.CREDITS:
            return parse_credits(str(raw))
        case Form.LOSS:
            return parse_loss(str(raw))
        case Form.MEMO:
            return str(raw).encode()
        case Form.CONTRACT:
            return contract_number(str(raw))
    return _by_type(contract, kind, raw, where, depth)


def _by_type(contract: Contract, kind: Any, raw: Any, where: str, depth: int) -> Any:
    records = [one for one in (get_args(kind) or (kind,)) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    if records:
        return _nested(contract, records, raw, where, depth)
    if kind is bytes:
        return _bytes(str(raw))
    if kind is bool:
        if isinstance(raw, bool):
            return raw
        if str(raw).lower() in _WORDS:
            return _WORDS[str(raw).lower()]
        raise ValueError("it is yes or no")
    if kind is int or (isinstance(kind, type) and issubclass(kind, int)):
        return int(str(raw), 10)
    if kind is str:
        return str(raw)
    raise ValueError("a field of this type cannot be typed")


def _nested(contract: Contract, records: list[type], raw: Any, where: str, depth: int) -> Any:
    given = json.loads(raw) if isinstance(raw, str) else raw
    if not isinstance(given, dict):
        raise ValueError("it is an object of JSON")
    named = {kind.__name__: kind for kind in records}
    kind = named.get(str(given.get("type"))) if len(records) > 1 else records[0]
    if kind is None:
        raise ValueError(f'its "type" is one of {", ".join(named)}')
    return _record(contract, kind, given, where, depth)


def _items(contract: Contract, form: Form | OneOf | None, kind: Any, raw: Any, where: str, depth: int) -> list[Any]:
    given = json.loads(raw) if isinstance(raw, str) else raw
    if not isinstance(given, list):
        raise ValueError("it is a list of JSON")
    (item,) = get_args(kind)
    return [_value(contract, form, item, one, where, depth + 1) for one in given]


def _one_of(form: OneOf, raw: Any) -> int:
    names = {one.name.lower().replace("_", "-"): int(one) for one in form.kind}
    word = str(raw).lower().replace("_", "-")
    if word not in names:
        raise ValueError(f"it is one of {', '.join(names)}")
    return names[word]


def _bytes(text: str) -> bytes:
    """An identity or a content id by its form, everything else is hex."""
    if text.startswith("lc1"):
        return parse_address(text)
    if text.startswith("baf"):
        return cid.parse(text).to_bytes()
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no identity (lc1...), no content id (baf...) and no hex") from None


def _bare(kind: Any) -> Any:
    """A type without what bounds it."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        parts = tuple(_bare(part) for part in get_args(kind))
        return parts[0] if len(parts) == 1 else Union[parts]  # noqa: UP007
    return kind
