"""Games on the rules: what an attack brought before a rule was there, and what it brings now.

`before` are edits that take the rule out of the model (tests/predictions/edits.py); a game gets the model's modules, with the rule
or without, and gives one figure. `python -m tests.predictions.holes` plays all of them and writes `results/holes.md`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.model_copies import Edit

from . import scenario, table
from .edits import edited, load

RESULTS = Path(__file__).parent / "results" / "holes.md"


@dataclass(frozen=True, slots=True)
class Kit:
    """The modules of one model."""

    table: Any
    scenario: Any


@dataclass(frozen=True, slots=True)
class Hole:
    number: int
    attack: str
    unit: str
    before: tuple[Edit, ...]
    game: Callable[[Kit], float]
    most: float
    """What it may bring now."""


def poisoned(kit: Kit) -> float:
    """Share of draws of puppets only, where the owner raises w inside the d blocks and takes it back."""
    one = kit.table.Table(10, validators=7)
    model, captured, tries = kit.table.MODEL, 0, 40
    puppets = one.servers[:3]
    for who in puppets:
        one.must(who, kit.scenario.Serve(model, 10**8))
    for _ in range(tries):
        request = one.ask(n=3)
        price = one.graph.models[model].set_price()
        one.must(kit.table.OWNER, kit.scenario.SetPrice(model, price, (0, 200_000)))
        one.to_draw(request)
        captured += bool(request.seats) and {seat.who for seat in request.seats} <= set(puppets)
        one.must(kit.table.OWNER, kit.scenario.SetPrice(model, one.graph.models[model].set_price(), (0, 1)))
        if request.seats:
            one.play_round(request, {})
    return captured / tries


def framed(kit: Kit) -> float:
    """Micro-credits that honest servers lose to an image that answers by the clock, for each that its owner loses, or for 1."""
    one = kit.table.Table(15, 30)
    request = one.ask(n=15)
    one.to_draw(request)
    one.play_round(request, {})
    owner = one.balance(kit.table.OWNER) + one.graph.money.held(kit.table.MODEL, b"D")
    one.must(kit.table.REQUESTER, kit.scenario.Appeal(request.id, ()))
    one.until(request, ("ANSWER",))
    one.play_round(request, {who: kit.table.number(10**6) for who in one.judges})
    lost = sum(10**12 - one.balance(who) - one.graph.money.held(kit.table.MODEL, who) for who in one.servers)
    risked = owner - one.balance(kit.table.OWNER) - one.graph.money.held(kit.table.MODEL, b"D")
    return lost / max(1, risked)


def one_row(kit: Kit) -> float:
    """Stakes that honest payees lose, in credits, where three of five lie in one row of sixteen."""
    one = kit.table.Table(5, 30)
    request = one.ask(n=5, rows=16)
    one.to_draw(request)
    liars = [seat.who for seat in request.seats[:3]]
    lie = kit.scenario.Answer("OK", (10**6, *(0,) * 15), (), 0)
    one.play_round(request, dict.fromkeys(liars, lie))
    honest = [who for who in one.servers if who not in liars]
    before = {who: owned(one, kit, who) for who in honest}
    one.appeal(kit.table.PUPPET, request, (0,))
    one.until(request, ("ANSWER",))
    one.play_round(request, {})
    return sum(before[who] - owned(one, kit, who) for who in honest) / 10**6


def _lied_in_one_row(kit: Kit, seed: int, liars: int) -> tuple[Any, Any, tuple[int, ...]]:
    """A request of 256 rows and five seats; the first `liars` say the same lie in one row, and lie apart in fifteen others each, so
    that many rows have fewer behind them than the lie. With it eight rows that are right."""
    one = kit.table.Table(10, 20, seed=seed)
    request = one.ask(n=5, rows=256)
    one.to_draw(request)
    lies = {}
    for place, seat in enumerate(request.seats[:liars]):
        scores = [0] * 256
        scores[20 * place : 20 * place + 15] = [10**6 * (place + 2)] * 15
        scores[200] = 10**6
        lies[seat.who] = kit.scenario.Answer("OK", tuple(scores), (), 0)
    one.play_round(request, lies)
    return one, request, tuple(range(240, 248))


def _stands(one: Any, request: Any) -> bool:
    """Whether the lie does, once the judges said the truth."""
    if request.state != "FINAL":
        one.until(request, ("ANSWER",))
        one.play_round(request, {})
    return 200 not in request.values


def forestalled(kit: Kit) -> float:
    """Share of 30 requests in which the lie of three of five stands, whose friend appeals when it may and names other rows."""
    stands = 0
    for seed in range(30):
        one, request, right = _lied_in_one_row(kit, seed, 3)
        one.appeal(kit.table.PUPPET, request, right)
        stands += _stands(one, request)
    return stands / 30


def forestalled_unfit(kit: Kit) -> float:
    """Share of 30 requests in which three of five give a value to a row that is none, and it stands: the honest say BAD_INPUT, a
    friend of the liars appeals first and names other rows, and judges find nothing wrong with these."""
    stands = 0
    for seed in range(30):
        one = kit.table.Table(10, 20, seed=seed)
        request = one.ask(n=5, rows=256)
        one.to_draw(request)
        unfit = dict.fromkeys((seat.who for seat in request.seats[3:]), kit.scenario.Answer("BAD_INPUT", check=201))
        one.play_round(request, unfit)
        one.appeal(kit.table.PUPPET, request, tuple(range(240, 248)))
        one.until(request, ("ANSWER",))
        seen = dict.fromkeys(one.judges, kit.scenario.Answer("BAD_INPUT", check=1)) if 200 in request.rows else {}
        one.play_round(request, seen)
        upheld = any(getattr(event, "outcome", "") == "UPHELD" for event in one.graph.events)
        stands += upheld
    return stands / 30


def forestalled_for_all(kit: Kit) -> float:
    """The same where all five lie, nobody disputes it, and the requester, who knows better, appeals a block after the answer."""
    stands = 0
    for seed in range(30):
        one, request, right = _lied_in_one_row(kit, seed, 5)
        one.send(kit.table.PUPPET, kit.scenario.Appeal(request.id, right))
        one.block()
        one.send(kit.table.REQUESTER, kit.scenario.Appeal(request.id, (200,)))
        stands += _stands(one, request)
    return stands / 30


def left_over(kit: Kit) -> float:
    """Share of twenty right answers, each of all five seats, that four puppets of twelve verifiers make false, who do not serve."""
    false = 0
    for seed in range(20):
        one = kit.table.Table(8, 4, seed=seed)
        request = one.ask(n=5)
        one.to_draw(request)
        one.play_round(request, {})
        one.appeal(kit.table.PUPPET, request)
        one.until(request, ("ANSWER",))
        one.play_round(request, dict.fromkeys(one.judges, kit.table.number(10**6)))
        false += 0 in request.values and request.values[0].score != 0
    return false / 20


def made_up(kit: Kit) -> float:
    """Requests of forty roots that pay a server for numbers it made up: it has no data, as nobody has but the requester."""
    one = kit.table.Table(5, 40)
    liar, paid = one.servers[0], 0
    for asker in one.judges:
        before = one.balance(liar)
        request = one.ask(asker, n=5)
        one.to_draw(request)
        said = dict.fromkeys(one.servers, kit.scenario.Answer("NO_DATA"))
        one.play_round(request, {**said, liar: kit.table.number(10**6)})
        paid += one.balance(liar) > before
    return paid


def expired(kit: Kit) -> float:
    """How many of sixty requests that expired, at no cost, are still there when thirty others were posted."""
    one = kit.table.Table(3, params=kit.scenario.Params(waiting_own=64), terms=kit.scenario.ModelTerms("m", tol=10, slots=1))
    head = one.ask(n=3)
    one.to_draw(head)
    flood = [one.ask(kit.table.PUPPET, n=3, wait=1_000) for _ in range(60)]
    one.blocks(3)
    for _ in range(30):
        one.ask(n=3)
    return sum(request.id in one.graph.requests for request in flood)


def kept_rows(kit: Kit) -> float:
    """Rows that are kept for thirty days for each micro-credit that burns, at the least floor."""
    one = kit.table.Table(3)
    request = one.ask(n=1, rows=256)
    return 256 / (one.graph.money.held(request.id, b"X") - request.tip)


def kept_bytes(kit: Kit) -> float:
    """Bytes of an input on the ledger that are kept for thirty days for each micro-credit that burns: a row, the least floor."""
    one = kit.table.Table(3)
    one.must(kit.table.REQUESTER, kit.scenario.Ask(b"r", kit.table.MODEL, b"r", 2_048, 1, 1, 1, 1, 10**6, 60_000, inline=True))
    return 2_048 / (one.graph.money.held(b"r", b"X") - 1)


def owned(one: Any, kit: Kit, who: bytes) -> int:
    """What a server has, its stake included."""
    return int(one.balance(who) + one.graph.money.held(kit.table.MODEL, who))


def barred(kit: Kit) -> float:
    """Share of ten servers that one requester has put out in 60 private requests with two junk boxes each."""
    one = kit.table.Table(10)
    for _ in range(60):
        if sum(server.out for server in one.graph.models[kit.table.MODEL].servers.values()) > 7:
            break
        request = one.ask(n=5, private=True)
        one.to_draw(request)
        if request.ended:
            break
        one.must(kit.table.REQUESTER, kit.scenario.GiveKeys(request.id, 1, len(request.seats)))
        junk = sorted(seat.who for seat in request.seats)[: len(request.seats) // 2]
        one.play_round(request, dict.fromkeys(junk, kit.scenario.Answer("BAD_KEY")))
    return sum(server.out for server in one.graph.models[kit.table.MODEL].servers.values()) / 10


def free_reading(kit: Kit) -> float:
    """Share of requests in which a puppet of ten servers saw the input and the requester got all of X back."""
    one = kit.table.Table(10)
    puppet, read, tries = one.servers[0], 0, 60
    for _ in range(tries):
        before = one.balance(kit.table.REQUESTER)
        request = one.ask(n=3 if kit.scenario is scenario else 2)
        one.to_draw(request)
        one.play_round(request, {puppet: kit.scenario.Answer("ABSTAIN")})
        sat = puppet in {seat.who for seat in request.seats}
        read += sat and request.ended and one.balance(kit.table.REQUESTER) == before
    return read / tries


def killed(kit: Kit) -> float:
    """Requests of one requester's own until a stranger's model is retired, 0 for never in 120: 10 of 30 servers say FAULT."""
    one = kit.table.Table(30)
    puppets = set(one.servers[:10])
    for count in range(1, 121):
        request = one.ask(n=5 if kit.scenario is scenario else 4)
        one.to_draw(request)
        faults = {seat.who for seat in request.seats} & puppets
        one.play_round(request, dict.fromkeys(faults, kit.scenario.Answer("FAULT")))
        model = one.graph.models.get(kit.table.MODEL)
        if model is None or model.state == "RETIRED":
            return count
    return 0


def blocked(kit: Kit) -> float:
    """Share of eight requests that expire behind a head whose requester adds a micro-credit a block, at d = 2."""
    one = kit.table.Table(10, validators=7)
    head = one.ask(kit.table.PUPPET, tip=150, wait=3_600_000)
    others = [one.ask(wait=20_000) for _ in range(8)]
    for _ in range(25):
        if head.state == "WAITING":
            one.must(kit.table.PUPPET, kit.scenario.AddTip(head.id, 1))
        one.block()
    return sum(other.outcome == "EXPIRED" for other in others) / 8


def evictions(kit: Kit) -> float:
    """Honest requests that are evicted for each micro-credit that it costs: a queue of 16, 20 blocks."""
    params = kit.scenario.Params(waiting=16, waiting_own=16)
    one = kit.table.Table(3, params=params, terms=kit.scenario.ModelTerms("m", tol=10, slots=1))
    honest = [one.ask(n=3, wait=300_000) for _ in range(16)]
    start, sent = one.balance(kit.table.PUPPET), 0
    for _ in range(20):
        for _ in range(4):
            one.count += 1
            ref = b"request%05d" % one.count
            wait = 60_000 if kit.scenario is scenario else 1_000
            message = kit.scenario.Ask(ref, kit.table.MODEL, ref, 100, 1, 3, 1, 100, 10**6, wait)
            sent += one.send(kit.table.PUPPET, message) is None
        one.block()
    one.blocks(400)
    burned = start - one.balance(kit.table.PUPPET)
    return sum(request.outcome == "EVICTED" for request in honest) / max(1, burned)


def priced_away(kit: Kit) -> float:
    """The bond of an appeal in credits, for 256 rows of a floor of 1,000."""
    terms = kit.scenario.ModelTerms("m", tol=10, w=1_000)
    one = kit.table.Table(3, 63, terms=terms)
    request = one.ask(n=3, rows=256)
    one.to_draw(request)
    one.play_round(request, {})
    before = one.balance(kit.table.PUPPET)
    one.appeal(kit.table.PUPPET, request)
    return (before - one.balance(kit.table.PUPPET)) / 10**6


def withheld(kit: Kit) -> float:
    """Votes that an appellant has for nothing, who withholds the data."""
    one = kit.table.Table(1, 63)
    request = one.ask(n=1)
    one.to_draw(request)
    one.play_round(request, {})
    before = one.balance(kit.table.REQUESTER)
    one.must(kit.table.REQUESTER, kit.scenario.Appeal(request.id, ()))
    one.until(request, ("ANSWER",))
    one.play_round(request, dict.fromkeys(one.judges, kit.scenario.Answer("NO_DATA")))
    return 63 if one.balance(kit.table.REQUESTER) == before else 0


def repeated(kit: Kit) -> float:
    """Requests of one root, of 120, that a policy with a bound of three accepts by the liars' value, 10 of 30 servers lying."""
    one = kit.table.Table(30)
    policy = kit.scenario.RegisterPolicy(b"policy", kit.table.MODEL, False, 10**5, ((-(10**18), 1),), 3, 3)
    one.must(kit.table.OWNER, policy)
    puppets, accepted = set(one.servers[:10]), 0
    for _ in range(120):
        request = one.ask(n=5, policy=b"policy")
        one.to_draw(request)
        one.play_round(request, {seat.who: kit.table.number(10**6) for seat in request.seats if seat.who in puppets})
        accepted += sum(
            getattr(event, "rows", ((0,),))[0][0] == "ACCEPT" for event in one.graph.events if hasattr(event, "ordinal")
        )
    return accepted


