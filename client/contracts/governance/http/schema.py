"""What the routes about proposals and parameters take and answer."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from learningchain.chain.params import MAX_INT
from learningchain.client.schema.bodies import (
    Strict,
)
from learningchain.client.schema.choices import given
from learningchain.client.schema.texts import (
    Address,
    Hash,
    Hex,
    PublicKey,
)

ActionName = Literal["admit", "remove", "verifier", "ban", "lift-ban", "add-validator", "remove-validator", "parameters", "upgrade"]

OF_AN_ACCOUNT = ("remove", "ban", "lift-ban", "add-validator", "remove-validator")

GivenParameters = Annotated[
    dict[str, Annotated[int, Meta(ge=0, le=MAX_INT)]], Meta(max_length=16, extra_json_schema={"minProperties": 1})
]


class ProposalRequest(Strict, frozen=True, kw_only=True):
    """`account` for all but admit (`key`), parameters (`values`) and upgrade (`version`, `height`); `on` for verifier."""

    CHOICES = (
        {
            "oneOf": [
                *(given("account", action=action) for action in OF_AN_ACCOUNT),
                given("account", "on", action="verifier"),
                given("key", action="admit"),
                given("values", action="parameters"),
                given("version", "height", action="upgrade"),
            ]
        },
    )

    action: ActionName
    account: Address | None = None
    key: PublicKey | None = None
    on: bool | None = None
    values: GivenParameters | None = None
    version: Annotated[int, Meta(ge=1, le=2**32 - 1)] | None = None
    height: Annotated[int, Meta(ge=0, le=2**48)] | None = None
    expires_s: Annotated[float, Meta(gt=0, le=366 * 24 * 3_600, description="seconds from now until it expires")] = 7 * 24 * 3_600


class ProposalVoteRequest(Strict, frozen=True, kw_only=True):
    proposal: Hash
    yes: bool


class WithdrawRequest(Strict, frozen=True, kw_only=True):
    proposal: Hash


class ProposalView(TypedDict):
    """An open proposal. `expires` is of the chain clock. `needed` of the `validators` of the present set must say yes. `own_word`:
    what this node's identity said, `may`: what it may say now, nothing where it is no validator."""

    proposal: Hex
    action: str
    text: str
    proposer: Address
    since: int
    expires: int
    yes: list[Address]
    no: list[Address]
    validators: int
    needed: int
    own_word: Annotated[str | None, Meta(description="yes, no or null")]
    may: list[str]
    cursor: Annotated[str, Meta(description="its place in the list, to go on after it")]


class ParameterView(TypedDict):
    """A parameter in force. The validators may change it to `low` to `high`; null: it stays as genesis fixed it."""

    name: str
    contract: Annotated[str, Meta(description="ledger, or a contract's name")]
    value: int
    unit: Annotated[str, Meta(description="ms, blocks, micro-credits or empty")]
    low: int | None
    high: int | None
