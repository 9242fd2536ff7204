"""The shared rules of judging, beside the second settlement (tests/settlement), which was written from the rules alone."""

from __future__ import annotations

import random
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from learningchain.chain.verification import committee, merits, ranking, scale, standing, votes, windows
from learningchain.chain.verification.standing import CountedVote, Draw, Strike
from learningchain.chain.verification.votes import BallotCode, Column, Judgement, KeyJudgement, OpenedVote, Scale
from tests.settlement import accounts, formulas, scenario, sides
from tests.settlement import votes as model
from tests.settlement.jobs import Candidate, Committee, Judged, Vote

SEEDS = 3_000
MONTH = 30 * scenario.DAY


def terms(rng: random.Random) -> scenario.Terms:
    return scenario.Terms(
        10**7, 1_000, 10**6, kind=rng.choice((1, 2)), tol=rng.choice((0, 30, 10**4, 10**9)), hidden=rng.random() < 0.5
    )


def near(rng: random.Random, loss: int, t: int) -> int:
    """A loss about the bounds that the rules draw around another one."""
    return loss + rng.choice((0, 1, -1)) + rng.choice((0, 1, 2, 3, 20, 21)) * t * rng.choice((1, -1))


# --- numbers and ranks ----------------------------------------------------------------------------------------------------------


def test_the_scale_of_losses() -> None:
    rng = random.Random(1)
    for _ in range(SEEDS):
        of, loss = terms(rng), rng.choice((rng.randrange(10**9), rng.randrange(-(10**18), 10**18)))
        assert scale.tolerance(of.kind, of.tol, loss) == formulas.tol(of, loss)
        assert scale.bound(of.kind, loss) == formulas.bound(of.kind, loss)
        compared = [near(rng, loss, formulas.tol(of, loss)) for _ in range(rng.randrange(1, 9))]
        assert scale.spread(of.kind, of.tol, loss, compared) == formulas.t(of, loss, compared)


def test_examples_by_hand() -> None:
    assert scale.tolerance(1, 0, 10**9) == 10 + 1_000, "f64: 10 and a millionth of the loss"
    assert scale.tolerance(2, 10**12, 10**9) == 10 * (1_000 + 10**5), "at most ten times the least"
    assert scale.spread(1, 0, 0, [10**12, 5 * 10**12, 9 * 10**12]) == 10 + 5 * 10**6, "of the lower median, where that is larger"
    assert windows.draw_delay(4) == 1
    assert windows.draw_delay(10) == 3
    assert windows.judging_work(windows.evaluation(2, hidden=True), 1_500, 100_000_001, hidden=True) == 6_000 + 10_000 + 2_000
    assert windows.least_fee(18_000, 10) == 180, "four seconds of one and a half processors, two trees, two parts of a model"
    assert windows.fees_locked(10, 4) == 10 * 71 * 4
    assert windows.bond(10_000_009, 4) == 4_000_000
    assert windows.count_window(60_000, 2, 64) == 480_000


def test_better_is_by_twice_the_tolerance_of_the_older_one() -> None:
    """LC-JOB-5: the tolerance of the larger loss, which the older one has."""
    older = 10**6 + 1
    assert (scale.tolerance(1, 0, older), scale.tolerance(1, 0, older - 23)) == (12, 11)
    tol = partial(scale.tolerance, 1, 0)
    assert ranking.improves(older - 24, older, tol) and not ranking.improves(older - 23, older, tol)
    entries = [ranking.RankedClaim(bytes((i,)), loss, i) for i, loss in enumerate((older, older - 23))]
    assert ranking.leader(entries, tol).claim == ranking.rank(entries, tol, 1)[0].claim == 0


