"""The demo's script in numbers: who takes part, the network's parameters, the two jobs. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chain.ledger.genesis import make_params
from client.contracts.job.schema import LimitsRequest


@dataclass(frozen=True)
class Part:
    """One of the five nodes. `grant` is what genesis gives it, in credits."""

    name: str
    role: str
    validator: bool
    works: bool
    grant: str


NODES: Final = (
    Part("alice", "validator, works", True, True, "20"),
    Part("bob", "validator, works", True, True, "20"),
    Part("carol", "validator, works", True, True, "20"),
    Part("dave", "validator, verifies", True, False, "20"),
    Part("erin", "contractor", False, False, "1000"),
)
CONTRACTOR: Final = "erin"
CHEATER: Final = Part("mallory", "member without a node", False, False, "50")
"""No verifier: it runs no node, and a committee would wait for its vote."""

PARAMS, SECTIONS = make_params(
    heartbeat=2_000,
    # Validators share a small machine with the containers: patience costs nothing where everybody is honest.
    drift=5_000,
    timeout_propose=2_000,
    timeout_vote=1_000,
    job_min_open=5_000,
    # Always waited for to the end.
    job_reveal=8_000,
    appeal=12_000,
    # Over as soon as all have voted: generous.
    job_vote_base=60_000,
    job_open_votes=30_000,
)


@dataclass(frozen=True)
class JobPlan:
    """What the contractor posts. `expires_in_s` from the posting; amounts are credits."""

    title: str
    bounty: str
    fee: str
    expires_in_s: int
    params: dict[str, Any]
    limits: LimitsRequest


LIMITS: Final = LimitsRequest(cpus=1.0, mem_mb=256, train_s=20, eval_s=20, model_cap=2**20, tmp_mb=16, threads=1)
RACE: Final = JobPlan(
    "Job one: the race",
    bounty="100",
    fee="1",
    expires_in_s=50,
    # The trainings differ by their seeds; the seconds let people watch them.
    params={"epochs": 60, "hidden": 48, "seconds": 5},
    limits=LIMITS,
)
FRAUD: Final = JobPlan(
    "Job two: the cheater",
    bounty="40",
    fee="1",
    expires_in_s=10,
    params={"epochs": 60, "hidden": 48},
    limits=LIMITS,
)
MIN_BOUNTY: Final = "50"
"""The workers' own policy: job two pays too little for them, so that the cheater is alone with it."""
ATTEMPTS: Final = 3
FALSE_LOSS: Final = "0.001"
MIN_ACCURACY: Final = 0.9
"""Of the downloaded model on the evaluation digits; a good one reads about 97 %."""
