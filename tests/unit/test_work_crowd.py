"""Honest work goes on among thousands of postings: whole nodes' work, from blocks to payment, in virtual time."""

from __future__ import annotations

from pathlib import Path

from learningchain.chain.contracts.job.records import JobState
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import Image, ImageKind
from learningchain.p2p.content.cid import Codec, cid_of
from tests.unit.test_work_graph import VALIDATORS, Graph
from tests.unit.test_work_many_jobs import HUGE, Ground, stranger
from tests.unit.work_kit import Chain, blocks, posting, run_virtual

SPAM = 1_500
"""Of each kind: those that nobody takes, those that pay best and whose image nobody has, and those under audit by others."""


def crowd(chain: Chain) -> None:
    ground = Ground(chain, first=10**6)
    end = chain.clock + 10**8
    missing = Image(ImageKind.ARCHIVE, "", cid_of(Codec.RAW, b"nobody has it").to_bytes(), sha256(b"image"), 1_000)
    ground.many(SPAM, stranger(1), posting(end, bounty=10**12, limits=HUGE))
    ground.many(SPAM, stranger(2), posting(end, bounty=10**12, image=missing))
    ground.many(SPAM, stranger(3), posting(end), JobState.COMMIT, deadline=end, round=1)
    ground.many(SPAM, stranger(4), posting(end, image=missing), JobState.REVEAL, deadline=chain.clock + 1_000)


def test_an_honest_job_is_trained_judged_and_paid_among_thousands_of_others(tmp_path: Path) -> None:
    async def main() -> None:
        graph = Graph(tmp_path)
        crowd(graph.chain)
        await graph.start()
        job = graph.chain.post("boss")
        before = [key[2:] for key in graph.chain.state.keys(b"j/")].index(job)
        assert before == 4 * SPAM, "all others come before it in the order of ids"
        await blocks(graph.chain, lambda: graph.chain.ended(job), 600, 2.0)
        found = graph.chain.describe(job)
        assert found["state"] == "PAID"
        assert found["claims"]
        (round_,) = found["rounds"]
        assert all(seat["opened"] for seat in round_["committee"]), "everybody who was drawn found its seat"
        assert {n: graph.chain.strikes(n) for n in VALIDATORS} == dict.fromkeys(VALIDATORS, 0)
        await graph.stop()

    run_virtual(main())
