"""The demo's promises: what five nodes told in a real run holds, and one thing that is otherwise on one node is named.

`demo_seen.json` is what the nodes' APIs answered at the end of such a run.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.crypto import parse_address
from learningchain.client.sdk.types import Fetched
from learningchain.examples.demo import check, reading
from learningchain.examples.demo.board import Board, NodeLine
from learningchain.examples.demo.graph import Graph, Home
from learningchain.examples.demo.plan import CHEATER, NODES, OTHERS, VICTIM
from learningchain.examples.demo.story import Scene

SEEN = json.loads(Path(__file__).with_name("demo_seen.json").read_text())
MODEL = b"the model's bytes"


def scene_of(folder: Path) -> Scene:
    """The scene at the end of the run; its model is a file of this test's own."""
    graph, board = Graph(folder, keep=False), Board(lambda _text, _style: None)
    board.names = dict(SEEN["names"])
    for part in (*NODES, *OTHERS):
        own = next(identity for identity, name in board.names.items() if name == part.name)
        home = Home(part, folder / part.name, parse_address(own), b"")
        if part in OTHERS:
            graph.others.append(home)
        else:
            graph.nodes.append(home)
            board.nodes[part.name] = NodeLine(part, own)
    path = folder / "model"
    path.write_bytes(MODEL)
    race, *frauds, lie = (job["id"] for job in SEEN["common"]["jobs"])
    fetched = Fetched(path, "cid", len(MODEL), hashlib.sha256(MODEL).hexdigest())
    return Scene(graph, board, race=race, frauds=frauds, lie=lie, fetched=fetched, right=SEEN["right"], digits=SEEN["digits"])


def read() -> reading.Reading:
    nodes = SEEN["nodes"]
    seen = [reading.Seen(name=name, **copy.deepcopy(SEEN["common"]), **copy.deepcopy(nodes[name])) for name in nodes]
    return reading.Reading(SEEN["height"], seen, hashlib.sha256(MODEL).hexdigest(), dict(SEEN["refusals"]))


def test_a_real_run_holds(tmp_path: Path) -> None:
    verdict = check.judge(read(), scene_of(tmp_path))
    assert verdict.failures == []
    assert verdict.promises > 400


