"""Who is given a model: the seats that judge it, the validators of a case about it, and everybody once it was paid. Nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import duties
from learningchain.chain.contracts.job.messages import Claim, OnCheat, Reveal, claim_commitment
from learningchain.chain.host.terms import model_id
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.roles.cleanup import OWN_PIN, SEAT_PIN, UNCLEAR_PIN, WON_PIN, may_have
from learningchain.client.daemon.service import NodeFiles
from learningchain.client.node.interface import PRIVATE
from learningchain.client.node.sharing import CLOSED
from learningchain.client.work.artifacts import parse_reason, reason
from learningchain.p2p.content.cid import Cid, parse
from learningchain.p2p.content.faults import FetchFailed
from learningchain.p2p.content.messages import DontHave, WantBlocks, decode_message
from learningchain.p2p.content.service import Content
from tests.slow import SLOW
from tests.unit.content_kit import root_of
from tests.unit.job_kit import CHAIN_ID, World, ballot, cid_of, sha, who
from tests.unit.test_content_service import Net

VERIFIERS = [f"v{i}" for i in range(9)]
EVERYBODY = {who(name) for name in ("boss", "a", "b", "validator", *VERIFIERS)}
OK, FALSE = ballot(BallotCode.OK, 4_000), ballot(BallotCode.FALSE, 900_000)


def world() -> World:
    return World(["boss", "a", "b", *VERIFIERS], VERIFIERS)


def given(w: World, job: bytes, name: str) -> set[bytes]:
    """Who may have somebody's model."""
    return {one for one in EVERYBODY if duties.may_have_model(w.store, job, cid_of(name), one)}


def test_a_model_is_for_its_seats_while_they_judge_it_for_the_judges_of_its_case_and_for_all_once_it_was_paid() -> None:
    """LC-JOB-59"""
    w = world()
    job = w.post("boss", on_cheat=OnCheat.NEXT_BEST)
    for name, loss in (("a", 4_000), ("b", 5_000)):
        assert w.claim(job, name, loss) == 0
    w.deadline(job)
    for name in ("a", "b"):
        assert (w.reveal(job, name), given(w, job, name)) == (0, set())
    w.draw(job)
    first = set(w.committee(job))
    assert (len(first), given(w, job, "a"), given(w, job, "b")) == (7, first, set())
    w.vote_and_wait(job, {voter: [OK if place == 0 else FALSE] for place, voter in enumerate(w.committee(job))})
    assert (w.state(job), given(w, job, "a")) == ("DRAW", set()), "one dissents: another round"
    w.draw(job)
    assert (w.job(job).round, given(w, job, "a")) == (2, set(w.committee(job))) and len(w.committee(job)) == 9
    w.vote(job, {voter: [FALSE] for voter in w.committee(job)})
    assert (w.result(job, "a"), given(w, job, "a")) == ("FALSE", {who("validator")})
    assert given(w, job, "b") == set(w.committee(job))
    w.everybody(job, OK)
    assert (w.state(job), given(w, job, "b"), given(w, job, "a")) == ("PAID", EVERYBODY, {who("validator")})
    w.close_case(who("a"), banned=False)
    assert given(w, job, "a") == set()
    refused = w.post("boss")
    w.open_to(refused, {"a": 4_000})
    w.everybody(refused, ballot(BallotCode.NEAR, 5_000))
    assert (w.state(refused), given(w, refused, "a")) == ("REFUNDED", set()), "not for those either that were the last to judge it"


def test_a_judge_gives_no_model_to_the_seats_of_a_job_in_which_it_was_claimed_anew() -> None:
    """A model's name stands on the ledger with its reveal. Who copies the name has not got the model, and gets it from nobody."""
    w = world()
    job, copied = w.post("boss"), w.post("boss", expiry=w.clock + 120_000)
    w.open_to(job, {"a": 4_000})
    assert w.claim(copied, "b", 4_000, model="a") == 0
    w.deadline(copied)
    assert w.reveal(copied, "b", model="a") == 0
    w.draw(copied)
    here, there = set(w.committee(job)), set(w.committee(copied))
    assert w.state(copied) == "COMMIT" and here - there and there - here

    def of_whom_keeps(*reasons: tuple[str, bytes]) -> set[bytes]:
        return {one for one in EVERYBODY if may_have(w.store, reasons, cid_of("a"), one)}

    assert of_whom_keeps((OWN_PIN, job)) == here
    assert of_whom_keeps((SEAT_PIN, job)) == here
    assert of_whom_keeps((SEAT_PIN, job), (SEAT_PIN, copied)) == here & there
    assert of_whom_keeps((OWN_PIN, job), (OWN_PIN, copied)) == here | there, "both claims are its own"
    assert of_whom_keeps((UNCLEAR_PIN, sha("a job that left"))) == of_whom_keeps() == set()


# --- nodes ------------------------------------------------------------------------------------------------------------------------


def _name(identity: bytes) -> bytes:
    """Of its folder and of its link."""
    return identity.hex().encode()


