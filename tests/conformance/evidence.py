"""Double signing, after `membership.md`, LC-MEM-10 to LC-MEM-12."""

from __future__ import annotations

from typing import Any

from tests.conformance.checks import check
from tests.conformance.keys import is_signed, proposal_digest, vote_digest
from tests.conformance.ledger import State

KEPT_SETS = 64


def _set_at(s: State, height: int) -> list[list[bytes]] | None:
    """LC-MEM-12"""
    fitting = [members for since, members in s.get(b"gh/")[0] if since <= height]
    return fitting[-1] if fitting else None


def reportable_since(s: State) -> int:
    """LC-MEM-10: the lower of what the blocks and the clock say."""
    marks = (s.get(b"gt/") or [[]])[0]
    past = [height for height, clock in marks if clock + s.params.evidence_age * s.params.heartbeat <= s.clock]
    return min(s.height - s.params.evidence_age, max(past) + 1 if past else 0)


def mark(s: State) -> None:
    """LC-BLK-41"""
    marks, span = (s.get(b"gt/") or [[]])[0], s.params.evidence_age * s.params.heartbeat
    if marks and s.clock - marks[-1][1] < span // 16:
        return
    marks = [*marks, [s.height, s.clock]]
    while len(marks) > 1 and marks[1][1] + span <= s.clock:
        marks.pop(0)
    while len(marks) > 32:
        marks.pop(1)
    s.put(b"gt/", [marks])


@check("LC-MEM-10", 204)
def the_evidence_is_not_too_old(s: State, height: int) -> bool:
    return height >= reportable_since(s)


@check("LC-MEM-10", 204)
def the_evidence_is_not_of_a_height_to_come(s: State, height: int) -> bool:
    return height <= s.height


@check("LC-MEM-10", 204)
def the_set_of_the_evidence_is_known(s: State, height: int) -> bool:
    return _set_at(s, height) is not None


@check("LC-MEM-10", 203)
def the_signer_was_in_the_set(signer: bytes, then: list[list[bytes]]) -> bool:
    return any(identity == signer for identity, _ in then)


@check("LC-MEM-10", 203)
def both_signatures_are_for_one_place(a: list[Any], b: list[Any]) -> bool:
    return a == b


@check("LC-MEM-10", 203)
def the_two_name_different_blocks(a: bytes, b: bytes) -> bool:
    return a != b


@check("LC-MEM-10", 203)
def both_are_signed_by_the_key_of_that_set(key: bytes, digests: list[bytes], signatures: list[bytes]) -> bool:
    return all(is_signed(key, d, sig) for d, sig in zip(digests, signatures, strict=True))


@check("LC-MEM-10", 205)
def it_was_not_dealt_with(s: State, signer: bytes, height: int) -> bool:
    return s.get(b"me/" + signer + height.to_bytes(8, "big")) is None


@check("LC-MEM-10", 206)
def the_signer_is_not_the_last_validator(s: State, signer: bytes) -> bool:
    return any(identity != signer for identity, _ in s.validators)


@check("LC-MEM-11", 5)
def the_set_was_not_changed_in_this_block(s: State) -> bool:
    return s.get(b"gn/") is None


def report_double(s: State, sender: bytes, evidence: list[Any]) -> None:
    """LC-MEM-10, 11"""
    kind, a, b = evidence
    chain_id = s.get(b"g/")[0]
    height, signer = (a[1], a[4]) if kind == 1 else (a[0], a[4])
    the_evidence_is_not_too_old(s, height)
    the_evidence_is_not_of_a_height_to_come(s, height)
    the_set_of_the_evidence_is_known(s, height)
    then = _set_at(s, height) or []
    the_signer_was_in_the_set(signer, then)
    key = next((key for identity, key in then if identity == signer), b"")
    if kind == 1:
        place, names, make = [[x[0], x[1], x[2], x[4]] for x in (a, b)], [a[3], b[3]], vote_digest
        digests = [make(chain_id, x[0], x[1], x[2], x[3]) for x in (a, b)]
    else:
        place, names = [[x[0], x[1], x[4]] for x in (a, b)], [a[3], b[3]]
        digests = [proposal_digest(chain_id, x[0], x[1], x[2], x[3]) for x in (a, b)]
    both_signatures_are_for_one_place(place[0], place[1])
    the_two_name_different_blocks(names[0], names[1])
    both_are_signed_by_the_key_of_that_set(key, digests, [a[5], b[5]])
    it_was_not_dealt_with(s, signer, height)
    the_signer_is_not_the_last_validator(s, signer)
    s.put(b"me/" + signer + height.to_bytes(8, "big"), [height])
    rest = [v for v in s.validators if v[0] != signer]
    if len(rest) == len(s.validators):
        s.noted("double.signing", signer, height)
        return
    the_set_was_not_changed_in_this_block(s)
    s.put(b"gn/", [s.height + 1, rest])
    s.put(b"gh/", [[*s.get(b"gh/")[0], [s.height + 1, rest]][-KEPT_SETS:]])
    s.noted("validator.ejected", signer, height)
