"""Contractors who want a worker's model without paying for it, played against the handlers: what is shown, and what it costs them.

A model leaves its node where it is under audit, to the seats that judge it. The contractor's evaluator finds whatever it likes, and
its own accounts claim beside the worker without a stake.
"""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.verification.votes import BallotCode
from tests.unit.job_kit import PARAMS, World, ballot, cid_of, hidden_set, replaced

CREDIT = 10**6
BOUNTY, GRANT, FEE = 100 * CREDIT, 1_000 * CREDIT, 10
"""In micro-credits; the fee is that of one vote, and seven sit."""
CROWD = ["boss", "puppet", "shadow"]
VERIFIERS = [f"v{i}" for i in range(9)]
ROUND = 7 * FEE

LEADS = {"worker": 5_000, "puppet": 4_000}
BETWEEN = {"shadow": 5_000, "worker": 4_990, "puppet": 4_978}
"""Two tolerances are 22. The shadow comes first and ranks before the worker, so the puppet has to beat the shadow alone."""
AHEAD = {"worker": 4_000, "puppet": 5_000}


def play(claims: dict[str, int], says: dict[str, BallotCode], **terms: Any) -> tuple[World, bytes]:
    """`claims` in their order, the worker's with a full stake. The evaluator says OK of whom it says nothing else of."""
    w = World([*CROWD, "worker", *VERIFIERS], VERIFIERS, replaced(PARAMS, job_rate=1), GRANT)
    job = w.post("boss", **{"bounty": BOUNTY, "fee": FEE, "eval_s": 1, "cpus_milli": 100} | terms)
    w.open_to(job, claims, frozenset(CROWD))
    if w.state(job) == "KEY":
        w.show_key(job)
    names = list(claims)
    while w.state(job) == "COMMIT":
        found = []
        for name in (names[index] for index in w.round(job).batch):
            code = says.get(name, BallotCode.OK)
            loss = claims[name] + (0 if code == BallotCode.OK else 10**6)
            found.append(ballot(code, loss, loss if w.round(job).hidden else None))
        w.everybody(job, *found)
    return w, job


def shown(w: World, job: bytes) -> set[str]:
    """Whose models were under audit."""
    models = {cid_of(name): name for name in (*CROWD, "worker")}
    return {models[model] for e in w.events if getattr(e, "topic", "") == "audit" and e.ref == job for model in e.data[3:]}


def gain(w: World, *names: str) -> int:
    return sum(w.account(name).balance + w.account(name).frozen - GRANT for name in names)


@pytest.mark.parametrize(
    ("claims", "says", "terms", "models", "crowd", "worker"),
    [
        # While the best full claim was judged beside a stakeless leader, both were shown here, for twice the fees.
        (LEADS, {}, {}, {"puppet"}, -ROUND, 0),
        # While the leader of those that were left was judged, not the first in rank order, so were both here.
        (BETWEEN, {}, {"finalists": 2}, {"puppet"}, -ROUND, 0),
        # The worker's turn comes where the leader is not OK: then it is paid.
        (LEADS, {"puppet": BallotCode.FALSE}, {}, {"puppet", "worker"}, -BOUNTY - 2 * ROUND, BOUNTY),
        # What is left: to refuse it costs a tenth, and it is shown to seven seats that the contractor does not choose.
        (AHEAD, {"worker": BallotCode.FALSE}, {}, {"worker"}, -BOUNTY // 10 - ROUND, -BOUNTY // 10),
        # With hidden data all finalists are judged at once, whoever wins by it.
        (LEADS, {}, {"hidden": hidden_set(), "fee": 2 * FEE}, {"puppet", "worker"}, -4 * ROUND, 0),
    ],
    ids=["a stakeless leader", "a rank of its own", "a leader that is refuted", "refused", "hidden data"],
)
def test_a_contractor_is_shown_a_workers_model_where_it_pays_or_loses_its_bond(
    claims: dict[str, int], says: dict[str, BallotCode], terms: Any, models: set[str], crowd: int, worker: int
) -> None:
    w, job = play(claims, says, **terms)
    assert shown(w, job) == models
    # What is frozen of an accused one is its own still, and verifiers have what the contractor paid.
    assert gain(w, *CROWD) == crowd
    assert gain(w, "worker") == worker
