"""What membership takes: messages and the codes of their refusals."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from chain.codec import Wire
from chain.types import (
    AccountId,
    Evidence,
)


class MemberCode(IntEnum):
    NOT_A_VALIDATOR = 200
    NO_CASE = 201
    ALREADY_VOTED = 202
    BAD_EVIDENCE = 203
    OLD_EVIDENCE = 204
    KNOWN_EVIDENCE = 205
    LAST_VALIDATOR = 206
    NOT_PARKED = 207
    NOTHING_TO_GIVE_BACK = 208


class JudgeCase(Wire, frozen=True, tag=64):
    """LC-MEM-6: a validator's word on an open case: `confirm` the ban, or lift it."""

    account: AccountId
    confirm: bool


class ReportDouble(Wire, frozen=True, tag=65):
    """LC-MEM-10, 11, 12"""

    evidence: Evidence


class Release(Wire, frozen=True, tag=66):
    """LC-MEM-13: a validator's word on a parked reference: run again what it missed, or (`give_back`) end it."""

    contract: Annotated[int, Meta(ge=0, le=255)]
    ref: Annotated[bytes, Meta(max_length=64)]
    give_back: bool
