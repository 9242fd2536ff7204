"""Who may aggregate, who may sit on the panel, and who of them is drawn."""

from __future__ import annotations

from collections.abc import Iterable

from . import formulas
from .graph import Graph, ticket
from .records import Federation


def able(graph: Graph, sponsor: bytes, cells: bool) -> list[bytes]:
    """Flagged members that serve, have a box key and the capacity; suspended ones among them. Not the sponsor. With cells those
    that say that they know them."""
    accounts = [one for one in graph.accounts.values() if one.serves_cells or not cells]
    return [one.id for one in accounts if one.serves and one.box and one.able and graph.flagged(one.id) and one.id != sponsor]


def least(graph: Graph, sponsor: bytes) -> int:
    """So many have to be able: a third of the flagged, and three if there are so many."""
    flagged = sum(graph.flagged(one) for one in graph.accounts if one != sponsor)
    return max(1, -(-flagged // 3), min(3, flagged))


def aggregators(graph: Graph, federation: Federation) -> list[bytes]:
    """Without those that made sums which differed, while two others remain (with cells three, and without who lacked last what
    two had); then without members, while as many others do as have to be able, and three."""
    found = able(graph, federation.sponsor, federation.terms.cells)
    lacked = federation.cells.lacked[-max(1, len(found) // 3) :] if federation.cells is not None else ()
    others = [one for one in found if one not in federation.excluded and one not in lacked]
    if len(others) >= formulas.fewest(federation.terms):
        found = others
    others = [one for one in found if not federation.joined(one)]
    return others if len(others) >= max(formulas.AGGREGATORS, least(graph, federation.sponsor)) else found


def panel(graph: Graph, federation: Federation) -> list[bytes]:
    """Without members and without those that sat already."""
    found = able(graph, federation.sponsor, federation.terms.cells)
    return [one for one in found if not federation.joined(one) and one not in federation.sat]


def panel_members(graph: Graph, federation: Federation) -> list[bytes]:
    """Members that may sit where others are too few: never where a hidden file would be shown to them."""
    if federation.terms.outside or federation.terms.hidden:
        return []
    found = able(graph, federation.sponsor, federation.terms.cells)
    return [one for one in found if federation.joined(one) and one not in federation.sat]


def drawn(federation: Federation, beacon: bytes, attempt: int, among: Iterable[bytes], count: int) -> list[bytes]:
    """The lowest tickets."""
    r = federation.r if attempt else 0
    return sorted(among, key=lambda who: ticket(beacon, federation.id, r, attempt, who))[: max(0, count)]


def draw_panel(graph: Graph, federation: Federation, taken: int = 0) -> list[bytes]:
    """Up to five seats less those taken; members fill up to three."""
    found = drawn(federation, federation.panel_beacon, 0, panel(graph, federation), formulas.PANEL - taken)
    lacking = 3 - taken - len(found)
    return found + drawn(federation, federation.panel_beacon, 0, panel_members(graph, federation), lacking)
