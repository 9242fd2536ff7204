"""Whether everything that the demo promises is true, on every node: read afresh from each node's API once all stand at one height.

A promise that does not hold is one line: what, where, and what was found instead. `summary` is what `--json-file` writes.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chain.contracts.credits import Transfer
from chain.types import format_credits, parse_credits, parse_loss
from client.keystore import Keystore
from client.sdk import Client
from client.sdk_types import ApiError, Invalid
from examples.demo.board import Json
from examples.demo.plan import ATTEMPTS, CHEATER, CONTRACTOR, FALSE_LOSS, FRAUD, MIN_ACCURACY, NODES, RACE
from examples.demo.story import Scene, sha256_of, until
from sandbox import RunStatus

LEVEL_S: Final = 30.0
REFUSE_S: Final = 10.0
MAX_OPEN_MS: Final = 60_000
MIN_WORKERS: Final = 3


@dataclass
class Seen:
    """What one node says of everything."""

    name: str
    status: Json
    block: Json
    supply: Json
    accounts: list[Json]
    race: Json
    fraud: Json
    runs: list[Json]
    paid: list[Json]
    """History of the race's winner."""


@dataclass
class Verdict:
    height: int = 0
    seen: list[Seen] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    promises: int = 0
    winner_sha256: str = ""
    refusals: dict[str, str] = field(default_factory=dict)

    def want(self, held: bool, where: str, what: str) -> None:
        self.promises += 1
        if not held:
            self.failures.append(f"{where}: {what}")


async def judge(scene: Scene) -> Verdict:
    """Read every node and hold it against what was promised."""
    verdict = await read(scene)
    hold(verdict, scene)
    return verdict


def hold(verdict: Verdict, scene: Scene) -> None:
    """Every promise against what was read: `verdict.failures` names those that do not hold."""
    for seen in verdict.seen:
        _alike(verdict, seen)
        _roles(verdict, seen)
        _credits(verdict, seen)
        _race(verdict, scene, seen)
        _fraud(verdict, scene, seen)
    _work(verdict, scene)
    _model(verdict, scene)


# --- reading -------------------------------------------------------------------------------------------------------------------


async def read(scene: Scene) -> Verdict:
    """What every node tells now that all stand at one height."""
    verdict = Verdict()
    verdict.refusals = await _refusals(scene)
    verdict.height = await _one_height(scene)
    verdict.seen = [await _read(scene, name, client, verdict.height) for name, client in scene.clients.items()]
    first = verdict.seen[0].race
    verdict.winner_sha256 = await _winners_file(scene, scene.board.name(first.get("winner")), first.get("model") or {})
    return verdict


async def _one_height(scene: Scene) -> int:
    """Wait until every node has the newest block that any of them has now; its height."""
    target = max([(await c.status())["height"] for c in scene.clients.values()])

    async def level() -> bool:
        return min([(await c.status())["height"] for c in scene.clients.values()]) >= target

    await until(f"block {target} on every node", level, LEVEL_S, scene)
    return target


async def _read(scene: Scene, name: str, client: Client, height: int) -> Seen:
    race = dict(await client.job(scene.race))
    return Seen(
        name=name,
        status=dict(await client.status()),
        block=dict(await client.block(height)),
        supply=dict(await client.supply()),
        accounts=[dict(a) for a in await client.accounts()],
        race=race,
        fraud=dict(await client.job(scene.fraud)),
        runs=await client.runs(),
        paid=[dict(line) for line in await client.history(str(race["winner"]))] if race["winner"] else [],
    )


async def _winners_file(scene: Scene, winner: str, model: Json) -> str:
    """SHA-256 of the model as the winner's own node holds it."""
    client = scene.clients.get(winner)
    if client is None or not model:
        return ""
    with tempfile.TemporaryDirectory(dir=scene.graph.folder) as scratch:
        fetched = await client.fetch(model["cid"], Path(scratch) / "model", max_size=model["size"])
        return fetched.sha256