def test_finalists_without_a_full_stake_take_at_most_half_of_the_places_while_others_are_there() -> None:
    rng = random.Random(2)
    for _ in range(SEEDS):
        of, count = terms(rng), rng.randrange(1, 12)
        losses = [rng.randrange(10**6) * rng.choice((1, 100)) for _ in range(count)]
        full = [rng.random() < 0.5 for _ in range(count)]
        entries = [ranking.RankedClaim(bytes((i,)), loss, i) for i, loss in enumerate(losses)]
        order = ranking.rank(reversed(entries), partial(formulas.tol, of), count)
        assert [entry.claim for entry in order] == formulas.rank(of, losses)
        most = rng.randrange(2, 9)
        chosen = [entry.claim for entry in ranking.finalists(order, full.__getitem__, most)]
        assert len(chosen) == min(most, count)
        assert chosen == [entry.claim for entry in order if entry.claim in chosen], "in rank order"
        rest = [i for i in range(count) if i not in chosen]
        if any(full[i] for i in rest):
            assert sum(not full[i] for i in chosen) <= most // 2
        for out in rest:
            worse = [i for i in chosen if formulas.rank(of, losses).index(i) > formulas.rank(of, losses).index(out)]
            assert all(full[i] and not full[out] for i in worse), (
                "nobody takes the place of a better one but a full one a poor one's"
            )


def test_the_order_inside_a_block_hangs_on_a_later_beacon() -> None:
    first, second = (ranking.position(7, b"b" * 32, bytes((i,)) * 32, 0) for i in (1, 2))
    other = [ranking.position(7, bytes((b,)) * 32, bytes((i,)) * 32, 0) for b in range(20) for i in (1, 2)]
    assert {a < b for a, b in zip(other[::2], other[1::2], strict=True)} == {True, False}
    assert max(first, second) < ranking.position(8, b"b" * 32, b"\x01" * 32, 0), "an earlier height comes first, whatever is drawn"
    assert ranking.position(7, b"b" * 32, b"\x01" * 32, 1) != first


# --- committees -----------------------------------------------------------------------------------------------------------------


def people(count: int) -> list[bytes]:
    return [bytes((i,)) * 20 for i in range(count)]


@pytest.mark.parametrize("round_", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 6, 7, 8, 13, 14, 40, 90])
def test_a_committee_is_the_lowest_tickets_of_the_pool(size: int, round_: int) -> None:
    able, order = people(size), lambda identity: committee.ticket(b"b" * 32, b"j" * 32, 1, round_, identity)
    drawn = committee.draw(able, (), b"x" * 20, (), round_, order)
    most = 7 if round_ == 1 else 64
    assert drawn.seats == sorted(able, key=order)[:most]
    assert (drawn.pool, drawn.neutral) == (size, frozenset(drawn.seats))


def test_tickets_hang_on_everything_that_they_are_for() -> None:
    of = (b"b" * 32, b"j" * 32, 1, 2, b"i" * 20)
    changed = [(b"c" * 32, *of[1:]), (of[0], b"k" * 32, *of[2:]), (*of[:2], 2, *of[3:]), (*of[:3], 1, of[4]), (*of[:4], b"h" * 20)]
    assert len({committee.ticket(*of), *(committee.ticket(*other) for other in changed)}) == 6


def test_finalists_help_only_where_hardly_anybody_is_left_and_never_judge_themselves() -> None:
    able = people(6)
    finalists = able[2:]
    order = {identity: bytes((9 - i,)) for i, identity in enumerate(able)}.__getitem__
    drawn = committee.draw(able, finalists, able[5], (), 1, order)
    assert drawn.seats == [able[4], able[1], able[0]], "one helper, the first of the order, and not the candidate"
    assert drawn.neutral == {able[0], able[1]}
    assert drawn.pool == 3
    alone = committee.draw(able[2:], finalists, able[5], (), 2, order)
    assert (alone.seats, alone.neutral, alone.pool) == ([able[4], able[3], able[2]], frozenset(), 3)
    many = committee.draw(people(9), people(9)[:6], people(9)[0], (), 1, order=lambda identity: identity)
    assert (many.seats, many.pool) == (people(9)[6:], 3)


@pytest.mark.parametrize(
    ("size", "marked", "kept"), [(20, 5, 0), (20, 10, 0), (20, 12, 2), (15, 9, 2), (8, 3, 2), (7, 7, 7), (5, 2, 2), (100, 60, 10)]
)
def test_marked_ones_are_left_out_while_seven_and_half_of_the_pool_remain(size: int, marked: int, kept: int) -> None:
    able = people(size)
    bad = able[:marked]
    left = committee.without_marked(able, bad)
    assert [i for i in left if i in bad] == bad[:kept], "those stay that were drawn first"
    assert [i for i in left if i not in bad] == able[marked:]
    second = committee.draw(able, (), b"x" * 20, bad, 2, order=lambda identity: identity)
    assert second.seats == able[:64], "round two asks no marks"
    assert committee.draw(able, (), b"x" * 20, bad, 1, order=lambda identity: identity).pool == size


