"""Parameters and the version of the protocol: LC-GOV-8, 9, LC-BLK-35, 36."""

from __future__ import annotations

import msgspec
import pytest

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.contracts.governance import GovernanceCode, Upgrade, VoteProposal
from learningchain.chain.contracts.job import JobParams
from learningchain.chain.host import K_PARAMS, K_PENDING_PARAMS, ParamHistory, param_history_key, params_at, read_params
from learningchain.chain.ledger.transition import params_of, version_of
from learningchain.chain.params import ContractParams, Params, votable
from tests.unit.governance_kit import Council, values
from tests.unit.membership_kit import Court

Code = GovernanceCode
JOB, MEMBERSHIP = 3, 2


def test_parameters_change_for_the_block_after_the_one_that_decides() -> None:
    """LC-GOV-8, LC-BLK-35: a block runs by one set of values."""
    c = Council()
    proposal = c.open(values(0, quota=100, heartbeat=5_000))
    c.vote(proposal, True, "v2")
    done = c.try_(c.tx("v3", VoteProposal(proposal, True)))
    assert params_of(c.state).quota == Params().quota
    assert [r.code for r in done.receipts] == [0, 0]
    c.sequences["v3", 0] -= 1
    assert c.vote(proposal, True, "v3") == [0]
    assert (params_of(c.state).quota, params_of(c.state).heartbeat) == (100, 5_000)
    assert c.state.get(K_PENDING_PARAMS) is None
    assert c.topics() == ["proposal.voted", "proposal.accepted", "parameter.changed", "parameter.changed"]


def test_two_decisions_in_one_block_both_hold() -> None:
    """LC-BLK-35"""
    c = Council()
    one, two = c.open(values(0, quota=100)), c.open(values(0, heartbeat=5_000))
    c.vote(one, True, "v2")
    c.vote(two, True, "v2")
    assert c.codes(c.tx("v3", VoteProposal(one, True)), c.tx("v3", VoteProposal(two, True))) == [0, 0]
    assert (params_of(c.state).quota, params_of(c.state).heartbeat) == (100, 5_000)


def test_two_decisions_in_one_block_must_go_together() -> None:
    """LC-GOV-8: the second is tested against what the first leaves."""
    c = Council()
    one, two = c.open(values(JOB, job_min_open=2_000_000)), c.open(values(JOB, job_max_open=1_000_000))
    c.vote(one, True, "v2")
    c.vote(two, True, "v2")
    assert c.codes(c.tx("v3", VoteProposal(one, True)), c.tx("v3", VoteProposal(two, True))) == [0, 0]
    assert c.topics()[-1] == "proposal.failed"
    found = read_params(c.state, JOB, JobParams)
    assert (found.job_min_open, found.job_max_open) == (2_000_000, JobParams().job_max_open)


@pytest.mark.parametrize(
    ("contract", "named", "code"),
    [
        (0, {"no_such": 1}, Code.UNKNOWN_PARAMETER),
        (0, {"job_reveal": 5_000}, Code.UNKNOWN_PARAMETER),
        (1, {"quota": 100}, Code.UNKNOWN_PARAMETER),
        (99, {"quota": 100}, Code.UNKNOWN_PARAMETER),
        (0, {"bandwidth_window": 5_000_000}, Code.FIXED_PARAMETER),
        (0, {"drift": 249}, Code.OUT_OF_BOUNDS),
        (0, {"drift": 60_001}, Code.OUT_OF_BOUNDS),
        (JOB, {"job_reveal": 999}, Code.OUT_OF_BOUNDS),
        (0, {"max_due": 1_000}, Code.PARAMETERS_CLASH),
        (0, {"max_due_work": 1_500}, Code.PARAMETERS_CLASH),
        (0, {"bandwidth_base": 15}, Code.OUT_OF_BOUNDS),
        (JOB, {"job_min_open": 86_400_000, "job_max_open": 60_000}, Code.PARAMETERS_CLASH),
        (0, {"quota": 2_048}, Code.NOTHING_TO_CHANGE),
    ],
)
def test_what_no_network_can_run_by_is_refused(contract: int, named: dict[str, int], code: int) -> None:
    """LC-GOV-8"""
    assert Council().propose(values(contract, **named)) == code


def test_names_ascend_each_once() -> None:
    """LC-GOV-8"""
    two = values(0, quota=100, heartbeat=5_000)
    for order in (two.values[::-1], [two.values[0]] * 2):
        assert Council().propose(msgspec.structs.replace(two, values=order)) == Code.UNKNOWN_PARAMETER