async def _refusals(scene: Scene) -> dict[str, str]:
    """The cheater's next message, offered to every node: the reason it is refused with, empty where it is not."""
    cheater = scene.graph.cheater
    if cheater is None:
        return {}
    identity = await asyncio.to_thread(Keystore.open, cheater.data / "keystore.json", scene.graph.passphrase)
    target = scene.graph.node(CONTRACTOR).id
    found: dict[str, str] = {}
    for name, client in scene.clients.items():
        try:
            await client.submit_tx([Transfer(target, 1, b"")], identity.key, wait=REFUSE_S)
            found[name] = ""
        except Invalid as refusal:
            found[name] = f"{refusal.name}: {refusal.message}"
        except ApiError as problem:
            found[name] = f"{problem.kind}: {problem.message}"
    return found


# --- promises ------------------------------------------------------------------------------------------------------------------


def _alike(v: Verdict, seen: Seen) -> None:
    first = v.seen[0]
    for key in ("state_root", "block_id"):
        v.want(
            seen.block[key] == first.block[key],
            seen.name,
            f"{key} {seen.block[key]} at {v.height}, {first.name} has {first.block[key]}",
        )
    v.want(not seen.status["syncing"], seen.name, "still fetches blocks")
    v.want(seen.status["peers"] == len(NODES) - 1, seen.name, f"has {seen.status['peers']} peers")
    same = all(_settled(getattr(seen, job)) == _settled(getattr(first, job)) for job in ("race", "fraud"))
    v.want(same, seen.name, f"tells of the jobs something else than {first.name}")


def _settled(job: Json) -> Json:
    """A job without what goes on changing: nothing of an ended job does."""
    return {name: value for name, value in job.items() if name != "contractor"}


def _roles(v: Verdict, seen: Seen) -> None:
    part = next(part for part in NODES if part.name == seen.name)
    v.want(seen.status["validator"] == part.validator, seen.name, f"validator is {seen.status['validator']}")
    v.want(seen.status["working"] == part.works, seen.name, f"working is {seen.status['working']}")
    v.want(len(seen.status["validators"]) == 4, seen.name, f"knows {len(seen.status['validators'])} validators")


def held(account: Json) -> int:
    """Micro-credits of an account, free and frozen."""
    return parse_credits(account["balance"]) + parse_credits(account["frozen"])


def _credits(v: Verdict, seen: Seen) -> None:
    s = {name: parse_credits(seen.supply[name]) for name in ("minted", "burned", "supply", "accounts", "escrows")}
    v.want(s["accounts"] + s["escrows"] == s["supply"], seen.name, f"accounts and escrows are not the supply: {seen.supply}")
    v.want(s["minted"] - s["burned"] == s["supply"], seen.name, f"mints less burns are not the supply: {seen.supply}")
    v.want(sum(map(held, seen.accounts)) == s["accounts"], seen.name, "the balances do not add up to what accounts hold")
    v.want(s["escrows"] == 0, seen.name, f"{seen.supply['escrows']} credits are still in escrow")
    grants = sum(parse_credits(part.grant) for part in (*NODES, CHEATER))
    v.want(s["minted"] == grants, seen.name, f"{seen.supply['minted']} were minted, genesis granted {format_credits(grants)}")
    v.want(
        s["burned"] == parse_credits(CHEATER.grant),
        seen.name,
        f"{seen.supply['burned']} were burned, the cheater had {CHEATER.grant}",
    )


def votes_of(job: Json) -> list[Json]:
    """Every opened vote of a job: voter, candidate, vote, measured."""
    return [
        {"voter": seat["voter"], **{k: vote[k] for k in ("candidate", "vote", "measured")}}
        for round_ in job["rounds"]
        for seat in round_["committee"]
        for vote in seat["votes"]
    ]