# --- verdicts -------------------------------------------------------------------------------------------------------------------


def column(rng: random.Random, mean: int, t: int, n: int) -> scenario.Column:
    leaves = tuple(near(rng, mean, t) if rng.random() < 0.1 else mean for _ in range(n))
    return scenario.Column(leaves, mean * n)


class Random64:
    """Numbers by their index, as a beacon gives them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, k: int) -> int:
        return random.Random(self._seed * 10_007 + k).getrandbits(64)


def scene(seed: int) -> tuple[scenario.Terms, Candidate, Judged, Committee, int]:
    """Some seats' opened votes on one candidate, near every bound of the rules."""
    rng = random.Random(seed)
    of, claim, round_ = terms(rng), rng.randrange(10**9), rng.choice((1, 2))
    c = rng.choice((0, 1, 2, 3, 4, 5, 7, 7, 7, 13))
    seats = people(c)
    neutral = frozenset(s for s in seats if rng.random() < 0.8)
    t, far = formulas.tol(of, claim), formulas.bound(of.kind, claim) * 2
    honest, n = rng.choice((claim, claim, claim + far)), rng.choice((1, 3, 15, 16, 40))
    mostly, bad_keys = rng.random(), rng.choice((0.2, 0.2, 0.85, 1.0))
    opened = []
    for seat in seats:
        if rng.random() < 0.1:
            continue
        loss = near(rng, honest, t) if rng.random() < 0.3 else honest
        code: str = model.code_of(of, claim, loss)
        public: scenario.Column | None = column(rng, loss, t, rng.choice((n, n, n, n, 5)))
        hidden: scenario.Column | str | None = None
        if rng.random() > 0.6 + 0.4 * mostly:
            code, public = rng.choice(model.UNMEASURED), None
        elif of.hidden:
            hidden = scenario.BADKEY if rng.random() < bad_keys else column(rng, near(rng, 500, t), t, n)
        opened.append(Vote(seat, scenario.Ballot(code, public, hidden), seat in neutral))
    probe = {m: formulas.probe(m, Random64(seed)) for m in (1, 3, 5, 15, 16, 40)}
    committee_ = Committee(tuple(seats), neutral, c + rng.choice((0, 0, 3)))
    judged = Judged(round_, committee_, tuple(opened), probe)
    return of, Candidate(b"c" * 20, claim, 0, 0, True, 1, b"", 0), judged, committee_, round_


def ours(of: scenario.Terms, judged: Judged) -> list[OpenedVote]:
    def shown(one: Any) -> Column | None:
        if not isinstance(one, scenario.Column):
            return None
        return Column(one.measured, one.n, tuple(formulas.probed(one.leaves, judged.places[one.n])))

    return [
        OpenedVote(
            v.seat,
            v.neutral,
            BallotCode[v.ballot.code],
            shown(v.ballot.public),
            shown(v.ballot.hidden),
            v.ballot.hidden == "BADKEY",
        )
        for v in judged.votes
    ]


def test_verdicts_line_by_line() -> None:
    lines: dict[tuple[int, str], int] = {}
    keys: dict[KeyJudgement, int] = {}
    for seed in range(SEEDS):
        of, candidate, judged, seats, round_ = scene(seed)
        mine, by = ours(of, judged), Scale(of.kind, of.tol, candidate.loss)
        last = votes.is_last(round_, seats.c, seats.whole, len(mine))
        assert last == model.is_last(round_, seats, len(judged.votes))
        line, result = model.decide(model.tally(of, candidate.loss, judged.votes, seats, round_, of.hidden))
        assert votes.verdict(mine, seats.c, last, by, of.hidden) == (Judgement[result or "NONE"], line), seed
        lines[line, result or ""] = lines.get((line, result or ""), 0) + 1
        agreed = model.agreed(of, candidate.loss, model.hidden_losses(judged.votes, ("OK",)), seats.c)
        assert votes.hidden_loss(mine, seats.c, by) == agreed, seed
        said = votes.bad_key(mine, seats.c, last)
        assert (said != KeyJudgement.NO, said == KeyJudgement.YES) == (
            model.bad_key_quorum(judged.votes, seats),
            model.bad_key_decides(judged.votes, seats, round_),
        ), seed
        keys[said] = keys.get(said, 0) + 1
    wanted = [(1, "OK"), (2, "FALSE"), (3, "REFUSED"), (4, ""), (5, "UNDECIDED"), (6, "OK"), (6, "REFUSED")]
    assert all(lines.get(line, 0) >= 20 for line in wanted), lines
    assert all(keys.get(key, 0) >= 5 for key in KeyJudgement), keys


