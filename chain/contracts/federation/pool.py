"""Who may aggregate, who may sit on the panel, and who of them is drawn. LC-FED-5, 17, 18."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import LEAST_VOTES
from learningchain.chain.contracts.federation.messages import AGGREGATORS, PANEL, ticket
from learningchain.chain.contracts.federation.records import FederationServer
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.host import MEMBERS, VERIFIERS
from learningchain.chain.host.terms import Capacity

LEAST_AGGREGATORS = 2
LEAST_PANEL = 3
"""Members fill a panel up to this many."""


def needed_capacity(federation: FederationContext) -> Capacity:
    """LC-FED-17: what a machine declares that is drawn: the files of all members are the model that it takes."""
    terms = federation.terms
    limits = terms.limits
    size = terms.max_members * terms.size
    return Capacity(terms.arch, limits.cpus_milli, limits.mem_mb, terms.image.size, size, limits.eval_s)


def able(federation: FederationContext) -> Iterator[bytes]:
    """Those that serve, are flagged, have a box key and the capacity; suspended ones among them. Not the sponsor. In no order."""
    host, sponsor = federation.host, federation.sponsor
    box_key = host.service(MEMBERS).box_key
    for account in host.service(VERIFIERS).each_able(needed_capacity(federation), host.clock + 1):
        serves = host.get(records.serving_key(account), FederationServer) is not None
        if serves and account != sponsor and box_key(account):
            yield account


def aggregators(federation: FederationContext) -> list[bytes]:
    """Without excluded ones, while two others remain; then without members, while three others do."""
    found = list(able(federation))
    others = [one for one in found if not federation.is_excluded(one)]
    if len(others) >= LEAST_AGGREGATORS:
        found = others
    others = [one for one in found if not federation.has_joined(one)]
    return others if len(others) >= AGGREGATORS else found


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
    """One seat alone measures nothing (LC-FED-37)."""
    return len(list(islice(panel(federation), LEAST_VOTES))) == LEAST_VOTES


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
