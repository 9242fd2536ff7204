"""The prediction contract a second time: the executable model of its page (`tests.predictions`) inside the second ledger
(`checks_models`). Its records are compared in the words of `tests.prediction_views`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from chain.contracts import prediction
from chain.contracts.prediction import messages as m
from chain.contracts.prediction import records
from chain.contracts.prediction.messages import PredictionCode
from chain.contracts.prediction.tally import Answer
from tests.hashes import tagged
from tests.prediction_views import StateViews, escrow_name, of_ended
from tests.predictions import ends, formulas, machine, messages, play, scenario
from tests.predictions.events import Flow, Struck
from tests.predictions.formulas import cd
from tests.predictions.graph import Graph
from tests.predictions.money import Money
from tests.predictions.records import ANSWER, APPEALED, FAILED, KEYS, LIVE, OPEN, REDRAW, WAITING, Request
from tests.predictions.scenario import Params
from tests.sim.checks_ledger import Ledger, must
from tests.sim.checks_members import Members
from tests.sim.checks_models import Deadline, Modelled, People, balances, same

NUMBER = records.NUMBER
LIVE_KEY, OPEN_KEY = records.LIVE, records.OPEN
PREFIXES = tuple(sorted(prediction.CONTRACT.state))
"""Of the contract's records."""


class LedgerMoney(Money):
    """The model's credits are those of the second ledger."""

    def __init__(self, ledger: Ledger, tell: Callable[[Flow], None]) -> None:
        self.ledger, self.tell = ledger, tell
        self.balance = balances(ledger)
        self.minted = 0

    def held(self, ref: bytes, purpose: bytes) -> int:
        return self.ledger.held(escrow_name(ref, purpose))

    def lock(self, account: bytes, ref: bytes, purpose: bytes, amount: int) -> None:
        self.ledger.lock(account, escrow_name(ref, purpose), amount)

    def pay(self, ref: bytes, purpose: bytes, to: bytes, why: str, amount: int | None = None) -> int:
        return self.ledger.release(escrow_name(ref, purpose), to, amount)

    def burn(self, ref: bytes, purpose: bytes, why: str, amount: int | None = None) -> int:
        return self.ledger.release(escrow_name(ref, purpose), None, amount)

    def shift(self, ref: bytes, purpose: bytes, to_ref: bytes, to_purpose: bytes, amount: int) -> None:
        self.ledger.move(escrow_name(ref, purpose), escrow_name(to_ref, to_purpose), amount)

    def mint(self, ref: bytes, to: bytes, amount: int) -> None:
        if amount and not self.ledger.banned(to):
            self.minted += amount
            self.ledger.mint(to, amount)


class LedgerGraph(Graph):
    """The model's state; who is there and what they hold it asks."""

    def __init__(self, ledger: Ledger, people: Members) -> None:
        self._ledger, self._people = ledger, people
        super().__init__(Params(), (), 0, ())
        self.accounts = cast(Any, People(ledger, people, models=0))
        self.money = LedgerMoney(ledger, self.tell)

    def now(self) -> None:
        """Take over what this block is."""
        chain, p = self._ledger.chain, self._ledger.params
        self.clock, self.height, self.beacon = chain.clock, chain.height, chain.beacon
        self.validators = len(self._ledger.validators)
        self.params = Params(
            sub=p.pred_sub,
            epoch=p.pred_epoch,
            epoch_sub=p.pred_epoch_sub,
            stake=p.pred_stake,
            deposit=p.pred_deposit,
            fee=p.pred_fee,
            a0=p.pred_a0,
            w_o=p.pred_open,
            w_k=p.pred_keys,
            w_p=p.pred_appeal,
            keep=p.pred_keep,
            v0=p.pred_vote_base,
            w_o3=p.pred_open_votes,
            month=p.standing_life,
            servers=p.pred_servers,
            waiting=p.pred_waiting,
            waiting_own=p.pred_waiting_own,
            models=p.pred_models,
            row=p.pred_row,
        )

    def strike(self, who: bytes, origin: bytes, why: str) -> None:
        self._people.strike_root(who, origin)
        self.tell(Struck(who, origin, why))