def test_codes_at_their_bounds() -> None:
    rng = random.Random(3)
    for _ in range(SEEDS):
        of, claim = terms(rng), rng.randrange(-(10**12), 10**12)
        tol, bound = formulas.tol(of, claim), formulas.bound(of.kind, claim)
        for measured in (claim + tol, claim + tol + 1, claim + bound, claim + bound + 1, claim - 1):
            assert votes.code_of(claim, measured, tol, bound).name == model.code_of(of, claim, measured)


# --- what a verdict brings to those who voted ------------------------------------------------------------------------------------


def test_who_is_paid_struck_and_recorded() -> None:
    seen = dict.fromkeys(("paid", "leaves", "opposed", "hidden", "unrepeatable", "struck", "bad"), 0)
    graph = cast(Any, SimpleNamespace(reach=lambda row: None))
    for seed in range(SEEDS):
        of, candidate, judged, seats, round_ = scene(seed)
        line, result = model.decide(model.tally(of, candidate.loss, judged.votes, seats, round_, of.hidden))
        if result in (None, "UNDECIDED"):
            continue
        candidate.verdict, candidate.line = result, line
        theirs = sides.seen(graph, of, candidate, judged, of.hidden)
        mine = merits.merits(ours(of, judged), Judgement[result], Scale(of.kind, of.tol, candidate.loss), of.hidden)
        assert [(m.winning, m.opposed, m.leaves_off, m.hidden_off) for m in mine] == [
            (s.winning, s.side, s.leaves, s.hidden) for s in theirs
        ], seed
        assert [m.off for m in mine] == [s.off for s in theirs]
        assert [m.lost for m in mine] == [s.off or s.losing for s in theirs]
        assert merits.repeatable(mine) == (not sides.unrepeatable(theirs))
        for m in mine:
            why = "leaves" if m.leaves_off else "wrong" if m.opposed else "hidden" if m.hidden_off and line == 1 else ""
            assert merits.fault(m, line) == (f"vote.{why}" if line in (1, 2) and why else "")
            seen["paid"] += m.paid
            seen["leaves"] += m.leaves_off
            seen["opposed"] += m.opposed
            seen["hidden"] += m.hidden_off
            seen["struck"] += merits.fault(m, line) != ""
            seen["bad"] += merits.is_bad_draw(m, line, merits.repeatable(mine))
            assert not (m.paid and m.opposed)
        seen["unrepeatable"] += not merits.repeatable(mine)
    assert all(count >= 20 for count in seen.values()), seen


def test_one_shown_loss_of_sixteen_may_be_off_and_of_fewer_examples_none() -> None:
    by = Scale(1, 0, 1_000)
    t = by.spread([1_000] * 3)
    good = Column(1_000, 40, (1_000,) * 16)
    at_bound = Column(1_000, 40, (1_000 + 20 * t,) * 16)
    one_off = Column(1_000, 40, (1_001 + 20 * t,) + (1_000,) * 15)
    two_off = Column(1_000, 40, (1_001 + 20 * t,) * 2 + (1_000,) * 14)
    assert merits.shown_off([good, good, good, at_bound, one_off, two_off], by) == [False] * 5 + [True]
    few = [Column(1_000, 15, (1_000,) * 16), Column(1_000, 15, (1_000,) * 16), Column(1_000, 15, one_off.shown)]
    assert merits.shown_off(few, by) == [False, False, True]
    assert merits.shown_off([Column(1_000, 7, (1_000,) * 16), Column(1_000, 5, (1_000,) * 16)], by) == [True, False], (
        "the smaller of equals"
    )


