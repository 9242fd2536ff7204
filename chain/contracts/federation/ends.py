"""Attempts that come to nothing, waiting, ends, leaving the state. LC-FED-24, 27, 32, 34, 45 to 48."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from learningchain.chain.contracts.federation import formulas, records, store
from learningchain.chain.contracts.federation.records import (
    FEDERATIONS,
    EndReason,
    ExcludedAggregator,
    FederationServer,
    FederationsOf,
    FederationState,
    VoidReason,
)
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.host import STANDING, VERIFIERS, Host

# --- faults of aggregators (LC-FED-27) ------------------------------------------------------------------------------------------


def silence(federation: FederationContext, account: bytes) -> None:
    """Of an aggregator after Ready: a strike, and a failed and silent draw."""
    host = federation.host
    federation.emit("fed.silent", federation.record.r, federation.attempt.number, account)
    host.service(STANDING).strike(account, federation.sponsor, "aggregator.silent", federation.id)
    host.service(VERIFIERS).record_draw(account, federation.sponsor, bad=True, silent=True)


def unready(federation: FederationContext, account: bytes) -> None:
    """LC-FED-20: a failed and silent draw, once an hour: while it is down a sponsor can start attempt after attempt."""
    host, key = federation.host, records.serving_key(account)
    federation.emit("fed.silent", federation.record.r, federation.attempt.number, account)
    known = host.get(key, FederationServer)
    if known is not None:
        if known.unready and host.clock < known.unready + formulas.UNREADY_ONCE:
            return
        host.put(key, replace(known, unready=host.clock))
    host.service(VERIFIERS).record_draw(account, federation.sponsor, bad=True, silent=True)


def differs(federation: FederationContext, account: bytes) -> None:
    federation.emit("fed.differs", federation.record.r, federation.attempt.number, account)
    federation.host.service(VERIFIERS).record_draw(account, federation.sponsor, bad=True, silent=False)


def exclude(federation: FederationContext, accounts: Iterable[bytes]) -> None:
    """LC-FED-24, 33"""
    for account in accounts:
        if not federation.is_excluded(account):
            now = federation.record
            federation.host.put(records.excluded_key(federation.id, account), ExcludedAggregator(now.starts))
            federation.change(kept=now.kept + 1)
        federation.emit("fed.excluded", account)


def pay_fees(federation: FederationContext, accounts: Iterable[bytes]) -> None:
    """LC-FED-32"""
    host, fee, escrow = federation.host, federation.terms.fee, records.fee_escrow(federation.id)
    for account in accounts:
        host.pay(escrow, account, fee, "fed.aggregator", federation.id)
        host.service(VERIFIERS).record_draw(account, federation.sponsor, bad=False, silent=False)


# --- ends -----------------------------------------------------------------------------------------------------------------------


def void(federation: FederationContext, why: VoidReason) -> None:
    """LC-FED-34: the same r."""
    federation.emit("fed.void", federation.record.r, federation.attempt.number, why)
    idle(federation)


def idle(federation: FederationContext) -> None:
    """LC-FED-45: wait for the sponsor, where starts are left."""
    federation.drop_attempt()
    federation.change(pair=[])
    terms, now = federation.terms, federation.record
    if now.starts == formulas.most_starts(terms.rounds):
        end(federation, EndReason.ROUNDS)
        return
    at = min(federation.host.clock + terms.pace_ms, terms.ends)
    federation.enter_until(FederationState.IDLE, at)
    federation.emit("fed.idle", now.r, now.starts, at)


def end(federation: FederationContext, why: EndReason) -> None:
    """LC-FED-46: what is unpaid goes back to the sponsor; the records stay for a while."""
    host, posting, id_ = federation.host, federation.posting, federation.id
    for escrow, reason in (
        (records.bounty_escrow(id_), "fed.bounty.back"),
        (records.fee_escrow(id_), "fed.fees.back"),
    ):
        host.pay(escrow, posting.sponsor, host.escrowed(escrow), reason, id_)
    federation.drop_attempt()
    federation.enter(FederationState.END, federation.params.fed_keep)
    now = federation.record
    left = len(federation.members()) + now.kept
    federation.change(end=why, ended=host.clock, left=left, pair=[])
    host.delete(records.live_key(id_))
    own = store.must(host.get(records.root_key(posting.root), FederationsOf), "root that is counted", id_)
    if own.live == 1:
        host.delete(records.root_key(posting.root))
    else:
        host.put(records.root_key(posting.root), FederationsOf(own.live - 1))
    store.count(host, ended=store.totals(host).ended + 1)
    federation.emit("fed.ended", why, now.best, now.paid)


LEAVING = (records.MEMBERS_OF, records.SAT, records.EXCLUDED, records.SETS)


def drop(federation: FederationContext) -> None:
    """LC-FED-48: some records a deadline, and with the last of them the federation."""
    host, most = federation.host, federation.params.fed_dropped
    left = federation.record.left - most
    for prefix in LEAVING:
        most -= _delete(host, prefix + federation.id, most)
    if left > 0:
        federation.enter_until(FederationState.END, host.clock + 1)
        federation.change(left=left)
        return
    _delete(host, records.ROUNDS + federation.id, formulas.KEPT_ROUNDS + 1)
    posting = federation.posting
    federation.stop()
    for key in (
        records.federation_key(federation.id),
        records.posting_key(federation.id),
        FEDERATIONS.key(posting.number),
        *([records.cell_key(federation.id)] if formulas.has_cells(posting.terms) else ()),
    ):
        host.delete(key)
    store.count(host, left=store.totals(host).left + 1)
    federation.emit("fed.gone", posting.sponsor)


def _delete(host: Host, prefix: bytes, most: int) -> int:
    keys = [key for key, _ in host.store.scan(prefix, most)] if most else []
    for key in keys:
        host.delete(key)
    return len(keys)


def give_back(federation: FederationContext) -> None:
    """LC-FED-50: the validators end what was parked, or a restart what cannot go on beside another chain's blocks."""
    if federation.record.state != FederationState.END:
        end(federation, EndReason.GIVEN_BACK)
        return
    federation.enter(FederationState.END, 1)
