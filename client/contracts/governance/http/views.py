"""Proposals as people and programs read them. Pure."""

from __future__ import annotations

from learningchain.chain.contracts.governance import (
    Action,
    AddValidator,
    Admit,
    Ban,
    LiftBan,
    Remove,
    RemoveValidator,
    SetParameters,
    SetVerifier,
    Upgrade,
    kind_of,
    proposal,
)
from learningchain.chain.contracts.governance.duties import may_say, present
from learningchain.chain.crypto import account_id, address
from learningchain.chain.host import Reader
from learningchain.chain.ledger.genesis import CORE, OF_CONTRACTS, unit_of
from learningchain.chain.types import format_credits, format_span, quorum
from learningchain.client.api.ending import cursor_of
from learningchain.client.contracts.governance.http.schema import ProposalView

_UNITS = {name: unit_of(field) for fields in (CORE, *OF_CONTRACTS.values()) for name, field in fields.items()}


def with_unit(value: int, unit: str) -> str:
    """A parameter's value as it is written, and as people read it."""
    if unit == "ms":
        return f"{value} ({format_span(value)})" if value >= 1_000 else f"{value} ms"
    if unit == "micro-credits":
        return f"{value} ({format_credits(value)} credits)"
    return f"{value} {unit}".rstrip()


def describe(action: Action) -> str:
    """What it asks for, in a sentence's middle."""
    match action:
        case Admit(key):
            return f"admit {address(account_id(key))}"
        case Remove(account):
            return f"remove the member {address(account)}"
        case SetVerifier(account, on):
            return f"{'give the verifier flag to' if on else 'take the verifier flag from'} {address(account)}"
        case Ban(account):
            return f"ban {address(account)} and burn what it holds"
        case LiftBan(account):
            return f"lift the ban of {address(account)} and give back what it burned"
        case AddValidator(account):
            return f"add the validator {address(account)}"
        case RemoveValidator(account):
            return f"remove the validator {address(account)}"
        case SetParameters(_, values):
            return "set " + ", ".join(f"{entry.name} to {with_unit(entry.value, _UNITS.get(entry.name, ''))}" for entry in values)
        case Upgrade(version, height):
            return f"begin version {version} of the protocol at block {height}"


def view(reader: Reader, ref: bytes, own: bytes) -> ProposalView | None:
    record = proposal(reader, ref)
    if record is None:
        return None
    now = present(reader)
    return {
        "proposal": ref.hex(),
        "action": kind_of(record.action).name.lower().replace("_", "-"),
        "text": describe(record.action),
        "proposer": address(record.proposer),
        "since": record.since,
        "expires": record.expires,
        "yes": [address(i) for i in record.yes if i in now],
        "no": [address(i) for i in record.no if i in now],
        "validators": len(now),
        "needed": quorum(len(now)),
        "own_word": "yes" if own in record.yes else "no" if own in record.no else None,
        "may": may_say(reader, own, record),
        "cursor": cursor_of(record.expires, ref),
    }
