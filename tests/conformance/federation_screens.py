"""Parts, Screens, sums, and what aggregators earn (LC-FED-23 to LC-FED-33)."""

from __future__ import annotations

from typing import Any

from tests.conformance import federation_rules as rules
from tests.conformance.checks import check, step
from tests.conformance.federation_panels import begin_measuring
from tests.conformance.federation_rounds import (
    DISPUTE,
    NOT_FINITE,
    SPLIT,
    aggregator_of,
    is_silent,
    running,
    void,
)
from tests.conformance.federation_state import CELL_HOOKS, OF_ROWS, OF_SUMS, SCREEN, SUM, Aggregator, CellSeat, Work, bitmap, places
from tests.conformance.job_posts import is_cid

# --- guards ---------------------------------------------------------------------------------------------------------------------


@check("LC-FED-55", 511)
def it_has_no_cell(work: Work) -> bool:
    return not work.terms.has_cells


@check("LC-FED-23", 525)
def the_sender_is_deciding(work: Work, sender: bytes) -> bool:
    return sender in work.running.deciding


@check("LC-FED-23", 524)
def parts_are_of_rows_or_of_sums(stage: int) -> bool:
    return stage in (OF_ROWS, OF_SUMS)


@check("LC-FED-23", 537)
def parts_are_pinned_once(aggregator: Aggregator, stage: int) -> bool:
    return not aggregator.pins(stage)


@check("LC-FED-23", 524)
def parts_are_of_the_masks_that_it_knows(work: Work, aggregator: Aggregator, parts: list[list[Any]]) -> bool:
    return [mask for mask, _ in parts] == rules.masks(place_of(work, aggregator))


@check("LC-FED-25", 523)
def a_screen_comes_once(aggregator: Aggregator) -> bool:
    return not aggregator.screen


@check("LC-FED-31", 526)
def a_sum_comes_once(aggregator: Aggregator | CellSeat) -> bool:
    return not aggregator.sum


@check("LC-FED-25", 536)
def its_own_parts_are_pinned(aggregator: Aggregator, stage: int) -> bool:
    return bool(aggregator.pins(stage))


@check("LC-FED-25", 536)
def the_mask_that_it_does_not_know_is_pinned(work: Work, aggregator: Aggregator, stage: int) -> bool:
    lacking = place_of(work, aggregator)
    return any(lacking in rules.masks(place_of(work, other)) for other in deciding_of(work) if other.pins(stage))


@check("LC-FED-25", 524)
def there_is_a_code_for_each_file(codes: bytes, files: int) -> bool:
    return len(codes) == files and all(1 <= code <= 8 for code in codes)


@check("LC-FED-25", 524)
def away_are_exactly_those_that_not_all_have(codes: bytes, common: frozenset[int]) -> bool:
    return all((code == rules.AWAY) == (at not in common) for at, code in enumerate(codes))


@check("LC-FED-25", 524)
def a_norm_is_within_bounds(norm: int) -> bool:
    return 1 <= norm <= 2 * rules.CQ


@check("LC-FED-25", 524)
def points_are_given_with_split_aligned_alone(work: Work, points: bytes, files: int) -> bool:
    return len(points) == (files if work.terms.split == rules.ALIGNED else 0)


@check("LC-FED-25", 524)
def points_are_at_most_16(points: bytes) -> bool:
    return all(0 <= n <= 16 for n in points)


@check("LC-FED-25", 524)
def points_are_for_what_is_used(codes: bytes, points: bytes) -> bool:
    return all(not n or code == rules.USED for code, n in zip(codes, points, strict=False))


@check("LC-FED-31", 521)
def a_sum_has_two_names_or_none(model: bytes, delta: bytes) -> bool:
    return (not model and not delta) or (is_cid(model) and is_cid(delta))


def place_of(work: Work, aggregator: Aggregator) -> int:
    return work.running.seats.index(aggregator.id) + 1


def deciding_of(work: Work) -> list[Aggregator]:
    return [work.drawn[who] for who in work.running.deciding]


# --- parts: LC-FED-23, 24 -------------------------------------------------------------------------------------------------------


