"""What the routes about members, suspensions and parked references take and answer, and the contract's part of an account."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from client.api.schema import Address, Hex, Page, Strict


class AccountsQuery(Strict, frozen=True, kw_only=True):
    after: Address | None = None
    limit: Page = 100


class JudgementRequest(Strict, frozen=True, kw_only=True):
    account: Address
    confirm: Annotated[bool, Meta(description="true confirms the ban, false lifts the suspension")]


class ReleaseRequest(Strict, frozen=True, kw_only=True):
    """A reference as `parked` in the status shows it: `contract` is "job" or "membership", `ref` a job's id or an account."""

    contract: Annotated[str, Meta(max_length=32)]
    ref: Annotated[str, Meta(max_length=128)]
    give_back: Annotated[
        bool, Meta(description="true ends it and returns what it holds to whom it came from, false lets it run again")
    ]


class CaseView(TypedDict):
    until: int
    refs: list[Hex]
    corroborated: bool
    confirm: list[Address]
    lift: list[Address]


class MemberView(TypedDict):
    """`strikes` are the chain clocks at which they end."""

    verifier: bool
    strikes: list[int]
    case: CaseView | None