def _told_some(one: Any, kit: Kit, tip: int) -> Any:
    """A request whose data only two of five get."""
    request = one.ask(n=5, tip=tip)
    one.to_draw(request)
    without = [seat.who for seat in request.seats[2:]]
    one.play_round(request, dict.fromkeys(without, kit.scenario.Answer("NO_DATA")))
    return request


def fraction(kit: Kit) -> float:
    """What it costs to read two answers of the right model, whose data three others never got: of share, share and royalty."""
    one = kit.table.Table(5, terms=kit.scenario.ModelTerms("m", tol=10, p=1_000))
    before = one.balance(kit.table.REQUESTER)
    _told_some(one, kit, 1_000)
    return (2 * 200 + 1_000) / (before - one.balance(kit.table.REQUESTER))


def slandered(kit: Kit) -> float:
    """Models that six requesters have retired by keeping their data from three of five servers."""
    one = kit.table.Table(5)
    for _ in range(6):
        _told_some(one, kit, 100)
    model = one.graph.models.get(kit.table.MODEL)
    return float(model is None or bool(model.tallies))


def bare_half(kit: Kit) -> float:
    """Share of requests that 10 of 30 servers end by BAD_INPUT, paid."""
    one = kit.table.Table(30)
    puppets, ended, tries = set(one.servers[:10]), 0, 100
    for _ in range(tries):
        request = one.ask(n=5 if kit.scenario is scenario else 4)
        one.to_draw(request)
        liars = {seat.who for seat in request.seats} & puppets
        one.play_round(request, dict.fromkeys(liars, kit.scenario.Answer("BAD_INPUT")))
        ended += request.outcome == "BAD_INPUT"
    return ended / tries


