"""Reports of double signing: which are evidence, of whom, how old, and what becomes of the set."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.membership import (
    Ejection,
    ReportDouble,
    ejection_key,
)
from learningchain.chain.host import (
    K_CLOCK_MARKS,
    K_HISTORY,
    K_PARAMS,
    K_VALIDATORS,
    ClockMark,
    ClockMarks,
    History,
    Validators,
)
from learningchain.chain.types import (
    PRECOMMIT,
    PREVOTE,
    Proposal,
    ProposalEvidence,
    Validator,
    Vote,
    VoteEvidence,
    proposal_digest,
    vote_digest,
)
from tests.vectors.executed import HEIGHT, NEXT, V1, V2, V3, V4, WHO, Maker, Records, clock, genesis_of_cases, only, start, turn, tx
from tests.vectors.kit import id_of, key_of


def _vote(name: str, height: int, block: bytes, *, type_: int = PREVOTE, round_: int = 0, key: str = "", who: bytes = b"") -> Vote:
    digest = vote_digest(start()[0], type_, height, round_, block)
    return Vote(type_, height, round_, block, who or id_of(name), key_of(key or name).sign(digest))


def _proposal(name: str, height: int, block: bytes, *, round_: int = 0, pol: int = -1, key: str = "") -> Proposal:
    digest = proposal_digest(start()[0], height, round_, pol, block)
    return Proposal(height, round_, pol, block, id_of(name), key_of(key or name).sign(digest))


def double(signer: str, height: int = HEIGHT - 2, **changed: Any) -> ReportDouble:
    """Two prevotes for different blocks; `changed` tells how the second differs otherwise."""
    other: dict[str, Any] = {"block": b"\x02" * 32, "height": height, "name": signer} | changed
    return ReportDouble(VoteEvidence(_vote(signer, height, b"\x01" * 32), _vote(**other)))


def cases() -> list[Maker]:
    def report(name: str, *ops: Any, records: Records | None = None, rule: str = "LC-MEM-10") -> Maker:
        return Maker(name, rule, [tx("alice", op, sequence=n) for n, op in enumerate(ops)], dict(records or {}))

    def proposals(a: Proposal, b: Proposal) -> ReportDouble:
        return ReportDouble(ProposalEvidence(a, b))

    old = {K_PARAMS: replace(genesis_of_cases().params, evidence_age=3)}
    aged = old | marks((HEIGHT - 1, SPAN))
    first, second = b"\x01" * 32, b"\x02" * 32
    members = [Validator(identity, key_of(WHO[identity]).public) for identity in sorted((V1, V2, V3, V4))]
    present = Validators(1, members)
    since_30 = {K_HISTORY: History([Validators(30, members)]), K_VALIDATORS: Validators(30, members)}
    left = Validators(30, [v for v in members if v.id != V2])
    v2_left = {K_HISTORY: History([present, left]), K_VALIDATORS: left}
    v2_came = {K_HISTORY: History([left, Validators(39, members)]), K_VALIDATORS: Validators(39, members)}
    many = [Validators(n, members[:1]) for n in range(63)] + [Validators(HEIGHT - 1, members)]
    alone = only(V2)
    dealt = {ejection_key(V2, HEIGHT - 2): Ejection(HEIGHT - 2)}
    nil = ReportDouble(VoteEvidence(_vote("v2", 9, b""), _vote("v2", 9, first)))
    return [
        report("two prevotes", double("v2")),
        report(
            "two precommits",
            ReportDouble(VoteEvidence(_vote("v2", 9, first, type_=PRECOMMIT), _vote("v2", 9, second, type_=PRECOMMIT))),
        ),
        report("a vote and one for nil", nil),
        report("two proposals", proposals(_proposal("v2", 9, first), _proposal("v2", 9, second))),
        report(
            "two proposals with different proofs",
            proposals(_proposal("v2", 9, first, round_=3, pol=1), _proposal("v2", 9, second, round_=3)),
        ),
        report("one's own double signing", double("v2"), rule="LC-MEM-10"),
        report("of this very height", double("v2", HEIGHT)),
        report("of a height to come", double("v2", HEIGHT + 1)),
        report("as old as may be", double("v2", HEIGHT - 3), records=aged),
        report("too old", double("v2", HEIGHT - 4), records=aged),
        report(
            "too old by blocks alone", double("v2", HEIGHT - 4), records=old | marks((HEIGHT - 5, SPAN), (HEIGHT - 1, SPAN - 1))
        ),
        report("of the block of the last mark that is old", double("v2", HEIGHT - 5), records=old | marks((HEIGHT - 5, SPAN))),
        report("too old by time alone", double("v2", HEIGHT - 3), records=old | marks((HEIGHT - 2, SPAN))),
        report("old, and no mark tells", double("v2", 1), records=old | marks()),
        report("of a height whose set is not known", double("v2", 29), records=since_30),
        report("of the first height whose set is known", double("v2", 30), records=since_30),
        report("too old and by nobody: the age is tested first", double("bob", 1), records=aged),
        report("of who was not in the set", double("bob")),
        report("of who came into the set later", double("v2", 38), records=v2_came),
        report("different types", double("v2", type_=PRECOMMIT)),
        report("different heights", _two_heights()),
        report("different rounds", double("v2", round_=1)),
        report("different signers", double("v2", name="v3")),
        report("the second one in another's name", double("v2", who=V3)),
        report(
            "a proposal in another's name", proposals(_proposal("v2", 9, first), replace(_proposal("v2", 9, second), proposer=V3))
        ),
        report("a block id of five bytes", double("v2", block=second[:5])),
        report("the same block twice", double("v2", block=first)),
        report(
            "the first one signed by another key",
            ReportDouble(VoteEvidence(_vote("v2", 9, first, key="v3"), _vote("v2", 9, second))),
        ),
        report("the second one signed by another key", double("v2", key="v3")),
        report("proposals of different heights", proposals(_proposal("v2", 9, first), _proposal("v2", 10, second))),
        report("proposals of different rounds", proposals(_proposal("v2", 9, first), _proposal("v2", 9, second, round_=1))),
        report("proposals of different signers", proposals(_proposal("v2", 9, first), _proposal("v3", 9, second))),
        report(
            "the same block proposed twice",
            proposals(_proposal("v2", 9, first, round_=3, pol=1), _proposal("v2", 9, first, round_=3)),
        ),
        report("a proposal signed by another key", proposals(_proposal("v2", 9, first), _proposal("v2", 9, second, key="v3"))),
        report("one that was dealt with", double("v2"), records=dealt),
        report("another height of who was dealt with", double("v2", HEIGHT - 1), records=dealt),
        report("one that was dealt with, of the last validator: the former is tested first", double("v2"), records=alone | dealt),
        report("the last validator", double("v2"), records=alone),
        report("who left the set already", double("v2", 20), records=v2_left, rule="LC-MEM-11"),
        report("a second change in one block", double("v2"), double("v3"), rule="LC-MEM-11"),
        report("the same again in one block", double("v2"), double("v2"), rule="LC-MEM-11"),
        report("a second one of the same signer in one block", double("v2"), double("v2", HEIGHT - 1), rule="LC-MEM-11"),
        report(
            "sixty-four sets are kept",
            double("v2", HEIGHT),
            records={K_HISTORY: History(many), K_VALIDATORS: many[-1]},
            rule="LC-MEM-12",
        ),
        *(Maker(name, "LC-BLK-41", [], old | marks(*found)) for name, found in _marks()),
        Maker("the ejected proposer of the block itself", "LC-MEM-11", [tx("alice", double(turn()))]),
    ]


SPAN = 30_000
"""Of an `evidence_age` of 3."""


def marks(*found: tuple[int, int]) -> dict[bytes, Any]:
    """Of heights, and how long before this block they were."""
    return {K_CLOCK_MARKS: ClockMarks([ClockMark(height, clock() + NEXT - ago) for height, ago in found])}


def _marks() -> list[tuple[str, list[tuple[int, int]]]]:
    often = [(n, SPAN // 16 + 40 - n) for n in range(32)]
    return [
        ("a mark is due", [(HEIGHT - 9, SPAN // 16)]),
        ("none is due yet", [(HEIGHT - 9, SPAN // 16 - 1)]),
        ("the first mark", []),
        ("of those that are too old the newest stays", [(3, 2 * SPAN), (4, SPAN + 1), (5, SPAN), (6, SPAN - 1)]),
        ("one more than are kept: the first stays", often),
    ]


def _two_heights() -> ReportDouble:
    return ReportDouble(VoteEvidence(_vote("v2", 9, b"\x01" * 32), _vote("v2", 10, b"\x02" * 32)))
