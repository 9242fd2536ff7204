"""An honest contractor, and those who keep their key or open junk: posts the plan's jobs and answers for their hidden data."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import PostJob, RevealKey
from learningchain.chain.contracts.job.records import Job
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import Arch, HiddenSet, Image, ImageKind, Limits
from learningchain.chain.ledger.state import State
from learningchain.chain.types import parse_loss
from tests.sim.market.outsider import Outsider
from tests.sim.market.plan import OPEN_MS, JobPlan

LIMITS = Limits(cpus_milli=1_000, mem_mb=64, train_s=4, eval_s=1, model_cap=4_096, tmp_mb=8, threads=1)
PLAIN = b"0.25"
HARDER = parse_loss(PLAIN.decode())
"""How much worse every model is on the hidden data."""
NAME = "jobs/test"


@cache
def _sealed(key: bytes) -> bytes:
    return bytes(12) + ChaCha20Poly1305(key).encrypt(bytes(12), PLAIN, None)


def terms(clock: int, plan: JobPlan, number: int, hidden_sets: list[HiddenSet], name: str = NAME) -> PostJob:
    image = Image(ImageKind.REGISTRY, f"{name}{number}@sha256:" + "ab" * 32, b"", b"", 1_000)
    return PostJob(
        image=image,
        arch=int(Arch.AMD64),
        params="{}",
        bounty=plan.bounty,
        fee=1_000,
        finalists=plan.finalists,
        expiry=clock + OPEN_MS,
        float_kind=1,
        tol=1_000,
        floor=0,
        on_cheat=plan.on_cheat,
        limits=LIMITS,
        hidden=hidden_sets,
        devices=[],
        data=[],
        earlier=[],
    )


class Contractor(Outsider):
    """Honest but for what a plan says about its key."""

    honest = True

    def tick(self, state: State, clock: int) -> None:
        posted = {number: job for job, number in self.jobs()}
        for number, plan in enumerate(self.world.plan.jobs):
            if plan.by != self.number:
                continue
            if plan.at <= self.world.now and number not in posted:
                self.say(state, terms(clock, plan, number, self._hidden(number, plan)), "post", lane=2)
            job = state.get(records.job_key(posted[number])) if number in posted else None
            if isinstance(job, Job) and job.state == JobState.KEY and plan.hidden != "kept":
                self.say(state, RevealKey(posted[number], self._key(number)), "key", lane=1)

    def jobs(self) -> list[tuple[bytes, int]]:
        """Its jobs that stand on the ledger, and their numbers in the plan."""
        mine = [(job, posting) for job, posting in self.world.postings.items() if posting.poster == self.id]
        return [(job, int(posting.terms.image.reference[len(NAME) :].split("@")[0])) for job, posting in mine]

    def _hidden(self, number: int, plan: JobPlan) -> list[HiddenSet]:
        if not plan.hidden:
            return []
        key = self._key(number)
        sealed = _sealed(key)
        plain = b"other data" if plan.hidden == "junk" else PLAIN
        return [HiddenSet(self.keep(sealed), sha256(plain), sha256(key), len(sealed))]

    def _key(self, number: int) -> bytes:
        return sha256(b"hidden %d %d" % (self.world.seed, number))
