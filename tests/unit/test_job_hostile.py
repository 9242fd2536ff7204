"""Hostile messages: whatever anybody sends, it is refused with a code of the contract or it is legal; credits stay counted."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.codec import decode, encode
from chain.contracts import decode_message
from chain.contracts.job import CONTRACT, records, rules
from chain.contracts.job.messages import Ballot, Claim, CommitVote, JobCode, OpenVote, Reveal, RevealKey
from chain.contracts.job.rules import VoteCode
from chain.errors import Code, Malformed
from tests.network import NetworkParams
from tests.unit.job_kit import KEY, World, cid_of, posting, replaced, sha, who
from tests.unit.test_job_simulation import Run

NUMBERS = [0, 1, 2, 7, 16, 255, 256, 10_000, 2**31, 10**18, 10**18 + 1, 2**63 - 1]
LOSSES = [*NUMBERS, -1, -(10**18), -(10**18) - 1, -(2**63)]
CODES = {int(code) for code in JobCode} | {int(Code.INSUFFICIENT_CREDITS)}


TROLLS = ["troll0", "troll1"]


class HostileRun(Run):
    """Random jobs with two members and a stranger who send nonsense at every step."""

    def make_world(self, names: list[str], verifiers: list[str], params: NetworkParams, grant: int) -> World:
        return World([*names, *TROLLS], verifiers, params=params, grant=grant)

    def act(self, job: bytes) -> None:
        super().act(job)
        r, w = self.rng, self.world
        for _ in range(3):
            sender = r.choice([*map(who, TROLLS), who("stranger")])
            try:
                code = w.send(sender, nonsense(r, r.choice([*self.jobs, bytes(32)])))
            except Malformed:
                continue
            assert code == 0 or code in CODES, (code, w.refused)
            assert code == 0 or w.refused


def nonsense(r: random.Random, job: bytes) -> Any:
    """A message of the right shape, mostly, with any content."""
    number, loss = r.choice(NUMBERS), r.choice(LOSSES)
    small = r.choice([0, 1, 2, 3, 255])
    ballots = [
        Ballot(r.choice([0, 1, 2, 3, 4, 5, 6, 7]), r.choice(LOSSES), r.choice(LOSSES), r.choice([0, 1, 2, 3]), r.choice(LOSSES))
        for _ in range(r.choice([0, 1, 2, 8, 9]))
    ]
    return r.choice(
        [
            Claim(job, loss, sha(number)),
            Reveal(job, number, r.choice([b"", cid_of(number), b"\xff" * 64, b"\x00" * 65]), r.choice(NUMBERS), sha("salt")),
            RevealKey(job, r.choice([KEY, bytes(32)])),
            CommitVote(job, small, r.choice([0, 1, 2, 255]), sha(number)),
            OpenVote(job, small, r.choice([0, 1, 2, 255]), ballots, sha("salt")),
            replaced(posting(), **{r.choice(["bounty", "fee", "finalists", "expiry", "float_kind", "tol", "on_cheat"]): number}),
            replaced(posting(), floor=loss),
            posting(**{r.choice(["cpus_milli", "mem_mb", "train_s", "eval_s", "model_cap", "tmp_mb", "threads"]): number}),
        ]
    )


@pytest.mark.parametrize("seed", range(25))
def test_nonsense_between_honest_messages_harms_nobody(seed: int) -> None:
    run = HostileRun(seed, orderly=True)
    run.run()
    run.check()
    w = run.world
    posted = [numbered.job for key, numbered in sorted(w.store.records.items()) if key.startswith(b"jn/")]
    for job in posted:
        assert w.job(job).state in records.ENDED
        assert w.escrowed(job) == 0


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


def test_every_record_decodes_to_itself() -> None:
    run = Run(11, orderly=False)
    run.run()
    kept = run.world.store.records | run.world.store.archive
    stored = [(key, record) for key, record in kept.items() if key[:1] == b"j"]
    assert {key[: key.index(b"/") + 1] for key, _ in stored} >= {
        b"jb/",
        b"jc/",
        b"jp/",
        b"jr/",
        b"js/",
        b"jm/",
        b"jn/",
        b"jt/",
        b"ja/",
    }
    for key, record in stored:
        kind = CONTRACT.state[key[: key.index(b"/") + 1]]
        again = decode(kind, encode(record), 1_000_000)
        assert again == record
        assert encode(again) == encode(record)


def test_behaviour_does_not_depend_on_whether_a_record_was_reloaded() -> None:
    """A node that restarted holds decoded records, another one the objects it wrote: both must do the same."""

    class Reloaded(World):
        def block(self, step: int) -> None:
            for key, record in list(self.store.records.items()):
                if key[:1] == b"j":
                    self.store.records[key] = decode(type(record), encode(record), 1_000_000)
            super().block(step)

    class ReloadedRun(Run):
        def make_world(self, names: list[str], verifiers: list[str], params: Any, grant: int) -> World:
            return Reloaded(names, verifiers, params=params, grant=grant)

    for seed in range(10):
        one, two = Run(seed, orderly=False), ReloadedRun(seed, orderly=False)
        one.run()
        two.run()
        assert [encode(e) for e in one.world.events] == [encode(e) for e in two.world.events]


def test_a_copied_vote_does_not_open() -> None:
    w = World(["boss", "a", "v1", "v2", "v3"], ["v1", "v2", "v3"])
    job = w.post("boss")
    w.open_to(job, {"a": 5_000})
    vote = [Ballot(VoteCode.OK, 5_000, 4_000, 0, 0)]
    assert w.commit(job, who("v1"), vote) == 0
    sealed = w.store.get(records.seat_key(job, 0, 1, who("v1"))).commitment
    assert w.send(who("v2"), CommitVote(job, 0, 1, sealed)) == 0
    w.deadline(job)
    assert w.send(who("v2"), OpenVote(job, 0, 1, vote, sha("salt", who("v1")))) == JobCode.VOTE_MISMATCH


def test_a_copied_commitment_of_a_claim_does_not_open() -> None:
    w = World(["boss", "a", "thief"])
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    stolen = w.store.get(records.claim_key(job, 0)).commitment
    assert w.send(who("thief"), Claim(job, 4_000, stolen)) == 0
    w.deadline(job)
    assert w.reveal(job, "a") == 0
    assert w.reveal(job, "thief", model="a") == JobCode.REVEAL_MISMATCH


def test_one_absurd_claim_cannot_silence_the_others() -> None:
    w = World(["boss", "a", "troll", "v1", "v2", "v3"], ["v1", "v2", "v3"])
    job = w.post("boss", finalists=1)
    assert w.claim(job, "troll", 0) == 0
    assert w.claim(job, "a", 5_000) == 0
    w.deadline(job)
    assert w.reveal(job, "a") == 0
    w.deadline(job)
    w.vote(job, {v: [Ballot(VoteCode.OK, 5_000, 4_000, 0, 0)] for v in w.committee(job)})
    assert w.state(job) == "PAID"
    assert w.free("a") > w.free("troll")


def test_many_shills_add_no_window() -> None:
    names = [f"s{i}" for i in range(60)]
    w = World(["boss", *names, "v1"], ["v1"])
    job = w.post("boss", finalists=8)
    for i, name in enumerate(names):
        assert w.claim(job, name, 1_000 * (60 - i)) == 0
    opened = w.clock
    w.deadline(job)
    assert w.job(job).must == list(range(59, 51, -1))
    w.deadline(job)
    assert w.state(job) == "EMPTY"
    assert w.clock - opened == 100_000 + w.params.job_reveal
    assert len(w.membership.strikes) == rules.MAX_FINALISTS
