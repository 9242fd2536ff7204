"""What genesis fixes for membership."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.params import KEPT, ContractParams, Positive, Span, Votable


class JoinPolicy(IntEnum):
    """How members come."""

    INVITATION = 1
    VOTE = 2
    BOTH = 3


class MemberParams(ContractParams, frozen=True, kw_only=True):
    """What genesis fixes for membership. Times in milliseconds of the chain clock."""

    appeal: Annotated[Span, KEPT, Votable(60_000, 30 * 24 * 3_600_000)] = 12 * 3_600_000
    """APPEAL: how long a case is open after a FALSE verdict. After its first one it is open four times as long at most."""
    standing_life: Annotated[Span, Votable(60_000, 366 * 24 * 3_600_000)] = 30 * 24 * 3_600_000
    """How long a strike, a mark and the rest of a flag last, and how far back a case looks for other verdicts."""
    join_policy: Annotated[int, Meta(ge=1, le=3), Votable(1, 3)] = JoinPolicy.BOTH
    """How members come: 1 by invitation, 2 by the validators' vote, 3 by both."""
    invite_longest: Annotated[Span, Votable(60_000, 366 * 24 * 3_600_000)] = 30 * 24 * 3_600_000
    """How long an invitation stands at most."""
    invite_rest: Annotated[Span, Votable(60_000, 366 * 24 * 3_600_000)] = 24 * 3_600_000
    """How long a used invitation counts among the three of its maker, and how old an invited member is before it may invite: a
    graph that grew fourfold every few seconds could not be governed."""
    invite_branch: Annotated[Positive, Votable(16, 65_536)] = 1_024
    """How many identities come into being by invitations below one root, ever. Each may send bytes, is kept for ever, and is one of
    the 65,536 that the state is sized for: without a bound a member is so many after eight days. Voted ones are their own root.
    An invited member has at most half of it, and less the deeper it is: what is left is for who has fewer below it."""
