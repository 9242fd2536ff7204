"""What genesis fixes for membership."""

from __future__ import annotations

from chain.params import ContractParams, Span


class MemberParams(ContractParams, frozen=True, kw_only=True):
    """What genesis fixes for membership. Times in milliseconds of the chain clock."""

    appeal: Span = 3_600_000
    """APPEAL: how long a suspended identity's credits stay frozen before the verdict is final."""
    strike_life: Span = 30 * 24 * 3_600_000
