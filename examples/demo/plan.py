"""The demo's script in numbers: who takes part, the network's parameters, the four jobs. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from learningchain.chain.ledger.genesis import make_params
from learningchain.client.contracts.job.http.schema import LimitsRequest


@dataclass(frozen=True)
class Part:
    """A member. `grant` is what genesis gives it, in credits; a worker takes jobs of `min_bounty` and more."""

    name: str
    role: str
    validator: bool
    works: bool
    grant: str
    min_bounty: str = "50"


NODES: Final = (
    Part("alice", "validator, works", True, True, "20", "20"),
    Part("bob", "validator, works", True, True, "20"),
    Part("carol", "validator, works", True, True, "20"),
    Part("dave", "validator, verifies", True, False, "20"),
    Part("erin", "poster", False, False, "1000"),
)
"""Workers have a policy of their own: job four interests alice alone, jobs two and three pay too little for all of them."""
CONTRACTOR: Final = "erin"
SECOND: Final = Part("frank", "poster without a node", False, False, "1000")
LIAR: Final = Part("grace", "poster that lies", False, False, "1000")
CHEATER: Final = Part("mallory", "cheats, without a node", False, False, "50")
"""No verifiers: they run no nodes, and a committee would wait for their votes."""
OTHERS: Final = (SECOND, LIAR, CHEATER)
VICTIM: Final = "alice"

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
    """What the poster posts. `expires_in_s` from the posting; amounts are credits."""

    title: str
    told: str
    """What is to be seen, in a sentence or two."""
    bounty: str
    fee: str
    expires_in_s: int
    params: dict[str, Any]
    limits: LimitsRequest


LIMITS: Final = LimitsRequest(cpus=1.0, mem_mb=256, train_s=20, eval_s=20, model_cap=2**20, tmp_mb=16, threads=1)
RACE: Final = JobPlan(
    "Job one: the race",
    "alice, bob and carol train a digit recogniser for erin. The lowest loss wins, if others measure the same.",
    bounty="100",
    fee="0.1",
    expires_in_s=50,
    # The trainings differ by their seeds; the seconds let people watch them.
    params={"epochs": 60, "hidden": 48, "seconds": 5},
    limits=LIMITS,
)
FRAUD: Final = JobPlan(
    "Jobs two and three: one cheater lies to two posters",
    "mallory announces to erin and to frank a loss that its model does not have. One false claim costs a stake and suspends; "
    "false claims to two posters, which the validators measured themselves, ban.",
    bounty="10",
    fee="0.01",
    # A busy machine takes seconds to start the cheater's script.
    expires_in_s=16,
    params={"epochs": 60, "hidden": 48},
    limits=LIMITS,
)
LIE: Final = JobPlan(
    "Job four: a poster lies about an honest worker",
    "grace's evaluator tells alice the truth and the committee something else, later, by the clock. alice loses one stake, grace "
    "as much of its bond, and one poster's jobs ban nobody.",
    bounty="30",
    fee="0.01",
    expires_in_s=25,
    params={"epochs": 60, "hidden": 48},
    limits=LIMITS,
)
ATTEMPTS: Final = 3
FALSE_LOSS: Final = "0.001"
MIN_ACCURACY: Final = 0.9
"""Of the downloaded model on the evaluation digits; a good one reads about 97 %."""