def _race(v: Verdict, scene: Scene, seen: Seen) -> None:
    job, where, claims = seen.race, f"{seen.name}, job one", seen.race["claims"]
    v.want(job["state"] == "PAID" and bool(job["winner"]), where, f"ended {job['state']}")
    v.want(0 < job["expiry"] - job["posted"] <= MAX_OPEN_MS, where, f"was open for {job['expiry'] - job['posted']} ms")
    v.want(len(claims) >= 2, where, f"{len(claims)} workers claimed")
    v.want(len({c["loss"] for c in claims}) == len(claims), where, "two workers claim the same loss")
    best = min(claims, key=lambda c: parse_loss(c["loss"]), default=None)
    winner = next((c for c in claims if c["claimant"] == job["winner"]), None)
    v.want(best is not None and best == winner, where, "the winner's is not the lowest loss")
    v.want(winner is not None and winner["revealed"] and winner["result"] == "OK", where, "the winner was not judged OK")
    votes = [x for x in votes_of(job) if x["candidate"] == job["winner"]]
    good = [x for x in votes if x["vote"] == "OK"]
    quorum = job["rounds"][-1]["candidates"][0]["quorum"] if job["rounds"] else 1
    v.want(len(good) >= max(2, quorum), where, f"{len(good)} votes OK of {len(votes)}")
    v.want(all(x["voter"] != job["winner"] for x in votes), where, "the winner voted on itself")
    paid = job["payments"]
    v.want(
        paid["bounty_to"] == job["winner"] and parse_credits(paid["bounty_paid"]) == parse_credits(RACE.bounty),
        where,
        f"paid: {paid}",
    )
    lines = [x for x in seen.paid if x["ref"] == scene.race and x["amount"] == f"+{format_credits(parse_credits(RACE.bounty))}"]
    v.want(len(lines) == 1, where, f"the winner's history shows the bounty {len(lines)} times")


def _fraud(v: Verdict, scene: Scene, seen: Seen) -> None:
    job, where = seen.fraud, f"{seen.name}, job two"
    cheater = scene.graph.cheater.address if scene.graph.cheater else ""
    v.want(job["state"] == "REFUNDED" and not job["winner"], where, f"ended {job['state']}")
    claims = job["claims"]
    v.want([c["claimant"] for c in claims] == [cheater], where, f"claims of {[scene.board.name(c['claimant']) for c in claims]}")
    v.want(bool(claims) and claims[0]["result"] == "FALSE", where, "the false claim was not judged FALSE")
    votes = votes_of(job)
    false = [x for x in votes if x["vote"] == "FALSE" and parse_loss(x["measured"]) > parse_loss(FALSE_LOSS)]
    quorum = job["rounds"][-1]["candidates"][0]["quorum"] if job["rounds"] else 1
    v.want(len(false) >= max(2, quorum), where, f"{len(false)} votes FALSE of {len(votes)}")
    paid = job["payments"]
    v.want(parse_credits(paid["bounty_returned"]) == parse_credits(FRAUD.bounty), where, f"returned {paid['bounty_returned']}")
    v.want(paid["last_tenth"] == "returned", where, f"the last tenth is {paid['last_tenth']}")
    account = next((a for a in seen.accounts if a["id"] == cheater), None)
    v.want(account is not None and account["status"] == "banned", where, f"the cheater is {account and account['status']}")
    v.want(account is not None and held(account) == 0, where, "the cheater still holds credits")
    reason = v.refusals.get(seen.name, "")
    v.want("NOT_ACTIVE" in reason, where, f"the cheater's next message was answered with: {reason or 'accepted'}")


def _runs(v: Verdict, scene: Scene, job: str) -> Iterator[tuple[str, Json]]:
    """Every run of a job: as the nodes tell now, and those that they told of before."""
    now = {(seen.name, run["id"]): run for seen in v.seen for run in seen.runs if run["job"] == job}
    before = {(name, run["id"]): run for name, run in scene.board.runs_of(job)}
    for (name, _), run in (before | now).items():
        yield name, run


def containers(v: Verdict, scene: Scene, job: str) -> int:
    """Runs for which a container was made: not those that ended before."""
    return sum(
        run["state"] != RunStatus.ENGINE_ERROR.value and "before it began" not in run["reason"] for _, run in _runs(v, scene, job)
    )


