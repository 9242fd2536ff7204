"""Ledger records as JSON: every message, every event and every code has a form that people can read."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain import contracts
from learningchain.chain.codec import encode
from learningchain.chain.contracts import CONTRACTS, MESSAGES
from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.membership import ReportDouble
from learningchain.chain.crypto import address
from learningchain.chain.errors import Code, TxCode
from learningchain.chain.host import terms
from learningchain.chain.losses import Measurement, Opening
from learningchain.chain.types import LogEvent, TransferEvent, Vote, VoteEvidence
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.schema.render import (
    code_name,
    render_event,
    render_history,
    render_op,
)
from tests.unit.api_kit import MODEL_CID, sha

A, B, JOB = b"a" * 20, b"b" * 20, sha("job")
HASH = bytes(32)


# --- codes ----------------------------------------------------------------------------------------------------------------------


def every_code() -> list[IntEnum]:
    return [code for codes in (Code, TxCode, *(contract.codes for contract in CONTRACTS)) for code in codes]


def test_every_code_has_one_name_and_no_two_share_a_number() -> None:
    assert {int(code): code.name for code in every_code()} == {int(code): code_name(code) for code in every_code()}
    assert len({int(code) for code in every_code()}) == len(every_code())
    assert code_name(99_999) == "CODE_99999"


# --- messages -------------------------------------------------------------------------------------------------------------------

VOTE = Vote(1, 5, 0, HASH, A, bytes(64))
IMAGE = terms.Image(2, "", MODEL_CID.to_bytes(), HASH, 9)
LIMITS = terms.Limits(1, 2, 3, 4, 5, 6, 7)
POSTING = messages.PostJob(IMAGE, 1, "{}", 2_500_000, 1, 3, 77, 2, 10**6, -5, 1, LIMITS, [], [], [], [])
BALLOT = messages.Ballot(BallotCode.FALSE, [Measurement(HASH, 1_800_000, 2)], [], False)
OPENING = Opening([], [900_000, 900_000], [])


def example(kind: Any) -> Any:
    special = {messages.PostJob: POSTING, ReportDouble: ReportDouble(VoteEvidence(VOTE, VOTE))}
    if kind in special:
        return special[kind]
    values = {
        bytes: HASH,
    }
    fields = []
    for field in msgspec.structs.fields(kind):
        if field.name in ("target", "spender", "owner", "account", "inviter"):
            fields.append(A)
        elif field.name == "model":
            fields.append(MODEL_CID.to_bytes())
        elif field.name == "memo":
            fields.append(b"text")
        elif field.name == "ballots":
            fields.append([BALLOT])
        elif field.name == "opening":
            fields.append([OPENING])
        elif field.name == "capacity":
            fields.append(terms.Capacity(2, 1, 2, 3, 4, 5))
        elif field.name in (
            "job",
            "request",
            "commitment",
            "seal",
            "salt",
            "key",
            "invitation",
            "signature",
            "token",
            "federation",
            "digest",
        ):
            fields.append(values[bytes])
        elif field.name in ("files", "codes", "points"):
            fields.append(b"\x01")
        elif field.name == "confirm":
            fields.append(True)
        else:
            fields.append(1)
    return kind(*fields)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_shows_its_type_and_every_field_as_json(kind: Any) -> None:
    op = example(kind)
    shown = render_op(op)
    assert shown["type"] == kind.__name__
    assert set(shown) == {"type", *kind.__struct_fields__}
    assert msgspec.json.decode(msgspec.json.encode(shown)) == shown
    for name in ("amount", "fee", "loss", "bounty"):
        assert isinstance(shown.get(name, ""), str)


# --- events ---------------------------------------------------------------------------------------------------------------------


def emitted_topics() -> dict[str, int]:
    """Topics that the contracts emit, with how many values each carries at least."""
    found: dict[str, int] = {}
    for path in Path(contracts.__path__[0]).rglob("*.py"):
        for topic, rest in re.findall(r'\bemit\("([a-z.]+)", [\w.]+((?:, [^()\n]*(?:\([^()]*\))?[^()\n]*)?)\)\n', path.read_text()):
            found[topic] = len([part for part in rest.split(", ") if part and not part.startswith("*")])
    return found


def test_every_topic_that_a_contract_emits_has_names_for_its_values() -> None:
    topics = emitted_topics()
    assert len(topics) >= 25
    declared = {topic: data for contract in CONTRACTS for topic, data in contract.events.items()}
    for topic, least in topics.items():
        plain = [datum for datum in declared[topic] if not datum.many]
        data: list[Any] = [next(v for v in (1, "reason", A) if datum.holds(v)) for datum in plain]
        shown = render_event(LogEvent(topic, JOB, data))
        assert "values" not in shown["data"], topic
        assert len([value for value in shown["data"].values() if not isinstance(value, list)]) == len(plain) >= least, topic


@pytest.mark.parametrize(
    ("event", "amount", "other"),
    [
        (TransferEvent("transfer", A, B, 1_500_000, b""), "-1.5", address(B)),
        (TransferEvent("transfer", B, A, 1_500_000, b""), "+1.5", address(B)),
        (TransferEvent("block reward", b"", A, 1, b""), "+0.000001", None),
        (TransferEvent("ban", A, b"", 5, b""), "-0.000005", None),
        (TransferEvent("stake.locked", A, JOB + A, 10**6, JOB), "-1", f"stake:{JOB.hex()}:{address(A)}"),
        (TransferEvent("frozen", A, A, 10**6, JOB), "-1", None),
        (TransferEvent("returned", A, A, 10**6, JOB), "+1", None),
        (LogEvent("strike", A, ["why", JOB]), None, None),
    ],
)
def test_history_has_the_sign_of_what_happened_to_the_account(event: Any, amount: str | None, other: str | None) -> None:
    for form in (event, encode(event)):
        shown = render_history(A, cursor=9, height=1, time=2, event=form, tx=HASH)
        assert (shown["amount"], shown["other"], shown["cursor"], shown["tx"]) == (amount, other, 9, HASH.hex())