class Nodes:
    """Nodes of members that exchange files over an in-process link, by the rules of a job on one ledger."""

    def __init__(self, folder: Path, w: World, model: bytes) -> None:
        self.net, self.w, self.model = Net(folder), w, root_of(model)[0]
        self.files: dict[bytes, NodeFiles] = {}

    def join(self, identity: bytes) -> Content:
        content = self.net.add(_name(identity))
        files = self.files[identity] = NodeFiles(content)
        files.share_by(self._may_have)
        return content

    def _may_have(self, peer: bytes, cid: str, reasons: object) -> bool:
        private = [parse_reason(one) for one in reasons if one.startswith(PRIVATE)]  # type: ignore[attr-defined]
        return may_have(self.w.store, private, parse(cid).to_bytes(), bytes.fromhex(peer.decode()))

    def answer_to(self, asks: bytes, whom: bytes) -> object:
        """What the node says to who wants the first block of the model."""
        told: list[bytes] = []
        self.net.taps[_name(whom)] = lambda frame: told.append(frame) or [frame]  # type: ignore[func-returns-value]
        root = self.model.to_bytes()
        self.net.nodes[_name(whom)].on_message(_name(asks), encode(WantBlocks(root, [root])))
        del self.net.taps[_name(whom)]
        return decode_message(told[0])

    async def gets(self, identity: bytes, timeout_s: float = 30.0) -> bool:
        try:
            await self.files[identity].fetch(str(self.model), max_size=10**6, timeout_s=timeout_s)
        except FetchFailed:
            return False
        return True


def revealed(w: World, job: bytes, name: str, model: Cid) -> None:
    """A claim of a file that there is, up to the first committee."""
    cid, salt = model.to_bytes(), sha("salt")
    assert w.send(who(name), Claim(job, 5_000, claim_commitment(CHAIN_ID, job, who(name), model_id(cid), salt), True)) == 0
    w.deadline(job)
    assert w.send(who(name), Reveal(job, 1, cid, 1_000, salt)) == 0
    w.draw(job)


async def test_identityhas_no_seat_is_refused_a_model_under_audit_by_all_identityhave_it_and_a_seat_gets_it_from_any(
    tmp_path: Path,
) -> None:
    w, model = world(), b"a model that cost a month"
    job = w.post("boss")
    nodes = Nodes(tmp_path, w, model)
    revealed(w, job, "a", nodes.model)
    (tmp_path / "model").write_bytes(model)
    first, second = w.committee(job)[:2]
    idle = next(who(name) for name in VERIFIERS if who(name) not in w.committee(job))
    for one in (who("a"), first, second, idle, who("boss")):
        nodes.join(one)
    await nodes.files[who("a")].add(tmp_path / "model", pin=reason(OWN_PIN, job))
    nodes.files[first].pin(str(nodes.model), reason(SEAT_PIN, job))
    assert await nodes.gets(first)

    async def are_refused(*others: bytes) -> None:
        assert not any(await asyncio.gather(*(nodes.gets(one, 0.3 * SLOW) for one in others)))

    await are_refused(who("boss"), idle)
    assert nodes.answer_to(who("boss"), first) == DontHave(nodes.model.to_bytes()), "also where it asks for a block straight away"
    # The claimant is gone: a seat has it from another one, and gives it to nobody else either.
    await nodes.net.stop(_name(who("a")))
    nodes.files[second].pin(str(nodes.model), reason(SEAT_PIN, job))
    assert await nodes.gets(second)
    await are_refused(who("boss"), idle)
    # A stranger's posting says that it is its image; the judge's job ends, its pin goes, the other one stays.
    w.everybody(job, FALSE)
    nodes.files[first].pin(str(nodes.model), "image:" + sha("another job").hex())
    nodes.files[first].unpin(str(nodes.model), reason(SEAT_PIN, job))
    await are_refused(who("boss"), idle)
    nodes.files[first].unpin(str(nodes.model), "image:" + sha("another job").hex())
    nodes.files[second].unpin(str(nodes.model), reason(SEAT_PIN, job))
    assert not any(nodes.files[one].has(str(nodes.model)) for one in (first, second))
    await nodes.net.close()


async def test_a_model_that_was_paid_goes_to_everybody_also_where_it_is_judged_once_more(tmp_path: Path) -> None:
    w, model = world(), b"a model that won"
    job = w.post("boss")
    nodes = Nodes(tmp_path, w, model)
    revealed(w, job, "a", nodes.model)
    (tmp_path / "model").write_bytes(model)
    for one in (who("a"), who("boss"), who("b")):
        nodes.join(one)
    files, cid = nodes.files[who("a")], str(nodes.model)
    await files.add(tmp_path / "model", pin=reason(OWN_PIN, job))
    w.everybody(job, OK)
    assert w.state(job) == "PAID" and await nodes.gets(who("boss"))
    files.pin(cid, reason(WON_PIN, job))
    files.unpin(cid, reason(OWN_PIN, job))
    files.pin(cid, reason(SEAT_PIN, sha("a copy's job")))
    await nodes.net.stop(_name(who("boss")))
    assert await nodes.gets(who("b"))
    await nodes.net.close()


async def test_nobody_takes_an_image_from_the_others_by_claiming_that_it_is_a_model(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, world(), b"an image")
    for one in (who("v1"), who("b")):
        nodes.join(one)
    files, cid = nodes.files[who("v1")], str(nodes.model)
    await nodes.net.nodes[_name(who("v1"))].add(b"an image", pin="image:1")
    files.pin(cid, reason(SEAT_PIN, sha("a job")))
    assert await nodes.gets(who("b"))
    await nodes.net.close()


async def test_a_start_deletes_what_nothing_but_its_having_been_private_keeps(tmp_path: Path) -> None:
    """A node that was killed between the last two pins of it."""
    nodes = Nodes(tmp_path, world(), b"a model that lost")
    nodes.join(who("v1"))
    content = nodes.net.nodes[_name(who("v1"))]
    await content.add(b"a model that lost", pin=CLOSED)
    assert not NodeFiles(content).has(str(nodes.model))
    await nodes.net.close()
