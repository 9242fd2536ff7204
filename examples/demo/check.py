"""Whether everything that the demo promises is true, on every node.

A promise that does not hold is one line: what, where, and what was found instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from learningchain.chain.types import format_credits, parse_credits, parse_loss
from learningchain.examples.demo.board import Json
from learningchain.examples.demo.plan import (
    ATTEMPTS,
    CHEATER,
    CONTRACTOR,
    FALSE_LOSS,
    FRAUD,
    LIAR,
    LIE,
    MIN_ACCURACY,
    NODES,
    OTHERS,
    RACE,
    SECOND,
    VICTIM,
    JobPlan,
)
from learningchain.examples.demo.reading import Reading, Seen
from learningchain.examples.demo.story import Scene, sha256_of
from learningchain.sandbox import RunStatus

MAX_OPEN_MS: Final = 60_000
MIN_WORKERS: Final = 3
TITLES: Final = ("job one", "job two", "job three", "job four")
PARTS: Final = {part.name: part for part in (*NODES, *OTHERS)}
FROZEN: Final = "frozen"
RETURNED: Final = "returned"
"""Reasons that an account's history gives when free credits are frozen and when they are free again."""


@dataclass
class Verdict(Reading):
    failures: list[str] = field(default_factory=list)
    promises: int = 0

    def want(self, held: bool, where: str, what: str) -> None:
        self.promises += 1
        if not held:
            self.failures.append(f"{where}: {what}")


def judge(read: Reading, scene: Scene) -> Verdict:
    """Every promise against what was read: `failures` names those that do not hold."""
    verdict = Verdict(read.height, read.seen, read.winner_sha256, read.refusals)
    for seen in verdict.seen:
        _alike(verdict, seen)
        _roles(verdict, seen)
        _supply(verdict, seen)
        _holdings(verdict, scene, seen)
        _race(verdict, scene, seen)
        for number, poster in ((1, CONTRACTOR), (2, SECOND.name)):
            _false(verdict, scene, seen, number, FRAUD, poster, CHEATER.name)
        _banned(verdict, scene, seen)
        _false(verdict, scene, seen, 3, LIE, LIAR.name, VICTIM)
        _spared(verdict, scene, seen)
    _work(verdict, scene)
    _honest(verdict, scene)
    _model(verdict, scene)
    return verdict


# --- the ledger, on every node -------------------------------------------------------------------------------------------------


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
    for title, own, firsts in zip(TITLES, seen.jobs, first.jobs, strict=True):
        v.want(_settled(own) == _settled(firsts), seen.name, f"tells of {title} something else than {first.name}")


def _settled(job: Json) -> Json:
    """A job without what goes on changing: nothing of an ended job does."""
    return {name: value for name, value in job.items() if name != "contractor"}


def _roles(v: Verdict, seen: Seen) -> None:
    part = PARTS[seen.name]
    v.want(seen.status["validator"] == part.validator, seen.name, f"validator is {seen.status['validator']}")
    v.want(seen.status["working"] == part.works, seen.name, f"working is {seen.status['working']}")
    v.want(len(seen.status["validators"]) == 4, seen.name, f"knows {len(seen.status['validators'])} validators")


def held(account: Json) -> int:
    """Micro-credits of an account, free and frozen."""
    return parse_credits(account["balance"]) + parse_credits(account["frozen"])


def stake(plan: JobPlan) -> int:
    """Micro-credits: a tenth of the bounty. A verdict that burns it burns as much of the poster's bond."""
    return parse_credits(plan.bounty) // 10


def _supply(v: Verdict, seen: Seen) -> None:
    s = {name: parse_credits(seen.supply[name]) for name in ("minted", "burned", "supply", "accounts", "escrows")}
    v.want(s["accounts"] + s["escrows"] == s["supply"], seen.name, f"accounts and escrows are not the supply: {seen.supply}")
    v.want(s["minted"] - s["burned"] == s["supply"], seen.name, f"mints less burns are not the supply: {seen.supply}")
    v.want(sum(map(held, seen.accounts)) == s["accounts"], seen.name, "the balances do not add up to what accounts hold")
    v.want(s["escrows"] == 0, seen.name, f"{seen.supply['escrows']} credits are still in escrow")
    grants = sum(parse_credits(part.grant) for part in PARTS.values())
    v.want(s["minted"] == grants, seen.name, f"{seen.supply['minted']} were minted, genesis granted {format_credits(grants)}")
    # All that the cheater had; of each poster that was lied to a bond like its stake; the worker's stake and the liar's bond.
    burned = parse_credits(CHEATER.grant) + 2 * stake(FRAUD) + 2 * stake(LIE)
    v.want(s["burned"] == burned, seen.name, f"{seen.supply['burned']} were burned instead of {format_credits(burned)}")