def pin_parts(work: Work, sender: bytes, attempt: int, stage: int, parts: list[list[Any]]) -> None:
    it_has_no_cell(work)
    running(work, SCREEN if stage == OF_ROWS else SUM, attempt)
    aggregator = aggregator_of(work, sender)
    the_sender_is_deciding(work, sender)
    parts_are_of_rows_or_of_sums(stage)
    parts_are_pinned_once(aggregator, stage)
    parts_are_of_the_masks_that_it_knows(work, aggregator, parts)
    if stage == OF_ROWS:
        aggregator.rows = parts
    else:
        aggregator.sums = parts
    work.noted("fed.pinned", attempt, stage, sender)
    other = _differing(work, aggregator, stage)
    if other is not None:
        _parts_differ(work, [sender, other.id], stage)


def _pinned(aggregator: Aggregator, stage: int) -> dict[int, bytes]:
    """By mask."""
    return dict(aggregator.pins(stage))


def _differing(work: Work, aggregator: Aggregator, stage: int) -> Aggregator | None:
    """The first of the deciding that pinned another digest of a mask that this one pinned."""
    own = _pinned(aggregator, stage)
    for one in deciding_of(work):
        if any(own.get(mask, digest) != digest for mask, digest in _pinned(one, stage).items()):
            return one
    return None


@step("LC-FED-24")
def _parts_differ(work: Work, liars: list[bytes], stage: int) -> None:
    work.noted("fed.disputed", work.running.number, stage, *liars)
    for account in liars:
        differs(work, account)
    for account in liars:
        work.exclude(account)
    if stage == OF_SUMS:
        pay_aggregators(work, {one.id for one in deciding_of(work)} - set(liars))
    void(work, DISPUTE)


def differs(work: Work, account: bytes) -> None:
    work.noted("fed.differs", work.now.r, work.running.number, account)
    work.draw_record(account, True, False)


# --- Screens: LC-FED-25 to LC-FED-30 --------------------------------------------------------------------------------------------


def screen_updates(work: Work, sender: bytes, attempt: int, codes: bytes, points: bytes, norm: int, digest: bytes) -> None:
    running(work, SCREEN, attempt)
    aggregator = aggregator_of(work, sender)
    the_sender_is_deciding(work, sender)
    if work.terms.has_cells:
        CELL_HOOKS["screen"](work, aggregator, codes, points, norm, digest)
        return
    a_screen_comes_once(aggregator)
    its_own_parts_are_pinned(aggregator, OF_ROWS)
    the_mask_that_it_does_not_know_is_pinned(work, aggregator, OF_ROWS)
    files = len(work.files)
    there_is_a_code_for_each_file(codes, files)
    away_are_exactly_those_that_not_all_have(codes, frozenset(places(work.running.shared)))
    a_norm_is_within_bounds(norm)
    points_are_given_with_split_aligned_alone(work, points, files)
    points_are_at_most_16(points)
    points_are_for_what_is_used(codes, points)
    aggregator.screen = [[173, work.id, attempt, codes, points, norm, digest]]
    work.noted("fed.said", attempt, OF_ROWS, sender)
    if all(one.screen for one in deciding_of(work)):
        screens_are_due(work)


def _hear(work: Work, stage: int) -> rules.Heard:
    """LC-FED-27"""
    words = [rules.Word(place_of(work, one), bool(one.pins(stage)), one.said(stage)) for one in deciding_of(work)]
    found = rules.heard(words)
    for word in words:
        account = work.running.seats[word.place - 1]
        if word.place in found.silent:
            is_silent(work, account)
        elif word.place in found.different:
            differs(work, account)
    return found


def screens_are_due(work: Work) -> None:
    if work.terms.has_cells:
        CELL_HOOKS["screens"](work)
        return
    attempt = work.running
    found = _hear(work, OF_ROWS)
    if found.agreed is None:
        void(work, DISPUTE)
        return
    attempt.codes, attempt.points, attempt.norm, _ = found.agreed
    attempt.deciding = [attempt.seats[place - 1] for place in found.sayers]
    used = [file.index for file, code in zip(work.files, attempt.codes, strict=True) if code == rules.USED]
    accepted = [] if rules.splits(list(attempt.codes), attempt.with_reference) else _accepted(work, frozenset(used))
    attempt.accepted = bitmap(accepted)
    _bench(work, set(accepted))
    if not accepted:
        pay_aggregators(work, set(attempt.deciding))
        void(work, SPLIT)
        return
    chain = work.chains.setdefault(work.now.base, [])
    if frozenset(accepted) not in chain:
        chain.append(frozenset(accepted))
        work.now.named = bitmap(list({*places(work.now.named), *accepted}))
        work.now.kept += 1
    work.enter(SUM, work.windows().sum)
    told = (len(used), len(accepted), attempt.norm, work.now.deadline)
    work.noted("fed.screened", work.now.r, attempt.number, *told)


