"""Whole nodes' work over one real ledger, in virtual time: jobs settle, cheaters are banned, kills and losses change nothing."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import OnCheat, duties
from learningchain.chain.contracts.job.messages import Claim, CommitVote, OpenVote, RevealKey, claim_commitment
from learningchain.chain.contracts.job.messages import Reveal as RevealMessage
from learningchain.chain.contracts.membership import JudgeCase
from learningchain.chain.crypto import address
from learningchain.chain.host import ACTIVE, SUSPENDED, account_key
from learningchain.chain.host.terms import model_id
from learningchain.chain.types import parse_loss
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.contracts.job.roles.cleanup import WON_PIN
from learningchain.client.keys import hidden
from learningchain.client.work import WorkConfig, WorkDriver
from learningchain.p2p.content.cid import parse
from tests.unit.work_kit import Chain, Node, Web, blocks, hidden_set, run_virtual, working

VALIDATORS = ["a", "b", "c", "d"]
WORKERS = ["u", "w"]
BANNED = 2


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where there is such a place: these tests sync hundreds of times and no power is cut in them."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


SEEDS = int(os.environ.get("WORK_SEEDS", "10"))


class Graph:
    """Four validators that work, two contractors, two members that may work. With `apart` only these do: who claimed in a job of a
    case does not judge it."""

    def __init__(self, tmp: Path, seed: int = 0, config: WorkConfig | None = None, *, apart: bool = False, **faults: float) -> None:
        self.tmp, self.web = tmp, Web()
        self.chain = Chain(VALIDATORS, [*WORKERS, "boss", "rival", "cheat"])
        names = (*VALIDATORS, *WORKERS, "boss")
        self.nodes = {n: Node(self.chain, self.web, n, tmp / n, config or working(), seed, **faults) for n in names}
        for name in VALIDATORS if apart else ():
            self.nodes[name].config = WorkConfig(enabled=False)
        self.cheat = Node(self.chain, self.web, "cheat", tmp / "cheat", working(), seed)

    async def start(self, *names: str) -> None:
        for name in names or VALIDATORS:
            await self.nodes[name].start()

    def work(self, name: str) -> WorkDriver:
        found = self.nodes[name].work
        assert found is not None
        return found

    async def stop(self) -> None:
        for node in self.nodes.values():
            if node.work is not None:
                await node.work.stop()

    async def finish(self, *jobs: bytes) -> list[dict[str, Any]]:
        await blocks(self.chain, lambda: all(self.chain.ended(job) for job in jobs))
        return [self.chain.describe(job) for job in jobs]

    def status(self, name: str) -> int:
        account: Any = self.chain.state.get(account_key(self.chain.ids[name]))
        return int(account.status)

    async def cheating(self, job: bytes, claimed: str, real: str) -> None:
        """A claim that its model does not keep, by somebody who does all else as it should be."""
        chain, me = self.chain, self.chain.ids["cheat"]
        path = self.tmp / f"{job.hex()[:8]}.model"
        path.write_text(json.dumps({"loss": real, "for": job.hex()}))
        cid, size = await self.cheat.files.add(path, pin="lie")
        binary, salt = parse(cid).to_bytes(), bytes(32)
        sealed = claim_commitment(chain.chain_id, job, me, model_id(binary), salt)
        chain.offer("cheat", [Claim(job, parse_loss(claimed), sealed, True)])
        await blocks(chain, lambda: chain.describe(job)["state"] == "REVEAL")
        chain.offer("cheat", [RevealMessage(job, 1, binary, size, salt)])

    def honest(self) -> None:
        """No node contradicted itself, nobody honest was struck or lost anything."""
        said: dict[tuple[str, str, Any], set[bytes]] = defaultdict(set)
        for name, op in self.chain.sent:
            if isinstance(op, CommitVote):
                said[(name, "commit", (op.job, op.audit, op.round))].add(encode(op))
            elif isinstance(op, OpenVote):
                said[(name, "open", (op.job, op.audit, op.round, op.candidate, op.hidden))].add(encode(op))
            elif isinstance(op, RevealMessage):
                said[(name, "reveal", op.job)].add(encode(op))
        assert all(len(messages) == 1 for messages in said.values())
        assert {n: self.chain.strikes(n) for n in self.nodes} == dict.fromkeys(self.nodes, 0)

    def committed(self, name: str) -> int:
        return len({encode(op) for who, op in self.chain.sent if who == name and isinstance(op, CommitVote)})


def test_a_job_is_trained_claimed_verified_and_paid(tmp_path: Path) -> None:
    async def main() -> None:
        graph = Graph(tmp_path)
        await graph.start()
        job = graph.chain.post("boss")
        await blocks(graph.chain, lambda: bool(graph.chain.describe(job)["claims"]), 60)
        assert graph.work("a").explain(job) is None, "it works on it"
        graph.work("b").reconfigure(working(min_bounty="1000000"))
        assert "[work] min_bounty" in (graph.work("b").explain(job) or "")
        graph.work("b").reconfigure(working())
        (found,) = await graph.finish(job)
        assert found["state"] == "PAID"
        first = min(found["claims"], key=lambda claim: claim["loss"])
        assert found["winner"] == first["claimant"]
        votes = [v for r in found["rounds"] for seat in r["committee"] for v in seat["votes"]]
        assert {v["vote"] for v in votes} == {"OK"}
        assert all(len({s.seed for s in n.engine.specs if s.phase == "train"}) == 3 for n in map(graph.nodes.get, VALIDATORS) if n)
        # Only the model under audit left its node.
        added = [cid for node in graph.nodes.values() for cid in node.files.added]
        assert added == [found["model"]["cid"]]
        await blocks(graph.chain, lambda: all(not n.engine.images for n in graph.nodes.values()), 30)
        kept = [p.name for n in graph.nodes.values() for p in (n.folder / "work").rglob("*.model")]
        assert kept == []
        winner = graph.nodes[graph.chain.names[next(i for i in graph.chain.names if address(i) == found["winner"])]]
        assert winner.files.pins[found["model"]["cid"]] == {f"{WON_PIN}:{job.hex()}"}
        graph.honest()
        await graph.stop()

    run_virtual(main())


def test_a_claimants_node_gives_its_model_to_the_seats_that_judge_it_and_to_everybody_once_it_is_paid(tmp_path: Path) -> None:
    async def main() -> None:
        graph = Graph(tmp_path)
        await graph.start()
        job, nodes = graph.chain.post("boss"), list(graph.nodes.values())
        await blocks(graph.chain, lambda: any(node.files.added for node in nodes))
        (holder,) = [node.files for node in nodes if node.files.added]

        def get_it() -> set[str]:
            return {address(node.files.me) for node in nodes if holder.gives(holder.added[0], node.files.me)}

        (audited,) = graph.chain.describe(job)["rounds"]
        seats = {seat["voter"] for seat in audited["committee"]}
        assert get_it() == seats and len(seats) < len(nodes)
        await graph.finish(job)
        assert get_it() == {address(node.files.me) for node in nodes}
        await graph.stop()

    run_virtual(main())


@pytest.mark.parametrize("on_cheat", [OnCheat.REFUND, OnCheat.NEXT_BEST], ids=["refund", "next-best"])
def test_who_lies_to_two_contractors_is_banned_by_what_the_judges_measured(tmp_path: Path, on_cheat: OnCheat) -> None:
    async def main() -> None:
        graph = Graph(tmp_path, apart=True)
        await graph.start(*VALIDATORS, *WORKERS)
        jobs = [graph.chain.post(poster, on_cheat=int(on_cheat)) for poster in ("boss", "rival")]
        await asyncio.gather(*(graph.cheating(job, "0.0001", "0.9") for job in jobs), graph.finish(*jobs))
        found = [graph.chain.describe(job) for job in jobs]
        assert {one["state"] for one in found} == {"REFUNDED" if on_cheat is OnCheat.REFUND else "PAID"}
        assert graph.status("cheat") == SUSPENDED
        await blocks(graph.chain, lambda: graph.status("cheat") == BANNED, 300)
        judged = {(name, op.confirm) for name, op in graph.chain.sent if isinstance(op, JudgeCase)}
        assert judged == {(name, True) for name in VALIDATORS}
        assert graph.chain.state.get(account_key(graph.chain.ids["cheat"])).balance == 0  # type: ignore[union-attr]
        graph.honest()
        await graph.stop()

    run_virtual(main())


def test_one_contractor_alone_gets_nobody_banned(tmp_path: Path) -> None:
    """All four validators measured FALSE in its job: by the default policy that is no word, and the case lapses."""

    async def main() -> None:
        graph = Graph(tmp_path, apart=True)
        await graph.start(*VALIDATORS)
        job = graph.chain.post("boss")
        await graph.cheating(job, "0.0001", "0.9")
        (found,) = await graph.finish(job)
        assert (found["claims"][0]["result"], graph.status("cheat")) == ("FALSE", SUSPENDED)
        works = [graph.nodes[name].work for name in VALIDATORS]
        await blocks(graph.chain, lambda: all(work is not None and work.notices() for work in works), 10)
        told = {notice["topic"] for work in works if work is not None for notice in work.notices()}
        assert told == {"case.waits"}, "their operators are asked"
        await blocks(graph.chain, lambda: graph.status("cheat") == ACTIVE, 120)
        assert graph.chain.strikes("cheat") == 1
        assert not [op for _, op in graph.chain.sent if isinstance(op, JudgeCase)]
        await blocks(graph.chain, lambda: not any(work is not None and work.notices() for work in works), 10)
        await graph.stop()

    run_virtual(main())


@pytest.mark.parametrize(
    ("model", "vote", "result"),
    [('{"loss":"junk"}', "INVALID", "REFUSED"), ("", "NOMODEL", "REFUSED"), ('{"loss":"0.9"}', "FALSE", "FALSE")],
    ids=["not a model", "not served", "false"],
)
def test_what_a_committee_says_of_bad_models(tmp_path: Path, model: str, vote: str, result: str) -> None:
    async def main() -> None:
        graph = Graph(tmp_path, config=WorkConfig(enabled=False))
        await graph.start()
        job = graph.chain.post("boss")
        await graph.cheating(job, "0.1", "0.9")
        cid = graph.cheat.files.added[0]
        if model:
            graph.cheat.files.held[cid].write_text(model)
        else:
            graph.cheat.files.up = False
        (found,) = await graph.finish(job)
        votes = {v["vote"] for r in found["rounds"] for seat in r["committee"] for v in seat["votes"]}
        assert (votes, found["claims"][0]["result"]) == ({vote}, result)
        graph.honest()
        await graph.stop()

    run_virtual(main())


@pytest.mark.parametrize("key", ["good", "junk", "kept"])
def test_hidden_data_decide_and_a_bad_key_costs_the_contractor(tmp_path: Path, key: str) -> None:
    async def main() -> None:
        graph = Graph(tmp_path)
        boss, secret = graph.nodes["boss"], bytes(range(32))
        boss.config = WorkConfig(enabled=False)
        plain, sealed = tmp_path / "plain", tmp_path / "sealed"
        plain.write_text("0.25")
        hidden.encrypt(plain, sealed, secret, bytes(12))
        cid, size = await boss.files.add(sealed, pin="hidden")
        await graph.start(*VALIDATORS, "boss")
        assert boss.work is not None
        if key != "kept":
            await boss.work.stores.secrets.keep(secrets.of_key(secret))
        job = graph.chain.post("boss", hidden=[hidden_set(cid, b"0.25" if key == "good" else b"other", secret, size)])
        (found,) = await graph.finish(job)
        assert found["state"] == "PAID"
        assert found["hidden"] == ("ON" if key == "good" else "OFF")
        won = next(c for c in found["claims"] if c["claimant"] == found["winner"])
        if key == "good":
            assert won["hidden_loss"] == won["loss"] + parse_loss("0.25")
        else:
            assert found["payments"]["deposit_burned"] == found["bounty"]
        assert [op for _, op in graph.chain.sent if isinstance(op, RevealKey)] == (
            [] if key == "kept" else [RevealKey(job, secret)]
        )
        left = [p for n in graph.nodes.values() for p in (n.folder / "work" / "hidden").glob("*")]
        await blocks(graph.chain, lambda: not [p for p in left if p.exists()], 30)
        graph.honest()
        await graph.stop()

    run_virtual(main())


def test_a_key_is_opened_by_a_node_that_was_killed_between_its_upload_and_the_window(tmp_path: Path) -> None:
    """From its own disk: the command that handed it over is long gone."""

    async def main() -> None:
        graph = Graph(tmp_path)
        boss, secret = graph.nodes["boss"], bytes(range(32))
        boss.config = WorkConfig(enabled=False)
        (tmp_path / "plain").write_text("0.25")
        hidden.encrypt(tmp_path / "plain", tmp_path / "sealed", secret, bytes(12))
        cid, size = await boss.files.add(tmp_path / "sealed", pin="hidden")
        await graph.start(*VALIDATORS, "boss")
        assert boss.work is not None
        await boss.work.stores.secrets.keep(secrets.of_key(secret))
        await boss.kill()
        await boss.start()
        job = graph.chain.post("boss", hidden=[hidden_set(cid, b"0.25", secret, size)])
        await blocks(graph.chain, lambda: graph.chain.describe(job)["state"] == "REVEAL")
        await boss.kill()
        await blocks(graph.chain, lambda: graph.chain.describe(job)["state"] == "KEY")
        assert RevealKey(job, secret) not in [op for _, op in graph.chain.sent]
        await boss.start()
        (found,) = await graph.finish(job)
        assert (found["state"], found["hidden"], found["payments"]["deposit_burned"]) == ("PAID", "ON", 0)
        assert [op for _, op in graph.chain.sent if isinstance(op, RevealKey)] == [RevealKey(job, secret)]
        graph.honest()
        await graph.stop()

    run_virtual(main())


# --- random runs ---------------------------------------------------------------------------------------------------------------


async def trouble(graph: Graph, rng: random.Random, stop: asyncio.Event) -> int:
    """Kill nodes at random moments and start them again a little later."""
    kills = 0
    while not stop.is_set():
        await asyncio.sleep(rng.uniform(0.2, 12.0))
        node = graph.nodes[rng.choice([*VALIDATORS, *WORKERS])]
        if node.work is None:
            continue
        await node.kill()
        kills += 1
        await asyncio.sleep(rng.uniform(0.1, 3.0))
        await node.start()
    return kills


@pytest.mark.parametrize("seed", range(SEEDS))
def test_jobs_settle_rightly_however_nodes_are_killed(tmp_path: Path, seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        graph = Graph(tmp_path, seed, working(attempts=2, concurrent=rng.choice((1, 2))), apart=True, loss=0.15, fail=0.05)
        await graph.start(*VALIDATORS, *WORKERS)
        stop = asyncio.Event()
        killer = asyncio.ensure_future(trouble(graph, rng, stop))
        posters = ("boss", "rival")
        jobs = [graph.chain.post(poster, bounty=rng.randrange(1, 9) * 10**6, on_cheat=rng.randrange(2)) for poster in posters]
        lying = rng.random() < 0.5
        lies = [graph.cheating(job, "0.00001", "0.99") for job in jobs] if lying else []
        await asyncio.gather(*lies, graph.finish(*jobs))
        ended = [graph.chain.describe(job) for job in jobs]
        stop.set()
        assert await killer
        for found in ended:
            false = [c for c in found["claims"] if c["result"] == "FALSE"]
            assert {c["claimant"] for c in false} <= {address(graph.chain.ids["cheat"])}
            assert found["state"] in ("PAID", "REFUNDED" if false else "PAID")
            for claim in found["claims"]:
                assert claim["result"] not in ("SILENT", "REFUSED", "UNDECIDED"), claim
        if lying:
            await blocks(graph.chain, lambda: graph.status("cheat") == BANNED, 300)
        await blocks(graph.chain, lambda: all(n.work is None or n.work._outbox.waiting == 0 for n in graph.nodes.values()), 60)
        graph.honest()
        await graph.stop()

    run_virtual(main())


# --- a part that fails ----------------------------------------------------------------------------------------------------------


class Faulty:
    """A machine that fails at whatever it is given, while `broken()`."""

    def __init__(self, machine: Any, broken: Any) -> None:
        self._machine, self._broken = machine, broken

    def handle(self, given: Any) -> Any:
        if self._broken():
            raise TypeError("a bug")
        return self._machine.handle(given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)


STATES = ["OPEN", "REVEAL", "DRAW", "COMMIT", "COUNT", "PAID"]


@pytest.mark.parametrize(("part", "since", "until"), [("verifier", "OPEN", "COMMIT"), ("worker", "COMMIT", "COUNT")])
def test_a_part_that_fails_takes_nothing_from_the_other(tmp_path: Path, part: str, since: str, until: str) -> None:
    """Each says a thing once: what the workers said is done though the verifiers fail in the same look, and the other way round."""

    async def main() -> None:
        graph = Graph(tmp_path)
        await graph.start()
        job = graph.chain.post("boss")
        await blocks(graph.chain, lambda: len(graph.chain.describe(job)["claims"]) == len(VALIDATORS))
        works = [node.work for node in graph.nodes.values() if node.work is not None]
        assert len(works) == len(VALIDATORS)

        def broken() -> bool:
            served = any(node.files.added for node in graph.nodes.values())  # which is the worker's part of an audit
            during = STATES[STATES.index(since) : STATES.index(until)]
            return graph.chain.describe(job)["state"] in during and (served or since == "OPEN")

        for work in works:
            known = work._parts[part]
            work._parts[part] = replace(known, machine=Faulty(known.machine, broken))  # type: ignore[arg-type]
        await blocks(graph.chain, broken)
        await blocks(graph.chain, lambda: all(work.failing() for work in works), 5)
        assert {(said["part"], said["why"]) for work in works for said in work.failing()} == {(part, "TypeError: a bug")}
        await blocks(graph.chain, lambda: graph.chain.describe(job)["state"] == until)
        await blocks(graph.chain, lambda: not any(work.failing() for work in works), 5)
        (found,) = await graph.finish(job)
        assert found["state"] == "PAID"
        graph.honest()
        await graph.stop()

    run_virtual(main())


def test_a_job_at_which_a_machine_fails_takes_nothing_from_another_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One job is poison for every look at it; the other one is trained for, claimed, revealed, verified and paid."""

    async def main() -> None:
        graph = Graph(tmp_path)
        await graph.start()
        poison, good = graph.chain.post("boss"), graph.chain.post("boss")
        works = [node.work for node in graph.nodes.values() if node.work is not None]
        await blocks(
            graph.chain, lambda: all(len(graph.chain.describe(job)["claims"]) == len(VALIDATORS) for job in (poison, good))
        )
        reading = duties.duties_in

        def broken(reader: Any, job: bytes, identity: bytes, clock: int) -> Any:
            if job == poison:
                raise TypeError("a bug")
            return reading(reader, job, identity, clock)

        monkeypatch.setattr(duties, "duties_in", broken)
        await blocks(graph.chain, lambda: all(work.failing() for work in works), 10)
        assert all(f"TypeError: a bug ({poison.hex()})" == said["why"] for work in works for said in work.failing())
        (found,) = await graph.finish(good)
        assert found["state"] == "PAID"
        await graph.stop()

    run_virtual(main())


def test_work_goes_on_only_until_the_job_expires(tmp_path: Path) -> None:
    async def main() -> None:
        graph = Graph(tmp_path)
        node = graph.nodes["a"]
        node.engine.train_s = 10_000.0
        await graph.start("a")
        job = graph.chain.post("boss")
        (found,) = await graph.finish(job)
        assert found["state"] == "EMPTY"
        await blocks(graph.chain, lambda: node.engine.running == 0, 20)
        assert [s.limits.wall_s <= 40 for s in node.engine.specs] == [True] * len(node.engine.specs)
        await graph.stop()

    run_virtual(main())
