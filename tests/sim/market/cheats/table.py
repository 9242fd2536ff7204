"""All cheats by name."""

from __future__ import annotations

from tests.sim.market.cheats.abstainer import Abstainer
from tests.sim.market.cheats.cartel import MajorityCartel, QuorumCartel, SmallCartel, ThirdCartel
from tests.sim.market.cheats.collusion import Colluding
from tests.sim.market.cheats.copier import Copier
from tests.sim.market.cheats.false_loss import FalseLoss
from tests.sim.market.cheats.grinder import Grinder
from tests.sim.market.cheats.late import Late
from tests.sim.market.cheats.lazy import Lazy
from tests.sim.market.cheats.lying_evaluator import AtRandom, ByClock, ByMachine, Exits75, Near
from tests.sim.market.cheats.partial import PartialRunner
from tests.sim.market.cheats.puppeteer import Puppeteer
from tests.sim.market.cheats.racer import Racer
from tests.sim.market.cheats.shills import Shill
from tests.sim.market.cheats.spammer import Spammer
from tests.sim.market.cheats.teller import Teller
from tests.sim.market.cheats.timer import LastMessage
from tests.sim.market.cheats.vote_copier import VoteCopier
from tests.sim.market.cheats.withholder import ModelWithholder
from tests.sim.market.outsider import Outsider

CHEATS: dict[str, type[Outsider]] = {
    "abstainer": Abstainer,
    "colluding contractors": Colluding,
    "copier": Copier,
    "false loss": FalseLoss,
    "grinder": Grinder,
    "last message": LastMessage,
    "late": Late,
    "lazy": Lazy,
    "liar at random": AtRandom,
    "liar by clock": ByClock,
    "liar by machine": ByMachine,
    "liar exiting 75": Exits75,
    "liar near": Near,
    "majority cartel": MajorityCartel,
    "model withholder": ModelWithholder,
    "partial runner": PartialRunner,
    "puppeteer": Puppeteer,
    "quorum cartel": QuorumCartel,
    "racer": Racer,
    "shills": Shill,
    "small cartel": SmallCartel,
    "spammer": Spammer,
    "teller": Teller,
    "third cartel": ThirdCartel,
    "vote copier": VoteCopier,
}