def stored(kit: Kit) -> float:
    """Records of policies and counters that are left for nothing when all is old: 20 policies, 20 requests."""
    one = kit.table.Table(10)
    for i in range(20):
        one.must(kit.table.PUPPET, kit.scenario.RegisterPolicy(b"p%02d" % i, kit.table.MODEL, True, 0, ((-(10**18), 1),)))
        one.must(kit.table.REQUESTER, kit.scenario.Cancel(one.ask().id))
        one.block()
    one.blocks(3, one.graph.params.keep + 1)
    for _ in range(12):
        one.must(kit.table.REQUESTER, kit.scenario.Cancel(one.ask().id))
        one.block()
    model = one.graph.models[kit.table.MODEL]
    return len(one.graph.policies) + max(0, len(model.ordinals) - 12)


def flooded(kit: Kit) -> float:
    """Share of 20 requests that three puppets answer alone, once a flood has filled the ten honest servers."""
    one = kit.table.Table(13, terms=kit.scenario.ModelTerms("m", tol=10, w=200_000, slots=64))
    model, puppets = kit.table.MODEL, set(one.servers[:3])
    for who in puppets:
        one.must(who, kit.scenario.Serve(model, 10**9))
    one.block()
    for _ in range(10):
        flood = one.ask(kit.table.PUPPET, n=15)
        one.to_draw(flood)
        one.play_round(flood, {})
    captured = 0
    for _ in range(20):
        request = one.ask(n=3, wait=20_000)
        one.to_draw(request)
        captured += bool(request.seats) and {seat.who for seat in request.seats} <= puppets
        if request.seats:
            one.play_round(request, {})
    return captured / 20