def test_the_edges_of_every_parameter_s_bounds() -> None:
    """LC-GOV-8: each alone where it goes together with the others' defaults."""
    kinds: dict[int, type[Params | ContractParams]] = {0: Params, **{k.number: k.params for k in CONTRACTS if k.params is not None}}
    for number, kind in kinds.items():
        for f in msgspec.structs.fields(kind):
            bounds = votable(f)
            if bounds is None:
                continue
            assert bounds.low <= f.default <= bounds.high, f.name
            c = Council()
            for value in (bounds.low - 1, bounds.high + 1):
                assert c.propose(values(number, **{f.name: value})) == Code.OUT_OF_BOUNDS if value >= 0 else True
            for value in (bounds.low, bounds.high):
                assert c.propose(values(number, **{f.name: value})) in (0, Code.PARAMETERS_CLASH, Code.NOTHING_TO_CHANGE)


def test_what_was_posted_before_goes_on_by_what_was_in_force_then() -> None:
    """LC-BLK-35"""
    c = Council()
    before = c.clock
    c.decide(values(JOB, job_reveal=5_000), "v1", "v2", "v3")
    first = c.clock
    c.decide(values(JOB, job_reveal=7_000), "v1", "v2", "v3")
    second = c.clock
    c.block()

    def reveal(clock: int) -> int:
        return params_at(c.state, JOB, JobParams, clock).job_reveal

    default = JobParams().job_reveal
    assert [reveal(t) for t in (before, first, first + 1, second, second + 1, c.clock)] == [
        default,
        default,
        5_000,
        5_000,
        7_000,
        7_000,
    ]
    assert c.state.get(param_history_key(JOB)) == ParamHistory([first, second])
    assert c.state.get(param_history_key(MEMBERSHIP)) is None


def test_the_record_of_the_ledger_s_parameters_is_the_one_that_the_next_block_runs_by() -> None:
    """LC-BLK-35: the quota of the block that decides is the old one."""
    c = Council()
    c.decide(values(0, quota=16), "v1", "v2", "v3")
    found = c.state.get(K_PARAMS)
    assert isinstance(found, Params) and found.quota == 16


def test_a_shorter_appeal_shortens_no_case_that_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-MEM-4: another accusation moves the end of a case forward or leaves it."""
    court = Court(monkeypatch)
    court.chain = c = Council(appeal=900_000)
    court.accuse()
    until = court.case().until
    c.decide(values(MEMBERSHIP, appeal=60_000), "v1", "v2", "v3")
    assert court.accuse(owner="carol")
    assert court.case().until == until


# --- the version --------------------------------------------------------------------------------------------------------------


def test_an_upgrade_begins_at_its_height() -> None:
    """LC-GOV-9, LC-BLK-36"""
    c = Council()
    c.decide(Upgrade(2, c.height + 6), "v1", "v2", "v3")
    at = c.height + 4
    while c.height < at - 1:
        assert version_of(c.state) == 1
        c.block()
    assert version_of(c.state) == 2


def test_an_upgrade_is_taken_back_by_the_present_version() -> None:
    """LC-GOV-9"""
    c = Council()
    assert c.propose(Upgrade(1, c.height + 9)) == Code.NOTHING_TO_CHANGE
    c.decide(Upgrade(2, c.height + 9), "v1", "v2", "v3")
    c.decide(Upgrade(1, c.height + 9), "v1", "v2", "v3")
    for _ in range(12):
        c.block()
    assert version_of(c.state) == 1


def test_an_upgrade_goes_forward_and_ahead() -> None:
    """LC-GOV-9"""
    c = Council()
    c.decide(Upgrade(3, c.height + 4), "v1", "v2", "v3")
    for _ in range(4):
        c.block()
    assert version_of(c.state) == 3
    assert c.propose(Upgrade(2, c.height + 9)) == Code.BAD_UPGRADE
    assert c.propose(Upgrade(4, c.height + 1)) == Code.BAD_UPGRADE
    assert c.propose(Upgrade(4, c.height + 2)) == 0
    assert c.propose(Upgrade(4, c.height + 20_000_000)) == Code.BAD_UPGRADE


UNIT_US = 50
"""What a unit of work took where four validators shared two busy cores: 80,000 transfers of one block in 4 s."""


def test_no_vote_makes_rounds_too_short_for_a_block() -> None:
    """LC-GOV-8: with rounds of a second at most (a vote's bound before) and blocks of the most work, whoever fills one stops the
    chain for good: no proposal is executed in its round, and without a block no vote takes it back."""
    bounds = {f.name: votable(f) for f in msgspec.structs.fields(Params)}
    work, most, step, first = (bounds[name] for name in ("block_work", "timeout_max", "timeout_step", "timeout_propose"))
    assert work is not None and most is not None and step is not None and first is not None
    longest_ms = work.high * UNIT_US // 1_000
    assert longest_ms <= most.low
    assert (longest_ms - first.low) / step.low <= 64, "rounds until one is long enough"
