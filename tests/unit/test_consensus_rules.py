"""The consensus machine against Algorithm 1 of the paper, as tables: what was before, the input, the effects, the new state.

Four validators; the machine under test is validator 3, which proposes in round 3; validator r proposes in round r. `given` runs
with the guard answering every Sign; the input of the row is handled alone, so its Sign is seen unanswered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from learningchain.chain.consensus.messages import CertificateReceived, Input
from tests.unit.consensus_kit import (
    HEIGHT,
    LOCKED_A_AT_0,
    ME,
    NO_PROPOSAL_0,
    ROUND_1_AFTER_LOCK,
    ROUND_1_UNLOCKED,
    T_PRECOMMIT,
    T_PREVOTE,
    T_PROPOSE,
    WAKE,
    bad,
    built,
    certificate,
    drive,
    good,
    machine,
    precommit,
    precommits,
    prevote,
    prevotes,
    proposal,
    show,
    start,
    state_of,
    timeout,
)


@dataclass
class Row:
    what: str
    given: list[Input]
    event: Input
    effects: list[str]
    state: str
    """Step@round, then lock and valid value as block@round, '-' for none."""
    me: int | None = field(default=ME)


ROWS = [
    # --- lines 10-21: starting a round
    Row("10: a height waits until there is something to decide", [], good("A"), [], "WAIT@0 - -"),
    Row(
        "10, 21: waking up starts round 0 and times the proposer out",
        [],
        WAKE,
        ["time propose@0 1000", "time resend@0 1000"],
        "PROPOSE@0 - -",
    ),
    Row(
        "10: a valid message of the height starts round 0",
        [],
        prevote(1, 0, None),
        ["time propose@0 1000", "time resend@0 1000"],
        "PROPOSE@0 - -",
    ),
    Row("10: waking up twice starts nothing again", [WAKE], WAKE, [], "PROPOSE@0 - -"),
    Row(
        "14, 18: the proposer builds a block",
        [],
        WAKE,
        ["build @0", "time propose@0 1000", "time resend@0 1000"],
        "PROPOSE@0 - -",
        me=0,
    ),
    Row(
        "19: and proposes what it built",
        [WAKE],
        built(0, "A"),
        ["log proposal A@0", "sign proposal A@0 pol -1"],
        "PROPOSE@0 - -",
        me=0,
    ),
    Row("19: one proposal a round", [WAKE, built(0, "A")], built(0, "B"), [], "PREVOTE@0 - -", me=0),
    Row("19: a block built for nobody's turn is not proposed", [WAKE], built(0, "A"), [], "PROPOSE@0 - -", me=1),
    Row(
        "19: a block that comes after the timeout is not proposed",
        [WAKE, timeout(T_PROPOSE, 0)],
        built(0, "A"),
        [],
        "PREVOTE@0 - -",
        me=0,
    ),
    Row(
        "15, 16, 19: a proposer with a valid value proposes that, with its round as proof",
        [*ROUND_1_AFTER_LOCK, *precommits([0, 1, 2], 1, None), timeout(T_PRECOMMIT, 1), *precommits([0, 1, 2], 2, None)],
        timeout(T_PRECOMMIT, 2),
        ["log proposal A@3", "sign proposal A@3 pol 0", "time propose@3 1750"],
        "PROPOSE@3 A@0 A@0",
    ),
    # --- lines 22-27: a fresh proposal
    Row("22: a fresh proposal is checked first", [WAKE], proposal(0, "A"), ["check A@0 fresh"], "PROPOSE@0 - -"),
    Row("22-24: a valid one is prevoted", [proposal(0, "A")], good("A"), ["log prevote A@0", "sign prevote A@0"], "PREVOTE@0 - -"),
    Row(
        "26: an invalid or untimely one gets nil",
        [proposal(0, "A")],
        bad("A"),
        ["log prevote nil@0", "sign prevote nil@0"],
        "PREVOTE@0 - -",
    ),
    Row(
        "22: its check does not count after the timeout", [proposal(0, "A"), timeout(T_PROPOSE, 0)], good("A"), [], "PREVOTE@0 - -"
    ),
    Row(
        "23, 26: a locked node gives another fresh block nil",
        ROUND_1_AFTER_LOCK,
        proposal(1, "B"),
        ["log prevote nil@1", "sign prevote nil@1"],
        "PREVOTE@1 A@0 A@0",
    ),
    Row(
        "23: a proposal of the next round waits for its round",
        [proposal(1, "B"), *NO_PROPOSAL_0, *precommits([0, 1, 2], 0, None)],
        timeout(T_PRECOMMIT, 0),
        ["time propose@1 1250", "check B@1 fresh"],
        "PROPOSE@1 - -",
    ),
    # --- lines 28-33: a proposal with a proof of lock
    Row("28: a re-proposal waits for its polka", ROUND_1_UNLOCKED, proposal(1, "A", 0), [], "PROPOSE@1 - -"),
    Row(
        "28: two thirds less one is no polka",
        [*NO_PROPOSAL_0, prevote(0, 0, "A"), *precommits([0, 1, 2], 0, None), timeout(T_PRECOMMIT, 0), proposal(1, "A", 0)],
        prevote(1, 0, "A"),
        [],
        "PROPOSE@1 - -",
    ),
    Row(
        "28: with its polka it is checked, but not for its time",
        [*NO_PROPOSAL_0, *prevotes([0, 1], 0, "A"), *precommits([0, 1, 2], 0, None), timeout(T_PRECOMMIT, 0), proposal(1, "A", 0)],
        prevote(2, 0, "A"),
        ["check A@1"],
        "PROPOSE@1 - -",
    ),
    Row(
        "28-30: and prevoted when valid",
        [
            *NO_PROPOSAL_0,
            *prevotes([0, 1, 2], 0, "A"),
            *precommits([0, 1, 2], 0, None),
            timeout(T_PRECOMMIT, 0),
            proposal(1, "A", 0),
        ],
        good("A"),
        ["log prevote A@1", "sign prevote A@1"],
        "PREVOTE@1 - -",
    ),
    Row(
        "32: nil when invalid",
        [
            *NO_PROPOSAL_0,
            *precommits([0, 1, 2], 0, None),
            timeout(T_PRECOMMIT, 0),
            *prevotes([0, 1, 2], 0, "A"),
            proposal(1, "A", 0),
        ],
        bad("A"),
        ["log prevote nil@1", "sign prevote nil@1"],
        "PREVOTE@1 - -",
    ),
    Row(
        "29: locked on the very block: prevoted",
        ROUND_1_AFTER_LOCK,
        proposal(1, "A", 0),
        ["log prevote A@1", "sign prevote A@1"],
        "PREVOTE@1 A@0 A@0",
    ),
    Row(
        "29: a polka as late as the lock or later frees a node locked on something else",
        [
            *ROUND_1_AFTER_LOCK,
            *prevotes([0, 1, 2], 1, "B"),
            *precommits([0, 1, 2], 1, None),
            timeout(T_PRECOMMIT, 1),
            proposal(2, "B", 1),
        ],
        good("B"),
        ["log prevote B@2", "sign prevote B@2"],
        "PREVOTE@2 A@0 A@0",
    ),
    Row(
        "29, 32: an older polka does not",
        [
            *NO_PROPOSAL_0,  # round 0: the others make a polka for B that comes late
            *precommits([0, 1, 2], 0, None),
            timeout(T_PRECOMMIT, 0),
            proposal(1, "A"),
            good("A"),
            *prevotes([0, 1], 1, "A"),  # locked on A in round 1
            *precommits([0, 1], 1, None),
            timeout(T_PRECOMMIT, 1),
            *prevotes([0, 1, 2], 0, "B"),
        ],
        proposal(2, "B", 0),
        ["log prevote nil@2", "sign prevote nil@2"],
        "PREVOTE@2 A@1 A@1",
    ),
    # --- lines 34-35
    Row(
        "34: two thirds of prevotes for anything: the timeout runs",
        [*NO_PROPOSAL_0, prevote(0, 0, "A")],
        prevote(1, 0, "B"),
        ["time prevote@0 500"],
        "PREVOTE@0 - -",
    ),
    Row(
        "34: for the first time only",
        [*NO_PROPOSAL_0, prevote(0, 0, "A"), prevote(1, 0, "B")],
        prevote(2, 0, None),
        [],
        "PREVOTE@0 - -",
    ),
    Row(
        "34: not while still waiting for the proposal",
        [WAKE, prevote(0, 0, "A"), prevote(1, 0, "B")],
        prevote(2, 0, None),
        [],
        "PROPOSE@0 - -",
    ),
    # --- lines 36-43
    Row(
        "36-41: a polka for a valid block locks it; it is on disk before the precommit is signed",
        [proposal(0, "A"), good("A"), prevote(0, 0, "A")],
        prevote(1, 0, "A"),
        ["log lock A@0", "sign precommit A@0"],
        "PRECOMMIT@0 A@0 A@0",
    ),
    Row("36: two votes of four are no polka", [proposal(0, "A"), good("A")], prevote(1, 0, "A"), [], "PREVOTE@0 - -"),
    Row(
        "36: a repeated vote counts once",
        [proposal(0, "A"), good("A"), prevote(1, 0, "A")],
        prevote(1, 0, "A"),
        [],
        "PREVOTE@0 - -",
    ),
    Row(
        "36: an unchecked block is checked first, without its time",
        [*NO_PROPOSAL_0, *prevotes([0, 1], 0, "A")],
        prevote(2, 0, "A"),
        ["check A@0"],
        "PREVOTE@0 - -",
    ),
    Row(
        "36: and locked then",
        [*NO_PROPOSAL_0, *prevotes([0, 1, 2], 0, "A")],
        good("A"),
        ["log lock A@0", "sign precommit A@0"],
        "PRECOMMIT@0 A@0 A@0",
    ),
    Row("36: an invalid block is never locked", [*NO_PROPOSAL_0, *prevotes([0, 1, 2], 0, "A")], bad("A"), [], "PREVOTE@0 - -"),
    Row(
        "36: a block found untimely can still be locked: the polka speaks for its time",
        [proposal(0, "A"), bad("A"), *prevotes([0, 1, 2], 0, "A")],
        good("A"),
        ["log lock A@0", "sign precommit A@0"],
        "PRECOMMIT@0 A@0 A@0",
    ),
    Row(
        "36: not before the node prevoted",
        [proposal(0, "A"), prevote(0, 0, "A"), prevote(1, 0, "A")],
        prevote(2, 0, "A"),
        [],
        "PROPOSE@0 - -",
    ),
    Row(
        "42: a polka after the precommit makes the valid value only",
        [proposal(0, "A"), good("A"), prevote(0, 0, "A"), prevote(1, 0, None), timeout(T_PREVOTE, 0)],
        prevote(2, 0, "A"),
        ["log valid A@0"],
        "PRECOMMIT@0 - A@0",
    ),
    Row(
        "37-40: a later polka for another block moves the lock",
        [*ROUND_1_AFTER_LOCK, proposal(1, "B"), *prevotes([0, 1, 2], 1, "B")],
        good("B"),
        ["log lock B@1", "sign precommit B@1"],
        "PRECOMMIT@1 B@1 B@1",
    ),
    # --- lines 44-46
    Row(
        "44: two thirds of nil: precommit nil",
        [*NO_PROPOSAL_0, prevote(0, 0, None)],
        prevote(1, 0, None),
        ["log precommit nil@0", "sign precommit nil@0"],
        "PRECOMMIT@0 - -",
    ),
    Row(
        "44: not before the node prevoted",
        [WAKE, prevote(0, 0, None), prevote(1, 0, None)],
        prevote(2, 0, None),
        [],
        "PROPOSE@0 - -",
    ),
    # --- lines 47-48
    Row(
        "47: two thirds of precommits for anything: the timeout runs, whatever the step",
        [WAKE, precommit(0, 0, None), precommit(1, 0, "A")],
        precommit(2, 0, None),
        ["time precommit@0 500"],
        "PROPOSE@0 - -",
    ),
    Row(
        "47: for the first time only",
        [*LOCKED_A_AT_0, *precommits([0, 1], 0, None)],
        precommit(2, 0, None),
        [],
        "PRECOMMIT@0 A@0 A@0",
    ),
    # --- lines 49-54
    Row(
        "49: two thirds of precommits for a valid block decide",
        [*LOCKED_A_AT_0, precommit(0, 0, "A")],
        precommit(2, 0, "A"),
        ["decide A at 4 by [0, 2, 3]"],
        "DECIDED@0 A@0 A@0",
    ),
    Row("49: two of four do not", LOCKED_A_AT_0, precommit(2, 0, "A"), [], "PRECOMMIT@0 A@0 A@0"),
    Row(
        "49: nor do precommits for nil",
        [*LOCKED_A_AT_0, *precommits([0, 1], 0, None)],
        precommit(2, 0, None),
        [],
        "PRECOMMIT@0 A@0 A@0",
    ),
    Row(
        "49: of an earlier round just so",
        [*LOCKED_A_AT_0, precommit(0, 0, "A"), *precommits([0, 1, 2], 1, None)],
        precommit(1, 0, "A"),
        ["decide A at 4 by [0, 1, 3]"],
        "DECIDED@1 A@0 A@0",
    ),
    Row(
        "49: an unknown block is asked for",
        [WAKE, precommit(0, 0, "A"), precommit(1, 0, "A")],
        precommit(2, 0, "A"),
        ["check A@0", "time precommit@0 500"],
        "PROPOSE@0 - -",
    ),
    Row(
        "49: and decided when it is there",
        [WAKE, *precommits([0, 1, 2], 0, "A")],
        good("A"),
        ["decide A at 4 by [0, 1, 2]"],
        "DECIDED@0 - -",
    ),
    Row("49: one decision a height", [*LOCKED_A_AT_0, *precommits([0, 1], 0, "A")], precommit(2, 0, "A"), [], "DECIDED@0 A@0 A@0"),
    Row(
        "49: a decided node ignores its timeouts",
        [*LOCKED_A_AT_0, *precommits([0, 1], 0, "A")],
        timeout(T_PRECOMMIT, 0),
        [],
        "DECIDED@0 A@0 A@0",
    ),
    Row(
        "49: a certificate decides at once when the block is known",
        [proposal(0, "A"), good("A")],
        CertificateReceived(certificate([0, 1, 2], 5, "A")),
        ["decide A at 4 by [0, 1, 2]"],
        "DECIDED@0 - -",
    ),
    Row(
        "49: even before the height began",
        [CertificateReceived(certificate([0, 1, 2], 0, "A"))],
        good("A"),
        ["decide A at 4 by [0, 1, 2]"],
        "DECIDED@0 - -",
    ),
    # --- lines 55-56
    Row("55: one validator ahead moves nobody", [WAKE], prevote(0, 5, None), [], "PROPOSE@0 - -"),
    Row(
        "55: two of four in a later round do",
        [WAKE, prevote(0, 5, None)],
        prevote(1, 5, None),
        ["time propose@5 2250"],
        "PROPOSE@5 - -",
    ),
    Row(
        "55: into the highest round that both reached",
        [WAKE, prevote(0, 9, None)],
        prevote(1, 5, None),
        ["time propose@5 2250"],
        "PROPOSE@5 - -",
    ),
    Row(
        "55: a proposal counts, too",
        [WAKE, prevote(0, 1, None)],
        proposal(1, "B"),
        ["time propose@1 1250", "check B@1 fresh"],
        "PROPOSE@1 - -",
    ),
    Row(
        "55: the lock goes along",
        [*LOCKED_A_AT_0, prevote(0, 5, None)],
        prevote(1, 5, None),
        ["time propose@5 2250"],
        "PROPOSE@5 A@0 A@0",
    ),
    Row(
        "55: votes that came ahead of the round count in it",
        [WAKE, prevote(0, 2, None), prevote(1, 2, None), prevote(2, 2, None)],
        timeout(T_PROPOSE, 2),
        ["log prevote nil@2", "sign prevote nil@2", "log precommit nil@2", "sign precommit nil@2"],
        "PRECOMMIT@2 - -",
    ),
    # --- lines 57-67
    Row(
        "57: no proposal in time: prevote nil",
        [WAKE],
        timeout(T_PROPOSE, 0),
        ["log prevote nil@0", "sign prevote nil@0"],
        "PREVOTE@0 - -",
    ),
    Row("57: not in another step", [proposal(0, "A"), good("A")], timeout(T_PROPOSE, 0), [], "PREVOTE@0 - -"),
    Row("57: not of another round", ROUND_1_UNLOCKED, timeout(T_PROPOSE, 0), [], "PROPOSE@1 - -"),
    Row("57: not of another height", [WAKE], timeout(T_PROPOSE, 0, HEIGHT + 1), [], "PROPOSE@0 - -"),
    Row(
        "61: no polka in time: precommit nil",
        [*NO_PROPOSAL_0, prevote(0, 0, "A"), prevote(1, 0, "B")],
        timeout(T_PREVOTE, 0),
        ["log precommit nil@0", "sign precommit nil@0"],
        "PRECOMMIT@0 - -",
    ),
    Row("61: not in another step", LOCKED_A_AT_0, timeout(T_PREVOTE, 0), [], "PRECOMMIT@0 A@0 A@0"),
    Row("65: no decision in time: the next round", [WAKE], timeout(T_PRECOMMIT, 0), ["time propose@1 1250"], "PROPOSE@1 - -"),
    Row("65: not of another round", ROUND_1_UNLOCKED, timeout(T_PRECOMMIT, 0), [], "PROPOSE@1 - -"),
    # --- an observer follows and never signs
    Row("observer: follows a fresh proposal", [proposal(0, "A")], good("A"), [], "PREVOTE@0 - -", me=None),
    Row(
        "observer: decides",
        [proposal(0, "A"), good("A"), *precommits([0, 1], 0, "A")],
        precommit(2, 0, "A"),
        ["decide A at 4 by [0, 1, 2]"],
        "DECIDED@0 - -",
        me=None,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.what for row in ROWS])
def test_row(row: Row) -> None:
    consensus = machine(row.me)
    drive(consensus, [start(), *row.given], row.me)
    assert [show(e) for e in consensus.handle(row.event)] == row.effects
    assert state_of(consensus) == row.state


def test_every_rule_of_the_paper_has_a_row() -> None:
    lines = {int(n) for row in ROWS for n in row.what.split(":")[0].replace(",", " ").replace("-", " ").split() if n.isdigit()}
    assert {10, 14, 15, 19, 22, 28, 34, 36, 44, 47, 49, 55, 57, 61, 65} <= lines
