"""The contractor's machine: it opens the keys of its jobs' hidden data, also after a restart, and says where it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.contracts.job.messages import Claim, Reveal, RevealKey, claim_commitment
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import HiddenSet, model_id
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.contracts.job.roles.contractor import Contractor
from learningchain.client.work.events import Chain as Look
from learningchain.client.work.events import Kept, Submit
from tests.unit.work_kit import PARAMS, Chain, Told, recalled

KEY = bytes(range(32))
CID = b"\x01\x55\x12\x20" + b"m" * 32
HIDDEN = HiddenSet(b"\x01\x55\x12\x20" + b"h" * 32, sha256(b"plain"), sha256(KEY), 50)


class Bench:
    """A job of `boss` with hidden data, and one claim."""

    def __init__(self) -> None:
        self.chain = Chain(["a", "b", "c"], ["boss", "w"])
        self.job = self.chain.post("boss", hidden=[HIDDEN])
        sealed = claim_commitment(self.chain.chain_id, self.job, self.chain.ids["w"], model_id(CID), bytes(32))
        assert self.chain.now("w", Claim(self.job, 10**8, sealed, True)) == 0

    def machine(self, *known: Any, name: str = "boss") -> Contractor:
        return Contractor(recalled(self.chain, name, secrets=known))

    def look(self, machine: Contractor) -> list[Any]:
        Told(self.chain, machine).catch_up()
        return machine.handle(Look(self.chain.state, self.chain.clock))

    def to_key(self) -> None:
        self.chain.block(50_000)
        assert self.chain.now("w", Reveal(self.job, 1, CID, 100, bytes(32))) == 0
        self.chain.block()
        assert self.chain.describe(self.job)["state"] == "KEY"


@pytest.mark.parametrize("restarted", [True, False])
def test_a_key_is_opened_when_its_time_comes_and_once_in_each_life(restarted: bool) -> None:
    b = Bench()
    machine = b.machine(secrets.of_key(KEY))
    assert b.look(machine) == [] and machine.notices() == []
    b.to_key()
    if restarted:
        machine = b.machine(secrets.of_key(KEY))
    assert b.look(machine) == [Submit("job", f"key:{b.job.hex()}", b.job, RevealKey(b.job, KEY))]
    assert b.look(machine) == []


def test_a_key_that_is_missing_is_asked_for_as_long_as_it_helps() -> None:
    b = Bench()
    machine = b.machine()
    b.look(machine)
    ((topic, ref, text),) = [(n.topic, n.ref, n.text) for n in machine.notices()]
    assert (topic, ref) == ("hidden.key", b.job) and "is not on this node" in text and "deposit burns" in text
    b.to_key()
    machine.handle(Kept(secrets.of_key(KEY)))
    assert [type(effect) for effect in b.look(machine)] == [Submit] and machine.notices() == []


def test_a_key_that_was_not_opened_in_time_is_told() -> None:
    b = Bench()
    machine = b.machine()
    b.to_key()
    b.chain.block(PARAMS.job_key + 1)
    assert b.look(machine) == []
    (notice,) = machine.notices()
    assert "was not opened in time: the deposit is burned" in notice.text


def test_jobs_of_others_are_none_of_its_business() -> None:
    b = Bench()
    b.to_key()
    machine = b.machine(secrets.of_key(KEY), name="w")
    assert b.look(machine) == [] and machine.notices() == []
