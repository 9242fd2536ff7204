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

from chain.crypto import parse_address
from client.sdk_types import Fetched
from examples.demo import check
from examples.demo.board import Board, NodeLine
from examples.demo.graph import Graph, Home
from examples.demo.plan import CHEATER, NODES
from examples.demo.story import Scene
from examples.demo.watch import narrate

SEEN = json.loads(Path(__file__).with_name("demo_seen.json").read_text())
MODEL = b"the model's bytes"


def scene_of(folder: Path) -> Scene:
    """The scene at the end of the run; its model is a file of this test's own."""
    graph, board = Graph(folder, keep=False), Board(lambda _text, _style: None)
    board.names = dict(SEEN["names"])
    for part in (*NODES, CHEATER):
        own = next(identity for identity, name in board.names.items() if name == part.name)
        home = Home(part, folder / part.name, parse_address(own), b"")
        if part is CHEATER:
            graph.cheater = home
        else:
            graph.nodes.append(home)
            board.nodes[part.name] = NodeLine(part, own)
    path = folder / "model"
    path.write_bytes(MODEL)
    race, fraud = (SEEN["common"][job]["id"] for job in ("race", "fraud"))
    fetched = Fetched(path, "cid", len(MODEL), hashlib.sha256(MODEL).hexdigest())
    return Scene(graph, board, race=race, fraud=fraud, fetched=fetched, right=SEEN["right"], digits=SEEN["digits"])


def verdict_of() -> check.Verdict:
    nodes = SEEN["nodes"]
    seen = [check.Seen(name=name, **copy.deepcopy(SEEN["common"]), **copy.deepcopy(nodes[name])) for name in nodes]
    sha256 = hashlib.sha256(MODEL).hexdigest()
    return check.Verdict(SEEN["height"], seen, refusals=dict(SEEN["refusals"]), winner_sha256=sha256)


def test_a_real_run_holds(tmp_path: Path) -> None:
    scene, verdict = scene_of(tmp_path), verdict_of()
    check.hold(verdict, scene)
    assert verdict.failures == []
    assert verdict.promises > 150


