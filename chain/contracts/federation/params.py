"""What genesis fixes for the federation contract. Spec: LC-FED-6."""

from __future__ import annotations

from typing import Annotated

from learningchain.chain.errors import Malformed
from learningchain.chain.params import CREDIT, ContractParams, Positive, Span, Votable

_HOUR = 3_600_000
_DAY = 24 * _HOUR
_WINDOW = Votable(1_000, _DAY)
MOST_DROPPED = 1_024


class FederationParams(ContractParams, frozen=True, kw_only=True):
    """Times in milliseconds of the chain clock."""

    fed_base: Annotated[Span, _WINDOW] = 120_000
    """The part of the windows that does not depend on sizes (LC-FED-2)."""
    fed_ready: Annotated[Span, _WINDOW] = 30_000
    """W_H"""
    fed_open: Annotated[Span, _WINDOW] = 60_000
    """W_C"""
    fed_pending: Annotated[Span, Votable(60_000, 366 * _DAY)] = 7 * _DAY
    """How long a member waits to be admitted."""
    fed_keep: Annotated[Span, Votable(60_000, 366 * _DAY)] = 30 * _DAY
    """How long an ended federation stays in the state."""
    fed_least: Annotated[Span, Votable(1_000, _DAY)] = 60_000
    """The least pace, and the least time to the end."""
    fed_longest: Annotated[Span, Votable(_HOUR, 366 * _DAY)] = 180 * _DAY
    """The longest of a federation, a pace and a round."""
    fed_rate: Annotated[Positive, Votable(1, CREDIT)] = 10
    """What a second of a CPU costs at least, in the fee of a measurement: micro-credits."""
    fed_live: Annotated[Positive, Votable(1, 256)] = 16
    """Federations of one root that have not ended."""
    fed_dropped: Annotated[Positive, Votable(8, MOST_DROPPED)] = 64
    """Records of an ended federation that leave the state in one deadline."""

    def check(self) -> None:
        """Bounds that genesis may not leave either: a deadline goes through so many records."""
        if self.fed_dropped > MOST_DROPPED:
            raise Malformed(f"fed_dropped is above {MOST_DROPPED}: a deadline drops so many records at once")