def _bench(work: Work, accepted: set[int]) -> None:
    """LC-FED-28"""
    attempt = work.running
    for at, (file, code) in enumerate(zip(work.files, attempt.codes, strict=True)):
        points = attempt.points[at] if attempt.points else 0
        told = (file.account, code, points, int(file.index in accepted))
        work.noted("fed.code", work.now.r, attempt.number, *told)
    for file, code in zip(work.files, attempt.codes, strict=True):
        member = work.of(file.index)
        row = rules.row_after(rules.Row(member.bad, member.benched_until), code, attempt.number)
        if row.bench != member.benched_until:
            work.noted("fed.benched", file.account, row.bench)
        member.bad, member.benched_until = row


def _accepted(work: Work, used: rules.Set) -> list[int]:
    """LC-FED-30, in the order of the indexes."""
    attempt = work.running
    chain = work.chains.get(work.now.base, [])
    order = work.tickets([work.of(index).id for index in used], attempt.rows, work.now.r, attempt.number)
    leaving = [place for account in order if (place := work.members[account].place) is not None]
    return sorted(rules.accepted(chain, used, work.counted, work.terms.min_sum, leaving))


@step("LC-FED-32")
def pay_aggregators(work: Work, paid: set[bytes]) -> None:
    for account in work.running.deciding:
        if account in paid:
            work.fee(account, "fed.aggregator")
            work.draw_record(account, False, False)


# --- sums: LC-FED-31 ------------------------------------------------------------------------------------------------------------


def sum_updates(work: Work, sender: bytes, attempt: int, model: bytes, delta: bytes) -> None:
    it_has_no_cell(work)
    running(work, SUM, attempt)
    aggregator = aggregator_of(work, sender)
    the_sender_is_deciding(work, sender)
    a_sum_comes_once(aggregator)
    its_own_parts_are_pinned(aggregator, OF_SUMS)
    the_mask_that_it_does_not_know_is_pinned(work, aggregator, OF_SUMS)
    a_sum_has_two_names_or_none(model, delta)
    aggregator.sum = [[174, work.id, attempt, model, delta]]
    work.noted("fed.said", attempt, OF_SUMS, sender)
    if all(one.sum for one in deciding_of(work)):
        sums_are_due(work)


def sums_are_due(work: Work) -> None:
    if work.terms.has_cells:
        CELL_HOOKS["summed"](work)
        return
    attempt = work.running
    found = _hear(work, OF_SUMS)
    said = {one.id for one in deciding_of(work) if one.sum}
    pay_aggregators(work, said - {attempt.seats[place - 1] for place in found.different})
    if found.agreed is None:
        void(work, DISPUTE)
        return
    model, delta = found.agreed
    if not model:
        void(work, NOT_FINITE)
        return
    _record(work, model, delta, [attempt.seats[place - 1] for place in found.sayers])


def _record(work: Work, model: bytes, delta: bytes, makers: list[bytes]) -> None:
    attempt, now = work.running, work.now
    _record_points(work)
    work.put_round([attempt.number, now.base, model, delta, now.clip, makers, attempt.accepted, False, 0, 0, 0, 0])
    now.clip = rules.next_clip(now.clip, attempt.norm)
    now.model, now.last = model, attempt.accepted
    now.pair = makers if len(makers) == 2 else []
    work.noted("fed.summed", now.r, attempt.number, model, delta, now.clip, *makers)
    work.end_attempt()
    begin_measuring(work)


def _record_points(work: Work) -> None:
    """LC-FED-40"""
    attempt = work.running
    of = {file.index: at for at, file in enumerate(work.files)}
    indexes = places(attempt.accepted)
    aligned = [attempt.points[of[index]] for index in indexes] if attempt.points else []
    samples = [work.of(index).n for index in indexes]
    for index, points in zip(indexes, rules.points(work.terms.split, samples, aligned), strict=True):
        work.of(index).points += points
