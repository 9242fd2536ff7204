"""What the tests of membership share: a chain with a contract that accuses, strikes and pays as a test tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from learningchain.chain import contracts
from learningchain.chain.contracts.membership import Case, JudgeCase, Judged, Member, ReportDouble, case_key, judged_key, member_key
from learningchain.chain.host import STANDING, SUSPENSIONS, VERIFIERS, Host
from learningchain.chain.host.terms import Arch, Capacity
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.types import (
    PREVOTE,
    Evidence,
    LogEvent,
    Proposal,
    Vote,
    VoteEvidence,
    proposal_digest,
    vote_digest,
)
from learningchain.chain.verification.votes import Judgement
from tests.unit.ledger_kit import NUMBER, VALIDATORS, Act, Chain, genesis_of, id_of, key_of, own_contract

APPEAL, LIFE = 10_000, 100_000
JOB, JOB2, JOB3 = b"j" * 32, b"k" * 32, b"l" * 32
MEMBERS = ("alice", "bob", "carol", "dave", "erin")
SMALL = Capacity(Arch.AMD64, 1_000, 512, 10**6, 10**6, 60)


class Court:
    """Blocks whose first transaction does to the host what the test says. `closed` is what the contract was told of cases."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, validators: tuple[str, ...] = VALIDATORS) -> None:
        self.closed: list[tuple[bytes, bytes, bool]] = []
        self.parties: set[tuple[bytes, bytes]] = set()
        self.plan: list[Callable[[Host], Any]] = []
        self.results: list[Any] = []
        own_contract(monkeypatch, {"do": self._do})
        told = replace(
            contracts.BY_NUMBER[NUMBER],
            on_case_closed=lambda host, *how: self.closed.append(how),
            party=lambda reader, ref, account: (ref, account) in self.parties,
        )
        monkeypatch.setitem(contracts.BY_NUMBER, NUMBER, told)
        self.chain = Chain(genesis_of(*MEMBERS, validators=validators, appeal=APPEAL, standing_life=LIFE))

    def _do(self, host: Host, sender: bytes, m: Act) -> None:
        self.results = [one(host) for one in self.plan]

    def do(self, *plan: Callable[[Host], Any]) -> list[Any]:
        """A block in which the contract does all of this; what each of it gave."""
        self.plan = list(plan)
        assert self.chain.codes(self.chain.tx("alice", Act("do"))) == [0]
        return self.results

    def accuse(self, amount: int = 1_000, owner: str = "alice", ref: bytes = JOB, who: str = "bob") -> bool:
        """A FALSE verdict, as a contract tells it: the accusation, then the verdict."""
        false: bool = self.do(
            lambda host: host.service(SUSPENSIONS).accuse(id_of(who), id_of(owner), amount, ref, NUMBER),
            lambda host: host.service(STANDING).judged(id_of(who), id_of(owner), Judgement.FALSE, ref),
        )[0]
        return false

    def judged(self, verdict: Judgement, owner: str, who: str = "bob") -> None:
        self.do(lambda host: host.service(STANDING).judged(id_of(who), id_of(owner), verdict, JOB))

    def strike(self, owner: str, who: str = "bob") -> None:
        self.do(lambda host: host.service(STANDING).strike(id_of(who), id_of(owner), "test", JOB))

    def draw(self, owner: str, *, bad: bool, silent: bool = False, who: str = "v1") -> None:
        self.do(lambda host: host.service(VERIFIERS).record_draw(id_of(who), id_of(owner), bad=bad, silent=silent))

    def vote(self, owner: str, *, bad: bool, who: str = "v1") -> None:
        self.do(lambda host: host.service(VERIFIERS).count_vote(id_of(who), id_of(owner), bad=bad))

    def judge(self, confirm: bool, *names: str, who: str = "bob") -> list[int]:
        return self.chain.codes(*(self.chain.tx(name, JudgeCase(id_of(who), confirm)) for name in names))

    def end(self, who: str = "bob") -> list[Any]:
        """The block in which the case ends; its events."""
        while self.chain.clock + 5_000 < self.case(who).until:
            self.chain.block(step=5_000)
        return self.chain.block(step=self.case(who).until - self.chain.clock)[0].events

    # reading

    def open_case(self, who: str = "bob") -> Case | None:
        found: Case | None = self.chain.state.get(case_key(id_of(who)))
        return found

    def case(self, who: str = "bob") -> Case:
        found = self.open_case(who)
        assert found is not None
        return found

    def member(self, who: str = "bob") -> Member:
        found = self.chain.state.get(member_key(id_of(who)))
        assert isinstance(found, Member)
        return found

    def verdicts(self, who: str = "bob") -> Judged:
        found = self.chain.state.get(judged_key(id_of(who)))
        assert isinstance(found, Judged)
        return found

    def last_events(self, topic: str) -> list[LogEvent]:
        """Those of a topic in the last block, its own and of its transactions."""
        assert self.chain.last is not None
        events = [event for receipt in self.chain.last.receipts for event in receipt.events]
        return [event for event in events if isinstance(event, LogEvent) and event.topic == topic]


# --- double signing -----------------------------------------------------------------------------------------------------------


def vote(chain: Chain, name: str, block: bytes, height: int = 1, type_: int = PREVOTE, round_: int = 0) -> Vote:
    digest = vote_digest(chain.chain_id, type_, height, round_, block)
    return Vote(type_, height, round_, block, id_of(name), key_of(name).sign(digest))


def proposal(chain: Chain, name: str, block: bytes, height: int = 1, pol_round: int = -1, round_: int = 0) -> Proposal:
    digest = proposal_digest(chain.chain_id, height, round_, pol_round, block)
    return Proposal(height, round_, pol_round, block, id_of(name), key_of(name).sign(digest))


def doubled(chain: Chain, name: str, height: int = 1) -> Evidence:
    return VoteEvidence(vote(chain, name, b"a" * 32, height), vote(chain, name, b"", height))


def report(chain: Chain, evidence: Evidence, by: str = "alice") -> int:
    return chain.codes(chain.tx(by, ReportDouble(evidence)))[0]


def names(chain: Chain) -> set[str]:
    ids = {v.id for v in validators_of(chain.state)}
    return {n for n in VALIDATORS if id_of(n) in ids}