# --- what is carried on ---------------------------------------------------------------------------------------------------------


def test_three_origins_bar_until_the_first_of_the_last_three_ends() -> None:
    rng = random.Random(4)
    for _ in range(300):
        strikes: list[Strike] = []
        reference = accounts.Account(b"a" * 20, b"a" * 20, False, None, None)
        now = 0
        for _ in range(60):
            now += rng.randrange(3 * scenario.DAY)
            origin = bytes((rng.randrange(40),)) * 20
            strikes = standing.add_strike(strikes, origin, now, MONTH)
            reference.strike(origin, now)
            for later in (now, now + rng.randrange(MONTH), now + MONTH - 1, now + MONTH):
                assert standing.stands(strikes, later) == reference.stands(later, MONTH)
            assert len(strikes) <= standing.KEPT_STRIKES
            assert strikes == sorted(strikes, key=lambda strike: strike.end)


def test_draws_and_the_rest_of_a_flag() -> None:
    rng, rested = random.Random(5), 0
    for _ in range(300):
        draws: list[Draw] = []
        reference = accounts.Account(b"a" * 20, b"a" * 20, False, 0, None)
        for _ in range(40):
            entry = Draw(bytes((rng.randrange(12),)) * 20, rng.random() < 0.5, rng.random() < 0.4)
            draws = standing.add_draw(draws, entry)
            rests = reference.drawn(accounts.Draw(entry.origin, entry.bad, entry.silent), 0, MONTH)
            reference.rests_until = 0
            assert rests == (draws == [])
            assert [(d.origin, d.bad, d.silent) for d in draws] == [(d.poster, d.bad, d.silent) for d in reference.draws]
            rested += rests
    assert rested > 50


def test_a_mark_lives_a_month_from_the_last_bad_vote() -> None:
    rng = random.Random(6)
    for _ in range(300):
        kept: list[CountedVote] = []
        reference = accounts.Account(b"a" * 20, b"a" * 20, False, 0, None)
        now = 0
        for _ in range(30):
            now += rng.randrange(5 * scenario.DAY)
            bad = rng.random() < 0.2
            kept = standing.add_vote(kept, CountedVote(now, bad))
            reference.vote_counted(b"p" * 20, now, bad)
            for later in (now, now + MONTH - 1, now + MONTH):
                assert standing.is_marked(kept, later, MONTH) == reference.marked(b"p" * 20, later, MONTH)


# --- windows and money ----------------------------------------------------------------------------------------------------------


def test_windows_and_what_is_locked() -> None:
    rng, params = random.Random(7), scenario.Params()
    for _ in range(SEEDS):
        limits = scenario.Limits(
            cpus_milli=rng.randrange(10, 10**6), model_cap=rng.randrange(1, 2**34), eval_s=rng.randrange(1, 86_400)
        )
        of = scenario.Terms(
            rng.randrange(10**12),
            rng.randrange(10**6),
            rng.randrange(10**12),
            rng.randrange(2, 9),
            hidden=rng.random() < 0.5,
            limits=limits,
        )
        e, batch, seats = windows.evaluation(limits.eval_s, of.hidden), rng.randrange(1, 9), rng.randrange(0, 65)
        assert windows.vote_window(params.v0, e, limits.model_cap, batch) == formulas.vote_window(params, of, batch)
        assert windows.count_window(params.w_o, batch, seats) == formulas.count_window(params, batch, seats)
        work = windows.judging_work(e, limits.cpus_milli, limits.model_cap, of.hidden)
        assert windows.least_fee(work, params.rate) == formulas.least_fee(params, of)
        assert windows.fees_locked(of.fee, of.finalists) == formulas.fees(of)
        assert windows.bond(of.bounty, of.finalists) == formulas.bond(of)
        assert windows.deposit(of.bounty, of.hidden) == formulas.deposit(of)
        end = windows.latest_end(
            of.expiry, params.w_r, params.w_k, params.w_o, params.v0,
            eval_s=limits.eval_s, model_cap=limits.model_cap, finalists=of.finalists, hidden=of.hidden,
        )  # fmt: skip
        assert end == formulas.latest_end(params, of)
