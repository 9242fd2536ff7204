"""Governance a second time, from protocol_spec/governance.md: proposals, votes, and what they decide of set and parameters.

What a vote decides of members is `checks_admission`'s and `checks_members`'. Shares with the product the types of messages and
records.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chain import host as base
from chain.contracts import governance
from chain.contracts.governance.records import OpenCount, OpenProposal
from chain.host import K_HISTORY, K_NEXT_VALIDATORS, K_PENDING_PARAMS, K_PROTOCOL
from chain.params import votable
from chain.types import Validator
from tests.hashes import tagged
from tests.sim.checks_ledger import Ledger, Refused, must, refuse_if, replace

NUMBER = 6
SETS = (governance.AddValidator, governance.RemoveValidator)


class Governance:
    def __init__(self, ledger: Ledger) -> None:
        self.l = ledger
        ledger.on_due[NUMBER] = self._due
        ledger.handlers |= {
            governance.Propose: self._propose,
            governance.VoteProposal: self._vote,
            governance.Withdraw: self._withdraw,
        }
        ledger.at_end.append(self._end_of_block)

    @property
    def _now(self) -> set[bytes]:
        return {v.id for v in self.l.validators}

    def _decides(self, yes: list[bytes]) -> bool:
        """LC-GOV-4: words of the present set alone, more than two thirds of all of it."""
        return 3 * len(self._now & {*yes}) > 2 * len(self._now)

    # --- messages ---------------------------------------------------------------------------------------------------------------

    def _propose(self, sender: bytes, m: governance.Propose) -> None:
        """LC-GOV-2"""
        clock, count = self.l.chain.clock, self.l.get(b"oc/" + sender)
        refuse_if(sender not in self._now, 600)
        refuse_if(count is not None and count.count >= 8, 602)
        refuse_if(not clock < m.expires <= clock + self.l.params.proposal_life, 603)
        self._test(m.action)
        ref = tagged(b"lc/open-proposal", self.l.tx + bytes((self.l.op,)))
        self.l.put(b"oc/" + sender, OpenCount(count.count + 1 if count else 1))
        self.l.schedule(m.expires, NUMBER, ref, sender)
        self._count(ref, OpenProposal(sender, m.action, clock, m.expires, [sender], [], 0))

    def _open(self, ref: bytes) -> OpenProposal:
        known = self.l.get(b"op/" + ref)
        refuse_if(known is None or (not known.turn and self.l.chain.clock >= known.expires), 601)
        return known  # type: ignore[no-any-return]

    def _vote(self, sender: bytes, m: governance.VoteProposal) -> None:
        """LC-GOV-3"""
        refuse_if(sender not in self._now, 600)
        known = self._open(m.proposal)
        refuse_if(known.turn != 0, 606)
        said, other = (known.yes, known.no) if m.yes else (known.no, known.yes)
        refuse_if(sender in said and not (m.yes and self._decides(said)), 604)
        said = sorted({*said, sender} & self._now)
        other = sorted({*other} & self._now - {sender})
        self._count(m.proposal, replace(known, yes=said if m.yes else other, no=other if m.yes else said))

    def _withdraw(self, sender: bytes, m: governance.Withdraw) -> None:
        """LC-GOV-5"""
        known = self._open(m.proposal)
        refuse_if(known.proposer != sender, 605)
        refuse_if(known.turn != 0, 606)
        self._drop(m.proposal, known)

    # --- counting ---------------------------------------------------------------------------------------------------------------

    def _count(self, ref: bytes, record: OpenProposal) -> None:
        """LC-GOV-4"""
        n = len(self._now)
        if self._decides(record.yes):
            self.l.cancel(record.expires, NUMBER, ref, record.proposer)
            self._decide(ref, record)
        elif 3 * (n - len(record.no)) <= 2 * n:
            self._drop(ref, record)
        else:
            self.l.put(b"op/" + ref, record)

    def _decide(self, ref: bytes, record: OpenProposal) -> None:
        height, clock = self.l.chain.height, self.l.chain.clock
        if isinstance(record.action, SETS) and self.l.get(K_HISTORY).sets[-1].since > height:
            due = b"dh/" + (height + 1).to_bytes(8, "big") + record.proposer + clock.to_bytes(8, "big") + bytes((NUMBER,)) + ref
            self.l.put(due, base.Due(NUMBER, ref))
            self.l.put(b"op/" + ref, replace(record, turn=clock))
            return
        self._drop(ref, record)
        try:
            self._test(record.action)
        except Refused:
            return
        self._do(record.action)

    def _due(self, ref: bytes, at: int) -> None:
        """LC-GOV-4, 5"""
        known = self.l.get(b"op/" + ref)
        if known is None:
            return
        if known.turn == at:
            yes, no = ([i for i in words if i in self._now] for words in (known.yes, known.no))
            known = replace(known, yes=yes, no=no, turn=0)
            if self._decides(yes):
                self._decide(ref, known)
                return
            if self.l.chain.clock < known.expires:
                self.l.schedule(known.expires, NUMBER, ref, known.proposer)
                self.l.put(b"op/" + ref, known)
                return
        if not known.turn:
            self._drop(ref, known)

    def _drop(self, ref: bytes, record: OpenProposal) -> None:
        self.l.cancel(record.expires, NUMBER, ref, record.proposer)
        self.l.put(b"op/" + ref, None)
        left = self.l.get(b"oc/" + record.proposer).count - 1
        self.l.put(b"oc/" + record.proposer, OpenCount(left) if left else None)

    # --- actions ----------------------------------------------------------------------------------------------------------------

    def _test(self, action: Any) -> None:
        match action:
            case governance.AddValidator(account):
                found, member = self.l.account(account), self.l.get(b"m/" + account)
                refuse_if(account in self._now, 607)
                refuse_if(found is None or found.status != 0 or member is None or member.left != 0, 610)
                refuse_if(len(self._now) >= 128, 609)
            case governance.RemoveValidator(account):
                refuse_if(account not in self._now, 607)
                refuse_if(len(self._now) == 1, 608)
            case governance.SetParameters(contract, values):
                self._test_values(contract, {entry.name: entry.value for entry in values})
            case governance.Upgrade(version, height):
                known = self.l.get(K_PROTOCOL) or base.Protocol(1, [])
                refuse_if(version < known.version, 615)
                refuse_if(version == known.version and not known.following, 607)
                refuse_if(not self.l.chain.height < height <= self.l.chain.height + 10_000_000, 615)
            case _:
                must(type(action) in self.l.voted, "an action on members, which no run of this kind has")
                self.l.voted[type(action)][0](action)

    def _key(self, contract: int) -> bytes:
        return b"gp%d/" % contract if contract else base.K_PARAMS

    def _coming(self, contract: int) -> dict[str, int]:
        present = self.l.get(self._key(contract))
        names = present.__struct_fields__
        pending = self.l.get(K_PENDING_PARAMS)
        for section in pending.sections if pending else []:
            if section.contract == contract:
                return dict(zip(names, section.values, strict=True))
        return {name: getattr(present, name) for name in names}

    def _test_values(self, contract: int, values: dict[str, int]) -> None:
        """LC-GOV-8"""
        refuse_if(self.l.get(self._key(contract)) is None or not values.keys() <= self._coming(contract).keys(), 611)
        by_name = {f.name: votable(f) for f in msgspec.structs.fields(self.l.get(self._key(contract)))}
        refuse_if(any(by_name[name] is None for name in values), 612)
        refuse_if(any(not b.low <= value <= b.high for name, value in values.items() if (b := by_name[name]) is not None), 613)
        after = self._coming(contract) | values
        if contract == 0:
            work = after["max_due"] * 32 >= after["block_work"] >= 25_600 and after["max_due_work"] >= after["max_due"]
            earned = after["bandwidth_base"] * after["bandwidth_window"] >= 65_536_000
            refuse_if(not (work and earned and after["block_bytes"] >= 131_082), 614)
        if contract == 7:
            refuse_if(after["recovery_delay_min"] > after["recovery_delay_max"], 614)
        if contract == 3:
            refuse_if(after["job_min_open"] > after["job_max_open"], 614)
        refuse_if(after == self._coming(contract), 607)

    def _do(self, action: Any) -> None:
        match action:
            case governance.AddValidator(account):
                self._set([*self.l.validators, Validator(account, self.l.account(account).key)])
            case governance.RemoveValidator(account):
                self._set([v for v in self.l.validators if v.id != account])
            case governance.SetParameters(contract, values):
                after = self._coming(contract) | {entry.name: entry.value for entry in values}
                pending = self.l.get(K_PENDING_PARAMS)
                others = [s for s in pending.sections if s.contract != contract] if pending else []
                sections = sorted([*others, base.ParamValues(contract, [*after.values()])], key=lambda s: s.contract)
                self.l.put(K_PENDING_PARAMS, base.PendingParams(sections))
            case governance.Upgrade(version, height):
                now = (self.l.get(K_PROTOCOL) or base.Protocol(1, [])).version
                following = [] if version == now else [base.NextProtocol(version, height)]
                self.l.put(K_PROTOCOL, base.Protocol(now, following))
            case _:
                self.l.voted[type(action)][1](action)

    def _set(self, members: list[Validator]) -> None:
        following = base.Validators(self.l.chain.height + 1, sorted(members, key=lambda v: v.id))
        self.l.put(K_NEXT_VALIDATORS, following)
        self.l.put(K_HISTORY, base.History([*self.l.get(K_HISTORY).sets, following][-64:]))

    # --- the end of a block -----------------------------------------------------------------------------------------------------

    def _end_of_block(self) -> None:
        """LC-BLK-35, 36"""
        pending, clock = self.l.get(K_PENDING_PARAMS), self.l.chain.clock
        for section in pending.sections if pending else []:
            key, number = self._key(section.contract), bytes((section.contract,))
            before = self.l.get(key)
            after = type(before)(**dict(zip(before.__struct_fields__, section.values, strict=True)))
            if section.contract:
                known = self.l.get(b"gw/" + number)
                ends = [*(known.ends if known else []), clock]
                must(len(ends) <= 256, "more changes of parameters than a run makes")
                self.l.put(b"gw/" + number, base.ParamHistory(ends))
                old = base.ParamValues(section.contract, [getattr(before, name) for name in before.__struct_fields__])
                self.l.put(b"gx/" + number + clock.to_bytes(8, "big"), old)
            self.l.put(key, after)
            for name in after.__struct_fields__:
                setattr(self.l.params, name, getattr(after, name))
        if pending:
            self.l.put(K_PENDING_PARAMS, None)
        protocol = self.l.get(K_PROTOCOL)
        if protocol and protocol.following and protocol.following[0].height == self.l.chain.height + 1:
            self.l.put(K_PROTOCOL, base.Protocol(protocol.following[0].version, []))
