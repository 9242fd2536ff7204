"""The job contract on the real state and transition: random jobs, and whole jobs as signed transactions in blocks."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from learningchain.chain.contracts.job.records import JobState
from learningchain.chain.contracts.membership import JudgeCase, votes_key
from learningchain.chain.host import K_SUPPLY, Escrow, Supply
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.http import views
from tests.settlement.play import BlockView
from tests.settlement.scenario import Block
from tests.settlement_driver import Ledger, play_seed
from tests.side_by_side import play_beside
from tests.unit.api_kit import CREDIT, GRANT, PARAMS, FakeLedger
from tests.unit.job_kit import ballot

OK, FALSE = ballot(BallotCode.OK, 5_000), ballot(BallotCode.FALSE, 900_000)


class OnState(Ledger):
    """On `chain.ledger.state`: every block is committed to the Merkle tree, and read from it."""

    def new_store(self) -> Overlay:
        self.state = State()
        return Overlay(self.state)

    def run(self, block: Block) -> BlockView:
        changes, _, tree = self.store.finish()
        self.state.commit(changes, tree)
        self.store = Overlay(self.state)
        return super().run(block)

    def _check(self) -> None:
        before, after = self.state.get(K_SUPPLY), self.get(K_SUPPLY)
        assert isinstance(before, Supply)
        assert self.store.block_difference()[0] == (after.minted - after.burned) - (before.minted - before.burned)
        assert self.state.total() == before.minted - before.burned

    def escrows(self) -> dict[bytes, Escrow]:
        refs = [job + purpose for job in self.jobs for purpose in (b"B", b"F", b"G", b"D", *self.members)]
        found = ((ref, self.get(b"e/" + ref)) for ref in refs)
        return {ref: record for ref, record in found if record is not None}

    def votes(self, one: bytes) -> dict[bytes, Any]:
        found = ((origin, self.get(votes_key(one, origin))) for origin in self.members)
        return {origin: record.votes for origin, record in found if record is not None}

    @property
    def members(self) -> list[bytes]:
        return [member.id for member in self.scenario.members]


@pytest.mark.parametrize("first", [0, 20])
def test_random_jobs_on_the_real_state(first: int) -> None:
    found = play_beside(partial(play_seed, ledger=OnState), 60, first)
    assert not found.parted


# --- signed transactions in blocks ---------------------------------------------------------------------------------------------


def balance(chain: FakeLedger, name: str) -> int:
    account: Any = chain.state.get(b"a/" + chain.ids[name])
    return int(account.balance + account.frozen) - GRANT


def shown(chain: FakeLedger, job: bytes) -> dict[str, Any]:
    found = views.describe(chain.state, job)
    assert found is not None
    return found


def test_a_job_from_posting_to_payment_in_blocks() -> None:
    chain = FakeLedger()
    job = chain.judged_job(OK)
    assert shown(chain, job)["state"] == JobState.PAID.name
    assert balance(chain, "n1") == 10 * CREDIT
    assert [balance(chain, name) for name in ("n2", "n3", "n4")] == [1_000] * 3
    assert balance(chain, "boss") == -10 * CREDIT - 3_000
    assert chain.state.total() == 5 * GRANT


def test_a_cheater_is_suspended_judged_and_banned_and_the_contractor_lost_as_much_as_its_stake() -> None:
    chain = FakeLedger()
    job = chain.judged_job(FALSE)
    described = shown(chain, job)
    assert (described["state"], described["payments"]["bond_burned"]) == ("REFUNDED", CREDIT)
    cheater = chain.ids["n1"]
    assert chain.block(**{name: JudgeCase(cheater, True) for name in ("n2", "n3", "n4")}) == [0, 0, 0]
    chain.mine(PARAMS.appeal)
    described = shown(chain, job)
    assert described["cases"] == [{"account": views.address(cheater), "state": "BANNED"}]
    assert balance(chain, "n1") == -GRANT
    assert balance(chain, "boss") == -CREDIT - 3_000
    assert chain.state.total() == 5 * GRANT - GRANT - CREDIT