def at(*path: Any, value: Any) -> Callable[[check.Seen], None]:
    """Change one value that one node tells."""

    def change(seen: check.Seen) -> None:
        inner: Any = getattr(seen, path[0])
        for key in path[1:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def account(status: str, balance: str) -> Callable[[check.Seen], None]:
    def change(seen: check.Seen) -> None:
        own = next(a for a in seen.accounts if SEEN["names"][a["id"]] == CHEATER.name)
        own |= {"status": status, "balance": balance}

    return change


LIES: dict[str, tuple[Callable[[check.Seen], None], str]] = {
    "another root": (at("block", "state_root", value="00" * 32), "state_root"),
    "another block": (at("block", "block_id", value="00" * 32), "block_id"),
    "still syncing": (at("status", "syncing", value=True), "still fetches"),
    "a peer missing": (at("status", "peers", value=3), "has 3 peers"),
    "no validator": (at("status", "validator", value=False), "validator is False"),
    "not working": (at("status", "working", value=False), "working is False"),
    "credits from nowhere": (at("supply", "accounts", value="1081"), "are not the supply"),
    "a burn less": (at("supply", "burned", value="49"), "mints less burns"),
    "balances that do not add up": (at("accounts", 0, "balance", value="7"), "do not add up"),
    "credits in escrow": (at("supply", "escrows", value="1"), "still in escrow"),
    "job one refunded": (at("race", "state", value="REFUNDED"), "ended REFUNDED"),
    "open for too long": (at("race", "expiry", value=2**47), "was open for"),
    "a lower loss lost": (at("race", "claims", 1, "loss", value="0.000000001"), "not the lowest loss"),
    "the winner not judged": (at("race", "claims", 0, "result", value=None), "not judged OK"),
    "a vote missing": (at("race", "rounds", 0, "committee", 0, "votes", value=[]), "votes OK of"),
    "paid to another": (at("race", "payments", "bounty_to", value="lc1other"), "paid:"),
    "no line in the history": (lambda seen: seen.paid.clear(), "shows the bounty 0 times"),
    "job two paid": (at("fraud", "state", value="PAID"), "ended PAID"),
    "nobody voted false": (at("fraud", "rounds", 0, "committee", value=[]), "votes FALSE of"),
    "the false claim stands": (at("fraud", "claims", 0, "result", value="OK"), "not judged FALSE"),
    "a tenth burned": (at("fraud", "payments", "last_tenth", value="burned"), "last tenth is burned"),
    "a bounty kept": (at("fraud", "payments", "bounty_returned", value="36"), "returned 36"),
    "a cheater at large": (account("suspended", "0"), "the cheater is suspended"),
    "a rich cheater": (account("banned", "50"), "still holds credits"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("node", ["alice", "erin"])
def test_what_one_node_tells_otherwise_is_named(name: str, node: str, tmp_path: Path) -> None:
    scene, verdict = scene_of(tmp_path), verdict_of()
    change, expected = LIES[name]
    change(next(seen for seen in verdict.seen if seen.name == node))
    check.hold(verdict, scene)
    if name in ("not working", "no validator") and node == "erin":
        assert verdict.failures == []  # the contractor is neither
    else:
        assert any(expected in failure for failure in verdict.failures), verdict.failures


def test_a_message_of_the_cheater_that_one_node_takes_is_named(tmp_path: Path) -> None:
    scene, verdict = scene_of(tmp_path), verdict_of()
    verdict.refusals["dave"] = ""
    check.hold(verdict, scene)
    assert verdict.failures == ["dave, job two: the cheater's next message was answered with: accepted"]


def test_a_model_that_is_not_the_winners_is_named(tmp_path: Path) -> None:
    scene, verdict = scene_of(tmp_path), verdict_of()
    verdict.winner_sha256 = "00" * 32
    (tmp_path / "model").write_bytes(b"other bytes")
    scene.right = 36
    check.hold(verdict, scene)
    assert len(verdict.failures) == 3


def test_a_vote_without_a_container_and_equal_seeds_are_named(tmp_path: Path) -> None:
    scene, verdict = scene_of(tmp_path), verdict_of()
    dave = next(seen for seen in verdict.seen if seen.name == "dave")
    dave.runs = []
    for seen in verdict.seen:
        for run in seen.runs:
            run["seed"] = "1"
    check.hold(verdict, scene)
    text = "\n".join(verdict.failures)
    assert "job two: dave voted without an evaluation" in text
    assert "two trainings had the same seed" in text


def test_runs_that_made_no_container_are_not_counted(tmp_path: Path) -> None:
    scene, verdict = scene_of(tmp_path), verdict_of()
    before = check.containers(verdict, scene, scene.fraud)
    run = next(run for seen in verdict.seen for run in seen.runs if run["job"] == scene.fraud)
    run["state"] = "engine-error"
    assert check.containers(verdict, scene, scene.fraud) == before - 1


def test_runs_that_a_node_forgot_are_still_counted(tmp_path: Path) -> None:
    scene, verdict = scene_of(tmp_path), verdict_of()
    before = check.containers(verdict, scene, scene.race)
    for seen in verdict.seen:
        scene.board.nodes[seen.name].runs = {run["id"]: run for run in seen.runs}
        seen.runs = []
    assert check.containers(verdict, scene, scene.race) == before > 0


def test_the_summary_names_both_outcomes(tmp_path: Path) -> None:
    scene, verdict = scene_of(tmp_path), verdict_of()
    told = check.summary(verdict, scene)
    assert [job["outcome"] for job in told["jobs"]] == ["paid", "banned"]
    assert told["state_root"] == SEEN["common"]["block"]["state_root"]
    verdict.seen[3].block["state_root"] = "00" * 32
    assert check.summary(verdict, scene)["state_root"] is None


def test_strangers_text_and_unknown_notes_do_no_harm() -> None:
    board = Board(lambda _text, _style: None)
    assert narrate(board, {"topic": "something.new", "ref": "x", "data": {}}) is None
    assert narrate(board, {"topic": "claim", "ref": "x", "data": {"claimant": "lc1x", "loss": "0.5", "claim": 2}}) == (
        "lc1x claims loss 0.5 (its claim 2)",
        "cyan",
    )
