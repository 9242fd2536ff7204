"""Verifiers that serve nothing, so that a draw leaves them over: they appeal what was answered, and judge it with one lie."""

from __future__ import annotations

from tests.sim.asking.member import MemberAsking
from tests.sim.asking.people import Asker


class LyingJudge(Asker):
    serves = False
    lies = 1.0
    appeals = 0.5
    fidgets = 0.0


class LeftOver(MemberAsking):
    verifier = True
    count = 4
    kind = LyingJudge
    never_gains = False
    """A requester that appeals in vain pays all who opened."""
