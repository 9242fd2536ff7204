"""OpenFederation (LC-FED-7 to LC-FED-9)."""

from __future__ import annotations

from typing import Any

from tests.conformance import federation_rules as rules
from tests.conformance import membership
from tests.conformance.checks import check, step
from tests.conformance.federation_cells import check_terms as check_cell
from tests.conformance.federation_ends import TOTALS, idle, totals
from tests.conformance.federation_members import the_sender_is_active
from tests.conformance.federation_state import (
    IDLE,
    KRUM,
    MEAN,
    MEDIAN,
    OPEN_SUMS,
    SECRET_SUMS,
    TRIMMED,
    Now,
    Params,
    Terms,
    Work,
    able,
    least_able,
)
from tests.conformance.job_posts import LIMITS, is_cid, is_named_by_its_content
from tests.conformance.keys import tagged
from tests.conformance.ledger import State, burn, lock

LARGEST = 10**18


@check("LC-FED-9", 534)
def the_sender_stands(s: State, sender: bytes) -> bool:
    return membership.stands(s, sender)


@check("LC-FED-7", 501)
def a_bounty_is_1_to_10_15(t: Terms) -> bool:
    return 1 <= t.bounty <= 10**15


@check("LC-FED-7", 501)
def u_is_at_least_the_least_one(t: Terms, rate: int) -> bool:
    return t.u >= rules.least_fee(t.eval_s, t.cpus_milli, t.max_members, t.measured_size, rate)


@check("LC-FED-7", 501)
def u_is_at_most_10_9(t: Terms) -> bool:
    return t.u <= 10**9


@check("LC-FED-7", 501)
def rounds_are_1_to_1000(t: Terms) -> bool:
    return 1 <= t.rounds <= 1_000


@check("LC-FED-7", 501)
def the_float_kind_is_1_or_2(t: Terms) -> bool:
    return t.float_kind in (1, 2)


@check("LC-FED-7", 501)
def a_tol_is_at_most_10_18(t: Terms) -> bool:
    return 0 <= t.tol <= LARGEST


@check("LC-FED-7", 501)
def a_round_lasts_from_10_s(t: Terms, p: Params) -> bool:
    return 10_000 <= t.round_ms <= p.longest


@check("LC-FED-7", 501)
def the_pace_is_within_bounds(t: Terms, p: Params) -> bool:
    return p.least <= t.pace_ms <= p.longest


@check("LC-FED-7", 501)
def it_ends_neither_soon_nor_late(t: Terms, p: Params, clock: int) -> bool:
    return p.least <= t.ends - clock <= p.longest


@check("LC-FED-7", 501)
def min_members_are_2_to_max_members(t: Terms) -> bool:
    return 2 <= t.min_members <= t.max_members


@check("LC-FED-7", 501)
def max_members_are_at_most_128(t: Terms) -> bool:
    return t.max_members <= 128


@check("LC-FED-7", 501)
def min_sum_is_from_2_and_in_open_from_1_to_min_members(t: Terms) -> bool:
    return (1 if t.secrecy == OPEN_SUMS else 2) <= t.min_sum <= t.min_members


@check("LC-FED-7", 501)
def secrecy_is_one_of_two(t: Terms) -> bool:
    return t.secrecy in (SECRET_SUMS, OPEN_SUMS)


@check("LC-FED-7", 501)
def the_rule_is_one_of_the_secrecy_s(t: Terms) -> bool:
    return t.rule in ((MEAN, KRUM, TRIMMED, MEDIAN) if t.secrecy == OPEN_SUMS else (MEAN, KRUM))


@check("LC-FED-7", 501)
def the_split_is_one_of_three(t: Terms) -> bool:
    return t.split in (rules.EQUAL, rules.SAMPLES, rules.ALIGNED) or t.has_cells


@check("LC-FED-7", 501)
def aligned_needs_a_reference(t: Terms) -> bool:
    return t.split != rules.ALIGNED or bool(t.reference)


@check("LC-FED-7", 501)
def a_clip_is_10_to_2_50(t: Terms) -> bool:
    return 10 <= t.clip <= rules.LARGEST_CLIP


@check("LC-FED-7", 501)
def patience_is_1_to_5(t: Terms) -> bool:
    return 1 <= t.patience <= 5


@check("LC-FED-7", 501)
def dp_milli_is_at_most_8000(t: Terms) -> bool:
    return 0 <= t.dp_milli <= 8_000


@check("LC-FED-7", 501)
def noise_is_for_secret_sums_that_are_not_aligned(t: Terms) -> bool:
    return not t.dp_milli or (t.secrecy == SECRET_SUMS and t.split != rules.ALIGNED)


@check("LC-FED-7", 501)
def limits_are_as_in_jobs(t: Terms) -> bool:
    return all(low <= value <= high for value, (low, high) in zip(t.limits, LIMITS, strict=True))


@check("LC-FED-7", 501)
def the_image_is_as_in_jobs(t: Terms) -> bool:
    return 1 <= t.image[4] <= 2**36 and is_named_by_its_content(t.image)


@check("LC-FED-7", 501)
def the_architecture_of_a_federation_is_known(t: Terms) -> bool:
    return t.arch in (1, 2)


@check("LC-FED-7", 501)
def params_of_a_federation_are_short(t: Terms) -> bool:
    return len(t.params.encode()) <= 8_192


