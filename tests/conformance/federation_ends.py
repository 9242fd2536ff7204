"""IDLE, ends, and what leaves (LC-FED-45 to LC-FED-48, 50)."""

from __future__ import annotations

from tests.conformance import federation_rules as rules
from tests.conformance.checks import check, part, register
from tests.conformance.federation_state import END, IDLE, Work, rest_of
from tests.conformance.keys import sha
from tests.conformance.ledger import State

REACHED, ROUNDS, MET, BAD_MODEL, NOKEY, STALLED, CLOSED, ABANDONED, EXPIRED, GIVEN_BACK = range(1, 11)
"""Why a federation ended."""
USED_UP = register("LC-FED-45: with all starts used up it ends")
PAGES = register("LC-FED-48: so many records leave at once")
TOTALS = b"ft/"


@check("LC-FED-45", 504)
def only_the_sponsor_closes(work: Work, sender: bytes) -> bool:
    return sender == work.sponsor


@check("LC-FED-45", 511)
def it_is_closed_in_idle(work: Work) -> bool:
    return work.now.state == IDLE


def totals(s: State) -> list[int]:
    """Opened, ended, left."""
    found: list[int] = s.get(TOTALS) or [0, 0, 0]
    return found


def idle(work: Work) -> None:
    now = work.now
    if now.starts >= rules.starts(work.terms.rounds) and part(USED_UP):
        end(work, ROUNDS)
        return
    work.enter_until(IDLE, min(work.s.clock + work.terms.pace_ms, work.terms.ends))
    work.noted("fed.idle", now.r, now.starts, now.deadline)


def idle_is_over(work: Work) -> None:
    end(work, EXPIRED if work.s.clock >= work.terms.ends else ABANDONED)


def close_federation(work: Work, sender: bytes) -> None:
    only_the_sponsor_closes(work, sender)
    it_is_closed_in_idle(work)
    end(work, CLOSED)


def end(work: Work, reason: int) -> None:
    """LC-FED-46"""
    s, now = work.s, work.now
    rest_of(work, b"fB", "fed.bounty.back")
    rest_of(work, b"fF", "fed.fees.back")
    work.end_attempt()
    now.pair = []
    now.end, now.ended = reason, s.clock
    now.left = len(work.members) + now.kept
    work.enter(END, work.p.keep)
    s.drop(b"f/" + work.id)
    live = s.get(b"fl/" + work.root)[0] - 1
    if live:
        s.put(b"fl/" + work.root, [live])
    else:
        s.drop(b"fl/" + work.root)
    opened, ended, left = totals(s)
    s.put(TOTALS, [opened, ended + 1, left])
    work.noted("fed.ended", reason, now.best, now.paid)


# --- what leaves: LC-FED-48 -----------------------------------------------------------------------------------------------------


def records_leave(work: Work) -> None:
    now = work.now
    many = work.p.dropped if part(PAGES) else now.left
    _drop_some(work, many)
    if now.left > many:
        now.left -= many
        work.enter(END, 1)
        return
    work.stop()
    _drop_all(work)


def _drop_some(work: Work, many: int) -> None:
    """In the order of the page, by their keys; of `fc/` each set counts."""
    for kept in (work.members, work.sat, work.excluded):
        for who in sorted(kept)[:many]:
            del kept[who]
            many -= 1
    for base in sorted(work.chains, key=sha):
        if many <= 0:
            break
        many -= len(work.chains[base])
        del work.chains[base]


def _drop_all(work: Work) -> None:
    s = work.s
    work.members, work.sat, work.excluded, work.chains, work.cells = {}, {}, {}, {}, []
    for key in [key for key in s.records if key.startswith(b"fr/" + work.id)]:
        s.drop(key)
    work.save()
    for key in (b"fb/" + work.id, b"fp/" + work.id, b"fn/" + work.number.to_bytes(8, "big")):
        s.drop(key)
    opened, ended, left = totals(s)
    s.put(TOTALS, [opened, ended, left + 1])
    work.noted("fed.gone", work.sponsor)


def give_back(work: Work) -> None:
    """LC-FED-50"""
    if work.now.state != END:
        end(work, GIVEN_BACK)
    else:
        work.enter(END, 1)