class Predictions(Modelled):
    refused = messages.Refused

    def __init__(self, ledger: Ledger, people: Members) -> None:
        self.graph = LedgerGraph(ledger, people)
        self.reached: Counter[str] = self.graph.reached
        super().__init__(ledger, people, self.graph, prediction.CONTRACT, messages.HANDLERS, PredictionCode)
        ledger.on_banned.append(self._banned)

    # --- what comes -------------------------------------------------------------------------------------------------------------

    def _on_due(self, ref: bytes, at: int) -> None:
        graph = self.graph
        model, request, policy = graph.models.get(ref), graph.live.get(ref), graph.policies.get(ref)
        if model is not None and model.pump_at == at:
            machine.pump(graph, model)
        elif request is not None and request.deadline == at and self._is_time(request):
            machine.deadline(graph, request)
        elif policy is not None and not policy.live and policy.used + graph.params.keep == at:
            ends.drop_policy(graph, policy)
        elif ref in graph.bans:
            del graph.bans[ref]
            ends.banned(graph, ref)

    def _is_time(self, request: Request) -> bool:
        return request.state not in (REDRAW, APPEALED) or self.graph.height >= request.draw_height

    def _banned(self, identity: bytes) -> None:
        graph = self.graph
        graph.now()
        graph.bans[identity] = graph.clock
        for model in graph.models.values():
            if identity in model.servers:
                model.servers[identity].leaving = True
        self.follow()

    def _wanted(self) -> Iterator[Deadline]:
        graph = self.graph
        for model in graph.models.values():
            if model.pump_at is not None:
                yield model.owner, model.pump_at, model.id, 0
        for request in graph.live.values():
            draws = request.state in (REDRAW, APPEALED)
            yield request.requester, request.deadline, request.id, request.draw_height if draws else 0
        for ref, policy in graph.policies.items():
            if not policy.live:
                yield policy.owner, policy.used + graph.params.keep, ref, 0
        for who, time in graph.bans.items():
            yield who, time, who, 0

    def _due_work(self, ref: bytes) -> int:
        """LC-BLK-31"""
        model, request = self.graph.models.get(ref), self.graph.live.get(ref)
        if len(ref) == 20:
            return 128
        if model is not None:
            servers, waiting = len(model.servers), len(model.waiting)
            if model.state != LIVE:
                return min(waiting, 64) + min(servers, 64) + 128
            return servers + cd(waiting, 16) + min(waiting, 16) * (15 + cd(servers, 16))
        if request is None:
            return 0
        first, judges = len([one for one in request.seats if one.r != 3]), len(request.of_round(3))
        if request.state in (ANSWER, REDRAW):
            return first + judges + len(request.model.servers)
        if request.state == OPEN:
            return first + judges + cd(request.c * request.terms.rows + judges * len(request.rows), 8)
        if request.state == APPEALED:
            return 63 + cd(self.people.flags(), 16) + cd(request.c * request.terms.rows, 8)
        return first + judges

    # --- words ------------------------------------------------------------------------------------------------------------------

    def _id(self, tag: bytes) -> bytes:
        return tagged(tag, self.l.tx, bytes((self.l.op,)))

    def _translated(self, sender: bytes, o: Any) -> scenario.Message:
        """LC-PRE-50: a message of the ledger in the model's words."""
        if isinstance(o, m.RegisterModel):
            return self._registration(o)
        if isinstance(o, m.SetPrice):
            return scenario.SetPrice(o.model, (o.expected_royalty, o.expected_floor), (o.royalty, o.floor))
        if isinstance(o, m.RequestPrediction):
            private, policy = bool(o.key_hash), o.policy[0] if o.policy else None
            inline = m.inline_cid(o.inline) == o.cid and len(o.inline) == o.size if o.inline else None
            terms = (o.rows, o.answers, o.agree, o.tip, o.max_charge, o.wait)
            return scenario.Ask(self._id(b"lc/request"), o.model, o.cid, o.size, *terms, private, policy, inline)
        if isinstance(o, m.RegisterPolicy):
            rates = tuple((rate.start, rate.ppm) for rate in o.rates)
            given = (self._id(b"lc/policy"), o.model, o.below, o.threshold, rates, o.least, o.most)
            return scenario.RegisterPolicy(*given)
        if isinstance(o, m.GiveKeys):
            return scenario.GiveKeys(o.request, o.round, len(o.boxes))
        if isinstance(o, m.CommitAnswer):
            return scenario.CommitAnswer(o.request, o.round, cast(Any, o.commitment))
        if isinstance(o, m.OpenAnswer):
            return self._opening(sender, o)
        if isinstance(o, m.AppealAnswer):
            return scenario.Appeal(o.request, tuple(o.rows))
        plain: dict[type, Callable[..., Any]] = {
            m.RetireModel: scenario.RetireModel,
            m.ServeModel: scenario.Serve,
            m.UnserveModel: scenario.Unserve,
            m.AddTip: scenario.AddTip,
            m.CancelRequest: scenario.Cancel,
            m.ShareRoyalty: scenario.ShareRoyalty,
        }
        found: scenario.Message = plain[type(o)](*(getattr(o, name) for name in o.__struct_fields__))
        return found

    def _registration(self, o: m.RegisterModel) -> scenario.RegisterModel:
        terms = scenario.ModelTerms(
            name=o.name,
            kind=o.kind,
            classes=o.classes,
            tol=o.tol,
            p=o.royalty,
            w=o.floor,
            slots=o.slots,
            max_rows=o.max_rows,
            input_cap=o.input_cap,
            row_ms=o.row_ms,
            start_s=o.start_s,
            size=o.program[0].size,
            shares=tuple((share.account, share.weight) for share in o.shares),
        )
        return scenario.RegisterModel(self._id(b"lc/model"), terms, o.previous[0] if o.previous else None)

    def _opening(self, sender: bytes, o: m.OpenAnswer) -> scenario.OpenAnswer:
        """The model holds what a commitment binds; here it holds the hash until that is opened."""
        request = self.graph.requests.get(o.request)
        seat = request.seat(sender, o.round) if request is not None else None
        sealed = m.answer_commitment(self.l.chain.chain_id, o.request, o.round, sender, o.answer, o.salt)
        said = _answer(o.answer)
        if seat is not None and seat.committed is not None and cast(Any, seat.committed) == sealed:
            seat.committed = said
        return scenario.OpenAnswer(o.request, o.round, said)

    # --- what is so -------------------------------------------------------------------------------------------------------------

    def _compare(self, stored: Mapping[bytes, bytes], get: Callable[[bytes], Any]) -> None:
        graph = self.graph
        views = StateViews(get)
        for name, ours, theirs in (
            ("model", {one: play.model_view(graph, one) for one in graph.models}, lambda one: views.model(one, graph.clock)),
            ("request", {one: of_ended(play.request_view(graph, one)) for one in graph.requests}, views.ended_request),
        ):
            for one, view in ours.items():
                must(get((b"pm/" if name == "model" else b"pb/") + one) is not None, f"{name} {one.hex()[:8]} is not there")
                same(f"{name} {one.hex()[:8]}", theirs(one), view)
        self._in_time()
        kept, wanted = {key for key in stored if key[:3] in EXPECTED}, set(self._keys())
        must(not kept - wanted, f"records that belong to nothing: {[_named(key) for key in sorted(kept - wanted)][:3]}")
        must(not wanted - kept, f"records that are missing: {[_named(key) for key in sorted(wanted - kept)][:3]}")

    def _in_time(self) -> None:
        """LC-PRE-45, with what blocks came late for the deadlines that they handled: by then it has ended, or goes on in time."""
        for one in self.graph.requests.values():
            terms, of, params = one.terms, one.model.terms, self.graph.params
            last = formulas.answered_by(params, of, one.posted, terms.wait, terms.rows, terms.size)
            if one.state not in (WAITING, KEYS, ANSWER, REDRAW, OPEN, FAILED) or one.r == 3:
                last = formulas.final_by(params, of, last, terms.rows, terms.size)
            at = one.ended_at or one.deadline
            must(at <= last + one.lateness, f"the request {one.id.hex()[:8]} was to be {one.state} by {last}, it is at {at}")

    def _keys(self) -> Iterator[bytes]:
        """The keys of the records that there should be, of the prefixes EXPECTED."""
        graph = self.graph
        for one, model in graph.models.items():
            yield from (b"pm/" + one, b"ps/" + one, LIVE_KEY + one)
            yield from (b"pk/" + one + who for who in model.servers)
            yield from (b"pi/" + one + cid for cid in model.ordinals)
            yield from (b"pu/" + one + root for root in model.askers)
            yield from (b"pw/" + one + request.requester for request in model.waiting.values())
            for request in model.waiting.values():
                v, position = machine.order(request)
                yield b"pq/" + one + v.to_bytes(8, "big") + position.to_bytes(8, "big")
            if model.servers:
                yield b"pg/" + one
            if model.state == LIVE:
                yield b"po/" + model.owner + one
        for one in graph.requests:
            yield from (b"pr/" + one, b"pb/" + one)
            if one in graph.live:
                yield from (LIVE_KEY + one, OPEN_KEY + one)
        for one in graph.policies:
            yield from (b"pp/" + one, LIVE_KEY + one)

    def unfinished(self) -> int:
        """Requests that have not ended."""
        return len(self.graph.live)


EXPECTED = frozenset(
    (LIVE_KEY, OPEN_KEY, b"pm/", b"ps/", b"pk/", b"pi/", b"pu/", b"pw/", b"pq/", b"pg/", b"po/", b"pr/", b"pb/", b"pp/")
)


def _answer(said: Answer) -> scenario.Answer:
    return scenario.Answer(said.code.name, tuple(said.scores), tuple(said.classes), said.check)


def _named(key: bytes) -> str:
    return f"{key[:3].decode()}{key[3:].hex()[:16]}"
