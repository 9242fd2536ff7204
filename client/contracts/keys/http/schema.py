"""What the routes about keys take and answer, and the contract's part of an account."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from learningchain.client.schema.bodies import (
    Count,
    Strict,
    TxAnswer,
)
from learningchain.client.schema.texts import (
    ADDRESS,
    Address,
    Hex,
    PublicKey,
    form,
    hex_form,
)

SignatureText = Annotated[str, Meta(max_length=128, description="64 bytes in hex", extra_json_schema=form("[0-9a-f]{128}"))]


class RotationRequest(Strict, frozen=True, kw_only=True):
    """`signature` is the new key's for this account (LC-KEY-1); `sealed` its secret, under the node's present key, so that the
    running node goes on with it. The key's file is in the node's data folder already."""

    key: PublicKey
    signature: SignatureText
    sealed: Annotated[str, Meta(max_length=256, description="in hex", extra_json_schema=hex_form(128))]


class GuardiansRequest(Strict, frozen=True, kw_only=True):
    guardians: Annotated[list[Address], Meta(max_length=16)]
    threshold: Annotated[int, Meta(ge=0, le=16)]
    delay: Annotated[Count, Meta(description="milliseconds of the chain clock")]


class RecoveryRequest(Strict, frozen=True, kw_only=True):
    request: Annotated[
        str,
        Meta(
            max_length=512,
            description="the line that learningchain recover start printed",
            extra_json_schema=form(f"{ADDRESS}[.]0[23][0-9a-f]{{64}}[.][0-9a-f]{{128}}", "lc-recovery"),
        ),
    ]


class WordView(TypedDict):
    guardian: Address
    key: Hex


class RecoveryView(TypedDict):
    """Times are of the chain clock. `key`: the one on which enough guardians agree, `needed` of them; the account gets it at
    `until`. Without one the guardians have until then to agree. `objected`: whoever has the present key spoke against it."""

    since: int
    until: int
    key: Hex | None
    needed: int
    objected: bool
    words: list[WordView]


class ComingGuardiansView(TypedDict):
    """Who follows the guardians of now, or nobody: from `since` on (chain clock), and not while a recovery is open."""

    since: int
    guardians: list[Address]
    threshold: int
    delay: int


class KeysView(TypedDict):
    """`key_changes`: how often the key was replaced. `guardian_delay` is in milliseconds. Before `recovery_barred_until` (chain
    clock) no recovery begins, unless other guardians are coming."""

    key_changes: int
    guardians: list[Address]
    guardian_threshold: int
    guardian_delay: int
    guardians_coming: ComingGuardiansView | None
    recovery_barred_until: int
    recovery: RecoveryView | None


__all__ = [
    "ComingGuardiansView",
    "GuardiansRequest",
    "KeysView",
    "RecoveryRequest",
    "RecoveryView",
    "RotationRequest",
    "TxAnswer",
    "WordView",
]