def _holdings(v: Verdict, scene: Scene, seen: Seen) -> None:
    """What each member holds is its grant, what it earned and spent on the four jobs, and nothing else."""
    expected = {scene.graph.member(name).address: parse_credits(part.grant) for name, part in PARTS.items()}
    for job in seen.jobs:
        paid = {name: parse_credits(job["payments"][name]) for name in ("bounty_paid", "fees_paid", "fees_burned", "bond_burned")}
        expected[job["poster"]] -= sum(paid.values())
        if job["winner"]:
            expected[job["winner"]] += paid["bounty_paid"]
        for round_ in job["rounds"]:
            for seat in round_["committee"]:
                expected[seat["voter"]] += parse_credits(seat["fee"])
    expected[scene.graph.member(VICTIM).address] -= stake(LIE)
    expected[scene.graph.member(CHEATER.name).address] = 0
    for account in seen.accounts:
        should = expected.pop(account["id"], None)
        known = should is not None and held(account) == should
        name = scene.board.name(account["id"])
        v.want(known, seen.name, f"{name} holds {format_credits(held(account))} instead of {format_credits(should or 0)}")
    v.want(not expected, seen.name, f"has no account of {', '.join(map(scene.board.name, expected))}")


def account_of(scene: Scene, seen: Seen, name: str) -> Json:
    own = scene.graph.member(name).address
    return next((account for account in seen.accounts if account["id"] == own), {})


def votes_of(job: Json) -> list[Json]:
    """Every opened vote of a job: voter, candidate, vote, measured."""
    return [
        {"voter": seat["voter"], **{k: vote[k] for k in ("candidate", "vote", "measured")}}
        for round_ in job["rounds"]
        for seat in round_["committee"]
        for vote in seat["votes"]
    ]


def _quorum(job: Json) -> int:
    """Votes that decide, and never fewer than two."""
    return max(2, job["rounds"][-1]["candidates"][0]["quorum"] if job["rounds"] else 2)


def _race(v: Verdict, scene: Scene, seen: Seen) -> None:
    job, where = seen.jobs[0], f"{seen.name}, job one"
    claims = job["claims"]
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
    v.want(len(good) >= _quorum(job), where, f"{len(good)} votes OK of {len(votes)}")
    v.want(all(x["voter"] != job["winner"] for x in votes), where, "the winner voted on itself")
    paid = job["payments"]
    v.want(
        paid["bounty_to"] == job["winner"] and parse_credits(paid["bounty_paid"]) == parse_credits(RACE.bounty),
        where,
        f"paid: {paid}",
    )
    lines = [x for x in seen.paid if x["ref"] == scene.race and x["amount"] == f"+{format_credits(parse_credits(RACE.bounty))}"]
    v.want(len(lines) == 1, where, f"the winner's history shows the bounty {len(lines)} times")


def _false(v: Verdict, scene: Scene, seen: Seen, number: int, plan: JobPlan, poster: str, accused: str) -> None:
    """A claim that the committee measured FALSE: it costs its author a stake and the poster as much, the bounty comes back."""
    job, where = seen.jobs[number], f"{seen.name}, {TITLES[number]}"
    own = scene.graph.member(accused).address
    v.want(job["poster"] == scene.graph.member(poster).address, where, f"was posted by {scene.board.name(job['poster'])}")
    v.want(job["state"] == "REFUNDED" and not job["winner"], where, f"ended {job['state']}")
    claims = job["claims"]
    v.want([c["claimant"] for c in claims] == [own], where, f"claims of {[scene.board.name(c['claimant']) for c in claims]}")
    v.want(bool(claims) and claims[0]["result"] == "FALSE", where, "the claim was not judged FALSE")
    v.want(bool(claims) and claims[0]["stake_is"] == "burned", where, "the stake was not burned")
    claimed = parse_loss(claims[0]["loss"]) if claims else 0
    votes = votes_of(job)
    false = [x for x in votes if x["vote"] == "FALSE" and parse_loss(x["measured"]) > claimed]
    v.want(len(false) >= _quorum(job), where, f"{len(false)} votes FALSE of {len(votes)}")
    v.want(all(x["voter"] != own for x in votes), where, f"{accused} voted on itself")
    paid = job["payments"]
    v.want(parse_credits(paid["bounty_returned"]) == parse_credits(plan.bounty), where, f"returned {paid['bounty_returned']}")
    burned = [paid["stakes_burned_by_verdicts"], paid["bond_burned"]]
    v.want(list(map(parse_credits, burned)) == [stake(plan)] * 2, where, f"stake and bond burned are {' and '.join(burned)}")


