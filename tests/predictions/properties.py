"""What must hold after every block of every run, whoever does what. `Checker` is told each block and raises `Violation`.

Each of PROPERTIES is a promise of the rules. They look at credits as they move and at what is so afterwards, not at how the
model came there.
"""

from __future__ import annotations

from collections import Counter
from typing import NoReturn

from . import ends, formulas, play
from .events import Asleep, Decided, Drawn, Ended, Evicted, Fined, Flow, Slashed, Struck
from .generate import HONEST, Player
from .graph import Graph
from .records import (
    ANSWER,
    APPEALED,
    BOND,
    CHARGE,
    DEPOSIT,
    FAILED,
    FINAL,
    KEYS,
    LIVE,
    OPEN,
    POLICY,
    REDRAW,
    RETIRED,
    ROYALTY,
    WAITING,
    Model,
    Request,
    Seat,
)
from .scenario import BAD_INPUT, HOUR, OK, RetireModel
from .tally import AGREED, WEAK

PROPERTIES: dict[str, str] = {
    "conserved": "balances, escrows and what was burned are together what they were at the start and what was minted",
    "solvent": "no balance is negative, nothing empty lies in escrow",
    "escrows": "an escrow stands where something live asks for it, with what that asks for, and nowhere else",
    "paid": "a request pays out what it locked, a seat at most T//N, and burns nothing or b",
    "subsidy": "nothing is minted but for an answer, for each payee at most SUB, in an epoch at most its bound",
    "self": "nobody gains by asking itself: a request mints at most half of b, and only where b burns",
    "ends": "every request ends by the latest end",
    "stakes": "a fine is at most T//N and ten floors; who leaves gets the stake back with the last seat",
    "keys": "when all models have retired and all is old, nothing is left",
    "queue": "who is drawn is old enough, in time, and nobody who could go stands before it; a queue never sleeps alone",
    "throttle": "a model's open seats stay within its slots",
    "eviction": "only the last is evicted, only by a better one that waits a minute",
    "seats": "an odd number of able servers sits, no requester, the owner only where others lack, no party judges an appeal",
    "truth": "a value has q supporters, and as many as were asked for where it is AGREED",
    "honest": "where most seats tell the truth it is the answer, and they are not fined",
    "calm": "where everybody is honest and in time, nobody is fined or struck, and what is drawn is AGREED",
    "pins": "seats are counted where they are",
    "appeal": "in its first half the requester alone appeals, and of what each seat disputes a row is judged while there is room",
    "overturned": "a true value falls only where fewer told the truth than did not, in the draw and as judges",
    "slash": "an appeal takes stakes by fifteen judges in agreement only, as much of the deposit, and never an honest one's",
    "barred": "an account is barred where three different origins struck it within the month, and nowhere else",
    "banned": "a banned account holds and receives nothing, serves nothing, owns nothing live",
    "price": "a higher floor holds an hour after it was set, and never for what was posted before",
    "decisions": "a row is decided by a quorum's value, on the right side of the threshold",
}


class Violation(AssertionError):
    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {PROPERTIES[name]}; but {what}")
        self.name = name


def fail(name: str, what: object) -> NoReturn:
    raise Violation(name, str(what))


def need(name: str, condition: object, what: object) -> None:
    if not condition:
        fail(name, what)