@check("LC-FED-7", 501)
def a_hidden_file_has_a_name_and_a_possible_size(t: Terms) -> bool:
    return all(is_cid(cid) and 1 <= size <= 2**34 for cid, _, _, size in t.hidden)


@check("LC-FED-7", 501)
def a_schema_has_a_name_or_is_none(t: Terms) -> bool:
    return not t.schema or is_cid(t.schema)


@check("LC-FED-8", 502)
def dims_are_1_to_2_28(t: Terms) -> bool:
    return 1 <= t.dims <= 2**28


@check("LC-FED-8", 502)
def a_model_has_a_header(t: Terms) -> bool:
    return t.size - 4 * t.dims > 8


@check("LC-FED-8", 502)
def a_header_is_at_most_so_long(t: Terms) -> bool:
    return t.size - 4 * t.dims <= 262_152


@check("LC-FED-8", 502)
def a_model_has_a_name(t: Terms) -> bool:
    return is_cid(t.model)


@check("LC-FED-8", 503)
def the_target_is_within_bounds(t: Terms) -> bool:
    return abs(t.target) < LARGEST


@check("LC-FED-54", 538)
def enough_serve_that_are_able(s: State, sender: bytes, t: Terms) -> bool:
    return len(able(s, sender, t)) >= least_able(s, sender, t)


@check("LC-FED-9", 532)
def the_sender_s_root_has_not_too_many(own: int, p: Params) -> bool:
    return own < p.live


@check("LC-FED-9", 1)
def what_is_locked_is_free(s: State, sender: bytes, amount: int) -> bool:
    account = s.account(sender)
    return account is not None and account.balance >= amount


@step("LC-FED-9")
def the_price_burns(s: State, federation: bytes, price: int) -> None:
    burn(s, federation + b"fF", price, "fed.kept", federation)


def _check_terms(s: State, sender: bytes, t: Terms, p: Params) -> None:
    the_sender_is_active(s, sender)
    the_sender_stands(s, sender)
    a_bounty_is_1_to_10_15(t)
    u_is_at_least_the_least_one(t, p.rate)
    u_is_at_most_10_9(t)
    rounds_are_1_to_1000(t)
    the_float_kind_is_1_or_2(t)
    a_tol_is_at_most_10_18(t)
    a_round_lasts_from_10_s(t, p)
    the_pace_is_within_bounds(t, p)
    it_ends_neither_soon_nor_late(t, p, s.clock)
    min_members_are_2_to_max_members(t)
    max_members_are_at_most_128(t)
    min_sum_is_from_2_and_in_open_from_1_to_min_members(t)
    secrecy_is_one_of_two(t)
    the_rule_is_one_of_the_secrecy_s(t)
    check_cell(t)
    the_split_is_one_of_three(t)
    aligned_needs_a_reference(t)
    a_clip_is_10_to_2_50(t)
    patience_is_1_to_5(t)
    dp_milli_is_at_most_8000(t)
    noise_is_for_secret_sums_that_are_not_aligned(t)
    limits_are_as_in_jobs(t)
    the_image_is_as_in_jobs(t)
    the_architecture_of_a_federation_is_known(t)
    params_of_a_federation_are_short(t)
    a_hidden_file_has_a_name_and_a_possible_size(t)
    a_schema_has_a_name_or_is_none(t)
    dims_are_1_to_2_28(t)
    a_model_has_a_header(t)
    a_header_is_at_most_so_long(t)
    a_model_has_a_name(t)
    the_target_is_within_bounds(t)


def open_federation(s: State, sender: bytes, terms: list[Any]) -> None:
    """LC-FED-9"""
    t, p = Terms(*terms), Params(*s.get(b"gp5/"))
    _check_terms(s, sender, t, p)
    enough_serve_that_are_able(s, sender, t)
    root = membership.root_of(s, sender)
    live = (s.get(b"fl/" + root) or [0])[0]
    the_sender_s_root_has_not_too_many(live, p)
    fees, price = rules.fees(t.u, t.rounds), rules.price(t.params, t.max_members, t.rounds, p.rate, t.has_cells)
    what_is_locked_is_free(s, sender, t.bounty + fees + price)
    federation = tagged("lc/federation", s.tx, bytes([s.op]))
    lock(s, sender, federation + b"fB", t.bounty, "fed.bounty.locked", federation)
    lock(s, sender, federation + b"fF", fees + price, "fed.fees.locked", federation)
    the_price_burns(s, federation, price)
    opened, ended, left = totals(s)
    s.put(TOTALS, [opened + 1, ended, left])
    s.put(b"fl/" + root, [live + 1])
    s.put(b"fn/" + opened.to_bytes(8, "big"), [federation])
    s.put(b"f/" + federation, [opened])
    s.put(b"fp/" + federation, [sender, root, opened, s.clock, terms])
    nothing = Now(IDLE, 0, 0, 0, 0, t.clip, 0, t.model, b"", 0, 0, b"", 0, 0, 0, b"", 0, [], b"", b"", [], 0, 0, 0, 0)
    s.put(b"fb/" + federation, nothing.told())
    if t.has_cells:
        s.put(b"fh/" + federation, [0, [], [], [], [], [], [], 0, []])
    s.noted("fed.opened", federation, sender, t.bounty, t.u, t.target, t.rounds, t.ends)
    work = Work(s, federation)
    idle(work)
    work.save()
