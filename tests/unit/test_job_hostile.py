"""Hostile messages: whatever anybody sends, it is refused with a code of the contract or it is legal; credits stay counted."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts import decode_message, perform
from learningchain.chain.contracts.job import CONTRACT, records
from learningchain.chain.contracts.job.messages import (
    Ballot,
    CancelJob,
    Claim,
    CommitVote,
    ExtendJob,
    JobCode,
    OpenVote,
    Reveal,
    RevealKey,
)
from learningchain.chain.errors import Code, Malformed, Reject
from learningchain.chain.host import ACTIVE, SUSPENDED, account_key
from learningchain.chain.losses import LossNode, LossTree, Measurement, Opening, draw_probe, open_losses
from learningchain.chain.verification.votes import BallotCode
from tests.settlement.generate import Player
from tests.settlement.play import BlockView
from tests.settlement.scenario import Block, Member, Scenario
from tests.settlement_driver import HASHING, Ledger, RealNaming
from tests.unit.job_kit import KEY, World, ballot, cid_of, posting, sha, who

NUMBERS = [0, 1, 2, 7, 16, 255, 256, 10_000, 2**31, 10**18, 10**18 + 1, 2**63 - 1]
LOSSES = [*NUMBERS, -1, -(10**18), -(10**18) - 1, -(2**63)]
CODES = {int(code) for code in JobCode} | {int(Code.INSUFFICIENT_CREDITS)}
TROLLS = [sha("troll", i)[:20] for i in range(2)]


def some_ballot(r: random.Random) -> Ballot:
    def column() -> list[Measurement]:
        total = r.choice([loss for loss in LOSSES if abs(loss) < 2**63])
        return [Measurement(sha(total), total, r.choice([1, 16, 2**20]))] if r.random() < 0.5 else []

    return Ballot(r.choice([0, 1, 2, 3, 4, 5, 6, 7, 8]), column(), column(), r.random() < 0.5)


def some_opening(r: random.Random) -> list[Opening]:
    if r.random() < 0.3:
        return []
    if r.random() < 0.5:
        return [open_losses(LossTree([1] * 20), draw_probe(bytes(32), bytes(32), 0, 1, 20))]
    nodes = [LossNode(sha(i), 1, 1) for i in range(r.choice([0, 1, 240]))]
    return [Opening([r.choice([0, 2**20 - 1])] * r.choice([0, 8]), [r.choice([0, 10**18])] * r.choice([1, 16, 48]), nodes)]


def nonsense(r: random.Random, job: bytes) -> Any:
    """A message of the right shape, mostly, with any content."""
    number, loss = r.choice(NUMBERS), r.choice(LOSSES)
    small, round_ = r.choice([0, 1, 2, 3, 255]), r.choice([0, 1, 2, 255])
    ballots = [some_ballot(r) for _ in range(r.choice([0, 1, 2, 8, 9]))]
    salt = r.choice([b"", sha("salt"), bytes(5)])
    return r.choice(
        [
            Claim(job, loss, sha(number), r.random() < 0.5),
            Reveal(job, number, r.choice([b"", cid_of(number), b"\xff" * 64, b"\x00" * 65]), r.choice(NUMBERS), sha("salt")),
            RevealKey(job, r.choice([KEY, bytes(32)])),
            CommitVote(job, small, round_, sha(number)),
            OpenVote(job, small, round_, ballots, salt, small, r.random() < 0.5, some_opening(r)),
            CancelJob(job),
            ExtendJob(job, number),
            replace(posting(), **{r.choice(["bounty", "fee", "finalists", "expiry", "float_kind", "tol", "on_cheat"]): number}),
            replace(posting(), floor=loss),
            posting(
                fee=10**6, **{r.choice(["cpus_milli", "mem_mb", "train_s", "eval_s", "model_cap", "tmp_mb", "threads"]): number}
            ),
        ]
    )


class HostileLedger(Ledger):
    """Two members more, who have seats and send nonsense after every block; seats of theirs are silent."""

    def __init__(self, scenario: Scenario) -> None:
        self.rng = random.Random(len(scenario.blocks))
        super().__init__(scenario)
        self.accepted = 0

    def run(self, block: Block) -> BlockView:
        view = super().run(block)
        for number in range(3):
            self._disturb(number)
        self._check()
        return view

    def _disturb(self, number: int) -> None:
        sender = self.rng.choice(TROLLS)
        if self.get(account_key(sender)).status not in (ACTIVE, SUSPENDED):
            return
        try:
            message = decode_message(encode(nonsense(self.rng, self.rng.choice([*self.jobs[-4:], bytes(32)]))))
        except Malformed:
            return
        host = self.host(sha("troll", self.height, number))
        self.store.begin()
        try:
            perform(host, sender, message)
        except Reject as refusal:
            self.store.drop()
            assert refusal.code in CODES and refusal.text
            return
        self.store.keep()
        self.accepted += 1


def hostile(seed: int) -> HostileLedger:
    scenario = Player(seed, HASHING, RealNaming()).run()
    capacity = next((member.capacity for member in scenario.members if member.capacity is not None), None)
    trolls = tuple(Member(one, 10**9, flag=True, capacity=capacity) for one in TROLLS)
    ledger = HostileLedger(replace_members(scenario, trolls))
    for block in scenario.blocks:
        ledger.run(block)
    live = 0
    while any(ledger.get(records.job_key(job)).state not in records.ENDED for job in ledger.jobs):
        live += 1
        assert live < 500, "a job does not end"
        ledger.run(Block(ledger.clock + 60_000, sha("beacon", ledger.height), ()))
    return ledger


def replace_members(scenario: Scenario, more: tuple[Member, ...]) -> Scenario:
    return Scenario(scenario.params, (*scenario.members, *more), scenario.blocks)


@pytest.mark.parametrize("seed", range(25))
def test_nonsense_between_other_messages_harms_nobody(seed: int) -> None:
    """Every refusal has a code of the contract, every job ends, and no escrow of theirs holds anything."""
    ledger = hostile(seed)
    assert not [ref for ref in ledger.escrows() if ref[:32] in ledger.jobs]


@given(st.binary(max_size=300))
def test_random_bytes_are_no_message(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_message(b"\x9f" + raw)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.data())
def test_damaged_messages_are_malformed_or_other_messages_of_the_same_bytes(data: st.DataObject) -> None:
    r = random.Random(data.draw(st.integers(0, 10**6)))
    while True:
        try:
            raw = bytearray(encode(nonsense(r, sha("job"))))
            break
        except OverflowError:
            continue
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = decode_message(bytes(raw))
    except Malformed:
        return
    assert encode(message) == bytes(raw)


KINDS = {b"j/", b"jb/", b"jc/", b"jp/", b"jr/", b"js/", b"jm/", b"jn/", b"jt/", b"ja/"}


def test_every_record_decodes_to_itself() -> None:
    """What a random graph leaves behind after each of its blocks."""
    seen = set()
    scenario = Player(4, HASHING, RealNaming()).run()
    ledger = Ledger(scenario)
    for block in scenario.blocks:
        ledger.run(block)
        for key, record in ledger.store.records.items():
            prefix = key[: key.index(b"/") + 1]
            if prefix not in KINDS:
                continue
            seen.add(prefix)
            again = decode(CONTRACT.state[prefix], encode(record), 1_000_000)
            assert again == record
            assert encode(again) == encode(record)
    assert seen == KINDS


class ReloadedLedger(Ledger):
    """A node that restarts after every block."""

    def run(self, block: Block) -> BlockView:
        for key, record in list(self.store.records.items()):
            if key[:1] == b"j":
                self.store.records[key] = decode(type(record), encode(record), 1_000_000)
        return super().run(block)


@pytest.mark.parametrize("seed", range(6))
def test_behaviour_does_not_depend_on_whether_a_record_was_reloaded(seed: int) -> None:
    """A node that restarted holds decoded records, another one the objects it wrote: both must do the same."""
    scenario = Player(seed, HASHING, RealNaming()).run()
    one, other = Ledger(scenario), ReloadedLedger(scenario)
    assert [one.run(block) for block in scenario.blocks] == [other.run(block) for block in scenario.blocks]
    assert [encode(event) for event in one.events] == [encode(event) for event in other.events]


# --- by hand -------------------------------------------------------------------------------------------------------------------

VERIFIERS = ["v1", "v2", "v3"]
YES = [ballot(BallotCode.OK, 5_000)]


def test_a_copied_opening_counts_for_nobody_else() -> None:
    """Roots are the same where evaluations are: what a copier lacks is the salt of a commitment made before any opening."""
    w = World(["boss", "a", *VERIFIERS], VERIFIERS)
    job = w.post("boss")
    w.open_to(job, {"a": 5_000})
    for name in ("v1", "v2"):
        assert w.commit(job, who(name), YES if name == "v1" else [ballot(BallotCode.ABSTAIN)]) == 0
    w.deadline(job)
    first = w.open_message(job, who("v1"), YES)
    assert w.send(who("v1"), first) == 0
    assert w.send(who("v2"), first) == JobCode.VOTE_MISMATCH
    assert w.send(who("v2"), replace(first, ballots=[], salt=b"")) == JobCode.VOTE_MISMATCH


def test_a_copied_commitment_of_a_claim_does_not_open() -> None:
    w = World(["boss", "a", "thief"])
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    stolen = w.store.get(records.claim_key(job, 0)).commitment
    assert w.send(who("thief"), Claim(job, 4_000, stolen, True)) == 0
    w.deadline(job)
    assert w.reveal(job, "thief", model="a") == JobCode.REVEAL_MISMATCH
