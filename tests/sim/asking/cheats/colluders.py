"""Servers that tell one lie, the same of them all: they win where a draw seats more of them than of the others."""

from __future__ import annotations

from tests.sim.asking.member import MemberAsking
from tests.sim.asking.people import Asker


class LyingServer(Asker):
    lies = 1.0
    appeals = 0.0
    fidgets = 0.0


class Colluder(MemberAsking):
    verifier = True
    count = 2
    kind = LyingServer
    never_gains = False
    """The page's residual: two of few servers may be most of a draw."""
