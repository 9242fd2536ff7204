"""JSON schemas of what happens on the ledger: one for the data of each topic, made from what the contracts declare.

`LogEventView` and `EventView` say which data belong to which topic; the schema of a topic's data is the component `event.<topic>`.
"""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.host import BASE_EVENTS, Data, Datum, Form, OneOf
from learningchain.client.schema.render import in_form

Schema = dict[str, Any]

OWNERS: dict[str, tuple[str, Data]] = {topic: ("the ledger", data) for topic, data in BASE_EVENTS.items()} | {
    topic: (f"the contract {contract.name}", data) for contract in CONTRACTS for topic, data in contract.events.items()
}
"""By topic: who notes it, and its data."""
VIEWS = ("LogEventView", "EventView")
"""Types of answers that have `topic` and `data`."""
PAIRS = "EventOfTopic"
_FORMS: dict[Form, Schema] = {
    Form.NUMBER: {"type": "integer"},
    Form.TIME: {"type": "integer", "description": "milliseconds of the chain clock"},
    Form.CREDITS: {"type": "string", "description": "credits as decimal text"},
    Form.LOSS: {"type": "string", "description": "a loss as decimal text"},
    Form.CONTRACT: {"type": ["string", "integer"], "description": "a contract's name, or its number where it has none here"},
    Form.TEXT: {"type": "string"},
    Form.ID: {"type": "string", "description": "an identity (lc1…), a content id (b…), or other bytes in hex"},
    Form.HASH: {"type": "string", "description": "bytes in hex", "pattern": "^([0-9a-f]{2})*$"},
    Form.MEMO: {"type": "string", "description": "text of its sender, or hex:… where it is none"},
}


def component(topic: str) -> str:
    return f"event.{topic}"


def _datum(datum: Datum) -> Schema:
    one = (
        {"enum": [in_form(datum.form, int(value)) for value in datum.form.kind]}
        if isinstance(datum.form, OneOf)
        else _FORMS[datum.form]
    )
    return {"type": "array", "items": one} if datum.many else one


def components(ref: str) -> dict[str, Schema]:
    """The data of each topic, and which data go with which topic. `ref` is a reference's template."""
    pairs = [
        {"properties": {"topic": {"const": topic}, "data": {"$ref": ref.format(name=component(topic))}}, "required": ["topic"]}
        for topic in sorted(OWNERS)
    ]
    return {PAIRS: {"oneOf": pairs, "description": "Each topic with its data."}} | {
        component(topic): {
            "type": "object",
            "description": f"The data of `{topic}`, which {owner} notes.",
            "properties": {datum.name: _datum(datum) for datum in data},
            "required": [datum.name for datum in data],
            "additionalProperties": False,
        }
        for topic, (owner, data) in OWNERS.items()
    }
