"""All cheats by name."""

from __future__ import annotations

from tests.sim.market.cheats.cartel import MajorityCartel, QuorumCartel, SmallCartel, ThirdCartel
from tests.sim.market.cheats.copier import Copier
from tests.sim.market.cheats.false_loss import FalseLoss
from tests.sim.market.cheats.late import Late
from tests.sim.market.cheats.lazy import Lazy
from tests.sim.market.cheats.racer import Racer
from tests.sim.market.cheats.spammer import Spammer
from tests.sim.market.cheats.vote_copier import VoteCopier
from tests.sim.market.cheats.withholder import ModelWithholder
from tests.sim.market.outsider import Outsider

CHEATS: dict[str, type[Outsider]] = {
    "copier": Copier,
    "false loss": FalseLoss,
    "late": Late,
    "lazy": Lazy,
    "majority cartel": MajorityCartel,
    "model withholder": ModelWithholder,
    "quorum cartel": QuorumCartel,
    "racer": Racer,
    "small cartel": SmallCartel,
    "spammer": Spammer,
    "third cartel": ThirdCartel,
    "vote copier": VoteCopier,
}