def ended_by_one(kit: Kit) -> float:
    """Credits that an owner loses to one puppet of ten servers that lies where it alone is asked, and to a friend who appeals."""
    one = kit.table.Table(10, 15)
    puppet = one.servers[0]
    for _ in range(60):
        request = one.ask(n=1)
        one.to_draw(request)
        seat = request.seats[0].who
        one.play_round(request, {puppet: kit.table.number(10**6)})
        if seat == puppet:
            break
    one.appeal(kit.table.PUPPET, request)
    one.until(request, ("ANSWER",))
    one.play_round(request, {})
    model = one.graph.models[kit.table.MODEL]
    return (10**6 - one.graph.money.held(model.id, b"D")) / 10**6


def forgotten(kit: Kit) -> float:
    """Lies of a server for twelve of thirty roots, in 300 requests, until it is out; after every eighth it leaves and is back."""
    one = kit.table.Table(10, 30, params=kit.scenario.Params(w_p=4_000))
    liar, lies = one.servers[0], 0
    for turn in range(300):
        request = one.ask(one.judges[turn % 30])
        one.to_draw(request)
        lying = turn % 30 % 5 < 2
        one.play_round(request, {liar: kit.table.number(10**6 if lying else 0)})
        server = one.graph.models[kit.table.MODEL].servers[liar]
        lied = lying and liar in {seat.who for seat in request.seats}
        lies += lied
        if server.out:
            break
        if lied and lies % 8 == 0:
            one.blocks(8)
            one.must(liar, kit.scenario.Unserve(kit.table.MODEL))
            one.must(liar, kit.scenario.Serve(kit.table.MODEL, 10**6 + 100))
            one.block()
    return lies


