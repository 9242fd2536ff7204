"""Models, servers, shares and policies of predictions (LC-PRE-6 to LC-PRE-15, 43, 49)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from tests.conformance import federation_state, membership
from tests.conformance import prediction_rules as rules
from tests.conformance.checks import check, part, register, step
from tests.conformance.job_posts import is_cid, is_named_by_its_content
from tests.conformance.job_state import PAID, Terms
from tests.conformance.keys import tagged
from tests.conformance.ledger import ACTIVE, State, burn, cancel, escrowed, lock, parked, pay, schedule
from tests.conformance.prediction_state import (
    CONTRACT,
    LIVE,
    OF_MODEL,
    OF_POLICY,
    RETIRED,
    Model,
    ModelTerms,
    ModelWork,
    Policy,
    Program,
    Server,
    Standing,
    count,
    params,
    totals,
)

BY_OWNER, BY_RECORD, BY_BAN, BY_DEPOSIT, BY_GIVING_BACK = range(1, 6)
"""Why a model retires."""
INDEXES, BEST_MODEL, BEST_ROUND, END_OF_FEDERATION = 6, 11, 12, 22
"""Places in a FederationRecord."""
INDEX_OF_MEMBER, PAID_TO_MEMBER, ABANDONED = 4, 8, 8
"""Of a FederationMember; why a federation ended."""


# --- guards ---------------------------------------------------------------------------------------------------------------------


@check("LC-BLK-20", 6)
def the_model_is_not_parked(s: State, model: bytes) -> bool:
    return parked(s, CONTRACT, model) is None


@check("LC-PRE-8", 400)
def there_is_such_a_model(s: State, model: bytes) -> bool:
    return s.get(b"pm/" + model) is not None


@check("LC-PRE-8", 406)
def the_sender_is_the_owner(model: ModelWork, sender: bytes) -> bool:
    return model.owner == sender


@check("LC-PRE-8", 407)
def the_model_is_live(model: ModelWork) -> bool:
    return model.standing.state == LIVE


@check("LC-PRE-7", 410)
def the_sender_is_active(s: State, sender: bytes) -> bool:
    account = s.account(sender)
    return account is not None and account.status == ACTIVE


@check("LC-PRE-7", 411)
def the_sender_stands(s: State, sender: bytes) -> bool:
    return membership.stands(s, sender)


@check("LC-PRE-7", 1)
def what_is_locked_is_free(s: State, sender: bytes, amount: int) -> bool:
    account = s.account(sender)
    return account is not None and account.balance >= amount


def load_model(s: State, model: bytes) -> ModelWork:
    the_model_is_not_parked(s, model)
    there_is_such_a_model(s, model)
    if s.get(b"pm/" + model) is None:
        raise membership.Disappeared(model)
    return ModelWork(s, model)


# --- terms: LC-PRE-49 -----------------------------------------------------------------------------------------------------------


@check("LC-PRE-49", 403)
def the_kind_has_its_classes(kind: int, classes: int) -> bool:
    return (kind == 1 and 2 <= classes <= 65_536) or (kind == 2 and classes == 0)


@check("LC-PRE-49", 403)
def tolerance_is_within_bounds(tol: int) -> bool:
    return 1 <= tol <= 10**15


@check("LC-PRE-49", 403)
def prices_are_within_bounds(royalty: int, floor: int) -> bool:
    return royalty <= 10**12 and 1 <= floor <= 10**12


@check("LC-PRE-49", 403)
def numbers_of_a_model_are_within_bounds(m: ModelTerms) -> bool:
    bounds = ((m.slots, 64), (m.max_rows, 256), (m.input_cap, 8 * 2**20), (m.row_ms, 60_000), (m.start_s, 600))
    return all(1 <= value <= most for value, most in bounds)


@check("LC-PRE-49", 403)
def a_share_has_a_weight(weight: int) -> bool:
    return 1 <= weight <= 2**32 - 1


@check("LC-PRE-49", 2)
def a_share_is_that_of_an_account(s: State, account: bytes) -> bool:
    return s.account(account) is not None


@check("LC-PRE-49", 403)
def a_sample_comes_with_its_answers(m: ModelTerms) -> bool:
    return bool(m.sample) == bool(m.sample_answers)


@check("LC-PRE-49", 403)
def contents_of_a_model_have_names(m: ModelTerms) -> bool:
    return all(not cid or is_cid(cid) for cid in (m.schema, m.sample, m.sample_answers))


@check("LC-PRE-49", 403)
def a_model_is_of_a_job_or_has_a_program(m: ModelTerms) -> bool:
    return len(m.source) + len(m.program) == 1


PROGRAM = ((10, 1_024_000), (6, 4_194_304), (0, 4_194_304), (1, 4_096))


@check("LC-PRE-49", 403)
def a_program_is_as_in_jobs(program: Program) -> bool:
    given = (program.cpus_milli, program.mem_mb, program.tmp_mb, program.threads)
    limits = all(low <= value <= high for value, (low, high) in zip(given, PROGRAM, strict=True))
    sizes = 1 <= program.size <= 2**34 and 1 <= program.image[4] <= 2**36 and len(program.params.encode()) <= 8_192
    return limits and sizes and program.arch in (1, 2) and is_cid(program.model) and is_named_by_its_content(program.image)


@check("LC-PRE-7", 404)
def a_name_has_1_to_64_plain_characters(name: str) -> bool:
    return 1 <= len(name) <= 64 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


@check("LC-PRE-7", 400)
def the_previous_one_is_a_model(s: State, previous: list[bytes]) -> bool:
    return all(s.get(b"pm/" + model) is not None for model in previous)


@check("LC-PRE-7", 406)
def the_previous_one_is_the_sender_s(s: State, previous: list[bytes], sender: bytes) -> bool:
    return all((s.get(b"pm/" + model) or [sender])[0] == sender for model in previous)


@check("LC-PRE-7", 405)
def the_source_is_the_sender_s_to_offer(s: State, source: list[bytes], sender: bytes) -> bool:
    return all(_is_a_paid_job(s, one, sender) or _ended_with_a_model(s, one, sender) for one in source)


def _is_a_paid_job(s: State, job: bytes, sender: bytes) -> bool:
    posting, state = s.get(b"jp/" + job), s.get(b"jb/" + job)
    return posting is not None and state is not None and posting[0] == sender and state[0] == PAID


def _ended_with_a_model(s: State, federation: bytes, sender: bytes) -> bool:
    """LC-FED-53"""
    posting, now = s.get(b"fp/" + federation), s.get(b"fb/" + federation)
    if posting is None or now is None or not now[END_OF_FEDERATION] or not now[BEST_ROUND]:
        return False
    if sum(record[INDEX_OF_MEMBER] > 0 for record in _members(s, federation).values()) < now[INDEXES]:
        return False
    member = s.get(b"fm/" + federation + sender)
    paid = member is not None and member[PAID_TO_MEMBER] > 0
    return posting[0] == sender or (now[END_OF_FEDERATION] == ABANDONED and paid)


@check("LC-PRE-7", 403)
def the_owners_share_what_they_trained(s: State, m: ModelTerms) -> bool:
    return all(list(m.shares) == _by_pay(s, one) for one in m.source if s.get(b"fp/" + one) is not None)


def _by_pay(s: State, federation: bytes) -> list[list[Any]]:
    """LC-FED-53"""
    pay = {account: record[PAID_TO_MEMBER] for account, record in _members(s, federation).items() if record[PAID_TO_MEMBER]}
    top = max(pay.values(), default=0)
    return [[account, max(pay[account] * (2**32 - 1) // top, 1)] for account in sorted(pay)]


def _members(s: State, federation: bytes) -> dict[bytes, Any]:
    start = b"fm/" + federation
    return {key[len(start) :]: s.get(key) for key in s.records if key.startswith(start)}


@check("LC-PRE-7", 409)
def an_owner_has_not_too_many_models(live: int, most: int) -> bool:
    return live < most


def _program(s: State, m: ModelTerms) -> list[Any]:
    """Of the message, that of the job's winner, or of the federation's best model."""
    if m.program:
        return m.program[0]
    federation = s.get(b"fb/" + m.source[0])
    if federation is not None:
        trained = federation_state.Terms(*s.get(b"fp/" + m.source[0])[4])
        cpus, mem, _, _, _, tmp, threads = trained.limits
        of = [trained.image, trained.arch, trained.params, federation[BEST_MODEL], trained.size]
        return [*of, cpus, mem, tmp, threads]
    job = s.get(b"jb/" + m.source[0])
    terms = Terms(*s.get(b"jp/" + m.source[0])[3][1:])
    claim = s.get(b"jc/" + m.source[0] + job[16][0].to_bytes(4, "big"))
    cpus, mem, _, _, _, tmp, threads = terms.limits
    return [terms.image, terms.arch, terms.params, claim[10], claim[11], cpus, mem, tmp, threads]


def register_model(s: State, sender: bytes, *fields: Any) -> None:
    """LC-PRE-7"""
    m = ModelTerms(*fields)
    the_sender_is_active(s, sender)
    the_sender_stands(s, sender)
    the_kind_has_its_classes(m.kind, m.classes)
    tolerance_is_within_bounds(m.tol)
    prices_are_within_bounds(m.royalty, m.floor)
    numbers_of_a_model_are_within_bounds(m)
    a_model_is_of_a_job_or_has_a_program(m)
    for program in m.program:
        a_program_is_as_in_jobs(Program(*program))
    contents_of_a_model_have_names(m)
    a_sample_comes_with_its_answers(m)
    for account, weight in m.shares:
        a_share_has_a_weight(weight)
        a_share_is_that_of_an_account(s, account)
    a_name_has_1_to_64_plain_characters(m.name)
    the_previous_one_is_a_model(s, m.previous)
    the_previous_one_is_the_sender_s(s, m.previous, sender)
    the_source_is_the_sender_s_to_offer(s, m.source, sender)
    the_owners_share_what_they_trained(s, m)
    p = params(s)
    an_owner_has_not_too_many_models((s.get(b"px/" + sender) or [0])[0], p.models)
    what_is_locked_is_free(s, sender, p.deposit)
    model = tagged("lc/model", s.tx, bytes([s.op]))
    lock(s, sender, model + b"pM", p.deposit, "model.deposit.locked", model)
    own = totals(s).models
    s.put(b"pt/", totals(s)._replace(models=own + 1))
    s.put(b"pm/" + model, Model(sender, own, s.clock, _program(s, m), [128, *m._replace(program=[])]))
    s.put(b"ps/" + model, Standing(LIVE, m.royalty, m.floor, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, []))
    s.put(b"pz/" + model, [OF_MODEL, own])
    s.put(b"po/" + sender + model, [own])
    count(s, b"px/" + sender, 0, 1)
    s.put(b"ph/" + sender + m.name.encode(), [model])
    s.noted("model.registered", model, sender, m.name, m.royalty, m.floor)


# --- prices: LC-PRE-8 -----------------------------------------------------------------------------------------------------------

RISES_LATER = 3_600_000


@check("LC-PRE-8", 408)
def the_price_last_set_is_the_expected_one(now: Standing, royalty: int, floor: int) -> bool:
    last = (now.coming_royalty, now.coming_floor) if now.coming_at else (now.royalty, now.floor)
    return last == (royalty, floor)


@check("LC-PRE-8", 403)
def a_new_price_is_within_bounds(royalty: int, floor: int) -> bool:
    return royalty <= 10**12 and 1 <= floor <= 10**12


def set_price(s: State, sender: bytes, model_id: bytes, old_royalty: int, old_floor: int, royalty: int, floor: int) -> None:
    """LC-PRE-8"""
    model = load_model(s, model_id)
    the_sender_is_the_owner(model, sender)
    the_model_is_live(model)
    the_price_last_set_is_the_expected_one(model.standing, old_royalty, old_floor)
    a_new_price_is_within_bounds(royalty, floor)
    in_force = model.price
    coming = (royalty, floor, s.clock + RISES_LATER) if floor > in_force[1] else (0, 0, 0)
    if not coming[2]:
        in_force = (royalty, floor)
    fields = ("royalty", "floor", "coming_royalty", "coming_floor", "coming_at")
    model.set(**dict(zip(fields, (*in_force, *coming), strict=True)))
    model.noted("model.price", royalty, floor, coming[2] or s.clock)


# --- servers: LC-PRE-9, 10 ------------------------------------------------------------------------------------------------------


@check("LC-PRE-9", 412)
def who_serves_has_the_flag(s: State, sender: bytes) -> bool:
    return membership.member_of(s, sender).verifier


@check("LC-PRE-9", 437)
def who_serves_has_a_box_key(s: State, sender: bytes) -> bool:
    return bool(membership.member_of(s, sender).box_key)


@check("LC-PRE-9", 415)
def who_serves_is_not_leaving(server: Server | None) -> bool:
    return server is None or not server.leaving


@check("LC-PRE-9", 414)
def there_is_room_for_a_server(model: ModelWork, server: Server | None, most: int) -> bool:
    return server is not None or len(model.servers) < most


@check("LC-PRE-9", 413)
def the_stake_is_large_enough(stake: int, least: int) -> bool:
    return stake >= least


@check("LC-PRE-9", 413)
def a_stake_is_at_most_10_15(stake: int) -> bool:
    return stake <= 10**15


def serve(s: State, sender: bytes, model_id: bytes, amount: int) -> None:
    """LC-PRE-9"""
    model = load_model(s, model_id)
    the_model_is_live(model)
    the_sender_is_active(s, sender)
    who_serves_has_the_flag(s, sender)
    the_sender_stands(s, sender)
    who_serves_has_a_box_key(s, sender)
    known = model.server(sender)
    who_serves_is_not_leaving(known)
    p = params(s)
    there_is_room_for_a_server(model, known, p.servers)
    stake = model.stake_of(sender) + amount
    the_stake_is_large_enough(stake, rules.least_stake(p.stake, model.highest_floor))
    a_stake_is_at_most_10_15(stake)
    what_is_locked_is_free(s, sender, amount)
    lock(s, sender, model.stake(sender), amount, "stake.served", model_id)
    if known is None:
        model.set_servers([*model.servers, sender])
        s.put(b"pj/" + sender + model_id, [s.clock])
        model.set_server(sender, _as_it_left(model, sender))
    elif known.out or not known.awake:
        since = max(s.clock, known.since)
        model.set_server(sender, known._replace(since=since, awake=True, out=False, silent=(known.silent << 1) & LAST_SEATS))
    model.noted("server.joined", sender, stake)


LAST_SEATS = 2**32 - 1
REMEMBERED = register("LC-PRE-59: who comes back has the record that it left with")


def _as_it_left(model: ModelWork, account: bytes) -> Server:
    """LC-PRE-59"""
    s, key = model.s, b"pl/" + model.id
    left = s.get(key)[0] if s.get(key) else []
    own = [one for one in left if one[0] == account]
    if not own or not part(REMEMBERED):
        return Server(s.clock, True, False, False, 0, 0, [])
    _, since, silent, record = own[0]
    _put_left(model, [one for one in left if one[0] != account])
    return Server(max(s.clock, since), True, False, False, 0, (silent << 1) & LAST_SEATS, record)


def _put_left(model: ModelWork, left: list[Any]) -> None:
    if left:
        model.s.put(b"pl/" + model.id, [left])
    else:
        model.s.drop(b"pl/" + model.id)


@check("LC-PRE-10", 415)
def the_sender_serves(server: Server | None) -> bool:
    return server is not None


@check("LC-PRE-10", 415)
def who_stops_is_not_leaving_already(model: ModelWork, sender: bytes) -> bool:
    return not is_leaving(model, sender)


def unserve(s: State, sender: bytes, model_id: bytes) -> None:
    """LC-PRE-10"""
    model = load_model(s, model_id)
    server = model.server(sender)
    the_sender_serves(server)
    if server is None:
        raise membership.Disappeared(sender)
    who_stops_is_not_leaving_already(model, sender)
    leave(model, sender)


def is_leaving(model: ModelWork, account: bytes) -> bool:
    """LC-PRE-10, 11, 13: it said so, or the model is retired, or it is banned."""
    server = model.server(account)
    said = server is not None and server.leaving
    return said or model.standing.state != LIVE or membership.is_banned(model.s, account)


def leave(model: ModelWork, account: bytes) -> None:
    model.change_server(account, leaving=True)
    model.noted("server.leaving", account)
    go(model, account)


def go(model: ModelWork, account: bytes) -> bool:
    """LC-PRE-10: one that is leaving is gone once no seat of it is left."""
    s, server = model.s, model.server(account)
    if server is None or server.unfinal or not is_leaving(model, account):
        return False
    pay(s, model.stake(account), account, model.stake_of(account), "stake.back", model.id)
    s.drop(b"pk/" + model.id + account)
    s.drop(b"pj/" + account + model.id)
    model.set_servers([one for one in model.servers if one != account])
    if model.standing.state == LIVE and (server.silent or any(bad for _, bad, _ in server.record)):
        before = s.get(b"pl/" + model.id)
        left = [*(before[0] if before else []), [account, server.since, server.silent, server.record]]
        _put_left(model, left[-64:])
    model.noted("server.left", account)
    return True


# --- retirement: LC-PRE-11 to LC-PRE-13, 15 -------------------------------------------------------------------------------------


def retire_model(s: State, sender: bytes, model_id: bytes) -> None:
    """LC-PRE-11"""
    model = load_model(s, model_id)
    the_sender_is_the_owner(model, sender)
    the_model_is_live(model)
    retire(model, BY_OWNER)


def retire(model: ModelWork, reason: int) -> None:
    """LC-PRE-11 to LC-PRE-13: marked; the pump does the rest."""
    if model.standing.state != LIVE:
        return
    s = model.s
    model.set(state=RETIRED)
    count(s, b"px/" + model.owner, 0, -1)
    s.drop(b"po/" + model.owner + model.id)
    s.drop(b"pl/" + model.id)
    model.noted("model.retired", model.owner, reason)
    if reason in (BY_RECORD, BY_BAN):
        burn(s, model.id + b"pM", escrowed(s, model.id + b"pM"), "model.deposit.burned", model.id)
    model.wake_pump()


@step("LC-PRE-11")
def with_the_last_request_the_deposit_goes_back(model: ModelWork) -> None:
    pay(model.s, model.id + b"pM", model.owner, escrowed(model.s, model.id + b"pM"), "model.deposit", model.id)


def settle_retired(model: ModelWork) -> None:
    """LC-PRE-11, 15: what becomes of a retired model once nothing of it goes on any more."""
    now, s = model.standing, model.s
    if now.state != RETIRED or now.waiting or now.running or model.servers:
        return
    divide(model)
    if model.terms.shares:
        first, rest = model.terms.shares[0][0], model.id + b"pR"
        pay(s, rest, first, escrowed(s, rest), "royalty.share", model.id)
    with_the_last_request_the_deposit_goes_back(model)
    if now.kept:
        return
    if now.pump:
        cancel(s, model.owner, now.pump, CONTRACT, model.id)
    name = b"ph/" + model.owner + model.terms.name.encode()
    if s.get(name) == [model.id]:
        s.drop(name)
    for key in (b"ps/" + model.id, b"pm/" + model.id, b"pz/" + model.id):
        s.drop(key)
    s.noted("model.left", model.id, model.owner)


# --- bans: LC-PRE-13 ------------------------------------------------------------------------------------------------------------

PAGE = 64


def banned(s: State, account: bytes) -> None:
    """What it owned and served is gone through by a deadline."""
    schedule(s, account, s.clock, CONTRACT, account)


def _listed(s: State, prefix: bytes) -> list[bytes]:
    return sorted(key[len(prefix) :] for key in s.records if key.startswith(prefix))


def go_through(s: State, account: bytes) -> None:
    """LC-PRE-13"""
    if not membership.is_banned(s, account):
        return
    owned, served = _listed(s, b"po/" + account), _listed(s, b"pj/" + account)
    for model in owned[:PAGE]:
        retire(ModelWork(s, model), BY_BAN)
    for model in served[:PAGE]:
        _leave_banned(ModelWork(s, model), account)
    if max(len(owned), len(served)) > PAGE:
        banned(s, account)


def _leave_banned(model: ModelWork, account: bytes) -> None:
    model.change_server(account, leaving=True)
    model.s.drop(b"pj/" + account + model.id)
    model.noted("server.leaving", account)
    if go(model, account):
        settle_retired(model)


membership.ON_BAN.append(banned)

# --- royalties: LC-PRE-14 -------------------------------------------------------------------------------------------------------


def divide(model: ModelWork) -> None:
    held, carried = escrowed(model.s, model.id + b"pR"), model.standing.carried
    if not held:
        return
    parts, after = rules.split(held, carried, [weight for _, weight in model.terms.shares])
    if (sum(parts), after) == (0, carried):
        return
    for (account, _), amount in zip(model.terms.shares, parts, strict=True):
        pay(model.s, model.id + b"pR", account, amount, "royalty.share", model.id)
    model.set(carried=after)
    model.noted("royalty.shared", sum(parts))


# --- policies: LC-PRE-43 --------------------------------------------------------------------------------------------------------


class PolicyTerms(NamedTuple):
    model: bytes
    below: bool
    threshold: int
    rates: list[list[int]]
    least: int
    most: int


@check("LC-PRE-43", 436)
def a_policy_is_for_a_model_of_numbers(model: ModelWork) -> bool:
    return model.terms.kind == 2


@check("LC-PRE-43", 436)
def a_threshold_is_a_score(threshold: int) -> bool:
    return abs(threshold) <= 10**18


@check("LC-PRE-43", 436)
def rates_ascend_from_the_least_score(rates: list[list[int]]) -> bool:
    starts = [start for start, _ in rates]
    ascending = all(a < b for a, b in pairwise(starts))
    return 1 <= len(rates) <= 32 and starts[0] == -(10**18) and starts[-1] <= 10**18 and ascending


@check("LC-PRE-43", 436)
def a_rate_is_at_most_the_whole(rates: list[list[int]]) -> bool:
    return all(ppm <= 1_000_000 for _, ppm in rates)


@check("LC-PRE-43", 436)
def a_policy_needs_1_to_15(least: int) -> bool:
    return 1 <= least <= 15


def register_policy(s: State, sender: bytes, *fields: Any) -> None:
    """LC-PRE-43"""
    m = PolicyTerms(*fields)
    model = load_model(s, m.model)
    the_sender_is_active(s, sender)
    a_policy_is_for_a_model_of_numbers(model)
    a_threshold_is_a_score(m.threshold)
    rates_ascend_from_the_least_score(m.rates)
    a_rate_is_at_most_the_whole(m.rates)
    a_policy_needs_1_to_15(m.least)
    p = params(s)
    what_is_locked_is_free(s, sender, p.fee)
    policy, own = tagged("lc/policy", s.tx, bytes([s.op])), totals(s).policies
    s.put(b"pt/", totals(s)._replace(policies=own + 1))
    lock(s, sender, policy + b"pP", p.fee, "policy.locked", policy)
    due = s.clock + p.keep
    s.put(b"pp/" + policy, Policy(sender, own, s.clock, 0, due, [140, *fields]))
    s.put(b"pz/" + policy, [OF_POLICY, own])
    schedule(s, sender, due, CONTRACT, policy)
    s.noted("policy.registered", policy, m.model, sender)


def name_policy(s: State, policy_id: bytes, change: int) -> None:
    """A request that names it was posted (1) or ended (-1)."""
    policy = Policy(*s.get(b"pp/" + policy_id))
    if policy.due:
        cancel(s, policy.owner, policy.due, CONTRACT, policy_id)
    live = policy.live + change
    due = 0 if live else s.clock + params(s).keep
    if due:
        schedule(s, policy.owner, due, CONTRACT, policy_id)
    s.put(b"pp/" + policy_id, policy._replace(live=live, due=due))


def give_back_policy(s: State, policy_id: bytes) -> None:
    """LC-PRE-54"""
    if not Policy(*s.get(b"pp/" + policy_id)).live:
        drop_policy(s, policy_id)


def policy_due(s: State, policy_id: bytes, at: int) -> None:
    if Policy(*s.get(b"pp/" + policy_id)).due == at:
        drop_policy(s, policy_id)


def drop_policy(s: State, policy_id: bytes) -> None:
    """LC-PRE-43"""
    policy = Policy(*s.get(b"pp/" + policy_id))
    cancel(s, policy.owner, policy.due, CONTRACT, policy_id)
    pay(s, policy_id + b"pP", policy.owner, escrowed(s, policy_id + b"pP"), "policy.back", policy_id)
    s.drop(b"pp/" + policy_id)
    s.drop(b"pz/" + policy_id)
    s.noted("policy.left", policy_id, policy.owner)
