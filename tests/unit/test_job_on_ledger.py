"""The job contract on the real state, membership and transition: random jobs, and two jobs as signed transactions in blocks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chain.codec import decode, encode
from chain.contracts import BY_NUMBER, membership, state_type
from chain.contracts.job import messages, records, views
from chain.contracts.job.duties import DueBallots, duties_in
from chain.contracts.job.messages import Ballot, Claim, CommitVote, OpenVote, Reveal, claim_commitment, job_id_of, vote_commitment
from chain.contracts.job.rules import VoteCode
from chain.contracts.membership import JudgeCase, Member, member_key
from chain.crypto import SigningKey, account_id
from chain.host import K_HISTORY, K_SUPPLY, K_VALIDATORS, Account, History, PastReader, Supply, Validators
from chain.ledger.genesis import GenesisAccount, first_state
from chain.ledger.state import Overlay, State
from chain.ledger.transition import BlockInput, apply_block, chain_record, commit
from chain.ledger.tx import parse_tx, sign_tx
from chain.types import TxBody, Validator, net_of
from tests.network import NetworkParams
from tests.network import genesis as network_genesis
from tests.unit.job_kit import PARAMS, World, cid_of, posting, replaced, sha, who
from tests.unit.test_job_simulation import ELSEWHERE, HAPPENS, SCALE, Run, simulate


class LedgerWorld(World):
    """The same world on `chain.ledger.state` and `chain.contracts.membership`; every block is committed to the Merkle tree."""

    def __init__(self, members: list[Any], verifiers: list[Any], params: NetworkParams, grant: int) -> None:
        self.ledger = State()
        self.archive: dict[bytes, Any] = {}
        super().__init__(members, [], params=params, grant=grant)
        records_ = dict(self.store.records)
        self.store = Overlay(self.ledger)
        self.contracts = {**BY_NUMBER, ELSEWHERE: BY_NUMBER[1]}
        for key, record in records_.items():
            self.store.put(key, record)
        judges = Validators(1, sorted((Validator(who(name), b"\x02" * 33) for name in members), key=lambda v: v.id))
        self.store.put(K_VALIDATORS, judges)
        self.store.put(K_HISTORY, History([judges]))
        for name in members:
            self.store.put(member_key(who(name)), Member(name in verifiers, 0, [], []))
        self.seal()

    @property
    def past(self) -> PastReader:
        self.seal()
        return PastReader(self.archive, lambda _, record: record, self.store)

    def flag(self, identities: list[bytes]) -> None:
        assert not identities

    def seal(self) -> None:
        """Commit what the block did."""
        changes, encoded, tree = self.store.finish()
        archived = self.ledger.archived_by(encoded)
        self.archive |= {key: decode(state_type(key), raw, 1_000_000) for key, raw in archived}
        self.ledger.commit(changes, tree)
        self.store = Overlay(self.ledger)

    def block(self, step: int) -> None:
        self.seal()
        super().block(step)

    def check(self) -> None:
        if not isinstance(self.store, Overlay):
            return
        before, after = self.ledger.get(K_SUPPLY), self.store.get(K_SUPPLY)
        assert isinstance(before, Supply)
        assert isinstance(after, Supply)
        assert self.store.block_difference()[0] == (after.minted - after.burned) - (before.minted - before.burned)

    def audit(self) -> None:
        self.seal()
        supply = self.ledger.get(K_SUPPLY)
        assert isinstance(supply, Supply)
        assert self.ledger.total() == supply.minted - supply.burned

    def keys_of(self, job: bytes) -> list[bytes]:
        self.seal()
        return [key for key, _ in self.ledger.items() if job in (key[3:35], key[2:34]) or key.endswith(job)]

    def escrowed(self, job: bytes) -> int:
        found = [
            views._escrowed(self.store, escrow(job))
            for escrow in (records.bounty_escrow, records.fee_escrow, records.deposit_escrow)
        ]
        stakes = views.describe(self.past, job)
        assert stakes is not None
        return sum(found) + stakes["payments"]["in_escrow"]["stakes"]


class LedgerRun(Run):
    """Cases are judged by random validators, at random."""

    def make_world(self, names: list[str], verifiers: list[str], params: NetworkParams, grant: int) -> World:
        return LedgerWorld(names, verifiers, params, grant)

    def trouble(self) -> None:
        r, w = self.rng, self.world
        for identity in [member for member in sorted(self.members) if w.store.get(membership.case_key(member)) is not None]:
            word = r.random() < 0.6
            for judge in r.sample(sorted(self.members), k=r.randint(0, len(self.members))):
                w.send(judge, JudgeCase(identity, word))
        if not self.orderly and r.random() < 0.01:
            self.suspend_somebody()

    def waiting(self) -> bool:
        return self.world.unsettled_due() is not None


@pytest.mark.parametrize("orderly", [True, False], ids=["orderly", "chaotic"])
def test_random_jobs_on_the_real_state_and_membership(orderly: bool) -> None:
    seen = simulate(LedgerRun, orderly, 60 * SCALE)
    wanted = [w for w in HAPPENS if w != "second.round"] + ["suspended", "reinstated", "banned"]
    assert not [what for what in wanted if not seen.get(what)], seen


# --- signed transactions in blocks ---------------------------------------------------------------------------------------------


class Chain:
    """A one-proposer chain that applies and commits blocks of signed transactions."""

    def __init__(self, names: list[str]) -> None:
        self.keys = {name: SigningKey(sha("key", name)) for name in names}
        self.ids = {name: account_id(key.public) for name, key in self.keys.items()}
        accounts = [GenesisAccount(key.public, 1_000_000, name != "boss", name != "boss") for name, key in self.keys.items()]
        self.genesis = network_genesis("test", 1_000_000, replaced(PARAMS, max_step=10**9), accounts)
        self.state, _ = first_state(self.genesis)
        self.chain_id = self.genesis.chain_id
        self.receipts: list[Any] = []
        self.sequences = dict.fromkeys(names, 0)

    @property
    def clock(self) -> int:
        return chain_record(self.state).clock

    def block(self, step: int = 1_000, **messages: Any) -> list[int]:
        """One block with one message each; the codes of their receipts."""
        record = chain_record(self.state)
        txs = [parse_tx(self.signed(name, message, record.height)) for name, message in messages.items()]
        proposer = self.genesis.validators[0].id
        made = apply_block(self.state, BlockInput(record.height + 1, record.time + step, proposer, bytes(32), bytes(32), txs))
        commit(self.state, made)
        self.receipts += made.receipts
        return [receipt.code for receipt in made.receipts[1:]]

    def signed(self, name: str, message: Any, height: int) -> bytes:
        sequence = self.sequences[name]
        self.sequences[name] += 1
        body = TxBody(net_of(self.chain_id), self.ids[name], 0, sequence, height + 10, [msgspec.Raw(encode(message))])
        return sign_tx(self.keys[name], self.chain_id, body)

    def last_tx(self) -> bytes:
        return bytes(self.receipts[-1].tx)

    def account(self, name: str) -> Account:
        found = self.state.get(b"a/" + self.ids[name])
        assert isinstance(found, Account)
        return found

    def job(self, job: bytes) -> dict[str, Any]:
        found = views.describe(self.state, job)
        assert found is not None
        return found

    def post_claim_reveal(self, worker: str, loss: int) -> bytes:
        assert self.block(boss=posting(expiry=self.clock + 50_000)) == [0]
        job = job_id_of(self.last_tx(), 0)
        sealed = claim_commitment(self.chain_id, job, self.ids[worker], cid_of("model")[4:], sha("salt"))
        assert self.block(**{worker: Claim(job, loss, sealed)}) == [0]
        self.block(50_000)
        assert self.job(job)["state"] == "REVEAL"
        assert self.block(**{worker: Reveal(job, 1, cid_of("model"), 77, sha("salt"))}) == [0]
        self.block(PARAMS.job_reveal)
        return job

    def vote(self, job: bytes, ballot: Ballot) -> None:
        voters = [name for name in self.ids if duties_in(self.state, job, self.ids[name], self.clock)]
        voters = [v for v in voters if isinstance(duties_in(self.state, job, self.ids[v], self.clock)[-1], DueBallots)]
        sealed = {v: vote_commitment(self.chain_id, job, 0, 1, self.ids[v], [ballot], sha(v)) for v in voters}
        assert self.block(**{v: CommitVote(job, 0, 1, sealed[v]) for v in voters}) == [0] * len(voters)
        assert self.block(**{v: OpenVote(job, 0, 1, [ballot], sha(v)) for v in voters}) == [0] * len(voters)


NAMES = ["boss", "n1", "n2", "n3", "n4"]


def test_a_job_from_posting_to_payment_in_blocks() -> None:
    chain = Chain(NAMES)
    job = chain.post_claim_reveal("n1", 5_000)
    chain.vote(job, Ballot(VoteCode.OK, 5_000, 4_000, 0, 0))
    described = chain.job(job)
    assert (described["state"], described["model"]["cid"]) == ("PAID", views.cid_text(cid_of("model")))
    assert chain.account("n1").balance == 1_010_000
    assert [chain.account(n).balance for n in ("n2", "n3", "n4")] == [1_000_010] * 3
    assert chain.account("boss").balance == 1_000_000 - 10_030
    assert chain.state.total() == 5_000_000


def test_a_cheater_is_suspended_judged_and_banned_and_the_tenth_returns() -> None:
    chain = Chain(NAMES)
    job = chain.post_claim_reveal("n1", 5_000)
    chain.vote(job, Ballot(VoteCode.FALSE, 900_000, 4_000, 0, 0))
    described = chain.job(job)
    assert (described["state"], described["payments"]["last_tenth"]) == ("REFUNDED", "held")
    cheater = chain.ids["n1"]
    assert chain.block(**{n: JudgeCase(cheater, True) for n in ("n2", "n3", "n4")}) == [0, 0, 0]
    chain.block(PARAMS.appeal)
    described = chain.job(job)
    assert described["cases"] == [{"account": views.address(cheater), "state": "BANNED"}]
    assert described["payments"]["last_tenth"] == "returned"
    assert chain.account("n1").balance == chain.account("n1").frozen == 0
    assert chain.account("boss").balance == 1_000_000 - 30
    assert chain.state.total() == 5_000_000 - 1_000_000


def test_a_refused_message_leaves_a_receipt_and_nothing_else() -> None:
    chain = Chain(NAMES)
    assert chain.block(boss=posting(expiry=1)) == [messages.JobCode.BAD_EXPIRY]
    assert chain.account("boss").balance == 1_000_000
    assert list(chain.state.scan(b"j/", 10)) == []
