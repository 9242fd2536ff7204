"""Whole nodes with the work of every contract at once, as the daemon composes it: what they come to, and that nothing stays."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace as changed
from itertools import cycle
from pathlib import Path
from unittest import mock

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.federation.messages import CommitUpdate
from learningchain.chain.contracts.federation.records import EndReason, FederationRecord
from learningchain.chain.contracts.job.records import job_key
from learningchain.chain.contracts.prediction.messages import AppealAnswer, OpenAnswer, RetireModel
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.contracts.prediction.tally import AnswerCode
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.host.terms import Image
from learningchain.chain.types import parse_loss
from learningchain.client.contracts.job.roles.cleanup import WON_PIN
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.contracts.job.roles.worker import MAX_FAILURES
from learningchain.client.contracts.prediction.proven import plain_document
from learningchain.client.work.events import BringImage, EndScope, FetchContent, Forget, ReleaseImage, WantedImage
from learningchain.client.work.transfers import PLACES, RESERVED
from learningchain.p2p.content.cid import from_bytes
from learningchain.sandbox import RunStatus
from tests.unit.composed_kit import Network, holdings, left
from tests.unit.test_work_graph import tmp_path
from tests.unit.work_kit import LIMITS, PARAMS, machine, run_virtual

__all__ = ["tmp_path"]

MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
HOUR_S = 3_600.0
KEEP = {"fed_keep": 600_000, "job_keep": 600_000, "pred_keep": 600_000}
WINDOWS = {"pred_a0": 15_000, "pred_keys": 15_000, "pred_open": 10_000, "job_reveal": 60_000, "job_open_votes": 60_000}
SOON_GONE = replace(PARAMS, pred_row=0, **KEEP, **WINDOWS)
"""What ended leaves the state in minutes; every window is longer than a node is off."""
LOGS = {"driver.run_log.runs", "driver.run_log.ended", "driver.peers.rates", "driver.books", "table books", "table intents"}
"""Bounded, or deleted at a start: what ran, who was heard, which books were begun, what was sent."""
OWN_FEDERATIONS = {
    *(f"federation.member.{name}" for name in ("joined", "final", "absent", "published")),
    *("federation.member.maker.watched", "federation.member.others.ring_at"),
    *(f"federation.sponsor.{name}" for name in ("opened", "serving", "starts", "final", "absent")),
    *("federation.member.noted", "federation.clean-up.best.noted"),
}
"""A member and a sponsor remember their federations until another one needs the place."""
OWN_REQUESTS = {"keys of requests.keys", "table secrets"}
"""A requester can read its answers for good."""
LAST_ANSWERS = {"prediction server.answers"}
"""How a served model was answered of late."""
PINS = {"driver.stores.pins.held", "table pins"}
"""Looked at by their reasons."""


def test_a_job_of_half_an_hour_beside_a_federation_is_paid_and_both_leave_nothing_behind(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network(tmp_path, params=SOON_GONE)
        chain = network.chain
        await network.start()
        await network.settle()
        before = {name: holdings(node) for name, node in network.nodes.items()}
        for node in network.nodes.values():
            node.engine.train_s = 10 * 60.0
        limits = replace(LIMITS, train_s=20 * 60)
        job = chain.post("boss", expiry=chain.clock + 30 * MINUTE_MS, limits=limits)
        federation = await network.federate("abc")
        await network.until(lambda: network.has_ended(federation), HOUR_S)
        ended = network.federation(federation)
        assert EndReason(ended.end) is EndReason.REACHED and ended.r > 1 and ended.paid == 10**6
        assert not chain.ended(job)
        await network.until(lambda: chain.ended(job), HOUR_S, 5.0)
        found = chain.describe(job)
        assert found["state"] == "PAID" and len(found["claims"]) == len(network.nodes) - 1, "all but its poster"
        votes = [v["vote"] for r in found["rounds"] for seat in r["committee"] for v in seat["votes"]]
        assert votes and set(votes) == {"OK"}
        assert {name: chain.strikes(name) for name in network.nodes} == dict.fromkeys(network.nodes, 0)
        await network.minutes(30)
        for name, node in network.nodes.items():
            assert node.running.failing() == [] and not node.engine.images
            pins = {why.partition(":")[0] for reasons in node.files.pins.values() for why in reasons}
            assert pins <= {WON_PIN, "fed-final", "posted"}, name
            assert left(holdings(node), before[name], LOGS | OWN_FEDERATIONS | PINS) == set(), name
        await network.stop()

    run_virtual(main())


def test_every_seat_of_a_private_request_opens_its_box_in_every_round_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    """One of those drawn first is silent, so that another node sits in round 2; in round 3 judges do."""

    async def main() -> None:
        network = Network(tmp_path, "abcdefgh", params=SOON_GONE)
        chain, servers = network.chain, [network.nodes[name] for name in "abcd"]
        await network.start()
        await network.settle()
        idle = {name: holdings(node) for name, node in network.nodes.items()}
        model = await network.serve("abcd")
        await network.until(lambda: all(node.engine.waiting for node in servers), 60)
        serving = {name: holdings(node) for name, node in network.nodes.items()}
        request, key = await network.ask(model, b"4\n7\n", 3)
        await network.until(lambda: bool(network.seats(request, 1)), 60, 0.25)
        silent, *others = network.seats(request, 1)
        await network.nodes[silent].kill()
        await network.until(lambda: network.request(request).state == RequestState.AGREED, 120, 0.25)
        plain = plain_document(chain.state, request, key)
        assert plain is not None and [value["score"] for value in plain["values"]] == ["4.000000000", "7.000000000"]
        assert chain.now("boss", AppealAnswer(request, [])) == 0
        await network.until(lambda: network.request(request).state == RequestState.FINAL, 600, 0.25)
        substitutes, judges = network.seats(request, 2), network.seats(request, 3)
        assert len(substitutes) == 1 and {*judges} == {*"efgh"}
        opened = {(op.round, name): AnswerCode(op.answer.code) for name, op in chain.sent if isinstance(op, OpenAnswer)}
        seats = [*((1, name) for name in others), (2, *substitutes), *((3, name) for name in judges)]
        assert opened == dict.fromkeys(seats, AnswerCode.OK)
        assert network.request(request).appeal == AppealVerdict.UPHELD
        await network.nodes[silent].start()
        await network.minutes(5)
        for name, node in network.nodes.items():
            stays = OWN_REQUESTS if name == "boss" else LAST_ANSWERS
            assert left(holdings(node), serving[name], LOGS | stays) == set(), name
        assert chain.now("boss", RetireModel(model)) == 0
        await network.minutes(20)
        for name, node in network.nodes.items():
            stays = OWN_REQUESTS if name == "boss" else set[str]()
            assert left(holdings(node), idle[name], LOGS | stays) == set(), name
            assert not node.engine.waiting and not node.engine.images
        await network.stop()

    run_virtual(main())


def test_a_model_that_is_better_than_the_posted_floor_is_claimed_at_the_floor_and_paid(tmp_path: Path) -> None:
    async def main() -> None:
        network, floor = Network(tmp_path), parse_loss("0.3")
        for node in network.nodes.values():
            node.engine.losses = lambda spec: "0.1"
        await network.start()
        job = network.chain.post("boss", floor=floor)
        await network.until(lambda: network.chain.ended(job), 600)
        found = network.chain.describe(job)
        assert found["state"] == "PAID" and {claim["loss"] for claim in found["claims"]} == {floor}
        await network.stop()

    run_virtual(main())


def test_a_job_that_a_node_gave_up_is_not_trained_again_when_others_move_it(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network(tmp_path, attempts=2 * MAX_FAILURES)
        chain, engine = network.chain, network.nodes["a"].engine
        engine.end = lambda spec: RunStatus.FAILED if spec.phase == "train" else None
        await network.start("a")
        job = chain.post("boss", expiry=chain.clock + 30 * MINUTE_MS)
        await network.until(lambda: "given up" in (network.nodes["a"].running.explain(job) or ""), 600)
        await network.start("b")
        await network.until(lambda: bool(chain.describe(job)["claims"]), 600)
        await network.minutes(10)
        assert [spec.phase for spec in engine.specs] == ["train"] * MAX_FAILURES
        await network.stop()

    run_virtual(main())


def test_an_image_that_a_duty_waits_for_is_fetched_beside_those_that_have_time(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network(tmp_path)
        node = network.nodes["a"]
        await network.start("a")
        await network.minutes(1)
        node.files.arrives_s, common = 15.0, PLACES - RESERVED
        images = [await network.image(f"image {number}") for number in range(common + 2)]
        *ahead, urgent = [BringImage(image.image_id, image_of(image)) for image in images]
        node.running._do("worker", ahead)
        await asyncio.sleep(1)
        node.running._do("verifier", [changed(urgent, urgent=True)])
        await asyncio.sleep(18)
        assert node.engine.images == {one.image.image_id for one in (*ahead[:common], urgent)}
        await network.stop()

    run_virtual(main())


def test_who_is_asked_whether_an_image_may_go_forgets_nothing_and_who_hears_that_it_goes_does(tmp_path: Path) -> None:
    """Whatever another machine answers, and in whatever order they are asked."""

    async def main() -> None:
        network = Network(tmp_path)
        node = network.nodes["a"]
        work = await node.start()
        job, verifier = network.chain.post("boss"), machine(work, Verifier)
        await network.until(lambda: job in verifier._images, 60)
        for other in [part.machine for part in work._parts.values() if part.machine.name != "worker"]:
            with mock.patch.object(other, "gives_up", return_value=False):
                work._do("worker", [ReleaseImage(job)])
            assert job in verifier._images and node.engine.images, other.name
        with mock.patch.object(verifier, "gives_up", return_value=True):
            work._do("worker", [ReleaseImage(job)])
        assert job not in verifier._images
        await network.until(lambda: not node.engine.images, 10, 0.1)
        await network.stop()

    run_virtual(main())


def image_of(image: Image) -> WantedImage:
    cid = str(from_bytes(image.cid))
    return WantedImage("", cid, f"sha256:{image.image_id.hex()}", image.size, image.size, 10**6)


def test_a_file_that_its_member_gives_nobody_ends_no_attempt(tmp_path: Path) -> None:
    """Aggregators say what they have while there is time, and add that up."""

    async def main() -> None:
        network = Network(tmp_path)
        await network.start()
        await network.settle()
        federation = await network.federate(["a", "b", "c", "mia"], vetted=False, min_sum=3)
        network.nodes["mia"].files.up = False
        await network.until(lambda: network.has_ended(federation), HOUR_S)
        ended, first = network.federation(federation), network.round(federation, 1)
        assert EndReason(ended.end) is EndReason.REACHED and ended.starts == ended.r + 1, "each attempt came to a model"
        assert first is not None and first.accepted == bytes([0b0111])
        assert {name for name, op in network.chain.sent if isinstance(op, CommitUpdate)} == {"a", "b", "c", "mia"}
        await network.stop()

    run_virtual(main())


def test_an_aggregator_that_was_off_from_the_sum_to_the_next_start_still_gives_the_model(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network(tmp_path, "abcde")
        await network.start()
        await network.settle()
        federation = await network.federate("abc", target=1)
        await network.until(lambda: network.round(federation, 1) is not None, HOUR_S, 0.5)
        summed, starts = network.round(federation, 1), network.federation(federation).starts
        assert summed is not None
        off = network.nodes[network.chain.names[summed.by[0]]]
        await off.kill()
        await network.until(lambda: network.federation(federation).starts > starts, HOUR_S, 0.5)
        await off.start()
        await network.minutes(0.2)
        for cid in (summed.model, summed.delta):
            assert off.files.gives(str(from_bytes(cid)), network.nodes["mia"].files.me)
        await network.stop()

    run_virtual(main())


def test_nodes_that_end_one_after_the_other_again_and_again_change_nothing_and_leave_nothing(tmp_path: Path) -> None:
    """With a training of ten minutes, attempts of a federation, and votes under way; each node is killed, then restarted."""

    async def main() -> None:
        network = Network(tmp_path, params=SOON_GONE)
        chain = network.chain
        await network.start()
        await network.settle()
        before = {name: holdings(node) for name, node in network.nodes.items()}
        for node in network.nodes.values():
            node.engine.train_s = 10 * 60.0
        job = chain.post("boss", expiry=chain.clock + 30 * MINUTE_MS, limits=replace(LIMITS, train_s=20 * 60))
        federation, ended = await network.federate("abc", rounds=4, target=1), list[FederationRecord]()
        for turn, node in enumerate(cycle(network.nodes.values())):
            ended += [network.federation(federation)] if network.has_ended(federation) else []
            if chain.ended(job) and ended:
                break
            await (node.running.stop(leave=True) if turn // len(network.nodes) % 2 else node.kill())
            await network.minutes(0.2)
            await node.start()
            await network.minutes(0.4)
        assert (EndReason(ended[-1].end), ended[-1].r) == (EndReason.ROUNDS, 4)
        found = chain.describe(job)
        assert found["state"] == "PAID" and {chain.strikes(name) for name in network.nodes} == {0}
        await network.minutes(30)
        for name, node in network.nodes.items():
            assert left(holdings(node), before[name], LOGS | OWN_FEDERATIONS | PINS) == set(), name
        await network.stop()

    run_virtual(main())


def test_a_node_that_was_off_until_its_job_had_left_the_state_forgets_it_within_minutes(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network(tmp_path, params=SOON_GONE)
        chain, node = network.chain, network.nodes["a"]
        await network.start()
        await network.settle()
        before = holdings(node)
        job = chain.post("boss", expiry=chain.clock + 2 * MINUTE_MS)
        await network.until(lambda: len(chain.describe(job)["claims"]) == len(network.nodes) - 1, 120)
        await node.kill()
        await network.until(lambda: chain.state.get(job_key(job)) is None, HOUR_S, 10.0)
        await node.start()
        await network.minutes(10)
        assert left(holdings(node), before, LOGS) == set()
        await network.stop()

    run_virtual(main())


@pytest.mark.parametrize("off_ms", [400 * DAY_MS, -400 * DAY_MS], ids=["ahead", "behind"])
def test_a_clock_that_is_wrong_for_a_start_ends_nothing_that_is_kept_up_to_a_date(tmp_path: Path, off_ms: int) -> None:
    """The model that won, which its buyer may fetch for weeks: paid before, or while, the clock is wrong."""

    async def main() -> None:
        network = Network(tmp_path)
        chain, node = network.chain, network.nodes["a"]
        await network.start(*"abcd")
        for wrong in (False, True):
            node.engine.losses = lambda spec: "0.1"
            job = chain.post("boss")
            await network.until(lambda one=job: chain.ended(one), 600)  # type: ignore[misc]
            await network.minutes(1)
            node.behind_ms = 0 if wrong else off_ms
            await node.running.stop()
            await node.start()
        await network.minutes(1)
        won = [cid for cid, reasons in node.files.pins.items() for why in reasons if why.startswith(WON_PIN)]
        assert len(won) == 2 and all(cid in node.files.held for cid in won)
        await network.stop()

    run_virtual(main())


@pytest.mark.filterwarnings("error")
def test_what_is_called_off_before_it_began_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network(tmp_path)
        node, ref = network.nodes["a"], bytes(32)
        await network.start("a")
        await network.settle()
        before = holdings(node)
        cid, size = await network.publish("a file")
        fetch = FetchContent("a scope", "a tag", ref, cid, size, 2**62, pin="posted")
        node.running._do("worker", [fetch, EndScope("a scope"), Forget(ref)])
        await asyncio.sleep(1)
        assert left(holdings(node), before, ()) == set()
        gc.collect()
        await network.stop()

    run_virtual(main())
