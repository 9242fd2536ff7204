"""All attacks by name."""

from __future__ import annotations

from tests.sim.attacks.amnesiac import Amnesiac
from tests.sim.attacks.bad_proposer import BadProposer
from tests.sim.attacks.base import Byzantine
from tests.sim.attacks.double_voter import DoubleVoter
from tests.sim.attacks.equivocator import Equivocator
from tests.sim.attacks.garbler import Garbler
from tests.sim.attacks.liar import Liar
from tests.sim.attacks.silent import Silent
from tests.sim.attacks.withholder import Withholder

BY_NAME: dict[str, type[Byzantine]] = {
    "amnesiac": Amnesiac,
    "bad proposer": BadProposer,
    "double voter": DoubleVoter,
    "equivocator": Equivocator,
    "garbler": Garbler,
    "liar": Liar,
    "silent": Silent,
    "withholder": Withholder,
}
NAMES = tuple(sorted(BY_NAME))
