"""How servers leave a model, and how a model ends: retired, let go by its servers, left by its last result. LC-PRE-10 to 15.

    LIVE --retire--> RETIRED --pump: 64 requests that wait fail, 64 servers leave--> deposit back --last result dropped--> gone

Whatever retires a model only marks it: the pump does the rest, page by page, and is weighed for it (LC-BLK-31).
"""

from __future__ import annotations

from learningchain.chain.contracts.prediction import formulas, records
from learningchain.chain.contracts.prediction.records import NUMBER, LeftServer, ModelState, NamedModel, OwnerRecord, RetireReason
from learningchain.chain.contracts.prediction.store import ModelContext, must
from learningchain.chain.host import Host
from learningchain.chain.host.deadlines import Deadline

BURNS = (RetireReason.RECORD, RetireReason.BAN)
"""Why the deposit burns."""

# --- servers -------------------------------------------------------------------------------------------------------------------


def let_go(model: ModelContext, account: bytes) -> bool:
    """LC-PRE-10, 59: a server that leaves gets its stake back with its last seat; a banned one's burns. Whether it is gone."""
    host, known = model.host, model.server(account)
    if known is None or known.unfinal or not model.is_leaving(account, known):
        return False
    host.pay(records.stake_escrow(model.id, account), account, model.stake(account), "stake.back", model.id)
    host.delete(records.server_key(model.id, account))
    host.delete(records.served_key(account, model.id))
    model.put_servers([one for one in model.servers if one != account])
    if model.is_live and (known.silent or any(entry.bad for entry in known.record)):
        left = LeftServer(account, known.since, known.silent, known.record)
        model.put_left([*model.left, left][-records.MOST_LEFT :])
    host.emit("server.left", model.id, account)
    return True


def unpin(model: ModelContext, account: bytes) -> None:
    """A seat of a request that has ended is no longer counted."""
    known = must(model.server(account), "server that has a seat", model.id)
    model.change_server(account, unfinal=known.unfinal - 1)
    let_go(model, account)


# --- models --------------------------------------------------------------------------------------------------------------------


def retire(model: ModelContext, why: RetireReason) -> None:
    """LC-PRE-11: nothing is drawn any more."""
    if not model.is_live:
        return
    host, owner = model.host, model.owner
    model.change(state=ModelState.RETIRED)
    live = must(host.get(records.owner_key(owner), OwnerRecord), "record of its owner", model.id).live - 1
    if live:
        host.put(records.owner_key(owner), OwnerRecord(live))
    else:
        host.delete(records.owner_key(owner))
    host.delete(records.owned_key(owner, model.id))
    host.delete(records.left_key(model.id))
    host.emit("model.retired", model.id, owner, why)
    if why in BURNS:
        host.burn(records.deposit_escrow(model.id), model.deposit, "model.deposit.burned", model.id)
    model.wake()


def let_servers_go(model: ModelContext) -> bool:
    """A page of the servers of a retired model. Whether there are more that could go at once."""
    idle = [account for account in model.servers if not must(model.server(account), "server", model.id).unfinal]
    for account in idle[: formulas.PUMP_RETIRED]:
        let_go(model, account)
    return len(idle) > formulas.PUMP_RETIRED


def close(model: ModelContext) -> None:
    """LC-PRE-11, 14, 15: a retired model with nothing that goes on: what is left of the royalty is shared, the deposit goes
    back, and with its last result it is gone."""
    now = model.standing
    if model.is_live or now.waiting or now.running or model.servers:
        return
    host = model.host
    share_royalty(model)
    if shares := model.record.terms.shares:
        rest = records.royalty_escrow(model.id)
        host.pay(rest, shares[0].account, host.escrowed(rest), "royalty.share", model.id)
    host.pay(records.deposit_escrow(model.id), model.owner, model.deposit, "model.deposit", model.id)
    if not now.kept:
        _leave(model)


def _leave(model: ModelContext) -> None:
    host, record = model.host, model.record
    Deadline(host, NUMBER, model.id, record.owner).clear(model.standing.pump)
    name = records.name_key(record.owner, record.terms.name)
    named = host.get(name, NamedModel)
    if named is not None and named.model == model.id:
        host.delete(name)
    for key in (records.standing_key(model.id), records.model_key(model.id), records.live_key(model.id)):
        host.delete(key)
    host.emit("model.left", model.id, record.owner)


def share_royalty(model: ModelContext) -> None:
    """LC-PRE-14: what came since the last time goes to those who share it."""
    host, shares, escrow = model.host, model.record.terms.shares, records.royalty_escrow(model.id)
    held = host.escrowed(escrow)
    if not held:
        return
    parts, carried = formulas.shared(held, model.standing.carried, [share.weight for share in shares])
    if not sum(parts) and carried == model.standing.carried:
        return
    for share, part in zip(shares, parts, strict=True):
        host.pay(escrow, share.account, part, "royalty.share", model.id)
    model.change(carried=carried)
    host.emit("royalty.shared", model.id, sum(parts))


# --- bans ----------------------------------------------------------------------------------------------------------------------


BANNED_PAGE = 64


def on_banned(host: Host, account: bytes) -> None:
    """LC-PRE-13: what it owned and served is gone through by a deadline, in pages."""
    host.schedule(host.clock, NUMBER, account, account)


def go_through(host: Host, account: bytes) -> None:
    """LC-PRE-13: the next models of a banned owner retire, and it leaves the next ones that it served; where there are more, so do
    those in the next block. A stake burns with the last seat (LC-PRE-10)."""
    if not host.is_banned(account):
        return
    owned, served = _listed(host, b"po/" + account), _listed(host, b"pj/" + account)
    for model in owned[:BANNED_PAGE]:
        retire(ModelContext(host, model), RetireReason.BAN)
    for model in served[:BANNED_PAGE]:
        leave_banned(ModelContext(host, model), account)
    if max(len(owned), len(served)) > BANNED_PAGE:
        on_banned(host, account)


def _listed(host: Host, prefix: bytes) -> list[bytes]:
    return [key[len(prefix) :] for key, _ in host.store.scan(prefix, BANNED_PAGE + 1)]


def leave_banned(model: ModelContext, account: bytes) -> None:
    """Off its list at once: what is left of it there hangs on its seats."""
    model.change_server(account, leaving=True)
    model.host.delete(records.served_key(account, model.id))
    model.host.emit("server.leaving", model.id, account)
    if let_go(model, account):
        close(model)


def give_back(model: ModelContext) -> None:
    """LC-PRE-54: a parked model is retired; its deposit goes back as ever. The deadline of its pump went with what was parked."""
    model.change(pump=Deadline(model.host, NUMBER, model.id, model.owner).clear(model.standing.pump))
    retire(model, RetireReason.GIVEN_BACK)
    model.wake()
