"""What a simulation did not come to is told in the summary of warnings, not asserted: a right change moves all of its runs."""

from __future__ import annotations

import warnings


class NotReached(UserWarning):
    """A run was good, and did not see what it is there for. Where that stays so, its profile or its seeds want a change."""


def reached(seen: object, what: str) -> None:
    if not seen:
        warnings.warn(what, NotReached, stacklevel=2)
