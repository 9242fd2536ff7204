"""The parameters of governance."""

from __future__ import annotations

from typing import Annotated

from learningchain.chain.params import ContractParams, Span, Votable

_DAY = 24 * 3_600_000


class GovernanceParams(ContractParams, frozen=True, kw_only=True):
    """Times in milliseconds of the chain clock."""

    proposal_life: Annotated[Span, Votable(3_600_000, 366 * _DAY)] = 30 * _DAY
    """How far ahead a proposal may expire at most."""