def delaying(kit: Kit) -> float:
    """Requests of 200 that three silent servers of ten delay by a window, who serve again at once whatever they did."""
    one = kit.table.Table(10)
    lazy, delayed = one.servers[:3], 0
    for _ in range(200):
        for who in lazy:
            if not one.graph.models[kit.table.MODEL].servers[who].awake:
                one.must(who, kit.scenario.Serve(kit.table.MODEL, 2_000))
        one.block()
        request = one.ask()
        one.to_draw(request)
        delayed += bool({seat.who for seat in request.seats} & set(lazy))
        for r in (1, 2):
            for seat in request.of_round(r):
                if seat.who not in lazy:
                    one.must(seat.who, kit.scenario.CommitAnswer(request.id, r, kit.table.number(0)))
            one.until(request, ("ANSWER",) if r == 1 and any(seat.committed is None for seat in request.seats) else ("OPEN",))
            if request.state == "ANSWER":
                one.until(request, ("REDRAW", "OPEN"))
                one.until(request, ("ANSWER", "OPEN"))
        for seat in request.seats:
            if seat.committed is not None and request.state == "OPEN":
                one.must(seat.who, kit.scenario.OpenAnswer(request.id, seat.r, seat.committed))
        one.block()
    return delayed


ANY_N: Edit = ("messages.py", "        and message.n % 2 == 1\n", "")
EVEN: Edit = ("formulas.py", "c = most if most % 2 else most - 1", "c = most")
EVEN_FEW: Edit = ("formulas.py", "(1 if n == 1 else max(3, m))", "(1 if n == 1 else max(2, m))")
HALF: Edit = ("tally.py", "if 2 * len(ok) < len(votes):", "if 2 * len(ok) <= len(votes):")
BARE: Edit = ("tally.py", "    if codes[code] < formulas.quorum(c):", "    if codes[code] < 2:")
EVERY_ENTRY: Edit = ("ends.py", "    model.tallies = [entry for entry in model.tallies if entry[0] != request.root]\n", "")

