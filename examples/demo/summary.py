"""What `--json-file` writes: the four jobs, the balances and the nodes, as the nodes told them."""

from __future__ import annotations

from typing import Any

from learningchain.chain.types import format_credits
from learningchain.examples.demo.board import Json
from learningchain.examples.demo.check import Verdict, containers, held, votes_of
from learningchain.examples.demo.reading import Seen
from learningchain.examples.demo.story import Scene


def summary(v: Verdict, scene: Scene) -> Json:
    """All of it as the nodes told it; `state_root` is the one that every node has at `height`."""
    first = v.seen[0]
    roots = {seen.block["state_root"] for seen in v.seen}
    return {
        "nodes": [_node(seen) for seen in v.seen],
        "height": v.height,
        "state_root": roots.pop() if len(roots) == 1 else None,
        "jobs": [_job(v, scene, job) for job in first.jobs],
        "balances": {a["id"]: format_credits(held(a)) for a in first.accounts},
        "burned": first.supply["burned"],
        "supply": first.supply["supply"],
    }


def _node(seen: Seen) -> Json:
    told = {k: seen.status[k] for k in ("id", "validator", "working")}
    return {"name": seen.name, **told, "height": seen.block["height"], "state_root": seen.block["state_root"]}


def _job(v: Verdict, scene: Scene, job: Json) -> Json:
    """`accused`: whose claim was measured FALSE, rightly or not; `became` is the status that it has at the end."""
    accused = next((c["claimant"] for c in job["claims"] if c["result"] == "FALSE"), None)
    claim: Any = next((c for c in job["claims"] if c["claimant"] == (job["winner"] or accused)), {})
    votes, paid = votes_of(job), job["payments"]
    return {
        "id": job["id"],
        "contractor": job["poster"],
        "outcome": job["state"].lower(),
        "winner": job["winner"],
        "accused": accused,
        "became": next((a["status"] for a in v.seen[0].accounts if a["id"] == accused), None),
        "claimed_loss": claim.get("loss"),
        "measured_losses": [x["measured"] for x in votes if x["measured"] is not None],
        "votes": [{k: x[k] for k in ("voter", "candidate", "vote")} for x in votes],
        "bounty": job["bounty"],
        "fees_paid": paid["fees_paid"],
        "stakes_burned": paid["stakes_burned_by_verdicts"],
        "bond_burned": paid["bond_burned"],
        "model": (claim.get("model") or {}).get("cid"),
        "downloaded_sha256": scene.fetched.sha256 if scene.fetched and job["id"] == scene.race else None,
        "containers": containers(v, scene, job["id"]),
    }