def at(*path: Any, value: Any) -> Callable[[reading.Seen], None]:
    """Change one value that one node tells."""

    def change(seen: reading.Seen) -> None:
        inner: Any = getattr(seen, path[0])
        for key in path[1:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def account(name: str, **changed: Any) -> Callable[[reading.Seen], None]:
    def change(seen: reading.Seen) -> None:
        own = next(a for a in seen.accounts if SEEN["names"][a["id"]] == name)
        own |= changed

    return change


def without(reason: str) -> Callable[[reading.Seen], None]:
    """The worker's history, but for the lines of one reason."""

    def change(seen: reading.Seen) -> None:
        seen.accused = [line for line in seen.accused if line["reason"] != reason]

    return change


def job(number: int, *path: Any, value: Any) -> Callable[[reading.Seen], None]:
    return at("jobs", number, *path, value=value)


LIES: dict[str, tuple[Callable[[reading.Seen], None], str]] = {
    "another root": (at("block", "state_root", value="00" * 32), "state_root"),
    "another block": (at("block", "block_id", value="00" * 32), "block_id"),
    "still syncing": (at("status", "syncing", value=True), "still fetches"),
    "a peer missing": (at("status", "peers", value=3), "has 3 peers"),
    "no validator": (at("status", "validator", value=False), "validator is False"),
    "not working": (at("status", "working", value=False), "working is False"),
    "credits from nowhere": (at("supply", "accounts", value="3073"), "are not the supply"),
    "a burn less": (at("supply", "burned", value="57"), "57 were burned instead of 58"),
    "balances that do not add up": (at("accounts", 0, "balance", value="7"), "do not add up"),
    "a credit more than was earned": (account("frank", balance="999.96"), "frank holds 999.96 instead of"),
    "credits in escrow": (at("supply", "escrows", value="1"), "still in escrow"),
    "job one refunded": (job(0, "state", value="REFUNDED"), "ended REFUNDED"),
    "open for too long": (job(0, "expiry", value=2**47), "was open for"),
    "a lower loss lost": (job(0, "claims", 1, "loss", value="0.000000001"), "not the lowest loss"),
    "the winner not judged": (job(0, "claims", 0, "result", value=None), "not judged OK"),
    "a vote missing": (job(0, "rounds", 0, "committee", 0, "votes", value=[]), "votes OK of"),
    "paid to another": (job(0, "payments", "bounty_to", value="lc1other"), "paid:"),
    "no line in the history": (lambda seen: seen.paid.clear(), "shows the bounty 0 times"),
    "job two paid": (job(1, "state", value="PAID"), "job two: ended PAID"),
    "job three of the same contractor": (job(2, "poster", value=SEEN["common"]["jobs"][1]["poster"]), "posted by erin"),
    "nobody voted false": (job(1, "rounds", 0, "committee", value=[]), "votes FALSE of"),
    "the false claim stands": (job(2, "claims", 0, "result", value="OK"), "not judged FALSE"),
    "a stake released": (job(1, "claims", 0, "stake_is", value="released"), "stake was not burned"),
    "a bond spared": (job(2, "payments", "bond_burned", value="0"), "stake and bond burned are 1 and 0"),
    "a bounty kept": (job(1, "payments", "bounty_returned", value="9"), "returned 9"),
    "a cheater at large": (account(CHEATER.name, status="suspended"), "the cheater: is suspended"),
    "a rich cheater": (account(CHEATER.name, balance="50"), "still holds credits"),
    "a case that was let go": (job(2, "cases", 0, "state", value="DISMISSED"), "the case of job three"),
    "a worker banned": (account(VICTIM, status="banned"), "alice: is banned"),
    "credits still frozen": (account(VICTIM, frozen="27"), "27 credits are still frozen"),
    "a seat lost": (account(VICTIM, verifier=False), "lost its seat"),
    "no strike": (account(VICTIM, strikes=[]), "has strikes of []"),
    "a case that banned": (job(3, "cases", 0, "state", value="BANNED"), "its case stands"),
    "no suspension in the history": (without("suspended"), "shows suspended 0 times"),
    "no lapse in the history": (without("case.lapsed"), "shows case.lapsed 0 times"),
    "more than a stake lost": (at("accused", 5, "amount", value="-4"), "which is not one stake"),
    "what was frozen did not come back": (without(check.RETURNED), "came back"),
    "a liar that loses less": (job(3, "payments", "bond_burned", value="2"), "stake and bond burned are 3 and 2"),
    "a liar that was banned": (account("grace", status="banned"), "the poster that lied is banned"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("node", ["alice", "erin"])
def test_what_one_node_tells_otherwise_is_named(name: str, node: str, tmp_path: Path) -> None:
    told = read()
    change, expected = LIES[name]
    change(next(seen for seen in told.seen if seen.name == node))
    verdict = check.judge(told, scene_of(tmp_path))
    if name in ("not working", "no validator") and node == "erin":
        assert verdict.failures == []  # the contractor is neither
    else:
        assert any(expected in failure for failure in verdict.failures), verdict.failures


@pytest.mark.parametrize("phase", ["check", "again"])
def test_a_worker_that_claimed_what_it_did_not_measure_is_named(phase: str, tmp_path: Path) -> None:
    """Else nothing would show that it was the contractor who lied."""
    scene, told = scene_of(tmp_path), read()
    for seen in told.seen:
        for run in seen.runs:
            if (run["job"], run["phase"]) == (scene.lie, phase):
                run["loss"] = "0.5"
    assert check.judge(told, scene).failures == [f"job four: alice claimed what no {phase} of its own measured"]


def judged(scene: Scene, told: reading.Reading) -> check.Verdict:
    return check.judge(told, scene)
