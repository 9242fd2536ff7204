"""What a vote costs the ledger: the bytes of its two transactions, and the processor time of opening it.

python -m benchmarks.ballots [EXAMPLES ...]

One candidate, one column. The handler runs on the real state, inside a block that is dropped each time; a transfer's stands beside
it. Signatures are checked before, the same for both.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from learningchain.chain.contracts import host_of, perform
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.duties import DueBallots, duties_in
from learningchain.chain.contracts.job.messages import Ballot, CommitVote, OpenVote, Reveal, open_vote_work, vote_commitment
from learningchain.chain.contracts.job.records import round_key
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.losses import LossTree, draw_probe, open_losses
from learningchain.chain.verification.votes import BallotCode
from tests.unit.api_kit import MODEL, MODEL_CID, NAMES, FakeLedger, sha

RUNS = 200


@dataclass(frozen=True)
class BallotsFigure:
    examples: int
    commit_bytes: int
    open_bytes: int
    work: int
    """In transfers of a batch, as a block counts it."""
    open_us: float
    parse_us: float
    """Decoding the transaction."""
    transfer_us: float


def measure(examples: int) -> BallotsFigure:
    """A job up to its count, in which every seat measured a classifier's losses: most are nothing, some are large."""
    rng = random.Random(examples)
    tree = LossTree([rng.randrange(10**9) if rng.random() < 0.2 else rng.randrange(1_000) for _ in range(examples)])
    claimed = tree.measurement.mean
    chain = FakeLedger()
    job = chain.claimed_job(loss=claimed)
    chain.block(50_000)
    chain.block(n1=Reveal(job, 1, MODEL_CID.to_bytes(), len(MODEL), sha("salt")))
    chain.block()
    ballot = Ballot(BallotCode.OK, [tree.measurement], [], False)
    found = {name: duties_in(chain.state, job, chain.ids[name], chain.clock) for name in NAMES}
    voters = [name for name in NAMES if any(isinstance(duty, DueBallots) for duty in found[name])]
    sealed: dict[str, Any] = {}
    for name in voters:
        bound = vote_commitment(chain.chain_id, job, 0, 1, chain.ids[name], [ballot], sha(name))
        sealed[name] = CommitVote(job, 0, 1, bound)
    if set(chain.block(**sealed)) != {0}:
        raise RuntimeError("a commit was refused")
    record: Any = chain.state.get(round_key(job, 0, 1))
    opening = open_losses(tree, draw_probe(record.probe, job, 0, 1, examples))
    message = OpenVote(job, 0, 1, [ballot], sha(voters[0]), 0, False, [opening])
    raw = chain.signed(voters[0], message)
    return BallotsFigure(
        examples=examples,
        commit_bytes=len(chain.signed(voters[0], sealed[voters[0]])),
        open_bytes=len(raw),
        work=open_vote_work(message),
        open_us=_handled(chain, voters[0], message),
        parse_us=_median(lambda: parse_tx(raw)),
        transfer_us=_handled(chain, "boss", Transfer(chain.ids["n1"], 1, b"")),
    )


def _handled(chain: FakeLedger, sender: str, message: Any) -> float:
    """Microseconds of the handler in a block after the last one."""
    parent = chain_record(chain.state)
    overlay = Overlay(chain.state)
    host = host_of(overlay, chain.params.core, parent, parent.height + 1, parent.time, parent.clock, sha("beacon"))

    def once() -> None:
        overlay.begin()
        perform(host, chain.ids[sender], message)
        overlay.drop()

    return _median(once)


def _median(once: Callable[[], object]) -> float:
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        once()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1_000_000


if __name__ == "__main__":
    for count in [int(word) for word in sys.argv[1:]] or [1, 360, 10_000, 1_000_000]:
        print({name: round(value, 1) for name, value in asdict(measure(count)).items()})