def _banned(v: Verdict, scene: Scene, seen: Seen) -> None:
    """Lies to two posters: by the validators' votes."""
    where, own = f"{seen.name}, the cheater", account_of(scene, seen, CHEATER.name)
    v.want(own.get("status") == "banned", where, f"is {own.get('status')}")
    v.want(bool(own) and held(own) == 0, where, "still holds credits")
    v.want(own.get("case", {}) is None, where, "still has an open case")
    for number in (1, 2):
        job = seen.jobs[number]
        closed = [(case["account"], case["state"]) for case in job["cases"]]
        v.want(closed == [(own.get("id"), "BANNED")], where, f"the case of {TITLES[number]} stands as {closed}")
        claims = [claim["loss"] for claim in job["claims"]]
        v.want([*map(parse_loss, claims)] == [parse_loss(FALSE_LOSS)], where, f"claimed {claims} on {TITLES[number]}")
    reason = v.refusals.get(seen.name, "")
    v.want("BANNED" in reason, where, f"its next message was answered with: {reason or 'accepted'}")


def _spared(v: Verdict, scene: Scene, seen: Seen) -> None:
    """One poster's word bans nobody: the worker was suspended for a while, has a strike, and nothing stays frozen."""
    where, own = f"{seen.name}, {VICTIM}", account_of(scene, seen, VICTIM)
    v.want(own.get("status") == "active", where, f"is {own.get('status')}")
    v.want(parse_credits(own.get("frozen", "0")) == 0, where, f"{own.get('frozen')} credits are still frozen")
    v.want(own.get("case", {}) is None, where, "still has an open case")
    v.want(bool(own.get("verifier") and own.get("validator")), where, "lost its seat")
    origins = [scene.board.name(strike["origin"]) for strike in own.get("strikes", [])]
    v.want(origins == [LIAR.name], where, f"has strikes of {origins}")
    closed = [(case["account"], case["state"]) for case in seen.jobs[3]["cases"]]
    v.want(closed == [(own.get("id"), "DISMISSED")], where, f"its case stands as {closed}")
    told = [line["reason"] for line in seen.accused]
    for topic in ("suspended", "case.lapsed", "strike"):
        v.want(told.count(topic) == 1, where, f"its history shows {topic} {told.count(topic)} times")
    v.want("banned" not in told, where, "its history shows a ban")
    frozen = [line["amount"][1:] for line in seen.accused if line["reason"] == FROZEN]
    returned = [line["amount"][1:] for line in seen.accused if line["reason"] == RETURNED]
    v.want(len(frozen) == 1 and frozen == returned, where, f"{frozen} were frozen, {returned} came back")
    moved = [line["amount"] for line in seen.accused if line["ref"] == scene.lie and line["amount"]]
    lost = sum((-1 if amount[0] == "-" else 1) * parse_credits(amount[1:]) for amount in moved)
    v.want(lost == -stake(LIE), where, f"its history shows {' '.join(reversed(moved))} for {TITLES[3]}, which is not one stake")
    liar = account_of(scene, seen, LIAR.name)
    v.want(liar.get("status") == "active", where, f"the poster that lied is {liar.get('status')}")


# --- the containers ------------------------------------------------------------------------------------------------------------


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
    for title, job, seen in zip(TITLES, scene.jobs, v.seen[0].jobs, strict=True):
        voters = {scene.board.name(x["voter"]) for x in votes_of(seen) if x["measured"] is not None}
        evaluated = {name for name, run in _runs(v, scene, job) if run["phase"] == "verify" and run["state"] == RunStatus.OK.value}
        v.want(voters <= evaluated, title, f"{', '.join(sorted(voters - evaluated))} voted without an evaluation in a container")
    for title, job in zip(TITLES[1:3], scene.frauds, strict=True):
        v.want(not any(run["phase"] == "train" for _, run in _runs(v, scene, job)), title, "somebody trained for it")


def _honest(v: Verdict, scene: Scene) -> None:
    """The worker claimed what its own container had measured, and measured it again before it showed the model."""
    claims = v.seen[0].jobs[3]["claims"]
    own = [run for name, run in _runs(v, scene, scene.lie) if name == VICTIM and run["state"] == RunStatus.OK.value]
    for phase in ("check", "again"):
        losses = [run["loss"] for run in own if run["phase"] == phase]
        v.want(bool(claims) and claims[0]["loss"] in losses, TITLES[3], f"{VICTIM} claimed what no {phase} of its own measured")


def _model(v: Verdict, scene: Scene) -> None:
    fetched = scene.fetched
    where = "the poster"
    v.want(fetched is not None and sha256_of(fetched.path) == fetched.sha256, where, "the model on disk is not the one fetched")
    same = fetched is not None and fetched.sha256 == v.winner_sha256
    v.want(same, where, f"the winner's file has sha256 {v.winner_sha256}, the fetched one {fetched and fetched.sha256}")
    v.want(scene.accuracy >= MIN_ACCURACY, where, f"the model reads {scene.right} of {scene.digits} digits")
