"""Whatever a node says of how it is, it says no longer than it is so: each notice and each gauge names who takes it back.

`NOTICES` has, for each topic, when it goes, and the test that plays it. `GAUGES` has what is looked at from time to time; all
others are counted when they are asked for. Both are held against the code: a new topic and a new gauge fail without a line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from learningchain.client.config import Config
from learningchain.client.contracts.federation.roles.channel import FileAnswer, UpdateAnswer
from learningchain.client.contracts.federation.wishes import StopWish, TrainWish, of_wish
from learningchain.client.contracts.keys.roles.watching import COMING, OPEN, RecoveryWatch
from learningchain.client.node.disk_use import EVERY_S
from learningchain.client.work.engine_watch import ANSWER_S, LOOK_S
from learningchain.client.work.events import BringImage, Chain, ContentReady, FetchContent, ImageFailed, ImageReady, Kept
from learningchain.client.work.machine import Recalled
from tests.unit import test_keys
from tests.unit.ledger_kit import id_of
from tests.unit.test_block_figures import exposed
from tests.unit.test_federation_node import in_training, member, of

ROOT = Path(__file__).parents[2]
TOPIC = re.compile(r"[a-z]+\.[a-z]+(-[a-z]+)*")
MINUTE_S = 60.0

RESTART = "with a start of the node, which alone can change it"
WITH_IT = "with the job, which the state drops"

NOTICES: dict[str, tuple[str, str]] = {
    "engine.gone": (
        "by the first look that the engine answers",
        "test_work_engine_watch.py::test_an_engine_that_is_gone_is_told_and_taken_back_within_a_minute",
    ),
    "device.refused": (RESTART, "test_sandbox_devices.py"),
    "machine.rests": (
        "by the end of its rest",
        "test_machines_resting.py::test_a_machine_that_starts_again_and_again_rests",
    ),
    "model.cold": (
        "by a container that gets ready, or by the engine's return",
        "test_work_warm_pool.py::test_what_was_the_engine_s_trouble_is_said_no_longer_than_it_lasts",
    ),
    "serve.not-ready": (
        "by the image, or the model's container",
        "test_work_prediction_server.py::test_a_model_that_cannot_be_run_is_told_of_until_it_can",
    ),
    "request.key": (
        "by its key, or the request's end",
        "test_prediction_keys.py::test_a_key_that_came_from_the_disk_is_given_too_and_what_is_over_is_told_no_more",
    ),
    "reveal.withheld": (WITH_IT, "test_work_worker.py::test_a_second_evaluation_decides_whether_showing_or_silence_costs_less"),
    "reveal.unseen": (WITH_IT, "test_work_worker.py"),
    "training.crowded": ("by room for it", "test_work_worker.py"),
    "training.broken": (
        "by a start of the node, or the job's end",
        "test_work_worker.py::test_what_is_this_node_s_own_trouble_is_told_as_such_and_not_held_against_the_poster",
    ),
    "image.missing": (
        "by the image, or the job's end",
        "test_work_worker.py::test_an_image_that_is_missing_is_told_of_until_it_is_here",
    ),
    "vote.unopened": (WITH_IT, "test_work_verifier.py"),
    "vote.no-image": (
        "by the image, or the seat's end",
        "test_work_verifier.py::test_an_image_that_breaks_a_rule_means_an_abstention_and_a_missing_one_another_try",
    ),
    "hidden.key": ("by the key", "test_work_contractor.py::test_a_key_that_is_missing_is_asked_for_as_long_as_it_helps"),
    "case.own": ("by the case's end", "test_work_graph.py"),
    "case.waits": (
        "by this validator's word",
        "test_work_members.py::test_the_accused_is_told_and_the_judges_that_have_not_spoken",
    ),
    "capacity.none": (
        "by the declaration",
        "test_work_members.py::test_a_verifier_declares_what_its_settings_allow_of_its_machine_and_says_it_once",
    ),
    "verifier.rests": ("by the chain clock", "test_work_members.py"),
    "proposal.waits": (
        "by this validator's word",
        "test_governance_client.py::test_so_many_proposals_are_told_of_and_one_that_ended_is_not",
    ),
    "protocol.newer": (
        "by another version of the program",
        "test_governance_client.py::test_an_operator_is_told_of_a_protocol_that_its_program_does_not_know",
    ),
    "recovery.open": ("by the recovery's end", "test_notices.py::test_an_owner_is_told_of_a_recovery_while_it_is_open"),
    "guardians.coming": (
        "when they are in force, or taken back",
        "test_notices.py::test_an_owner_is_told_of_other_guardians_until_they_are_in_force",
    ),
    "fed.no-numpy": (RESTART, "test_federation_node.py"),
    "fed.image": (
        "by the image, or when nobody needs it any more",
        "test_notices.py::test_what_was_said_of_an_image_goes_with_the_image_or_with_what_it_was_for",
    ),
    "fed.not-training": (
        "by the next look",
        "test_federation_machines.py::test_a_member_that_wants_company_waits_for_it",
    ),
    "fed.waits": (
        "by the next look",
        "test_federation_cell_machines.py::test_who_left_and_joined_again_becomes_a_new_cell_with_who_was_left_alone",
    ),
    "fed.turned-away": (
        "with the attempt, or when the owner leaves",
        "test_notices.py::test_an_owner_that_leaves_hears_no_more_of_its_file",
    ),
    "fed.full": (
        "by room, or when that federation is over or left",
        "test_federation_room.py::test_a_members_book_can_be_read_again_however_many_federations_it_joins",
    ),
    "fed.no-reference": ("by the next round", "test_federation_machines.py"),
    "fed.no-update": (
        "with the attempt",
        "test_federation_node.py::test_who_stops_trains_no_more_and_keeps_nothing_of_it",
    ),
    "fed.aggregator": ("with the attempt", "test_federation_machines.py"),
    "fed.panel": ("with the duty", "test_federation_machines.py"),
    "fed.vault": ("by what was missing, or when the owner leaves", "test_federation_recovery.py"),
}

GAUGES: dict[str, float] = {
    "lc_sandbox_ok": LOOK_S + ANSWER_S,
    "lc_disk_free_bytes": EVERY_S,
    "lc_disk_size_bytes": EVERY_S,
}
"""Seconds between two looks at most."""


def _constants(tree: ast.Module) -> dict[str, str]:
    """What a module's names say, one by one or several at once."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            names, values = node.targets[0], node.value
            several = isinstance(names, ast.Tuple) and isinstance(values, ast.Tuple)
            pairs = zip(names.elts, values.elts, strict=True) if several else [(names, values)]  # type: ignore[attr-defined]
            for name, value in pairs:
                if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found[name.id] = value.value
    return found


