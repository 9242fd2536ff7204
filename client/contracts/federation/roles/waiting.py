"""Why a member of a federation with cells is in no sum at present, what it waits for, and what it can do: in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.federation import cells
from learningchain.chain.contracts.federation.cell_formulas import LEAST_IN_CELL, usual_size
from learningchain.chain.contracts.federation.messages import MOST_CELLS, FederationTerms
from learningchain.chain.contracts.federation.records import FederationState, MemberState, RosterEntry
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.client.contracts.federation.roles.looking import FederationLook
from learningchain.client.contracts.federation.roles.verifiers import context_of


def why_it_waits(at: FederationLook, account: bytes, clock: int) -> str:
    """Empty where the account is no member, is in this attempt, or would be in the next one."""
    if not at.has_cells or at.state == FederationState.END or any(one.account == account for one in at.roster):
        return ""
    federation = context_of(at, clock)
    member = federation.member(account)
    if member is None or member.state != MemberState.ACTIVE:
        return ""
    if not federation.cells.numbered:
        return _for_the_first(federation)
    outside = cells.outside(federation)
    if all(one.account != account for one in outside):
        return ""
    leave = f"leaving costs nothing (learningchain fed leave {at.id.hex()[:12]})"
    return f"{_why(federation, account)}. {_what_for(federation, outside)}. Until then it is in no sum and is not paid; {leave}"


def _for_the_first(federation: FederationContext) -> str:
    terms, members = federation.terms, cells.active(federation)
    if len(members) >= terms.min_members and len(cells.counted(federation, members)) >= terms.min_sum:
        return ""
    return f"the first round takes {_needed(terms, terms.min_members)}, now {_there(federation, members)}"


def _why(federation: FederationContext, account: bytes) -> str:
    for cell, members in cells.manned(federation):
        if any(one.account == account for one in members):
            needed = _needed(federation.terms, LEAST_IN_CELL)
            return f"its cell {cell.number} rests: a sum takes {needed}, and it has {_there(federation, members)}"
    alone = "it has no place in a cell, and nobody is added to one"
    if len(cells.left_of(federation)) == len(federation.cells.cells):
        return alone
    return f"{alone}; a cell that rests goes on with who waits, and sums before and after that tell of an update that came alone"


def _what_for(federation: FederationContext, outside: Sequence[RosterEntry]) -> str:
    if len(cells.left_of(federation)) >= MOST_CELLS:
        return f"{MOST_CELLS} cells are summed, and a new one begins when one of them is over"
    needed = _needed(federation.terms, usual_size(federation.terms))
    return f"A new cell begins with the next start at which {needed}, are outside like this one, now {_there(federation, outside)}"


def _needed(terms: FederationTerms, members: int) -> str:
    return f"{members} members" + (f", {terms.min_sum} of them with the verifier flag" if terms.vetted else "")


def _there(federation: FederationContext, members: Sequence[RosterEntry]) -> str:
    return str(len(members)) + (f", {len(cells.counted(federation, members))} with it" if federation.terms.vetted else "")
