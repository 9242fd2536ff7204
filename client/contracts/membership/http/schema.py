"""What the routes about members, suspensions and parked references take and answer, and the contract's part of an account."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.params import MAX_INT
from learningchain.client.schema.bodies import (
    AccountBase,
    Page,
    Strict,
    TxAnswer,
)
from learningchain.client.schema.texts import ADDRESS, Address, Endpoint, GivenAmount, Hash, Hex, form


class BoxKeyRequest(Strict, frozen=True, kw_only=True):
    """Nothing to say: the key is drawn where its private half stays."""


class BoxKeyAnswer(TxAnswer):
    """`key`: the new X25519 key in hex."""

    key: Hex


class KeptBoxKey(TypedDict):
    """A private key that lies on this node: of this public one, made at a time of the chain clock."""

    key: Hex
    made: int


class BoxKeyView(TypedDict):
    """`key`: this account's on the ledger, since `since` (chain clock). `here`: this node opens what is sealed to it. `kept`: all
    that it opens, the oldest first; those that were replaced stay for a while."""

    key: Annotated[str | None, Meta(description="X25519 key in hex")]
    since: int
    here: bool
    kept: list[KeptBoxKey]


class AccountsQuery(Strict, frozen=True, kw_only=True):
    after: Address | None = None
    limit: Page = 100


class JudgementRequest(Strict, frozen=True, kw_only=True):
    account: Address
    confirm: Annotated[bool, Meta(description="true confirms the ban, false lifts the suspension")]


class InviteRequest(Strict, frozen=True, kw_only=True):
    credits: GivenAmount = "0"
    lasts_ms: Annotated[int, Meta(ge=1, le=MAX_INT, description="how long it stands, in milliseconds of the chain clock")]
    addresses: Annotated[
        tuple[Endpoint, ...],
        Meta(max_length=4, description="where the newcomer reaches this node; those that it advertises where there are none"),
    ] = ()


class RevokeRequest(Strict, frozen=True, kw_only=True):
    invitation: Annotated[Hash, Meta(description="an invitation's id in hex")]


class LeaveRequest(Strict, frozen=True, kw_only=True):
    """Nothing to say."""


class InviteAnswer(TxAnswer):
    """`token` is the one line that lets one machine join. It is shown once: whoever has it may use it."""

    token: str
    invitation: Hex
    expires: int


class InvitationView(TypedDict):
    """An invitation of this node. `until`: when an open one expires, or until when a used one counts among the three."""

    invitation: Hex
    state: Literal["open", "used", "revoked", "expired"]
    until: int
    credits: str
    counts: bool


class ReleaseRequest(Strict, frozen=True, kw_only=True):
    """A reference as `parked` in the status shows it: `contract` is "job" or "membership", `ref` a job's id or an account."""

    contract: Annotated[str, Meta(max_length=32, extra_json_schema={"enum": [contract.name for contract in CONTRACTS]})]
    ref: Annotated[str, Meta(max_length=128, extra_json_schema=form(f"([0-9a-f]{{2}}){{1,64}}|{ADDRESS}", "lc-reference"))]
    give_back: Annotated[
        bool, Meta(description="true ends it and returns what it holds to whom it came from, false lets it run again")
    ]


class CaseRefView(TypedDict):
    """What a case is about: a reference (a job's id), whose work it was, and the root of that account."""

    ref: Hex
    owner: Address
    origin: Address


class CaseView(TypedDict):
    """An open case. `until` is of the chain clock. `judges` may speak; `to_ban` of them must confirm by then, `to_lift` end it at
    once. `counted` of them may confirm, or did: where they are fewer than half of the judges, `to_ban` is null and a ban takes a
    proposal. `words` says so in sentences."""

    number: int
    since: int
    until: int
    refs: list[CaseRefView]
    corroborated: bool
    judges: int
    counted: int
    confirm: list[Address]
    lift: list[Address]
    to_ban: int | None
    to_lift: int
    words: list[str]


class OpenCase(TypedDict):
    """A case in the list of those that are open. `own_word`: what this node's identity said, `may`: what it may say now, nothing
    where it is no judge of it."""

    account: Address
    case: CaseView
    own_word: Annotated[str | None, Meta(description="confirm, lift or null")]
    may: list[str]
    cursor: Annotated[str, Meta(description="its place in the list, to go on after it")]


class StrikeView(TypedDict):
    """The root of the contractor for whose work it was struck, and the chain clock at which the strike ends."""

    origin: Address
    end: int


class CapacityView(TypedDict):
    """The largest work that a verifier's machine takes, as declared at `since` (chain clock): thousandths of a processor, MiB,
    bytes of an image and of a model, seconds of an evaluation."""

    arch: str
    cpus_milli: int
    mem_mb: int
    image: int
    model_cap: int
    eval_s: int
    since: int


class MemberView(TypedDict):
    """`root` is the member at the root of its invitations, or itself. A verifier is not drawn before `rests_until` (chain clock),
    nor without a capacity. An account stands with fewer than three live strikes."""

    root: Address
    inviter: Address | None
    since: int
    left: Annotated[int, Meta(description="when it left, of the chain clock; 0 while it is a member")]
    box_key: Annotated[str | None, Meta(description="X25519 key in hex under which others seal for it")]
    verifier: bool
    rests_until: int
    capacity: CapacityView | None
    strikes: list[StrikeView]
    case: CaseView | None


class MemberAccount(AccountBase, MemberView):
    """An account as the API says it, as far as this contract knows: others add to it."""
