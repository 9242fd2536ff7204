"""Two contractors of two roots in collusion: the images of both lie by the clock, so that two different posters call one a liar.

What they can reach is a ban, where judges follow their own measurements (the page's residual; `never` as their policy closes it).
"""

from __future__ import annotations

from tests.sim.market.cheats.lying_evaluator import ByClock


class Colluding(ByClock):
    @staticmethod
    def members(machines: int) -> int:
        return 2