HOLES = (
    Hole(
        1,
        "the owner raises w between posting and draw: draws of its three puppets only, beside seven honest servers",
        "of draws",
        (
            ("pool.py", "request.posted, request.w)", "request.posted, request.model.price[1])"),
            ("messages.py", "    if w > model.price[1]:", "    if w > 10**13:"),
        ),
        poisoned,
        0.1,
    ),
    Hole(
        2,
        "an image that answers by the clock: what honest servers lose for each micro-credit of its owner, who risked none before",
        "micro-credits",
        (
            ("verdicts.py", "taken = min(graph.stake(model, one.who), part)", "taken = graph.stake(model, one.who)"),
            ("verdicts.py", '    graph.money.burn(model.id, DEPOSIT, "deposit", pot)\n', ""),
        ),
        framed,
        1.0,
    ),
    Hole(
        3,
        "three of five lie in one row: what the honest payees of the other rows lose",
        "credits",
        (("verdicts.py", "        found = [votes[i] for i in result.side if i in places]\n", ""),),
        one_row,
        0.0,
    ),
    Hole(
        4,
        "one requester gives junk keys to two of five: servers that are out after 60 requests",
        "of ten",
        (("ends.py", "    server.record = [entry for entry in server.record if entry[0] != request.root]\n", ""),),
        barred,
        0.0,
    ),
    Hole(
        5,
        "the requester's puppet reads and abstains: requests that cost nothing",
        "of requests",
        (
            ANY_N,
            EVEN,
            EVEN_FEW,
            HALF,
            ("settling.py", "    if found.outcome == MODEL_FAULT:", "    if found.outcome in (MODEL_FAULT, TOO_FEW):"),
            ("formulas.py", "    return row * (rows + RECORD_ROWS + cd(inline, ROW_BYTES))\n", "    return 0\n"),
        ),
        free_reading,
        0.0,
    ),
    Hole(
        6,
        "a third of the servers say FAULT to own requests: how many retire a stranger's model (0: not in 120)",
        "requests",
        (ANY_N, EVEN, EVEN_FEW, HALF, BARE, EVERY_ENTRY, ("formulas.py", "TALLY_SEATS = 5", "TALLY_SEATS = 3")),
        killed,
        0.0,
    ),
    Hole(
        7,
        "the head of the queue stays young by tips: others that expire",
        "of eight",
        (("machine.py", "            again = True\n            continue\n", "            again = True\n            break\n"),),
        blocked,
        0.0,
    ),
    Hole(
        8,
        "a queue flooded by high tips that soon expire: evicted for each micro-credit that it costs",
        "requests",
        (
            ("formulas.py", "EVICT_WAIT = 60 * SECOND", "EVICT_WAIT = 0"),
            ("ends.py", "    if request.evictor:", "    if not request:"),
        ),
        evictions,
        0.2,
    ),
    Hole(
        9,
        "the bond of an appeal of 256 rows, w = 1,000",
        "credits",
        (("formulas.py", "return max(params.fee, 2 * w * appeal_rows(rows))", "return max(params.fee, 2 * w * rows)"),),
        priced_away,
        2.1,
    ),
    Hole(
        11,
        "an appellant withholds the data: verifiers who work for nothing",
        "votes",
        (("verdicts.py", "        pay_votes(graph, request, votes, graph.params.fee)\n    close", "        pass\n    close"),),
        withheld,
        0.0,
    ),
    Hole(
        12,
        "asking until a draw lies: decisions of 120 by the liars' value, 10 of 30 servers, a policy with a bound of three",
        "decisions",
        (("settling.py", "(terms.most and request.asked > terms.most)", "False"),),
        repeated,
        1.0,
    ),
    Hole(
        13,
        "a third of the servers say BAD_INPUT: requests that end so, paid",
        "of requests",
        (ANY_N, EVEN, EVEN_FEW, HALF, BARE),
        bare_half,
        0.05,
    ),
    Hole(
        15,
        "policies and counters that nobody needs: what stays for ever of 20 each",
        "records",
        (
            ("play.py", "if not policy.live and graph.clock >= policy.used", "if graph.clock < 0 and graph.clock >= policy.used"),
            ("ends.py", "        del model.ordinals[request.terms.cid]\n    else", "        pass\n    else"),
        ),
        stored,
        0.0,
    ),
    Hole(
        16,
        "a flood fills servers up to their stakes: draws of puppets only, where the full ones leave the pool or hold the queue",
        "of draws",
        (
            (
                "pool.py",
                "            and not server.out\n",
                "            and not server.out\n            and (server.pins + 1) * 10 * w <= graph.stake(model, server.id)\n",
            ),
            ("formulas.py", "return max(c, len(stakes) * (lower_median(stakes) // (10 * w)))", "return 10**9"),
        ),
        flooded,
        0.1,
    ),
    Hole(
        17,
        "data for two of five servers: what their answers are worth, royalty with it, for each micro-credit that it costs",
        "micro-credits",
        (("settling.py", "elif withheld(votes) and said(votes, OK):", "elif not votes:"),),
        fraction,
        1.0,
    ),
    Hole(
        18,
        "data for two of five servers: whether a stranger's model has a bad entry by that",
        "models",
        (("settling.py", "    if not withheld(votes):\n", "    if votes:\n"),),
        slandered,
        0.0,
    ),
    Hole(
        19,
        "three of five lie in one of 256 rows, and a friend appeals first and names eight others: the lie stands",
        "of requests",
        (("pool.py", "    for _ in range(count):\n", "    for _ in ():\n"),),
        forestalled,
        0.0,
    ),
    Hole(
        20,
        "all of five lie in one of 256 rows, and a friend appeals before the requester, who knows the row: the lie stands",
        "of requests",
        (("formulas.py", "return answered + params.w_p // 2", "return answered"),),
        forestalled_for_all,
        0.0,
    ),
    Hole(
        21,
        "a server without the data makes numbers up, which are paid in full where nobody has them: before, no bad entry by that",
        "requests of forty roots",
        (
            (
                "settling.py",
                "        if side:\n            ends.recorded",
                "        if side and not withheld(votes):\n            ends.recorded",
            ),
        ),
        made_up,
        9.0,
    ),
    Hole(
        22,
        "sixty requests expire for nothing: what is left of them in the state when thirty others were posted",
        "requests",
        (("ends.py", "(graph.results if request.seats else graph.unseated)", "graph.results"),),
        expired,
        0.0,
    ),
    Hole(
        23,
        "a request of 256 rows at the least floor: rows that are kept thirty days for each micro-credit that burns",
        "rows",
        (("formulas.py", "    return row * (rows + RECORD_ROWS + cd(inline, ROW_BYTES))\n", "    return 0\n"),),
        kept_rows,
        0.2,
    ),
    Hole(
        24,
        "three of five give a value to one of 256 rows that is none, and a friend appeals first and names eight others: it stands",
        "of requests",
        (("pool.py", "        return [answer.check - 1] if answer.check else []\n", "        return []\n"),),
        forestalled_unfit,
        0.0,
    ),
    Hole(
        25,
        "a request that carries 2,048 bytes of input: what is kept of them thirty days for each micro-credit that burns",
        "bytes",
        (("formulas.py", "(rows + RECORD_ROWS + cd(inline, ROW_BYTES))", "(rows + RECORD_ROWS)"),),
        kept_bytes,
        1.6,
    ),
    Hole(
        26,
        "four puppets of twelve verifiers do not serve, and judge what all five seats said: a right answer is false and final",
        "of requests",
        (("verdicts.py", "    return len(new.support) + more > len(old.support) + fewer\n", "    return True\n"),),
        left_over,
        0.0,
    ),
    Hole(
        27,
        "one puppet of ten servers lies where it alone is asked, and a friend appeals: what the owner loses, before with its model",
        "credits",
        (("verdicts.py", "    return request.c >= formulas.OWNED_SEATS and len", "    return len"),),
        ended_by_one,
        0.0,
    ),
    Hole(
        28,
        "a server lies for twelve of thirty roots, leaves after every eighth lie and is back: its lies until it is out",
        "lies",
        (("ends.py", "        model.left[server.id] = server\n", "        pass\n"),),
        forgotten,
        12.0,
    ),
    Hole(
        29,
        "three silent servers of ten, which serve again at once: requests of five answers that they delay",
        "of 200",
        (("ends.py", "sum(server.silent) > formulas.SILENT_MOST", "False"),),
        delaying,
        12.0,
    ),
)
NO_GAME = {
    10: "copying in an appeal: 16 drawn rows and a check over all of them; the model has no cost of computing",
    14: "blinding repeats: offsets carry the request (tests/unit/test_prediction_beside.py)",
}


def now(hole: Hole) -> float:
    return hole.game(Kit(table, scenario))


def once(hole: Hole) -> float:
    """Without its rule."""
    with tempfile.TemporaryDirectory() as folder, edited(Path(folder), hole.before) as copy:
        return hole.game(kit_of(load(copy, "table"), load(copy, "scenario")))


def kit_of(its_table: ModuleType, its_scenario: ModuleType) -> Kit:
    return Kit(its_table, its_scenario)


def page() -> str:
    lines = ["| hole | attack | before | now | unit |", "|---|---|---|---|---|"]
    for hole in HOLES:
        lines.append(f"| {hole.number} | {hole.attack} | {once(hole):.3g} | {now(hole):.3g} | {hole.unit} |")
        print(lines[-1], file=sys.stderr, flush=True)
    lines += ["", *(f"- {number}: {why}" for number, why in NO_GAME.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("# Attacks on the rules of predictions, with and without the rule that answers each\n\n" + page())
