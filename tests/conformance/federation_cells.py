"""Federations with a cell (LC-FED-55 to LC-FED-62 of `protocol_spec/federation.md`)."""

from __future__ import annotations

from collections.abc import Set
from functools import reduce
from math import isqrt
from typing import Any

from tests.conformance import federation_rules as rules
from tests.conformance import membership
from tests.conformance.checks import Refused, check, part, register, step
from tests.conformance.federation_panels import (
    LARGEST_LOSS,
    a_measure_opens_its_commitment,
    a_seat_opens_once,
    begin_measuring,
    seat_of,
    vote_is_in,
)
from tests.conformance.federation_rounds import (
    DISPUTE,
    NOT_FINITE,
    SPLIT,
    TOO_FEW,
    is_silent,
    running,
    the_sender_is_drawn,
    void,
)
from tests.conformance.federation_screens import (
    a_screen_comes_once,
    a_sum_comes_once,
    differs,
    pay_aggregators,
)
from tests.conformance.federation_state import (
    CELL_HOOKS,
    GONE,
    HAVE,
    OF_ROWS,
    OF_SUMS,
    OPEN,
    ROWS,
    SCREEN,
    SUM,
    Aggregator,
    CellSeat,
    Member,
    Terms,
    Work,
    bitmap,
    places,
)
from tests.conformance.job_posts import is_cid
from tests.conformance.keys import tagged
from tests.conformance.ledger import ACTIVE, State
from tests.conformance.losses import check_opening, mean, probe
from tests.conformance.wire import encode

USED, AWAY, UNPROVED, IDLE = 1, 2, 9, 10
STEPS = (2000, 1000, 500, 250)
ABSENT, LACKED, NOT_PROVED = 1, 2, 3
OK, INVALID = 1, 2
BANNED_LEAVE = register("LC-FED-56: who was banned has no cell")
OTHERS_REMAIN = register("LC-FED-57: excluded ones come back where fewer than three others are")
LACKED_OUT = register("LC-FED-57: who lacked is out for a while")
TEN_AT_MOST = register("LC-FED-56: ten cells live at most")
COUNTED_FIRST = register("LC-FED-56: counted ones are dealt first")
RESTING_GO_ON = register("LC-FED-56: members of a cell that rests are in a new one with others")
RESTING_FIRST = register("LC-FED-56: members of a cell that rests are dealt before who waits")
NEEDED_ALONE = register("LC-FED-56: of who waits only the counted ones that are needed are dealt before a cell that rests")
SMALL_IS_OVER = register("LC-FED-56: a cell of fewer than min_sum is over")
THREE_MISSES = register("LC-FED-58: three misses cost the place")
BELIEVED = register("LC-FED-59: who lacks most is not believed")
KEPT_ONCE = register("LC-FED-59: a set is kept once")
ODD_ONE = register("LC-FED-60: of share 0 the one that differs from two")
OUT_FOR_SILENCE = register("LC-FED-60: who was silent is excluded")
DIRECTION = register("LC-FED-61: the beacon names the direction")
ALL_AGREE = register("LC-FED-61: who agrees on all directions has the fee")
LOSS_OF_BASE = register("LC-FED-62: a base that is not the best has its own loss")
LEAST_RADIUS = register("LC-FED-62: the least radius")


# --- terms: LC-FED-55 -----------------------------------------------------------------------------------------------------------


@check("LC-FED-55", 501)
def cells_have_three_members(t: Terms) -> bool:
    return t.min_members >= 3


@check("LC-FED-55", 501)
def a_cell_s_sum_is_of_3_to_16(t: Terms) -> bool:
    return 3 <= t.min_sum <= 16


@check("LC-FED-55", 501)
def a_cell_has_at_most_20_rounds(t: Terms) -> bool:
    return t.rounds <= 20


@check("LC-FED-55", 501)
def a_round_of_a_cell_is_long(t: Terms) -> bool:
    return t.round_ms >= 600_000


@check("LC-FED-55", 501)
def a_radius_is_within_bounds(t: Terms) -> bool:
    return 10**6 <= t.clip <= 64 * 10**9


@check("LC-FED-55", 501)
def a_cell_s_rule_is_mean(t: Terms) -> bool:
    return t.rule == 1


