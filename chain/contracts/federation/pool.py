"""Who may aggregate, who may sit on the panel, who of them is drawn, and how few may be left to draw of. LC-FED-5, 17, 18, 54."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import LEAST_VOTES, has_cells
from learningchain.chain.contracts.federation.messages import AGGREGATORS, PANEL, FederationCode, FederationTerms, ticket
from learningchain.chain.contracts.federation.records import CellServer, FederationServer
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.errors import Reject
from learningchain.chain.host import MEMBERS, VERIFIERS, Host
from learningchain.chain.host.terms import Capacity
from learningchain.chain.verification.committee import least_able

LEAST_AGGREGATORS = 2
LEAST_PANEL = 3
"""Members fill a panel up to this many."""


def needed_capacity(terms: FederationTerms) -> Capacity:
    """LC-FED-17: what a machine declares that is drawn: the files of all members are the model that it takes."""
    limits = terms.limits
    size = terms.max_members * terms.size
    return Capacity(terms.arch, limits.cpus_milli, limits.mem_mb, terms.image.size, size, limits.eval_s)


def each_able(host: Host, sponsor: bytes, terms: FederationTerms) -> Iterator[bytes]:
    """Those that serve, are flagged, have a box key and the capacity; suspended ones among them. Not the sponsor. In no order. With
    cells those of them that serve such ones (LC-FED-57)."""
    box_key, any_ = host.service(MEMBERS).box_key, not has_cells(terms)
    for account in host.service(VERIFIERS).each_able(needed_capacity(terms), host.clock + 1):
        serves = host.get(records.serving_key(account), FederationServer) is not None
        serves = serves and (any_ or host.get(records.cell_serving_key(account), CellServer) is not None)
        if serves and account != sponsor and box_key(account):
            yield account


def able(federation: FederationContext) -> Iterator[bytes]:
    return each_able(federation.host, federation.sponsor, federation.terms)


def least(host: Host, sponsor: bytes, terms: FederationTerms) -> int:
    """LC-FED-54: of so many at least aggregators and panels are drawn."""
    flagged, _ = host.service(VERIFIERS).flagged(sponsor, needed_capacity(terms))
    return least_able(flagged)


def require_able(host: Host, sponsor: bytes, terms: FederationTerms) -> None:
    """LC-FED-54: a sponsor whose limits few declare would choose who adds up and measures."""
    needed = least(host, sponsor, terms)
    found = len(list(islice(each_able(host, sponsor, terms), needed)))
    if found < needed:
        text = f"{found} verifiers serve federations on machines that take these limits and sizes; {needed} are needed"
        raise Reject(FederationCode.FEW_VERIFIERS, text)


def aggregators(federation: FederationContext) -> list[bytes]:
    """Without excluded ones, while two others remain; then without members, while so many others do as LC-FED-54 asks for."""
    found = list(able(federation))
    others = [one for one in found if not federation.is_excluded(one)]
    if len(others) >= LEAST_AGGREGATORS:
        found = others
    others = [one for one in found if not federation.has_joined(one)]
    needed = max(AGGREGATORS, least(federation.host, federation.sponsor, federation.terms))
    return others if len(others) >= needed else found


def enough_aggregators(federation: FederationContext) -> bool:
    """Nobody leaves the pool where fewer than two would remain."""
    return len(list(islice(able(federation), LEAST_AGGREGATORS))) == LEAST_AGGREGATORS


def panel(federation: FederationContext) -> Iterator[tuple[bytes, bool]]:
    """Who may sit that never sat, and whether it is a member: members never do where a hidden file would be shown to them."""
    terms = federation.terms
    shut = terms.outside or bool(terms.hidden)
    for account in able(federation):
        joined = federation.has_joined(account)
        if not (joined and shut) and not federation.has_sat(account):
            yield account, joined


def enough_panel(federation: FederationContext) -> bool:
    """As many as LC-FED-54 asks for; one seat alone measures nothing (LC-FED-37)."""
    needed = max(LEAST_VOTES, least(federation.host, federation.sponsor, federation.terms))
    return len(list(islice(panel(federation), needed))) == needed


def draw_aggregators(federation: FederationContext, beacon: bytes, attempt: int, among: Sequence[bytes], seats: int) -> list[bytes]:
    """The lowest tickets."""
    r = federation.record.r
    return sorted(among, key=lambda who: ticket(beacon, federation.id, r, attempt, who))[:seats]


def draw_panel(federation: FederationContext, beacon: bytes, taken: int, most: int) -> list[bytes]:
    """Up to five seats less those taken, and no more than `most`; members fill up to three."""
    found = list(panel(federation))

    def order(who: bytes) -> bytes:
        return ticket(beacon, federation.id, 0, 0, who)

    outside = sorted((who for who, joined in found if not joined), key=order)[: max(0, PANEL - taken)]
    lacking = max(0, LEAST_PANEL - taken - len(outside))
    inside = sorted((who for who, joined in found if joined), key=order)[:lacking]
    return [*outside, *inside][:most]
