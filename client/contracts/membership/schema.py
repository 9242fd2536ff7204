"""What the routes about accounts, suspensions and parked references take and answer."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from client.api.schema import Address, Amount, Hex, Page, Strict


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


class CaseView(Strict, frozen=True, kw_only=True):
    until: int
    refs: list[Hex]
    corroborated: bool
    confirm: list[Address]
    lift: list[Address]


class BandwidthView(Strict, frozen=True, kw_only=True):
    """Bytes of transactions: `left` may go into blocks now (below 0: urgent ones went beyond), `per_s` are earned in a second."""

    left: int
    per_s: int


class AccountView(Strict, frozen=True, kw_only=True):
    """`strikes` are the chain clocks at which they end. `locked` lies in escrows of live jobs."""

    id: Address
    key: Hex
    status: Literal["active", "suspended", "banned"]
    balance: Amount
    frozen: Amount
    locked: Amount
    bandwidth: BandwidthView
    verifier: bool
    validator: bool
    strikes: list[int]
    sequences: list[int]
    case: CaseView | None