@check("LC-FED-55", 501)
def a_cell_is_paid_equally_or_half(t: Terms) -> bool:
    return t.split in (rules.EQUAL, rules.BY_HALVES)


@check("LC-FED-55", 501)
def a_cell_has_a_reference_or_many_members(t: Terms) -> bool:
    return bool(t.reference) or t.min_members >= 12


@check("LC-FED-55", 501)
def a_cell_s_sum_has_noise(t: Terms) -> bool:
    return t.dp_milli >= isqrt(4_000_000 // (3 * max(1, t.dims)))


def check_terms(t: Terms) -> None:
    if not t.has_cells:
        return
    cells_have_three_members(t)
    a_cell_s_sum_is_of_3_to_16(t)
    a_cell_has_at_most_20_rounds(t)
    a_round_of_a_cell_is_long(t)
    a_radius_is_within_bounds(t)
    a_cell_s_rule_is_mean(t)
    a_cell_is_paid_equally_or_half(t)
    a_cell_has_a_reference_or_many_members(t)
    a_cell_s_sum_has_noise(t)


@check("LC-FED-55", 511)
def it_has_a_cell(work: Work) -> bool:
    return work.terms.has_cells


# --- the cell: LC-FED-56 --------------------------------------------------------------------------------------------------------


@check("LC-FED-56", 514)
def enough_are_left(work: Work) -> bool:
    if work.cell.numbered:
        return bool(_left(work) or _newcomers(work))
    return _is_enough(work, work.candidates(), work.terms.min_members)


@check("LC-FED-56", 516)
def there_are_three_aggregators(work: Work) -> bool:
    return len(pool(work)) >= 3


def _left(work: Work) -> list[tuple[int, list[rules.Candidate]]]:
    """Numbers of the cells that can be summed, and who is in them."""
    found = []
    for number, bits in work.cell.living:
        inside = [one for one in work.candidates() if one.number in places(bits)]
        if _is_enough(work, inside, 3):
            found.append((number, inside))
    return found


def _newcomers(work: Work) -> list[rules.Candidate]:
    """Who has no cell that may be in, where that is one."""
    awake = dict(_left(work))
    cells = {one.number: work.cell.of(one.number) for one in work.candidates()}
    waiting = [
        one for one in work.candidates() if (found := cells[one.number]) is None or (found[0] not in awake and part(RESTING_GO_ON))
    ]
    room = len(awake) < 10 or not part(TEN_AT_MOST)
    return waiting if room and _is_enough(work, waiting, max(4, work.terms.min_sum)) else []


def _is_enough(work: Work, members: list[rules.Candidate], least: int) -> bool:
    return len(members) >= least and len(rules.counted(members, work.terms.vetted)) >= work.terms.min_sum


def may_start(work: Work) -> None:
    enough_are_left(work)
    there_are_three_aggregators(work)
    work.begin_attempt(work.now.starts + 1, [])


def form(work: Work) -> None:
    """The end of DRAW, before the aggregators."""
    cell = work.cell
    if not cell.numbered and _is_enough(work, work.candidates(), 3):
        _deal(work, work.candidates(), None)
    if cell.numbered:
        for member in sorted(work.members.values(), key=lambda one: one.id):
            if work.is_banned(member.id) and part(BANNED_LEAVE):
                leave(work, member)
        new = _newcomers(work)
        if new:
            awake = dict(_left(work))
            stay = {one.number for one in new if cell.of(one.number) is not None and part(RESTING_FIRST)}
            for one in [one for one in cell.living if one[0] not in awake and part(RESTING_GO_ON)]:
                cell.living.remove(one)
                work.noted("fed.cell.over", one[0])
            _deal(work, new, 1, stay)
        left = _left(work)
        cell.inside = [[number, bitmap([one.number for one in inside])] for number, inside in left]
        roster = [one for _, inside in left for one in inside]
        work.set_roster(sorted(roster, key=lambda one: work.of(one.number).id))
    if not cell.numbered or not cell.inside:
        void(work, TOO_FEW)


def _deal(work: Work, people: list[rules.Candidate], many: int | None, stay: Set[int] = frozenset()) -> None:
    """The counted ones in the order of their tickets, then the others, round and round; of both those that stay first."""
    cell, least = work.cell, work.terms.min_sum
    vetted = {one.number for one in rules.counted(people, work.terms.vetted)}
    ids = {work.of(one.number).id: one.number for one in people}
    drawn = [ids[who] for who in work.tickets(list(ids), work.running.beacon, work.now.r, work.running.number)]
    drawn = [at for at in drawn if at in stay] + [at for at in drawn if at not in stay]
    order = [at for at in drawn if at in vetted or not part(COUNTED_FIRST)]
    order += [at for at in drawn if at not in order]
    if part(NEEDED_ALONE):
        ahead = stay | {*order[:least]}
        order = [at for at in order if at in ahead] + [at for at in order if at not in ahead]
    if many is None:
        many = max(1, min(10, len(order) // max(4, least), len(vetted) // least))
    hands: list[list[int]] = [[] for _ in range(many)]
    for turn, at in enumerate(order[: 16 * many]):
        hands[turn % many].append(at)
    gains = {at: gain for at, _, gain in cell.members}
    kept = [row for row in cell.members if all(row[0] not in hand for hand in hands)]
    cell.members = sorted(kept + [[at, 0, gains.get(at, 0)] for hand in hands for at in hand])
    for hand in hands:
        cell.numbered += 1
        cell.living.append([cell.numbered, bitmap(hand)])
        work.noted("fed.cell", cell.numbered, *sorted(work.of(at).id for at in hand))


def leave(work: Work, member: Member) -> None:
    found = work.cell.of(member.place)
    if found is None:
        return
    rest = [place for place in places(found[1]) if place != member.place]
    found[1] = bitmap(rest)
    work.noted("fed.gone.cell", member.id)
    if len(rest) < work.terms.min_sum and part(SMALL_IS_OVER):
        work.cell.living.remove(found)
        work.noted("fed.cell.over", found[0])


# --- who serves: LC-FED-57 ------------------------------------------------------------------------------------------------------


@check("LC-FED-57", 535)
def who_serves_cells_is_active(s: State, sender: bytes) -> bool:
    account = s.account(sender)
    return account is not None and account.status == ACTIVE


@check("LC-FED-57", 511)
def who_serves_cells_serves(s: State, sender: bytes) -> bool:
    return s.get(b"fx/" + sender) is not None


def serve_cells(s: State, sender: bytes, on: bool) -> None:
    if on:
        who_serves_cells_is_active(s, sender)
        who_serves_cells_serves(s, sender)
        s.put(b"fy/" + sender, [s.clock])
    elif s.get(b"fy/" + sender) is not None:
        s.drop(b"fy/" + sender)
    s.noted("fed.serving.cells", sender, int(on))


def pool(work: Work) -> list[bytes]:
    servers = work.servers()
    recent = work.cell.lacked[-max(1, len(servers) // 3) :] if part(LACKED_OUT) else []
    others = [one for one in servers if not one.excluded and one.id not in recent]
    if len(others) >= 3 or not part(OTHERS_REMAIN):
        servers = others
    strangers = [one for one in servers if not one.member]
    return [one.id for one in (strangers if len(strangers) >= max(3, work.least_able()) else servers)]


def _fails(work: Work, silent: list[bytes], different: list[bytes]) -> None:
    for account in silent:
        is_silent(work, account)
        if part(OUT_FOR_SILENCE):
            work.exclude(account)
    for account in different:
        differs(work, account)
        work.exclude(account)


# --- TRAIN, HAVE: LC-FED-58, 59 ---------------------------------------------------------------------------------------------------


def _missed(work: Work, member: Member, why: int) -> None:
    row = next(one for one in work.cell.members if one[0] == member.place)
    row[1] |= 1
    work.noted("fed.missed", work.running.number, member.id, why)
    if row[1].bit_count() >= 3 and work.cell.of(member.place) is not None and part(THREE_MISSES):
        member.state = GONE
        leave(work, member)


def trained(work: Work) -> None:
    inside, committed = [place for _, place, _ in work.roster], {one.account for one in work.files}
    for row in work.cell.members:
        if row[0] in inside:
            row[1] = row[1] * 2 % 2**16
    absent = [account for account, _, _ in work.roster if account not in committed]
    for account in absent:
        _missed(work, work.members[account], ABSENT)
    if not _within(work, {one.index for one in work.files}):
        void(work, TOO_FEW)
        return
    work.enter(HAVE, work.windows().base)
    work.noted("fed.collect", work.running.number, work.now.deadline, len(work.files))


def _within(work: Work, indexes: set[int]) -> list[set[int]]:
    """Cells of the attempt that are whole among these."""
    return [inside for inside in (set(places(bits)) for _, bits in work.cell.inside) if inside <= indexes]


def _complete(work: Work) -> list[set[int]]:
    return _within(work, {work.files[at].index for at in places(work.running.shared)})


def haves(work: Work) -> None:
    attempt, many = work.running, len(work.files)
    said = [one for one in work.aggregators if one.said_have]
    have = {one.id: set(places(one.have)) for one in said}
    for at, file in enumerate(work.files):
        lacking = [one for one in have.values() if at not in one]
        if any(2 * (many - len(one)) <= many or not part(BELIEVED) for one in lacking):
            _missed(work, work.members[file.account], LACKED)
    silent = [one.id for one in work.aggregators if not one.said_have]
    if silent:
        _fails(work, silent, [])
        void(work, DISPUTE)
        return
    for one in said:
        others = [other for other in said if other is not one]
        both = have[others[0].id] & have[others[1].id]
        alone = not one.have_reference and all(other.have_reference for other in others)
        if both - have[one.id] or alone:
            work.cell.lacked = [*(who for who in work.cell.lacked if who != one.id), one.id][-64:]
    common = reduce(set.__and__, have.values())
    attempt.deciding = list(attempt.seats)
    attempt.shared = bitmap(common).ljust((many + 7) // 8, b"\0")
    attempt.with_reference = all(one.have_reference for one in said)
    if not _complete(work):
        void(work, SPLIT)
        return
    work.enter_draw(ROWS)
    work.noted("fed.rows", attempt.number, work.now.draw_height, len(common), *attempt.seats)


# --- seals, parts: LC-FED-60 ------------------------------------------------------------------------------------------------------


@check("LC-FED-60", 524)
def a_stage_is_1_or_2(stage: int) -> bool:
    return stage in (1, 2)


@check("LC-FED-60", 537)
def a_stage_is_sealed_once(seat: CellSeat, stage: int) -> bool:
    return len(seat.seals) < stage


@check("LC-FED-60", 537)
def sealed_parts_are_pinned_once(aggregator: Aggregator, stage: int) -> bool:
    return not aggregator.pins(stage)


@check("LC-FED-60", 536)
def all_three_have_sealed(work: Work, stage: int) -> bool:
    return all(len(work.cell_seat(who).seals) >= stage for who in work.running.seats)


@check("LC-FED-60", 524)
def shares_are_those_that_it_knows(work: Work, sender: bytes, stage: int, parts: list[list[Any]]) -> bool:
    known = rules.masks(work.running.seats.index(sender) + 1)
    return [share for share, _ in parts] == ([0, *known] if stage == OF_ROWS else known)


@check("LC-FED-60", 524)
def parts_are_what_was_sealed(work: Work, sender: bytes, stage: int, parts: list[list[Any]], salt: bytes) -> bool:
    place = work.s.chain_id + work.id + work.now.r.to_bytes(4, "big") + work.running.number.to_bytes(4, "big")
    told = b"".join(digest for _, digest in parts)
    return work.cell_seat(sender).seals[stage - 1] == tagged("lc/fed-seal", place, sender, bytes([stage]), salt, told)


@check("LC-FED-60", 536)
def all_three_have_pinned(work: Work, stage: int) -> bool:
    return all(one.pins(stage) for one in work.aggregators)


@check("LC-FED-60", 524)
def a_cell_s_codes_go_together(work: Work, codes: bytes) -> bool:
    files = work.files
    bad = {file.index for file, code in zip(files, codes, strict=False) if code == UNPROVED}
    sums = {index for cell in _complete(work) if not cell & bad for index in cell}
    shared = places(work.running.shared)
    expected = [AWAY if at not in shared else USED if file.index in sums else IDLE for at, file in enumerate(files)]
    told = [want if code == UNPROVED and want != AWAY else code for code, want in zip(codes, expected, strict=False)]
    return len(codes) == len(files) and told == expected


@check("LC-FED-60", 524)
def a_cell_has_no_points_and_no_norm(points: bytes, norm: int) -> bool:
    return not points and norm == 0


@check("LC-FED-60", 521)
def candidates_are_named(work: Work, sums: bytes, models: list[bytes]) -> bool:
    return (not sums and not models) or (is_cid(sums) and all(not one or is_cid(one) for one in models))


@check("LC-FED-60", 521)
def there_are_four_candidates_of_each_direction(work: Work, sums: bytes, models: list[bytes]) -> bool:
    cells = len(_within(work, set(places(work.running.accepted))))
    own = 1 if cells == 1 else 1 + cells
    return not sums or len(models) == 4 * own or (len(models) == 4 * own + 8 and work.running.with_reference)


@check("LC-FED-60", 521)
def one_candidate_at_least_has_a_name(models: list[bytes]) -> bool:
    return not models or any(models)


def _of(work: Work, sender: bytes) -> Aggregator:
    found = work.drawn.get(sender) if sender in work.running.seats else None
    the_sender_is_drawn(found)
    if found is None:
        raise membership.Disappeared(sender)
    return found


def _staged(work: Work, sender: bytes, attempt: int, stage: int) -> Aggregator:
    it_has_a_cell(work)
    running(work, SCREEN if stage == OF_ROWS else SUM, attempt)
    found = _of(work, sender)
    a_stage_is_1_or_2(stage)
    return found


def seal_parts(work: Work, sender: bytes, attempt: int, stage: int, seal: bytes) -> None:
    _staged(work, sender, attempt, stage)
    seat = work.cell_seat(sender)
    a_stage_is_sealed_once(seat, stage)
    seat.seals.append(seal)
    work.noted("fed.sealed.parts", attempt, stage, sender)


def pin_sealed(work: Work, sender: bytes, attempt: int, stage: int, parts: list[list[Any]], salt: bytes) -> None:
    aggregator = _staged(work, sender, attempt, stage)
    sealed_parts_are_pinned_once(aggregator, stage)
    all_three_have_sealed(work, stage)
    shares_are_those_that_it_knows(work, sender, stage, parts)
    parts_are_what_was_sealed(work, sender, stage, parts, salt)
    if stage == OF_ROWS:
        aggregator.rows = parts
    else:
        aggregator.sums = parts
    work.noted("fed.pinned", attempt, stage, sender)
    liars = _liars(work, aggregator, stage)
    if liars:
        _parts_differ(work, liars, stage)


def _liars(work: Work, aggregator: Aggregator, stage: int) -> list[bytes]:
    own = dict(aggregator.pins(stage))
    for one in work.aggregators:
        theirs = dict(one.pins(stage))
        if any(share and theirs.get(share, digest) != digest for share, digest in own.items()):
            return [aggregator.id, one.id]
    if stage == OF_ROWS and all(one.pins(stage) for one in work.aggregators):
        said = {one.id: dict(one.pins(stage)).get(0) for one in work.aggregators}
        told = list(said.values())
        if len(set(told)) == 3:
            return list(said)
        return [who for who, digest in said.items() if told.count(digest) == 1 and part(ODD_ONE)]
    return []


@step("LC-FED-60")
def _parts_differ(work: Work, liars: list[bytes], stage: int) -> None:
    work.noted("fed.disputed", work.running.number, stage, *liars)
    _fails(work, [], liars)
    if stage == OF_SUMS:
        pay_aggregators(work, set(_screened_alike(work)) - set(liars))
    void(work, DISPUTE)


# --- words: LC-FED-60 -------------------------------------------------------------------------------------------------------------


def screen_updates(work: Work, aggregator: Aggregator, codes: bytes, points: bytes, norm: int, digest: bytes) -> None:
    attempt = work.running.number
    a_screen_comes_once(aggregator)
    all_three_have_pinned(work, OF_ROWS)
    a_cell_s_codes_go_together(work, codes)
    a_cell_has_no_points_and_no_norm(points, norm)
    aggregator.screen = [[173, work.id, attempt, codes, points, norm, digest]]
    work.noted("fed.said", attempt, OF_ROWS, aggregator.id)
    if all(one.screen for one in work.aggregators):
        screens(work)


def _alike(words: dict[bytes, Any]) -> list[bytes]:
    said = [word for word in words.values() if word is not None]
    most = max(said, key=said.count, default=None)
    return [who for who, word in words.items() if word is not None and word == most and said.count(most) >= 2]


def _screened(work: Work) -> dict[bytes, Any]:
    return {one.id: (one.screen[0][3], one.screen[0][6]) if one.screen else None for one in work.aggregators}


def _screened_alike(work: Work) -> list[bytes]:
    return _alike(_screened(work))


def _heard(work: Work, words: dict[bytes, Any], stage: int) -> list[bytes]:
    """Who agrees; nobody where one was silent."""
    sealed = {who: len(work.cell_seat(who).seals) >= stage for who in words}
    pinned = {who: bool(work.drawn[who].pins(stage)) for who in words}
    spoke = {who: word is not None for who, word in words.items()}
    first = next((one for one in (sealed, pinned) if not all(one.values())), spoke)
    silent = [who for who in words if not first[who]]
    alike, said = _alike(words), [word for word in words.values() if word is not None]
    many = any(word != said[0] for word in said)
    _fails(work, silent, [who for who, word in words.items() if word is not None and who not in alike and many])
    return alike if not silent else []


def screens(work: Work) -> None:
    attempt, now = work.running, work.now
    agreed = _heard(work, _screened(work), OF_ROWS)
    if not agreed:
        void(work, DISPUTE)
        return
    attempt.codes = work.drawn[agreed[0]].screen[0][3]
    accepted = [file.index for file, code in zip(work.files, attempt.codes, strict=True) if code == USED]
    attempt.accepted = bitmap(accepted)
    for file, code in zip(work.files, attempt.codes, strict=True):
        work.noted("fed.code", now.r, attempt.number, file.account, code, 0, int(code == USED))
    for file, code in zip(work.files, attempt.codes, strict=True):
        if code == UNPROVED:
            _missed(work, work.members[file.account], NOT_PROVED)
    if not accepted:
        pay_aggregators(work, set(agreed))
        void(work, SPLIT)
        return
    now.named = bitmap([*places(now.named), *(one for one in accepted if one not in places(now.named))])
    chain = work.chains.setdefault(now.base, [])
    fresh = [frozenset(cell) for cell in _within(work, set(accepted)) if frozenset(cell) not in chain or not part(KEPT_ONCE)]
    now.kept += len(fresh)
    chain += fresh
    work.enter(SUM, work.windows().sum)
    work.noted("fed.screened", now.r, attempt.number, len(places(attempt.shared)), len(accepted), 0, now.deadline)


def sum_cells(work: Work, sender: bytes, attempt: int, sums: bytes, models: list[bytes]) -> None:
    it_has_a_cell(work)
    running(work, SUM, attempt)
    _of(work, sender)
    seat = work.cell_seat(sender)
    a_sum_comes_once(seat)
    all_three_have_pinned(work, OF_SUMS)
    candidates_are_named(work, sums, models)
    there_are_four_candidates_of_each_direction(work, sums, models)
    one_candidate_at_least_has_a_name(models)
    seat.sum = [[183, work.id, attempt, sums, models]]
    work.noted("fed.said", attempt, OF_SUMS, sender)
    if all(work.cell_seat(who).sum for who in work.running.seats):
        summed(work)


def summed(work: Work) -> None:
    attempt, now = work.running, work.now
    words: dict[bytes, Any] = {who: seat.sum[0][3:] if (seat := work.cell_seat(who)).sum else None for who in attempt.seats}
    said = {who for who, word in words.items() if word is not None}
    alike = set(_alike(words))
    differ = len({encode(words[who]) for who in said}) > 1
    agreed = _heard(work, words, OF_SUMS)
    pay_aggregators(work, set(_screened_alike(work)) & (alike if differ else said))
    if not agreed:
        void(work, DISPUTE)
        return
    sums, models = words[agreed[0]]
    if not models:
        void(work, NOT_FINITE)
        return
    summed_ = places(attempt.accepted)
    for file in work.files:
        if file.index in summed_:
            work.members[file.account].points += 1
    work.cell.inside = [one for one in work.cell.inside if set(places(one[1])) <= set(summed_)]
    work.put_round([attempt.number, now.base, b"", sums, now.clip, agreed, attempt.accepted, False, 0, 0, 0, 0])
    work.cell.models, work.cell.found, work.cell.chosen = models, [], 0
    now.model, now.last, now.pair = b"", attempt.accepted, []
    work.noted("fed.cells.summed", now.r, attempt.number, sums, len(work.cell.inside), *agreed)
    work.end_attempt()
    begin_measuring(work)


# --- lists: LC-FED-61 -------------------------------------------------------------------------------------------------------------


@check("LC-FED-61", 531)
def a_list_is_asked_for(work: Work) -> bool:
    return work.asks_lists


@check("LC-FED-61", 531)
def a_list_s_code_is_known(code: int) -> bool:
    return 1 <= code <= 5


@check("LC-FED-61", 531)
def only_ok_has_a_list(code: int, entries: list[Any], opening: list[Any]) -> bool:
    return code == OK or (not entries and not opening)


@check("LC-FED-61", 531)
def a_list_has_an_entry_for_each_direction(work: Work, entries: list[Any]) -> bool:
    return len(entries) == len(work.cell.models) // 4


@check("LC-FED-61", 531)
def a_list_has_leaves(opening: list[Any]) -> bool:
    return bool(opening)


@check("LC-FED-61", 531)
def a_list_is_not_of_invalid_alone(entries: list[Any]) -> bool:
    return any(measured for _, measured in entries)


@check("LC-FED-61", 531)
def invalid_has_no_step(entries: list[Any]) -> bool:
    return all(measured or step_ == 0 for step_, measured in entries)


@check("LC-FED-61", 531)
def each_entry_is_of_a_candidate(work: Work, entries: list[Any]) -> bool:
    names = [dict(zip(STEPS, work.cell.models[4 * at : 4 * at + 4], strict=False)) for at in range(len(entries))]
    return all(not measured or bool(of.get(step_)) for of, (step_, measured) in zip(names, entries, strict=True))


@check("LC-FED-61", 531)
def losses_of_a_list_are_within_bounds(entries: list[Any]) -> bool:
    return all(not one or abs(mean(one[0][1], one[0][2])) <= LARGEST_LOSS for _, one in entries)


def open_steps(work: Work, sender: bytes, r: int, again: int, told: list[Any], opening: list[Any], salt: bytes) -> None:
    seat = seat_of(work, OPEN, sender, r, again)
    a_seat_opens_once(seat)
    place = r.to_bytes(2, "big") + bytes([again])
    a_measure_opens_its_commitment(seat, tagged("lc/measure", work.s.chain_id, work.id, place, sender, salt, encode(told)))
    a_list_is_asked_for(work)
    code, entries = told
    a_list_s_code_is_known(code)
    only_ok_has_a_list(code, entries, opening)
    if code == OK:
        a_list_has_an_entry_for_each_direction(work, entries)
        a_list_has_leaves(opening)
        a_list_is_not_of_invalid_alone(entries)
        invalid_has_no_step(entries)
        each_entry_is_of_a_candidate(work, entries)
        losses_of_a_list_are_within_bounds(entries)
    holds = code != OK or _holds(work, again, entries, opening)
    work.cell.opened.append([sender, told])
    losses = [mean(one[0][1], one[0][2]) for _, one in entries if one]
    seat.opened, seat.holds = [[code, []]], holds
    work.noted("fed.vote", r, again, sender, code, min(losses, default=0), int(holds))
    vote_is_in(work)


def _holds(work: Work, again: int, entries: list[Any], opening: list[Any]) -> bool:
    known = [(at, one[0]) for at, (_, one) in enumerate(entries) if one]
    at, (root, total, n) = known[int.from_bytes(work.now.probe, "big") % len(known) if part(DIRECTION) else 0]
    try:
        check_opening((root, total, n), probe(work.now.probe, work.id, at, again, n), encode(opening[0]))
    except Refused:
        return False
    return True


def found_lists(work: Work, third: bool) -> tuple[list[bytes], int | None] | list[bytes]:
    """Who has the fee, and the loss; or the largest set that agrees."""
    now, scale, told = work.now, work.scale, dict(work.cell.opened)
    voters = [seat for seat in now.panel if seat.opened and seat.holds and seat.opened[0][0] in (OK, INVALID)]
    many = len(work.cell.models) // 4
    rows = [_row(told[seat.account], many) for seat in voters]
    columns = [rules.measured([_single(row[at]) for row in rows], len(now.panel), third, scale) for at in range(many)]
    if any(one is None for one in columns):
        return [voters[at].account for at in _largest(rows, scale)]
    sides = [set(one.paid) for one in columns if one is not None]
    side = [at for at in range(len(voters)) if all(at in one for one in sides) or not part(ALL_AGREE)]
    steps, losses = [], []
    for at, one in enumerate(columns):
        loss = None if one is None or one.invalid else one.loss
        losses.append(loss)
        places_ = [place for place, row in enumerate(rows) if loss is not None and row[at] == loss]
        steps.append(told[voters[places_[0]].account][1][at][0] if places_ else 0)
    known = [(loss, at) for at, loss in enumerate(losses) if loss is not None]
    chosen = min(known)[1] if known else None
    if chosen is not None:
        now.model = work.cell.models[4 * chosen + STEPS.index(steps[chosen])]
        record = work.round()
        work.put_round([*record[:2], now.model, *record[3:]])
    work.cell.chosen = chosen or 0
    work.cell.found = [[step_, [] if loss is None else [loss]] for step_, loss in zip(steps, losses, strict=True)]
    _gain(work, losses)
    pairs = [n for step_, loss in zip(steps, losses, strict=True) for n in (step_, loss or 0)]
    work.noted("fed.directions", now.r, chosen or 0, *pairs)
    return [voters[at].account for at in side], None if chosen is None else losses[chosen]


def _gain(work: Work, losses: list[int | None]) -> None:
    """What each of several cells reached alone, below the loss of the base."""
    inside, now = work.cell.inside, work.now
    if len(inside) == 1:
        return
    before = now.best
    if now.base != now.best_model and part(LOSS_OF_BASE):
        before = work.s.get(b"fr/" + work.id + (now.r - 1).to_bytes(2, "big"))[8]
    for (_, bits), loss in zip(inside, losses[1:], strict=False):
        own = places(bits)
        for row in work.cell.members:
            if row[0] in own and loss is not None:
                row[2] += min(2**59, max(0, before - loss)) // len(own)


def split(work: Work, pot: int, held: dict[int, int]) -> dict[int, int]:
    """LC-FED-62, by index."""
    own = {at: gain for at, _, gain in work.cell.members if gain}
    half = pot // 2 if work.terms.split == rules.BY_HALVES and own else 0
    paid = rules.shares(pot - half, held, places(work.now.last))
    if half:
        for at, more in rules.shares(half, own, []).items():
            paid[at] += more
    return paid


def clear(work: Work) -> None:
    for row in work.cell.members:
        row[2] = 0


def _row(measure: list[Any], many: int) -> list[int | None]:
    code, entries = measure
    if code == INVALID:
        return [None] * many
    return [mean(one[0][1], one[0][2]) if one else None for _, one in entries]


def _single(loss: int | None) -> rules.Measure:
    return rules.Measure(INVALID if loss is None else OK, loss or 0, True)


def _largest(rows: list[list[int | None]], scale: rules.Scale) -> list[int]:
    best: list[int] = []
    for centre in rows:
        around = [at for at, row in enumerate(rows) if all(_near(a, b, scale) for a, b in zip(centre, row, strict=True))]
        if len(around) > len(best):
            best = around
    return best


def _near(centre: int | None, other: int | None, scale: rules.Scale) -> bool:
    if centre is None or other is None:
        return centre is other
    return abs(centre - other) <= 2 * scale.of(centre)


def keep_radius(work: Work, keeps: bool) -> None:
    """LC-FED-62"""
    step_ = work.cell.found[work.cell.chosen][0]
    radius = work.now.clip * step_ // 1000 if keeps else work.now.clip // 4
    work.now.clip = max(10**6 if part(LEAST_RADIUS) else 0, min(64 * 10**9, radius))


CELL_HOOKS.update(
    may_start=may_start,
    form=form,
    pool=pool,
    trained=trained,
    haves=haves,
    screen=screen_updates,
    screens=screens,
    summed=summed,
    lists=found_lists,
    radius=keep_radius,
    leave=leave,
    split=split,
    clear=clear,
)
