"""Why a message does nothing."""

from __future__ import annotations


class Refused(Exception):
    """With the name of its code."""


def check(holds: object, why: str) -> None:
    if not holds:
        raise Refused(why)
