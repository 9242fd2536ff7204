"""Members a second time, from protocol_spec/membership.md: strikes, draws, marks, capacity, verdicts, and cases to their end.

Shares with the product the types of messages and records. What other contracts ask of membership are the public methods.
"""

from __future__ import annotations

from chain.contracts import governance, membership
from chain.contracts.membership import records
from chain.contracts.membership.messages import SetCapacity
from chain.host import ACTIVE, BANNED, SUSPENDED
from chain.host.terms import Capacity
from chain.verification import standing
from tests.sim.checks_admission import Admission
from tests.sim.checks_ledger import MEMBERSHIP, Ledger, refuse_if, replace

OK, FALSE = 1, 2
BOUNDS = {
    "cpus_milli": (10, 1_024_000),
    "mem_mb": (6, 4_194_304),
    "image": (1, 2**36),
    "model_cap": (1, 2**34),
    "eval_s": (1, 86_400),
}


class Members:
    def __init__(self, ledger: Ledger) -> None:
        self.l = ledger
        self.admission = Admission(ledger)
        ledger.on_due[MEMBERSHIP] = self._due
        ledger.handlers |= {membership.JudgeCase: self._judge, SetCapacity: self._set_capacity}
        ledger.voted |= {
            governance.Ban: (self._may_be_banned, self._ban_by_vote),
            governance.LiftBan: (self._may_be_lifted, self._lift_ban),
        }

    def member(self, identity: bytes) -> records.Member:
        return self.l.get(b"m/" + identity) or records.Member(identity, False, 0, 0, [], 0, [], [])

    def root(self, identity: bytes) -> bytes:
        """LC-MEM-15"""
        return self.member(identity).root

    def strike(self, identity: bytes, owner: bytes) -> None:
        """LC-MEM-1: of each root the last one."""
        self.strike_root(identity, self.root(owner))

    def strike_root(self, identity: bytes, origin: bytes) -> None:
        if self.l.banned(identity):
            return
        m, clock = self.member(identity), self.l.chain.clock
        live = [s for s in m.strikes if s.end > clock and s.origin != origin]
        strikes = sorted([*live, standing.Strike(origin, clock + self.l.params.standing_life)], key=lambda s: s.end)[-16:]
        self.l.put(b"m/" + identity, replace(m, strikes=strikes))

    def strikes(self, identity: bytes) -> int:
        return len({s.origin for s in self.member(identity).strikes if s.end > self.l.chain.clock})

    def flagged(self, owner: bytes, needed: Capacity) -> tuple[int, int]:
        """LC-MEM-16: how many have the flag, and how many of them can judge this work."""
        found = [self.member(i) for i in self.l.members if i != owner and self.may_judge(i)]
        return len(found), sum(_covers(m.capacity, needed) for m in found)

    def flags(self) -> int:
        """Whoever has the flag, whether it may be drawn or not."""
        return sum(self.member(identity).verifier for identity in self.l.members)

    def may_judge(self, identity: bytes) -> bool:
        m, clock = self.member(identity), self.l.chain.clock
        return m.verifier and clock >= m.rests_until and self.strikes(identity) < 3 and not self.l.banned(identity)

    def able(self, needed: Capacity, before: int) -> list[bytes]:
        """LC-MEM-2, 16"""
        known = ((i, self.member(i)) for i in self.l.members if self.may_judge(i))
        early = ((i, m) for i, m in known if m.verifier_since < before and m.capacity_since < before)
        return [i for i, m in early if _covers(m.capacity, needed)]

    def drew(self, identity: bytes, owner: bytes, *, bad: bool, silent: bool) -> None:
        """LC-MEM-3, 18"""
        m, origin, clock = self.member(identity), self.root(owner), self.l.chain.clock
        if self.l.banned(identity) or clock < m.rests_until:
            return
        kept = [d for d in m.draws if silent or d.silent or d.origin != origin]
        draws = [*kept, standing.Draw(origin, bad, silent)][-10:]
        if sum(d.bad for d in draws) > 5:
            self.l.put(b"m/" + identity, replace(m, draws=[], rests_until=clock + self.l.params.standing_life))
        else:
            self.l.put(b"m/" + identity, replace(m, draws=draws))

    def voted(self, identity: bytes, owner: bytes, bad: bool) -> None:
        """LC-MEM-17: kept from the first bad one on."""
        if self.l.banned(identity):
            return
        key = b"mv/" + self.root(owner) + identity
        known = self.l.get(key).votes if self.l.get(key) else []
        votes = [*known, standing.CountedVote(self.l.chain.clock, bad)][-10:]
        while votes and not votes[0].bad:
            votes.pop(0)
        self.l.put(key, records.VotesFor(votes) if votes else None)

    def marked(self, identity: bytes, owner: bytes) -> bool:
        known = self.l.get(b"mv/" + self.root(owner) + identity)
        bad = [v.time for v in known.votes if v.bad] if known else []
        return len(bad) >= 2 and self.l.chain.clock < bad[-1] + self.l.params.standing_life

    def judged(self, identity: bytes, owner: bytes, verdict: int) -> None:
        """LC-MEM-19"""
        if self.root(owner) == self.root(identity):
            return
        case, known = self.l.get(b"mc/" + identity), self.l.get(b"mj/" + identity) or records.Judged([], 0)
        number = case.number if case is not None and verdict == FALSE else 0
        past = records.PastVerdict(self.root(owner), int(verdict), self.l.chain.clock, number, False)
        last = [*known.last, past]
        self.l.put(b"mj/" + identity, records.Judged(last[-64:], known.older + max(0, len(last) - 64)))

    def _set_capacity(self, sender: bytes, m: SetCapacity) -> None:
        """LC-MEM-16"""
        known, c = self.l.get(b"m/" + sender), m.capacity
        refuse_if(known is None, 210)
        refuse_if(c.arch not in (1, 2) or any(not low <= getattr(c, name) <= high for name, (low, high) in BOUNDS.items()), 211)
        refuse_if(known.capacity == [c], 212)
        self.l.put(b"m/" + sender, replace(known, capacity=[c], capacity_since=self.l.chain.clock))

    # --- cases ------------------------------------------------------------------------------------------------------------------

    def barred_from(self, identity: bytes, owner: bytes) -> bool:
        case = self.l.get(b"mc/" + identity)
        return case is not None and self.root(owner) in [ref.origin for ref in case.refs]

    def accuse(self, identity: bytes, owner: bytes, amount: int, ref: bytes, contract: int) -> bool:
        """LC-MEM-4: freeze what the stake does not cover, open a case or add to the open one. False for a banned account."""
        case, account, clock, appeal = (
            self.l.get(b"mc/" + identity),
            self.l.account(identity),
            self.l.chain.clock,
            self.l.params.appeal,
        )
        if account.status == BANNED:
            return False
        taken = min(account.balance, amount)
        frozen = {"status": SUSPENDED, "balance": account.balance - taken, "frozen": account.frozen + taken}
        self.l.hold(identity, account, **frozen)
        reason = records.CaseRef(ref, contract, owner, self.root(owner))
        if case is None:
            opened = self.l.get(b"mn/").opened if self.l.get(b"mn/") else 0
            self.l.put(b"mn/", records.Cases(opened + 1))
            case = records.Case(opened + 1, clock, clock + appeal, [reason], [], [])
        else:
            self.l.cancel(case.until, MEMBERSHIP, identity, identity)
            until = max(case.until, min(clock + appeal, case.since + 4 * appeal))
            case = replace(case, refs=_with(case.refs, reason), until=until)
        self.l.put(b"mc/" + identity, case)
        self.l.schedule(case.until, MEMBERSHIP, identity, identity)
        return True

    def _judges(self, accused: bytes) -> list[bytes]:
        return [v.id for v in self.l.validators if v.id != accused and not self.l.banned(v.id)]

    def _judge(self, sender: bytes, m: membership.JudgeCase) -> None:
        """LC-MEM-6, 20"""
        case, judges = self.l.get(b"mc/" + m.account), self._judges(m.account)
        refuse_if(sender not in judges, 200)
        refuse_if(case is None, 201)
        involved = any(self.l.party[ref.contract](ref.ref, sender) for ref in case.refs)
        refuse_if(m.confirm and (not self.l.active(sender) or involved), 209)
        refuse_if(sender in (case.confirm if m.confirm else case.lift), 202)
        said, other = sorted({*(case.confirm if m.confirm else case.lift), sender}), case.lift if m.confirm else case.confirm
        rest = [v for v in other if v != sender]
        self.l.put(b"mc/" + m.account, replace(case, confirm=said if m.confirm else rest, lift=rest if m.confirm else said))
        if not m.confirm and 2 * sum(v in judges for v in said) > len(judges):
            self.l.cancel(case.until, MEMBERSHIP, m.account, m.account)
            self._end_case(m.account, lifted=True)

    def _due(self, ref: bytes, at: int) -> None:
        """A case by its account, an invitation by its id."""
        (self.admission.due if len(ref) == 32 else self._close_case)(ref, at)

    def _close_case(self, identity: bytes, at: int) -> None:
        """LC-MEM-7, 8"""
        case, judges = self.l.get(b"mc/" + identity), self._judges(identity)
        if case is None or case.until != at:
            return
        confirmed, lifted = (sum(v in judges for v in words) for words in (case.confirm, case.lift))
        banned = 3 * confirmed > 2 * len(judges) or (2 * confirmed > len(judges) and self._corroborated(identity))
        if not banned:
            self._end_case(identity, lifted=False)
            for origin in dict.fromkeys(ref.origin for ref in case.refs) if lifted <= confirmed else ():
                self.strike(identity, origin)
            return
        self._ban(identity, case)

    def _may_be_banned(self, m: governance.Ban) -> None:
        """LC-GOV-10, LC-MEM-30"""
        refuse_if(m.account in [v.id for v in self.l.validators], 616)
        refuse_if(self.l.get(b"m/" + m.account) is None, 210)
        refuse_if(self.l.banned(m.account), 228)

    def _ban_by_vote(self, m: governance.Ban) -> None:
        identity = m.account
        case = self.l.get(b"mc/" + identity)
        if case is not None:
            self.l.cancel(case.until, MEMBERSHIP, identity, identity)
        self._ban(identity, case)

    def _may_be_lifted(self, m: governance.LiftBan) -> None:
        """LC-MEM-31"""
        refuse_if(self.l.get(b"mb/" + m.account) is None, 229)

    def _lift_ban(self, m: governance.LiftBan) -> None:
        identity = m.account
        amount, account = self.l.get(b"mb/" + identity).burned, self.l.account(identity)
        since = self.l.get(b"gz/" + identity)
        amount += since.amount if since is not None else 0
        self.l.put(b"mb/" + identity, None)
        self.l.put(b"gz/" + identity, None)
        self.l.hold(identity, account, status=ACTIVE)
        self.l.mint(identity, amount)
        inviter = self.member(identity).inviter
        if inviter:
            known = self.member(inviter)
            self.l.put(b"m/" + inviter, replace(known, strikes=[s for s in known.strikes if s.origin != identity]))

    def _ban(self, identity: bytes, case: records.Case | None) -> None:
        """LC-MEM-8"""
        self.l.put(b"mc/" + identity, None)
        self.admission.revoke_all(identity)
        account, member = self.l.account(identity), self.member(identity)
        self.l.put(b"mb/" + identity, records.BanRecord(account.balance + account.frozen))
        self.l.count(burned=account.balance + account.frozen)
        self.l.hold(identity, account, status=BANNED, balance=0, frozen=0)
        self.l.put(b"m/" + identity, replace(member, verifier=False))
        if member.inviter:
            self.strike_root(member.inviter, identity)
        for told in self.l.on_banned:
            told(identity)
        for ref in case.refs if case is not None else ():
            self.l.on_closed[ref.contract](ref.ref, identity, True)

    def _corroborated(self, identity: bytes) -> bool:
        """LC-MEM-5: FALSE for two roots within the month, and no OK for a third."""
        known, life = self.l.get(b"mj/" + identity), self.l.params.standing_life
        recent = [v for v in known.last if self.l.chain.clock - v.time < life] if known else []
        accusers = {v.origin for v in recent if v.verdict == FALSE and not v.lifted}
        return len(accusers) >= 2 and not any(v.verdict == OK and v.origin not in accusers for v in recent)

    def _end_case(self, identity: bytes, *, lifted: bool) -> None:
        """What was frozen is free again."""
        case, account, known = self.l.get(b"mc/" + identity), self.l.account(identity), self.l.get(b"mj/" + identity)
        self.l.put(b"mc/" + identity, None)
        self.l.hold(identity, account, status=ACTIVE, balance=account.balance + account.frozen, frozen=0)
        if lifted and known is not None:
            last = [replace(v, lifted=v.lifted or v.case == case.number) for v in known.last]
            self.l.put(b"mj/" + identity, replace(known, last=last))
        for ref in case.refs:
            self.l.on_closed[ref.contract](ref.ref, identity, False)


def _with(refs: list[records.CaseRef], new: records.CaseRef) -> list[records.CaseRef]:
    """LC-MEM-4: of 64 the last that repeats a root makes room for another root."""
    if len(refs) < 64:
        return [*refs, new]
    roots = [ref.origin for ref in refs]
    repeated = [at for at in range(64) if roots.index(roots[at]) < at]
    if new.origin in roots or not repeated:
        return refs
    return [ref for at, ref in enumerate(refs) if at != repeated[-1]] + [new]


def _covers(declared: list[Capacity], needed: Capacity) -> bool:
    """LC-MEM-16"""
    names = ("cpus_milli", "mem_mb", "image", "model_cap", "eval_s")
    return any(c.arch == needed.arch and all(getattr(c, n) >= getattr(needed, n) for n in names) for c in declared)