def _topics() -> Iterator[str]:
    """The first argument of each `Notice(...)`; where that is a variable, whatever looks like a topic in the function."""
    for path in sorted((ROOT / "client").rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = _constants(tree)
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
                if not (isinstance(call.func, ast.Name) and call.func.id == "Notice"):
                    continue
                first = call.args[0]
                if isinstance(first, ast.Constant):
                    yield str(first.value)
                elif isinstance(first, ast.Name) and first.id in constants:
                    yield constants[first.id]
                else:
                    said = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant)]
                    said += [constants.get(node.id) for node in ast.walk(function) if isinstance(node, ast.Name)]
                    yield from (one for one in said if isinstance(one, str) and TOPIC.fullmatch(one))


def test_each_notice_has_who_takes_it_back() -> None:
    assert set(_topics()) == set(NOTICES)
    assert all(TOPIC.fullmatch(topic) for topic in NOTICES)
    for topic, (when, test) in NOTICES.items():
        file, _, name = test.partition("::")
        text = (ROOT / "tests/unit" / file).read_text()
        assert when and (not name or re.search(rf"^(async )?def {name}\(", text, re.M)), topic


def test_each_gauge_is_counted_when_it_is_asked_for_or_looked_at_within_a_minute(tmp_path: Path) -> None:
    gauges = {one.name for one in text_string_to_metric_families(exposed(tmp_path)) if one.type == "gauge"}
    assert GAUGES.keys() <= gauges and max(GAUGES.values()) < MINUTE_S
    kept = {
        node.func.id
        for path in (ROOT / "client").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Gauge", "Info", "Enum")
    }
    assert not kept, "a gauge that is set stays as it was set: collect it (client/api/metrics.py)"


# --- those that no other file plays -----------------------------------------------------------------------------------------------


def test_an_owner_is_told_of_a_recovery_while_it_is_open() -> None:
    chain = test_keys.graph()
    test_keys.guard(chain, "alice", 1, "bob")
    watch = RecoveryWatch(Recalled(id_of("alice"), b"", Config().work, bytes))
    for passes, told in ((0, []), (None, [OPEN]), (2 * test_keys.DELAY, [])):
        if passes is None:
            assert chain.codes(chain.tx("bob", test_keys.word(chain, "alice", "new"))) == [0]
        else:
            test_keys.pass_time(chain, passes)
        watch.handle(Chain(chain.state, chain.clock))
        assert [one.topic for one in watch.notices()] == told


def test_an_owner_is_told_of_other_guardians_until_they_are_in_force() -> None:
    chain = test_keys.graph()
    test_keys.guard(chain, "alice", 1, "bob")
    test_keys.guard(chain, "alice", 1, "carol")
    watch = RecoveryWatch(Recalled(id_of("alice"), b"", Config().work, bytes))
    for passes, told in ((0, [COMING]), (2 * test_keys.DELAY, [])):
        test_keys.pass_time(chain, passes)
        watch.handle(Chain(chain.state, chain.clock))
        assert [one.topic for one in watch.notices()] == told


@pytest.mark.parametrize("ends", ["it is here", "its federation is over", "its owner leaves"])
def test_what_was_said_of_an_image_goes_with_the_image_or_with_what_it_was_for(ends: str) -> None:
    world = in_training()
    part = member(world)
    part.handle(Kept(of_wish(TrainWish(world.federation, "rows", 2), bytes(16))))
    (fetch,) = of(part.handle(world.chain()), FetchContent)
    part.handle(ContentReady(fetch.scope, fetch.tag, Path("/base")))
    assert of(part.handle(world.chain()), BringImage)
    part.handle(ImageFailed(world.federation, "nobody has it", lasting=False))
    assert [one.topic for one in part.notices()] == ["fed.image"]
    if ends == "it is here":
        part.handle(ImageReady(world.federation, "sha256:" + "ab" * 32))
    elif ends == "its owner leaves":
        part.handle(Kept(of_wish(StopWish(world.federation), b"x" * 16)))
    else:
        world.run()
        part.handle(world.chain())
    assert not part.notices()


def test_an_owner_that_leaves_hears_no_more_of_its_file() -> None:
    world = in_training()
    part = member(world)
    part.handle(Kept(of_wish(TrainWish(world.federation, "rows", 2), bytes(16))))
    part.handle(world.chain())
    turned = UpdateAnswer(world.federation, world.now.starts, bytes(36), FileAnswer.LATE, bytes(64))
    part.answers[world.federation, world.now.starts, bytes(20)] = turned
    assert [one.topic for one in part.notices()] == ["fed.turned-away"]
    part.handle(Kept(of_wish(StopWish(world.federation), b"x" * 16)))
    assert not part.notices()
