"""All attacks by name."""

from __future__ import annotations

from tests.sim.attacks.amnesiac import Amnesiac
from tests.sim.attacks.bad_proposer import BadProposer
from tests.sim.attacks.base import Byzantine
from tests.sim.attacks.censor import Censor
from tests.sim.attacks.certificate_forger import CertificateForger
from tests.sim.attacks.double_voter import DoubleVoter
from tests.sim.attacks.equivocator import Equivocator
from tests.sim.attacks.evidence_forger import EvidenceForger
from tests.sim.attacks.filler import Filler
from tests.sim.attacks.flooder import Flooder
from tests.sim.attacks.garbler import Garbler
from tests.sim.attacks.hidden_lock import HiddenLock
from tests.sim.attacks.hoarder import Hoarder
from tests.sim.attacks.liar import Liar
from tests.sim.attacks.link_liar import LinkLiar
from tests.sim.attacks.parrot import Parrot
from tests.sim.attacks.poster import Poster
from tests.sim.attacks.silent import Silent
from tests.sim.attacks.twins import Twins
from tests.sim.attacks.vote_withholder import VoteWithholder
from tests.sim.attacks.withholder import Withholder

ATTACKS: tuple[type[Byzantine], ...] = (
    Amnesiac,
    BadProposer,
    Censor,
    CertificateForger,
    DoubleVoter,
    Equivocator,
    EvidenceForger,
    Filler,
    Flooder,
    Garbler,
    HiddenLock,
    Hoarder,
    Liar,
    LinkLiar,
    Parrot,
    Poster,
    Silent,
    Twins,
    VoteWithholder,
    Withholder,
)
BY_NAME: dict[str, type[Byzantine]] = {attack.name: attack for attack in ATTACKS}
NAMES = tuple(sorted(BY_NAME))
