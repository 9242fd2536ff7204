"""What genesis fixes for keys."""

from __future__ import annotations

from typing import Annotated

from learningchain.chain.errors import Malformed
from learningchain.chain.params import ContractParams, Span, Votable

_HOUR = 3_600_000
_DAY = 24 * _HOUR


class KeyParams(ContractParams, frozen=True, kw_only=True):
    """What genesis fixes for keys. Times in milliseconds of the chain clock."""

    key_rest: Annotated[Span, Votable(60_000, 30 * _DAY)] = _HOUR
    """An account rotates its key once in this time: every key is kept for ever, and a validator's changes the set."""
    recovery_delay_min: Annotated[Span, Votable(_HOUR, 30 * _DAY)] = _DAY
    """How long an owner can object at the least, once its guardians agree on another key."""
    recovery_delay_max: Annotated[Span, Votable(30 * _DAY, 366 * _DAY)] = 90 * _DAY
    recovery_gather: Annotated[Span, Votable(_DAY, 90 * _DAY)] = 14 * _DAY
    """How long guardians have to agree, from the first one's word on, or from an objection."""

    def check(self) -> None:
        if self.recovery_delay_min > self.recovery_delay_max:
            raise Malformed(
                f"recovery_delay_min is {self.recovery_delay_min}, more than recovery_delay_max, {self.recovery_delay_max}"
            )