def _work(v: Verdict, scene: Scene) -> None:
    """Who trained and who evaluated, in containers of their own."""
    runs = [(name, run) for name, run in _runs(v, scene, scene.race) if run["state"] == RunStatus.OK.value]
    trained = {name: {run["seed"] for n, run in runs if n == name and run["phase"] == "train"} for name, _ in runs}
    workers = [name for name, seeds in trained.items() if seeds]
    seeds = [seed for own in trained.values() for seed in own]
    v.want(len(workers) >= MIN_WORKERS, "job one", f"only {', '.join(workers) or 'nobody'} trained")
    v.want(any(len(own) > 1 for own in trained.values()), "job one", f"nobody made several attempts of {ATTEMPTS}")
    v.want(len(seeds) == len(set(seeds)), "job one", "two trainings had the same seed")
    for title, job in (("job one", scene.race), ("job two", scene.fraud)):
        seen = v.seen[0].race if job == scene.race else v.seen[0].fraud
        voters = {scene.board.name(x["voter"]) for x in votes_of(seen) if x["measured"] is not None}
        evaluated = {name for name, run in _runs(v, scene, job) if run["phase"] == "verify" and run["state"] == RunStatus.OK.value}
        v.want(voters <= evaluated, title, f"{', '.join(sorted(voters - evaluated))} voted without an evaluation in a container")
    v.want(not any(run["phase"] == "train" for _, run in _runs(v, scene, scene.fraud)), "job two", "somebody trained for it")


def _model(v: Verdict, scene: Scene) -> None:
    fetched = scene.fetched
    where = "the contractor"
    v.want(fetched is not None and sha256_of(fetched.path) == fetched.sha256, where, "the model on disk is not the one fetched")
    same = fetched is not None and fetched.sha256 == v.winner_sha256
    v.want(same, where, f"the winner's file has sha256 {v.winner_sha256}, the fetched one {fetched and fetched.sha256}")
    v.want(scene.accuracy >= MIN_ACCURACY, where, f"the model reads {scene.right} of {scene.digits} digits")


# --- the summary ---------------------------------------------------------------------------------------------------------------


def summary(v: Verdict, scene: Scene) -> Json:
    """All of it as the nodes told it; `state_root` is the one that every node has at `height`."""
    first = v.seen[0]
    roots = {seen.block["state_root"] for seen in v.seen}
    return {
        "nodes": [_node(scene, seen) for seen in v.seen],
        "height": v.height,
        "state_root": roots.pop() if len(roots) == 1 else None,
        "jobs": [_job(v, scene, first.race), _job(v, scene, first.fraud)],
        "balances": {a["id"]: format_credits(held(a)) for a in first.accounts},
        "supply": first.supply["supply"],
    }


def _node(scene: Scene, seen: Seen) -> Json:
    told = {k: seen.status[k] for k in ("id", "validator", "working")}
    return {"name": seen.name, **told, "height": seen.block["height"], "state_root": seen.block["state_root"]}


def _job(v: Verdict, scene: Scene, job: Json) -> Json:
    cheater = next((c["claimant"] for c in job["claims"] if c["result"] == "FALSE"), None)
    banned = any(a["id"] == cheater and a["status"] == "banned" for a in v.seen[0].accounts)
    claim: Any = next((c for c in job["claims"] if c["claimant"] == (job["winner"] or cheater)), {})
    votes = votes_of(job)
    return {
        "id": job["id"],
        "outcome": "banned" if banned else job["state"].lower(),
        "winner": job["winner"],
        "cheater": cheater,
        "claimed_loss": claim.get("loss"),
        "measured_losses": [x["measured"] for x in votes if x["measured"] is not None],
        "votes": [{k: x[k] for k in ("voter", "candidate", "vote")} for x in votes],
        "bounty": job["bounty"],
        "model": (claim.get("model") or {}).get("cid"),
        "downloaded_sha256": scene.fetched.sha256 if scene.fetched and job["id"] == scene.race else None,
        "containers": containers(v, scene, job["id"]),
    }