def place(request: Request) -> tuple[int, int]:
    """v and position, written anew."""
    least = request.w * request.terms.n * request.terms.rows
    return request.posted + 60_000 - min(60_000, 2_000 * (request.tip - least) // least), request.position


def stays(request: Request) -> int:
    """F, written anew."""
    carried = request.terms.size if request.terms.inline else 0
    return request.row * (16 + request.terms.rows + (carried + 7) // 8)


def locked(request: Request) -> tuple[int, int]:
    """X and b, written anew."""
    whole = request.tip + request.p * request.terms.rows
    fee = max(-(-whole // 20), stays(request))
    return whole + fee, fee


def told_true(player: Player, request: Request, seat: Seat) -> bool:
    """Whether an honest one opened what it found; some commit nonsense by mistake."""
    own = player.answers.get((request.id, seat.who, seat.r))
    return seat.opened is not None and seat.opened is own and own.code == OK and player.habit[seat.who] == HONEST


class Checker:
    """Looks at one player's graph after every block."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.posted = 0
        self.ends: Counter[str] = Counter()
        self.flows: dict[bytes, list[Flow]] = {}
        """By reference."""
        self.minted: Counter[int] = Counter()
        """By epoch."""
        self.seen: set[bytes] = set()
        self.requests: dict[bytes, Request] = {}
        """Those whose end was not looked at."""
        self.struck: dict[bytes, dict[bytes, int]] = {}
        """By account and origin: time of the last strike."""
        self.able: dict[bytes, set[bytes]] = {}
        """By model: who might be drawn after the last block, but for flags, heights and floors."""
        self.delay = 1
        self.floors: dict[bytes, int] = {}
        self.announced: dict[bytes, tuple[int, int]] = {}
        """By model: the coming w, and when it was seen first."""

    def __call__(self, player: Player) -> None:
        graph = player.graph
        if self.total is None:
            self.total = sum(member.balance for member in player.members)
        need("conserved", graph.money.total() == self.total, f"{graph.money.total()} of {self.total}")
        for ref, request in graph.requests.items():
            if ref not in self.seen:
                self.seen.add(ref)
                self.requests[ref] = request
                self.posted += 1
        self.money(graph)
        self.told(player)
        self.prices(graph)
        self.accounts(graph)
        for model in graph.models.values():
            self.model(graph, model)
        self.after(graph)

    def told(self, player: Player) -> None:
        graph = player.graph
        drawn: list[Request] = []
        for event in graph.events:
            if isinstance(event, Flow):
                self.flow(graph, event)
            elif isinstance(event, Drawn):
                self.drawn(graph, event, drawn)
            elif isinstance(event, Ended):
                self.ended(player, event)
            elif isinstance(event, Fined):
                self.fined(player, event)
            elif isinstance(event, Evicted):
                self.evicted(graph, event)
            elif isinstance(event, Struck):
                self.struck.setdefault(event.account, {})[event.origin] = graph.clock
                need("calm", not player.mood.calm, f"a strike: {event.why}")
            elif isinstance(event, Slashed):
                self.slashed(player, event)
            elif isinstance(event, Decided):
                self.decided(graph, event)
        self.took_stakes(graph)

    # --- credits ------------------------------------------------------------------------------------------------------------

    def money(self, graph: Graph) -> None:
        need("solvent", min(graph.money.balance.values()) >= 0, "a balance")
        asked = self.asked(graph)
        for (ref, purpose), amount in graph.money.escrow.items():
            need("solvent", amount > 0, purpose)
            low, high = asked.pop((ref, purpose), (0, 0))
            need("escrows", low <= amount <= high, f"{amount} for {purpose!r} of {ref!r}, not {low} to {high}")
        for key, (low, _) in asked.items():
            need("escrows", low == 0, f"nothing for {key}")

    def asked(self, graph: Graph) -> dict[tuple[bytes, bytes], tuple[int, int]]:
        """What has to be in escrow: least and most."""
        found: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        for request in graph.live.values():
            if request.appellant is not None:
                fee = formulas.vote_fee(graph.params, request.w, request.terms.rows)
                found[request.id, BOND] = (3 * fee, 63 * fee)
            elif request.state in (WAITING, KEYS, ANSWER, REDRAW, OPEN):
                found[request.id, CHARGE] = (locked(request)[0],) * 2
        for model in graph.models.values():
            if model.state == LIVE or model.waiting or model.running or model.servers or model.pump_at is not None:
                whole = graph.params.deposit
                found[model.id, DEPOSIT] = (whole // 2 if model.state == LIVE else 0, whole)
            if model.terms.shares:
                found[model.id, ROYALTY] = (0, 10**15)
            for server in model.servers:
                found[model.id, server] = (0, 10**15)
        for ref in graph.policies:
            found[ref, POLICY] = (graph.params.fee,) * 2
        return found

    def flow(self, graph: Graph, flow: Flow) -> None:
        self.flows.setdefault(flow.ref, []).append(flow)
        if flow.why == "subsidy":
            number = graph.clock // graph.params.epoch
            self.minted[number] += flow.amount
            need("subsidy", self.minted[number] <= graph.params.epoch_sub, f"{self.minted[number]} in an epoch")
            need("subsidy", flow.amount <= graph.params.sub, flow.amount)
        if flow.why == "stake" and flow.to is None:
            need("stakes", graph.accounts[flow.purpose].banned, "the stake of one that leaves burns")

    def took_stakes(self, graph: Graph) -> None:
        """Credits leave a stake by a fine, by a slash that is told, or all together when its server leaves."""
        stakes = [
            flow for flow in graph.events if isinstance(flow, Flow) and flow.ref in graph.models and flow.why in ("shift", "fine")
        ]
        slashed = sum(event.stakes for event in graph.events if isinstance(event, Slashed))
        fined = sum(event.amount for event in graph.events if isinstance(event, Fined))
        need("slash", sum(flow.amount for flow in stakes if flow.why == "shift") <= slashed, slashed)
        need("stakes", sum(flow.amount for flow in stakes if flow.why == "fine") <= fined, fined)

    # --- what happened ------------------------------------------------------------------------------------------------------

    def drawn(self, graph: Graph, event: Drawn, earlier: list[Request]) -> None:
        request = self.requests[event.request]
        model, seats = request.model, set(event.seats)
        need("seats", len(seats) == len(event.seats) and request.requester not in seats, "one sits twice, or the requester")
        if event.r == 3:
            others = {seat.who for seat in request.seats if seat.r != 3}
            parties = {model.owner, request.appellant or b"", *others}
            need("seats", 3 <= len(seats) <= 63 and not seats & parties, "a party judges")
            self.disputed(request)
            return
        need("seats", seats <= self.able.get(model.id, set()), "one sits that cannot")
        need("seats", model.owner not in seats or event.pool <= 3, "the owner sits")
        slept = {one.server for one in graph.events if isinstance(one, Asleep) and one.model == model.id}
        for who in seats & set(model.servers) - slept:
            need("seats", model.servers[who].since < request.posted or model.servers[who].since == graph.clock, "too new")
        if event.r == 1:
            need("seats", len(seats) % 2 == 1 and len(seats) <= request.terms.n, len(seats))
            self.in_order(graph, request, earlier)
        else:
            silent = [seat for seat in request.seats if seat.r == 1 and seat.committed is None]
            need("seats", len(seats) <= len(silent) and not seats & {s.who for s in request.seats if s.r == 1}, "too many")

    def disputed(self, request: Request) -> None:
        tol, values = request.model.terms.tol, request.result.values if request.result is not None else ()
        found = []
        for seat in request.seats:
            answer = seat.opened
            if seat.r == 3 or answer is None:
                continue
            if answer.code != OK:
                found += [{answer.check - 1}] if answer.code == BAD_INPUT and answer.check else []
                continue
            said = zip(answer.classes or [0] * len(values), answer.scores, values, strict=True)
            off = {
                row
                for row, (cls, score, v) in enumerate(said)
                if v is not None and (v.cls != cls or abs(v.score - score) > 4 * tol)
            }
            found += [off] if off else []
        need("appeal", set(request.named) <= set(request.rows), "a row that was named is not judged")
        if len(found) + len(request.named) <= len(request.rows):
            need("appeal", all(off & set(request.rows) for off in found), "what a seat disputes is not judged")

    def in_order(self, graph: Graph, request: Request, earlier: list[Request]) -> None:
        need("queue", graph.clock < request.posted + request.terms.wait, "its wait is over")
        need("queue", graph.height - request.young_since >= self.delay, "it is too young")
        same = [one for one in earlier if one.model is request.model]
        need("queue", not same or place(same[-1]) < place(request), "out of order")
        earlier.append(request)
        for one in request.model.waiting.values():
            waits = graph.clock < one.posted + one.terms.wait and graph.height - one.young_since >= self.delay
            if waits and one.young_since < graph.height:
                need("queue", one.posted + 60_000 >= request.posted, "overtaken by one that was posted 60 s later")
                need("queue", place(one) > place(request), "another stood before it")

    def ended(self, player: Player, event: Ended) -> None:
        graph, request = player.graph, self.requests[event.request]
        if event.r == 3:
            if event.outcome == "OVERTURNED":
                self.overturned(player, request)
            return
        self.ends[event.outcome] += 1
        params, terms = graph.params, request.terms
        last = formulas.answered_by(params, request.model.terms, request.posted, terms.wait, terms.rows, terms.size)
        need("ends", graph.clock <= last + request.lateness, f"{graph.clock - last} ms late")
        self.balance(request, event.outcome)
        if event.outcome in (AGREED, WEAK):
            self.truth(request, event.outcome)
        if request.seats:
            self.honest(player, request, event.outcome)
        if player.mood.calm:
            fair = (AGREED, "EXPIRED", "EVICTED", "NO_SERVERS", "MODEL_RETIRED")
            need("calm", event.outcome in fair, event.outcome)

    def balance(self, request: Request, outcome: str) -> None:
        """Credits of a request that was answered or failed."""
        whole, fee = locked(request)
        flows = [flow for flow in self.flows.get(request.id, []) if flow.purpose in (CHARGE, b"")]
        out = sum(flow.amount for flow in flows if flow.purpose == CHARGE)
        need("paid", out == whole, f"{out} of {whole}")
        burned = sum(flow.amount for flow in flows if flow.to is None and flow.why == "fee")
        costs = ("CANCELLED", "NO_KEYS", "NO_AGREEMENT", "BAD_INPUT", "NO_DATA", "BAD_KEY", "TOO_HEAVY", AGREED, WEAK)
        free = ("EXPIRED", "EVICTED", "NO_SERVERS", "MODEL_RETIRED")
        if outcome in costs or request.evictor:
            need("paid", burned == fee, f"{outcome} burns {burned} of {fee}")
        elif outcome in free:
            need("paid", burned == 0, f"{outcome} burns {burned}")
        else:
            need("paid", burned >= stays(request), f"{outcome} burns {burned}, and its result stays")
        share = request.tip // request.terms.n
        seats = [flow for flow in flows if flow.why in ("answer", "shown", "quarter", "seat")]
        need("paid", all(flow.amount <= share for flow in seats) and len(seats) <= request.terms.n, "a seat's share")
        minted = sum(flow.amount for flow in flows if flow.why == "subsidy")
        need("subsidy", not minted or outcome in (AGREED, WEAK), outcome)
        need("self", 2 * minted <= burned, f"{minted} minted, {burned} burned")
        hand = sum(flow.amount for flow in flows if flow.to is not None)
        need("self", hand <= whole - (fee - fee // 2 if outcome in (AGREED, WEAK) else 0), f"{hand} for {whole}")

    def truth(self, request: Request, outcome: str) -> None:
        result, q = request.result, 1 if request.terms.n == 1 else 2
        tol = request.model.terms.tol
        opened = [seat.opened for seat in request.seats if seat.opened is not None and seat.r != 3 and seat.opened.code == OK]
        need("truth", result is not None and sum(seat.paid for seat in request.seats) >= q, "too few are paid")
        least = 16
        for row, value in enumerate(result.values if result is not None else ()):
            if value is None:
                continue
            near = [
                answer
                for answer in opened
                if (answer.classes[row] if answer.classes else 0) == value.cls and abs(answer.scores[row] - value.score) <= 4 * tol
            ]
            need("truth", len(near) >= len(value.support) >= q, f"{len(near)} near a value")
            least = min(least, len(value.support))
        need("truth", (outcome == AGREED) == (least >= request.terms.m), f"{outcome} with {least} of {request.terms.m}")

    def honest(self, player: Player, request: Request, outcome: str) -> None:
        if not self.mostly_honest(player, request, 1, request.c):
            return
        need("honest", outcome in (AGREED, WEAK), outcome)
        plan, tol = player.plans[request.id], request.model.terms.tol
        for (cls, score), value in zip(plan.rows, request.result.values if request.result is not None else (), strict=True):
            right = value is not None and value.cls == cls and abs(value.score - score) <= 4 * tol
            need("honest", right, f"{value} where {score} is true")

    def overturned(self, player: Player, request: Request) -> None:
        plan, tol = player.plans[request.id], request.model.terms.tol
        old = request.result.values if request.result is not None and plan.code == OK else ()
        true = sum(told_true(player, request, seat) for seat in request.seats)
        others = sum(seat.opened is not None for seat in request.seats) - true
        for row, value in enumerate(old):
            cls, score = plan.rows[row]
            right = value is not None and value.cls == cls and abs(value.score - score) <= tol
            now = request.values.get(row, value) if request.values else None
            stands = now is not None and now.cls == cls and abs(now.score - score) <= 5 * tol
            need("overturned", not right or stands or true < others, f"{true} said the truth, {others} did not")

    def mostly_honest(self, player: Player, request: Request, r: int, c: int) -> bool:
        """Whether more than half of all seats opened the truth."""
        seats = [seat for seat in request.seats if (seat.r == 3) == (r == 3) and seat.opened is not None]
        true = [seat for seat in seats if told_true(player, request, seat)]
        return player.plans[request.id].code == OK and 2 * len(true) > max(c, len(seats))

    def fined(self, player: Player, event: Fined) -> None:
        request = self.requests[event.request]
        most = min(request.tip // request.terms.n, 10 * request.w * request.terms.rows)
        need("stakes", event.amount <= most, f"a fine of {event.amount}, {most} at most")
        need("calm", not player.mood.calm, "a fine")
        if event.why == "known" and player.habit[event.server] == HONEST and self.mostly_honest(player, request, 1, request.c):
            told = [seat for seat in request.seats if seat.who == event.server and seat.r != 3]
            need("honest", not any(told_true(player, request, seat) for seat in told), "fined for the truth")

    def evicted(self, graph: Graph, event: Evicted) -> None:
        gone, by = self.requests[event.request], self.requests[event.by]
        need("eviction", by.terms.wait >= 60_000, "by one that soon expires")
        need("eviction", by.evictor and place(by)[0] < place(gone)[0] and by.model is gone.model, "by one that is not better")
        old = [one for one in gone.model.waiting.values() if one.height < graph.height and one.young_since < graph.height]
        need("eviction", gone.height == graph.height or all(place(one) < place(gone) for one in old), "not the last")

    def slashed(self, player: Player, event: Slashed) -> None:
        graph, request = player.graph, self.requests[event.request]
        judges = [seat for seat in request.seats if seat.r == 3]
        need("slash", len(judges) >= 15, f"by {len(judges)}")
        payees = len(request.result.side) if request.result is not None else 0
        many = request.c >= 5 and 3 * payees > 2 * request.c
        need("slash", event.deposit == (event.stakes if many and event.deposit else 0) <= graph.params.deposit, event)
        need(
            "slash", event.deposit or event.stakes <= payees * (request.tip // request.terms.n), "few lose more than they were paid"
        )
        burned = sum(flow.amount for flow in graph.events if isinstance(flow, Flow) and flow.why == "deposit" and flow.to is None)
        need("slash", burned >= event.deposit, "the owner loses less")
        opened = [seat.opened for seat in judges if seat.opened is not None]
        need("slash", 3 * len(opened) > 2 * len(judges), f"{len(opened)} opened")
        if self.mostly_honest(player, request, 3, len(judges)):
            honest = {seat.who for seat in request.seats if seat.r != 3 and seat.paid and player.habit[seat.who] == HONEST}
            lost = [e for e in self.struck_by(graph, event) if e.account in honest]
            need("slash", not lost, "an honest one")

    def struck_by(self, graph: Graph, event: Slashed) -> list[Struck]:
        """Of the strikes of a block those of one slashing: they come before it, behind the one before."""
        found: list[Struck] = []
        for one in graph.events:
            if one is event:
                break
            if isinstance(one, Slashed):
                found = []
            elif isinstance(one, Struck) and one.why == "overturned":
                found.append(one)
        return found

    def decided(self, graph: Graph, event: Decided) -> None:
        request = self.requests[event.request]
        policy = graph.policies[request.terms.policy or b""].terms
        need("decisions", len(event.rows) == request.terms.rows, len(event.rows))
        old = request.result.values if request.result is not None else ()
        for row, (decision, rate, _) in enumerate(event.rows):
            value = request.values.get(row, old[row])
            need("decisions", decision == "ACCEPT" or rate == 0, "a rate for nothing")
            if decision == "REFER":
                continue
            if value is None or request.terms.private:
                fail("decisions", "decided blindly")
            need("decisions", len(value.support) >= max(2 * request.c // 3 + 1, policy.least), "by too few")
            meets = value.score <= policy.threshold if policy.below else value.score >= policy.threshold
            need("decisions", meets == (decision == "ACCEPT"), decision)
            need("decisions", not policy.most or request.asked <= policy.most, "asked too often")

    # --- what is so ---------------------------------------------------------------------------------------------------------

    def prices(self, graph: Graph) -> None:
        for model in graph.models.values():
            w = model.price_at(graph.clock)[1]
            before = self.floors.get(model.id, w)
            if w > before:
                coming, seen = self.announced.get(model.id, (0, graph.clock))
                need("price", w == coming and graph.clock >= seen + HOUR, f"{before} became {w}")
            self.floors[model.id] = w
            if model.coming is None:
                self.announced.pop(model.id, None)
            elif self.announced.get(model.id, (0, 0))[0] != model.coming[1]:
                self.announced[model.id] = (model.coming[1], graph.clock)

    def accounts(self, graph: Graph) -> None:
        params = graph.params
        for account in graph.accounts.values():
            if not account.banned and not account.strikes and account.id not in self.struck:
                continue
            live = [time for time in self.struck.get(account.id, {}).values() if graph.clock - time < params.month]
            if account.banned:
                need("banned", graph.money.balance[account.id] == 0, "it holds credits")
            else:
                need("barred", account.stands(graph.clock, params.month) == (len(live) < 3), f"{len(live)} origins")

    def model(self, graph: Graph, model: Model) -> None:
        banned = graph.accounts[model.owner].banned
        need("banned", not banned or model.state == RETIRED or model.owner in graph.bans, "its model is live")
        seats: Counter[bytes] = Counter()
        open_seats = 0
        for request in graph.live.values():
            if request.model is model:
                drawn = [seat.who for seat in request.seats if seat.r != 3]
                seats.update(drawn)
                open_seats += len(drawn) if request.r in (1, 2) and request.state in (KEYS, ANSWER, REDRAW, OPEN) else 0
        need("pins", model.open_seats == open_seats, f"{model.open_seats} open seats of {open_seats}")
        need("pins", model.pins == sum(seats.values()), f"{model.pins} of {sum(seats.values())}")
        self.throttle(graph, model, open_seats)
        for server in model.servers.values():
            need("pins", server.pins == seats[server.id], f"{server.pins} of {seats[server.id]}")
            waits = (model.state == RETIRED and model.pump_at is not None) or server.id in graph.bans
            need("stakes", server.pins or not server.leaving or waits, "a stake stays behind")
            need("banned", server.leaving or not graph.accounts[server.id].banned, "it serves")
            need("stakes", server.leaving or model.state == LIVE, "it serves a retired model")
        waits = any(graph.clock < one.posted + one.terms.wait for one in model.waiting.values())
        need("queue", not waits or model.pump_at is not None or model.pins, "it sleeps with requests waiting")

    def throttle(self, graph: Graph, model: Model, open_seats: int) -> None:
        draws = [e for e in graph.events if isinstance(e, Drawn) and self.requests[e.request].model is model and e.r == 1]
        if draws:
            new = sum(
                len(e.seats) for e in graph.events if isinstance(e, Drawn) and e.r == 2 and self.requests[e.request].model is model
            )
            most = max(max(len(e.seats), model.terms.slots * e.pool * 2 // 3) for e in draws)
            need("throttle", open_seats - new <= most, f"{open_seats} open, {most} at most")

    def after(self, graph: Graph) -> None:
        self.delay = max(1, (graph.validators - 1) // 3)
        for model in graph.models.values():
            half = graph.params.stake + 100 * min([request.w for request in model.waiting.values()], default=1)
            self.able[model.id] = {
                server.id
                for server in model.servers.values()
                if server.awake and not server.out and not server.leaving and 2 * graph.stake(model, server.id) >= half
            }
        for request in graph.live.values():
            if request.state == APPEALED and request.draw_height == graph.height + graph.delay():
                own = request.appellant == request.requester or graph.clock - request.answered_at >= graph.params.w_p // 2
                need("appeal", own, "another one came before half of the window")
        for request in [one for one in self.requests.values() if one.ended]:
            self.final(graph, request)
            del self.requests[request.id]
            self.flows.pop(request.id, None)

    def final(self, graph: Graph, request: Request) -> None:
        params, terms, of = graph.params, request.terms, request.model.terms
        if request.state == FINAL:
            first = formulas.answered_by(params, of, request.posted, terms.wait, terms.rows, terms.size)
            last = formulas.final_by(params, of, first, terms.rows, terms.size)
            need("ends", request.ended_at <= last + request.lateness, f"{request.ended_at - last} ms late")
        need("ends", request.state in (FAILED, FINAL) and request.id not in graph.live, request.state)

    # --- the end of a run ---------------------------------------------------------------------------------------------------

    def over(self, player: Player) -> None:
        """Everything has ended; then every model retires, time passes, and nothing is left."""
        graph = player.graph
        need("ends", not graph.live, f"{len(graph.live)} never end")
        for model in list(graph.models.values()):
            if not graph.accounts[model.owner].banned:
                player.send(model.owner, RetireModel(model.id))
        for _ in range(len(graph.policies) + 4):
            play.begin(graph, graph.clock + graph.params.keep + 1, bytes(32))
        need("keys", not graph.money.escrow, f"left in escrow: {list(graph.money.escrow)}")
        for _ in range((len(graph.results) + len(graph.unseated)) // 2 + 1):
            ends.drop_results(graph)
        left = (*graph.models, *graph.names, *graph.requests, *graph.policies)
        need("keys", not left, f"left: {left}")
        need("conserved", graph.money.total() == self.total, "the end")
