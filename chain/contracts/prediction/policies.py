"""RegisterPolicy, and what becomes of a policy: used by requests, dropped when nobody names it. LC-PRE-43, 44."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from learningchain.chain.contracts.prediction import decisions, messages, records, store
from learningchain.chain.contracts.prediction.decisions import DecisionRule
from learningchain.chain.contracts.prediction.guards import model_of, require_active
from learningchain.chain.contracts.prediction.messages import PredictionCode, RegisterPolicy
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import NUMBER, DecisionRecord, LiveKind, PolicyRecord
from learningchain.chain.contracts.prediction.store import RequestContext
from learningchain.chain.contracts.prediction.tally import ModelKind, RowValue
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host
from learningchain.chain.host.deadlines import Deadline


def rule_of(terms: RegisterPolicy) -> DecisionRule:
    rates = [(one.start, one.ppm) for one in terms.rates]
    return DecisionRule(terms.below, terms.threshold, rates, terms.least, terms.most)


def register_policy(host: Host, sender: bytes, m: RegisterPolicy) -> None:
    """LC-PRE-43: also for a retired model, which nobody asks any more."""
    model = model_of(host, m.model)
    require_active(host, sender, "register a policy")
    if model.record.terms.kind != ModelKind.NUMBER:
        raise Reject(PredictionCode.BAD_POLICY, "a policy decides numbers: this model says classes")
    if not rule_of(m).is_sane:
        text = "rates are 1 to 32, ascending from -10^18, at most 1,000,000 ppm; threshold within 10^18; least is 1 to 15"
        raise Reject(PredictionCode.BAD_POLICY, text)
    policy, params = messages.policy_id_of(host.tx_id, host.op_index), host.params_of(PredictionParams)
    host.lock(sender, records.policy_escrow(policy), params.pred_fee, "policy.locked", policy)
    number = store.totals(host).policies
    store.count(host, policies=number + 1)
    due = Deadline(host, NUMBER, policy, sender).window(0, params.pred_keep)
    host.put(records.policy_key(policy), PolicyRecord(sender, number, host.clock, 0, due, m))
    store.put_live(host, policy, LiveKind.POLICY, number)
    host.emit("policy.registered", policy, m.model, sender)


def require(host: Host, policy: bytes, model: bytes) -> None:
    """LC-PRE-17"""
    found = host.get(records.policy_key(policy), PolicyRecord)
    if found is None or found.terms.model != model:
        raise Reject(PredictionCode.NO_SUCH_POLICY, f"there is no policy {policy.hex()} for this model")


def hold(host: Host, policy: bytes) -> None:
    """A request names it: it stays."""
    found = store.must(host.get(records.policy_key(policy), PolicyRecord), "policy", policy)
    due = Deadline(host, NUMBER, policy, found.owner).clear(found.due)
    host.put(records.policy_key(policy), replace(found, live=found.live + 1, due=due))


def let_go(host: Host, policy: bytes) -> None:
    """A request that named it ended."""
    found = store.must(host.get(records.policy_key(policy), PolicyRecord), "policy", policy)
    due, live = found.due, found.live - 1
    if not live:
        due = Deadline(host, NUMBER, policy, found.owner).window(0, host.params_of(PredictionParams).pred_keep)
    host.put(records.policy_key(policy), replace(found, live=live, due=due))


def drop(host: Host, policy: bytes, found: PolicyRecord) -> None:
    """LC-PRE-43: nobody named it for so long. Its fee goes back."""
    escrow = records.policy_escrow(policy)
    Deadline(host, NUMBER, policy, found.owner).clear(found.due)
    host.pay(escrow, found.owner, host.escrowed(escrow), "policy.back", policy)
    host.delete(records.policy_key(policy))
    host.delete(records.live_key(policy))
    host.emit("policy.left", policy, found.owner)


def decide(request: RequestContext, policy: bytes, values: Sequence[RowValue | None]) -> list[DecisionRecord]:
    """LC-PRE-44"""
    found = store.must(request.host.get(records.policy_key(policy), PolicyRecord), "policy", policy)
    made = decisions.decide(
        rule_of(found.terms),
        values,
        c=request.record.wanted,
        tol=request.model.record.terms.tol,
        private=request.is_private,
        asked=request.posting.asked,
    )
    return [DecisionRecord(one.decision, one.rate, one.borderline) for one in made]


def give_back(host: Host, policy: bytes, found: PolicyRecord) -> None:
    """LC-PRE-54: a parked one is dropped, or waits for the requests that name it."""
    if not found.live:
        drop(host, policy, found)
