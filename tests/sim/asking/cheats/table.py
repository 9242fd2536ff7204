"""All cheats by name."""

from __future__ import annotations

from tests.sim.asking.cheats.colluders import Colluder
from tests.sim.asking.cheats.copier import Copier
from tests.sim.asking.cheats.flood import Flooder
from tests.sim.asking.cheats.left_over import LeftOver
from tests.sim.asking.cheats.self_asker import SelfAsker
from tests.sim.asking.cheats.withholder import Withholder
from tests.sim.asking.member import MemberAsking

CHEATS: dict[str, type[MemberAsking]] = {
    "colluding servers": Colluder,
    "copying server": Copier,
    "flooding requester": Flooder,
    "asking itself": SelfAsker,
    "left over judges": LeftOver,
    "withholding server": Withholder,
}
