"""The ledger a second time: what every decided block must have done, computed from its bytes and protocol_spec alone.

`Ledger` keeps all records of the state under their keys and executes each decided block by itself; `tests.sim.checks` compares the
records, the receipt codes and the headers with what the nodes made of them. It shares with the product the encoding, the hashes and
the *types* of messages and records (LC-MRK-7), and none of the code that decides anything. Statements are named where they are
carried out. Members and cases are in `checks_members`, the job contract is in `checks_jobs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec

from chain import host as base
from chain import types
from chain.codec import Wire, decode, encode
from chain.contracts import credits, decode_message, federation, governance, job, keys, membership, prediction, state_type
from chain.crypto import ZERO_HASH, sha256
from chain.errors import Malformed
from chain.host import ACTIVE, BANNED, K_CHAIN, K_HISTORY, K_SUPPLY, K_VALIDATORS
from chain.types import Header
from tests.hashes import tagged

MAX_INT = 2**63 - 1
MAX_VALID_FOR = 100_000
MEMBERSHIP, NUMBER_OF_JOBS, NUMBER_OF_PREDICTIONS, NUMBER_OF_FEDERATIONS = 2, 3, 4, 5
WORK_OF_PREDICTIONS = (32, 8, 32, 8, 8, 96, 32, 64, 64, 32, 64, 64, 32, 128)
"""LC-PRE-53, from tag 128 on."""
WORK_OF_FEDERATIONS = (32, 128, 128, 8, 8, 128, 128, 32, 32, 32, 32, 128, 128, 128, 128, 32, 128, 32, 8, 8)
"""LC-FED-52, from tag 160 on."""
ONCE = (
    job.Reveal,
    job.RevealKey,
    job.CommitVote,
    job.OpenVote,
    prediction.GiveKeys,
    prediction.CommitAnswer,
    prediction.OpenAnswer,
    federation.ReadyKey,
    federation.CommitUpdate,
    federation.ReferUpdate,
    federation.HaveUpdates,
    federation.PinParts,
    federation.ScreenUpdates,
    federation.SumUpdates,
    federation.CommitMeasure,
    federation.OpenMeasure,
)
URGENT_KEYS = (keys.RotateKey, keys.Recover, keys.ObjectRecovery)
GOVERNANCE = (governance.Propose, governance.VoteProposal, governance.Withdraw)
MEMBERS_URGENT = (membership.JudgeCase, membership.ReportDouble, membership.Release)
URGENT = (*ONCE, job.Claim, *MEMBERS_URGENT, *URGENT_KEYS, *GOVERNANCE, prediction.AppealAnswer)
FOR_MEMBERS = (
    membership.SetCapacity,
    membership.SetBoxKey,
    membership.Invite,
    membership.Join,
    job.PostJob,
    job.Claim,
    prediction.RegisterModel,
    prediction.ServeModel,
    prediction.RequestPrediction,
    prediction.AppealAnswer,
    prediction.RegisterPolicy,
    federation.OpenFederation,
    federation.JoinFederation,
    federation.ServeFederation,
)
"""LC-MEM-27"""
replace = msgspec.structs.replace


class Broken(AssertionError):
    """A decided block that the rules do not allow."""


class Refused(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


def refuse_if(wrong: bool, code: int) -> None:
    if wrong:
        raise Refused(code)


def must(right: bool, what: str) -> None:
    if not right:
        raise Broken(what)


def verified(key: bytes, digest: bytes, signature: bytes) -> bool:
    """As the simulation verifies: really, once in a process, or with simulated signatures."""
    return bool(types.verify(key, digest, signature))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Sent:
    """A decided transaction: `done` where it may stand once and did what it says (LC-TX-14). `size` in bytes."""

    sender: bytes
    size: int
    urgent: bool
    done: bool


class Ledger:
    """Records by key. `touched` are the keys that the last block wrote, with the records before it."""

    def __init__(self, items: list[tuple[bytes, bytes | None]]) -> None:
        self.records: dict[bytes, Any] = {key: decode(state_type(key), raw, 1_000_000) for key, raw in items if raw is not None}
        self.due: set[bytes] = set()
        self.live: set[bytes] = set()
        """Keys of `d/` and `j/`: deadlines to come, jobs that did not end."""
        self.draws: set[bytes] = set()
        """Keys of `dh/`: what is due at a height."""
        self.members = sorted(key[2:] for key in self.records if key.startswith(b"m/"))
        self.touched: dict[bytes, Any] = {}
        self._undo: list[tuple[bytes, Any]] | None = None
        self.at_end: list[Callable[[], None]] = []
        """What contracts do at the end of a block."""
        self.on_due: dict[int, Callable[[bytes, int], None]] = {}
        self.due_work: dict[int, Callable[[bytes], int]] = {}
        """LC-BLK-31, of contracts but membership: how much more than 1."""
        self.on_closed: dict[int, Callable[[bytes, bytes, bool], None]] = {}
        """What contracts do where a case ends."""
        self.on_banned: list[Callable[[bytes], None]] = []
        """What contracts do where an account is banned."""
        self.party: dict[int, Callable[[bytes, bytes], bool]] = {}
        """LC-MEM-20, of contracts: whether an account has a part in a reference."""
        self.voted: dict[type, tuple[Callable[[Any], None], Callable[[Any], None]]] = {}
        """Of actions that are not governance's own: what refuses one, and what it does."""
        self.handlers: dict[type, Callable[[bytes, Any], None]] = {
            credits.Transfer: self._transfer,
            credits.Approve: self._approve,
            credits.TransferFrom: self._transfer_from,
            membership.ReportDouble: self._report,
            membership.Release: self._release,
        }
        self.postponed: dict[bytes, int] = {}
        """How often deadlines of an account were due and waited for another block."""
        self.fails: Callable[[int, bytes, int], str] = lambda contract, ref, height: ""
        """The fault that a run planted in a contract's deadlines at a height."""
        self.chain: base.ChainRecord = self.records[K_CHAIN]
        self.params: Any = SimpleNamespace(
            **{name: getattr(r, name) for key, r in self.records.items() if key[:2] == b"gp" for name in r.__struct_fields__}
        )
        self.parent_beacon = self.chain.beacon
        self.tx = ZERO_HASH
        self.op = 0
        self.sent: list[Sent] = []
        """The transactions of the last block."""

    # --- records ----------------------------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> Any:
        return self.records.get(key)

    def put(self, key: bytes, record: Wire | None) -> None:
        self.touched.setdefault(key, self.records.get(key))
        if self._undo is not None:
            self._undo.append((key, self.records.get(key)))
        self._set(key, record)

    def _set(self, key: bytes, record: Wire | None) -> None:
        if record is None:
            self.records.pop(key, None)
        else:
            self.records[key] = record
        keys = {b"d/": self.due, b"j/": self.live, b"dh": self.draws}.get(key[:2])
        if keys is not None:
            (keys.discard if record is None else keys.add)(key)

    def _attempt(self, ops: list[Any], sender: bytes) -> int:
        """Messages of a transaction: all or none (LC-TX-6)."""
        self._undo = []
        try:
            for self.op, op in enumerate(ops):
                self.work += _work(op)
                self._refuse_gone(sender, op)
                self._refuse_parked(op)
                self.handlers[type(op)](sender, op)
        except Refused as refusal:
            for key, record in reversed(self._undo):
                self._set(key, record)
            return refusal.code
        finally:
            self._undo = None
        return 0

    # --- a block ----------------------------------------------------------------------------------------------------------------

    def apply(self, block_id: bytes, header: Header, raws: list[bytes], parent: bytes) -> list[int]:
        """Execute; the receipt codes of the transactions. Raises `Broken`."""
        self.touched, self.sent = {}, []
        before, self.parent_beacon = self.chain, self.chain.beacon
        self._check_header(block_id, header, raws, parent)
        clock = before.clock + min(header.time - before.time, self.params.max_step)  # LC-BLK-10
        beacon, rewarded = self._beacon(header)
        self.chain = base.ChainRecord(before.chain_id, header.height, header.time, clock, beacon)
        self.put(K_CHAIN, self.chain)
        self.put(b"gb/" + header.proposer, base.BeaconCommitment(header.height, header.commitment))
        self.tx, self.op = ZERO_HASH, 0
        for key in self._deadlines(clock):
            self.put(key, None)
            self._deadline(key[2:22], int.from_bytes(key[22:30], "big"), key[30], key[31:])
        used: dict[bytes, int] = {}
        self.work = 0
        codes = [self._transaction(raw, used) for raw in raws]
        must(self.work <= self.params.block_work, f"a block of {self.work} units of work")  # LC-BLK-25
        self._let_next_height_in()
        if rewarded:
            minted = self.records[K_SUPPLY].minted
            self.mint(header.proposer, min(self.params.block_reward, MAX_INT - minted))
        following = self.get(base.K_NEXT_VALIDATORS)
        if following is not None:
            self.put(K_VALIDATORS, following)
            self.put(base.K_NEXT_VALIDATORS, None)
        for end in self.at_end:
            end()
        return codes

    def _deadline(self, account: bytes, at: int, contract: int, ref: bytes) -> None:
        """LC-BLK-20"""
        place, held = b"p/" + bytes((contract,)) + ref, base.HeldDue(account, at)
        known = self.get(place)
        if known is not None:
            waiting = sorted({*known.held, held}, key=lambda one: (one.time, one.account))
            self.put(place, replace(known, held=waiting[:64]))
        elif fault := self.fails(contract, ref, self.chain.height):
            self.put(place, base.Parked(self.chain.height, fault, [held], [], []))
        else:
            self.on_due[contract](ref, at)

    def _refuse_gone(self, sender: bytes, op: Any) -> None:
        """LC-MEM-27"""
        member = self.get(b"m/" + sender)
        refuse_if(isinstance(op, FOR_MEMBERS) and member is not None and member.left > 0, 7)

    def _refuse_parked(self, op: Any) -> None:
        """LC-BLK-20: JudgeCase is about its account's case, messages of jobs but PostJob about their job."""
        if isinstance(op, membership.JudgeCase):
            refuse_if(self.get(b"p/\x02" + op.account) is not None, 6)
        elif isinstance(op, membership.RevokeInvite):
            refuse_if(self.get(b"p/\x02" + op.invitation) is not None, 6)
        elif isinstance(op, membership.Join):
            refuse_if(self.get(b"p/\x02" + tagged(b"lc/invitation", op.invitation)) is not None, 6)
        elif isinstance(op, keys.Recover):
            refuse_if(self.get(b"p/\x07" + op.account) is not None, 6)
        elif op.__struct_config__.tag // 32 == 3 and hasattr(op, "job"):
            refuse_if(self.get(b"p/\x03" + op.job) is not None, 6)
        elif op.__struct_config__.tag // 32 == NUMBER_OF_PREDICTIONS:
            about = op.request if hasattr(op, "request") else getattr(op, "model", b"")
            refuse_if(self.get(b"p/\x04" + about) is not None, 6)
        elif op.__struct_config__.tag // 32 == NUMBER_OF_FEDERATIONS:
            refuse_if(self.get(b"p/\x05" + getattr(op, "federation", b"")) is not None, 6)

    def _release(self, sender: bytes, m: membership.Release) -> None:
        """LC-MEM-13, for a word that lets a job or case run again."""
        place, now = b"p/" + bytes((m.contract,)) + m.ref, {v.id for v in self.validators}
        parked = self.get(place)
        refuse_if(sender not in now, 200)
        refuse_if(parked is None, 207)
        refuse_if(m.give_back and m.contract not in (2, 3, 7), 208)
        refuse_if(sender in (parked.give_back if m.give_back else parked.retry), 202)
        must(not m.give_back, "a word to give back, which no run has")
        retry = sorted({*parked.retry, sender} & now)
        if 3 * len(retry) > 2 * len(now):
            self.put(place, None)
            for held in parked.held:
                self.schedule(held.time, m.contract, m.ref, held.account)
        else:
            self.put(place, replace(parked, retry=retry, give_back=sorted({*parked.give_back} - {sender} & now)))

    def _deadlines(self, clock: int) -> list[bytes]:
        """LC-BLK-14, by looking at all of them."""
        places = sorted((key[22:30], key[2:22], key[30:]) for key in self.due if int.from_bytes(key[22:30], "big") <= clock)
        most = (self.params.max_due, self.params.max_due_work)
        share = (max(1, most[0] // 8), max(1, most[1] // 8))
        seen: dict[bytes, tuple[int, int, int]] = {}
        rounds: list[tuple[int, tuple[bytes, bytes, bytes]]] = []
        for place in places:
            number, count, work = seen.get(place[1], (0, 0, 0))
            if count >= share[0] or work >= share[1]:
                number, count, work = number + 1, 0, 0
            rounds.append((number, place))
            seen[place[1]] = (number, count + 1, work + self._due_work(place[2]))
        chosen: list[tuple[bytes, bytes, bytes]] = []
        taken = 0
        for _, place in sorted(rounds)[: most[0]]:
            if taken < most[1]:
                chosen.append(place)
                taken += self._due_work(place[2])
        chosen.sort()
        for place in {*places} - {*chosen}:
            self.postponed[place[1]] = self.postponed.get(place[1], 0) + 1
        return [b"d/" + account + at + rest for at, account, rest in chosen]

    def _due_work(self, rest: bytes) -> int:
        """LC-BLK-31, of a deadline whose key ends with this contract and reference."""
        if rest[0] == MEMBERSHIP:
            case: Any = self.get(b"mc/" + rest[1:])
            return 1 if case is None else 1 + len(case.refs)
        return 1 + self.due_work.get(rest[0], lambda _: 0)(rest[1:])

    def _check_header(self, block_id: bytes, h: Header, raws: list[bytes], parent: bytes) -> None:
        """LC-BLK-11, LC-CON-4."""
        validators = self.validators
        version = self.get(base.K_PROTOCOL)
        must(h.version == (version.version if version else 1) and h.chain_id == self.chain.chain_id, "a block of another network")
        must(h.height == self.chain.height + 1, f"height {h.height} follows {self.chain.height}")
        must(h.parent == parent, "a block with another parent than the block before it")
        must(h.time > self.chain.time, f"a block's time, {h.time}, is not above its parent's")
        must(h.validators_hash == tagged(b"lc/validators", encode(validators)), "a block of another validator set")
        turn = validators[(h.height + h.round) % len(validators)].id
        must(h.proposer == turn, f"a block proposed out of turn in round {h.round}")
        must(types.tx_root(raws) == h.tx_root, "a block whose transactions are not those of its header")
        must(len(raws) <= self.params.block_txs and sum(map(len, raws)) <= self.params.block_bytes, "a block that is too large")
        must(tagged(b"lc/block", encode(h)) == block_id, "a block decided under another id than its own")

    def _beacon(self, h: Header) -> tuple[bytes, bool]:
        """LC-BLK-12: the new beacon, and whether the proposer gets its reward."""
        promised = self.get(b"gb/" + h.proposer)
        if h.reveal != ZERO_HASH:
            kept = promised is not None and tagged(b"lc/beacon-commitment", h.reveal) == promised.commitment
            must(kept, "a beacon secret that was not committed to")
        return sha256(self.chain.beacon + h.reveal), promised is None or h.reveal != ZERO_HASH

    def _transaction(self, raw: bytes, used: dict[bytes, int]) -> int:
        """LC-TX-4, 5: whatever is wrong here should have kept the block from being decided."""
        self.tx = tagged(b"lc/txid", raw)
        try:
            signed = types.decode_tx(raw)
            ops = [decode_message(bytes(op)) for op in signed.body.ops]
        except Malformed as fault:
            raise Broken(f"a malformed transaction was decided: {fault}") from None
        body, height = signed.body, self.chain.height
        account = self.account(body.sender)
        must(body.net == int.from_bytes(self.chain.chain_id[:4], "big"), "a transaction of another network was decided")
        must(account is not None, "a transaction of a stranger was decided")
        digest = types.tx_digest(self.chain.chain_id, encode(body))
        must(verified(account.key, digest, signed.signature), "a transaction with a bad signature was decided")
        must(account.status != BANNED, "a transaction of a banned account was decided")
        must(height <= body.valid_until <= height + MAX_VALID_FOR, f"valid until {body.valid_until}, decided in {height}")
        expected = account.sequences[body.lane]
        must(body.sequence == expected, f"sequence {body.sequence} of a lane was decided where {expected} is next")
        used[body.sender] = used.get(body.sender, 0) + 1
        must(used[body.sender] <= self.params.quota, "more transactions of one account than its quota")
        sequences = [n + (lane == body.lane) for lane, n in enumerate(account.sequences)]
        urgent = all(type(op) in URGENT for op in ops)
        charged = self._charged(account, len(raw), urgent)
        once = all(type(op) in ONCE for op in ops)
        self.put(b"a/" + body.sender, replace(account, sequences=sequences, arrival=account.arrival if once else charged))
        code = self._attempt(ops, body.sender)
        if once and code:
            self.put(b"a/" + body.sender, replace(account, sequences=sequences, arrival=charged))
        self.sent.append(Sent(body.sender, len(raw), urgent, once and not code))
        return code

    # --- bandwidth --------------------------------------------------------------------------------------------------------------

    def _rate(self, balance: int) -> int:
        """LC-TX-11"""
        return self.params.bandwidth_base + balance // 1_000_000 * self.params.bandwidth_per_credit

    def _charged(self, account: Any, size: int, urgent: bool) -> int:
        """LC-TX-12: nobody's bytes in blocks are more than what it earned."""
        rate, now = self._rate(account.balance), self.chain.clock * 1_000
        arrival = max(account.arrival, now) + (size * 1_000_000 + rate - 1) // rate
        reserve = 65_536 * 1_000_000 // rate if urgent else 0
        must(arrival <= now + self.params.bandwidth_window * 1_000 + reserve, "more bytes of one account than its bandwidth")
        return arrival

    def hold(self, identity: bytes, account: Any, **held: int) -> None:
        """LC-TX-13: as many bytes are left as before, as far as the new rate can save them up."""
        after = replace(account, **held)
        old, new = self._rate(account.balance), self._rate(after.balance)
        if old != new:
            window, now = self.params.bandwidth_window * 1_000, self.chain.clock * 1_000
            left = (window - max(0, account.arrival - now)) * old
            after = replace(after, arrival=now + max(0, window - left // new))
        self.put(b"a/" + identity, after)

    # --- accounts, escrows, supply ----------------------------------------------------------------------------------------------

    @property
    def validators(self) -> list[types.Validator]:
        found: list[types.Validator] = self.records[K_VALIDATORS].members
        return found

    def account(self, identity: bytes) -> Any:
        return self.get(b"a/" + identity)

    def active(self, identity: bytes) -> bool:
        account = self.account(identity)
        return account is not None and account.status == ACTIVE

    def banned(self, identity: bytes) -> bool:
        account = self.account(identity)
        return account is None or account.status == BANNED

    def free(self, identity: bytes) -> int:
        account = self.account(identity)
        return account.balance if account else 0

    def _debit(self, identity: bytes, amount: int) -> None:
        account = self.account(identity)
        refuse_if(account.balance < amount, 1)
        self.hold(identity, account, balance=account.balance - amount)

    def credit(self, identity: bytes, amount: int) -> None:
        """LC-CRD-6"""
        account = self.account(identity)
        if account.status == BANNED:
            self.count(burned=amount)
            before = self.get(b"gz/" + identity)
            self.put(b"gz/" + identity, base.BurnedSince(amount + (before.amount if before is not None else 0)))
        else:
            self.hold(identity, account, balance=account.balance + amount)

    def mint(self, identity: bytes, amount: int) -> None:
        if amount:
            self.count(minted=amount)
            self.credit(identity, amount)

    def count(self, minted: int = 0, burned: int = 0) -> None:
        supply = self.get(K_SUPPLY)
        self.put(K_SUPPLY, base.Supply(supply.minted + minted, supply.burned + burned))

    def held(self, escrow: bytes) -> int:
        record = self.get(b"e/" + escrow)
        return record.amount if record else 0

    def must_be_empty(self, escrow: bytes) -> None:
        must(not self.held(escrow), f"what leaves the state has {self.held(escrow)} in the escrow {escrow.hex()}")

    def lock(self, identity: bytes, escrow: bytes, amount: int) -> None:
        if amount:
            self._debit(identity, amount)
            self.put(b"e/" + escrow, base.Escrow(self.held(escrow) + amount))

    def release(self, escrow: bytes, identity: bytes | None, amount: int | None = None) -> int:
        """Out of an escrow, all of it unless an amount is given, to an account or (None) burned. The amount."""
        amount = self.held(escrow) if amount is None else amount
        left = self.held(escrow) - amount
        must(left >= 0, "an escrow that pays more than it holds")
        if amount:
            self.put(b"e/" + escrow, base.Escrow(left) if left else None)
            if identity is None:
                self.count(burned=amount)
            else:
                self.credit(identity, amount)
        return amount

    def move(self, escrow: bytes, other: bytes, amount: int) -> None:
        """From one escrow into another."""
        left = self.held(escrow) - amount
        must(left >= 0, "an escrow that pays more than it holds")
        if amount:
            self.put(b"e/" + escrow, base.Escrow(left) if left else None)
            self.put(b"e/" + other, base.Escrow(self.held(other) + amount))

    def schedule(self, at: int, contract: int, ref: bytes, account: bytes) -> None:
        self.put(b"d/" + account + at.to_bytes(8, "big") + bytes((contract,)) + ref, base.Due(contract, ref))

    def cancel(self, at: int, contract: int, ref: bytes, account: bytes) -> None:
        self.put(b"d/" + account + at.to_bytes(8, "big") + bytes((contract,)) + ref, None)

    def schedule_at_height(self, height: int, contract: int, ref: bytes, account: bytes) -> None:
        """LC-BLK-33"""
        place = height.to_bytes(8, "big") + account + self.chain.clock.to_bytes(8, "big") + bytes((contract,)) + ref
        self.put(b"dh/" + place, base.Due(contract, ref))

    def cancel_at_height(self, height: int, at: int, contract: int, ref: bytes, account: bytes) -> None:
        place = height.to_bytes(8, "big") + account + at.to_bytes(8, "big") + bytes((contract,)) + ref
        self.put(b"dh/" + place, None)
        self.cancel(at, contract, ref, account)

    def _let_next_height_in(self) -> None:
        """LC-BLK-33: what waits for the next height becomes an ordinary deadline, by the clock that set it."""
        for key in sorted(self.draws)[: 2 * self.params.max_due]:
            if int.from_bytes(key[3:11], "big") <= self.chain.height + 1:
                self.put(b"d/" + key[11:], self.get(key))
                self.put(key, None)

    # --- credits ----------------------------------------------------------------------------------------------------------------

    def _transfer(self, sender: bytes, m: credits.Transfer) -> None:
        """LC-CRD-2"""
        refuse_if(m.amount == 0, 3)
        refuse_if(m.target == sender, 100)
        refuse_if(self.account(m.target) is None, 2)
        self._debit(sender, m.amount)
        self.credit(m.target, m.amount)

    def _approve(self, sender: bytes, m: credits.Approve) -> None:
        """LC-CRD-3"""
        refuse_if(self.account(m.spender) is None, 2)
        refuse_if(m.spender == sender, 100)
        key = b"ca/" + sender + m.spender
        refuse_if((self.get(key).amount if self.get(key) else 0) != m.expected, 101)
        self.put(key, credits.Allowance(m.amount) if m.amount else None)

    def _transfer_from(self, sender: bytes, m: credits.TransferFrom) -> None:
        """LC-CRD-4"""
        key = b"ca/" + m.owner + sender
        present = self.get(key).amount if self.get(key) else 0
        refuse_if(m.amount == 0, 3)
        refuse_if(m.owner == m.target, 100)
        refuse_if(present < m.amount, 102)
        refuse_if(self.account(m.owner) is None, 2)
        refuse_if(self.banned(m.owner), 103)
        refuse_if(self.account(m.target) is None, 2)
        self._debit(m.owner, m.amount)
        self.credit(m.target, m.amount)
        self.put(key, credits.Allowance(present - m.amount) if present > m.amount else None)

    # --- evidence ---------------------------------------------------------------------------------------------------------------

    def _set_of(self, height: int) -> list[types.Validator] | None:
        """LC-MEM-12"""
        found = [s.members for s in self.get(K_HISTORY).sets if s.since <= height]
        return found[-1] if found else None

    def _report(self, _sender: bytes, m: membership.ReportDouble) -> None:
        """LC-MEM-10, 11"""
        a, b, height = m.evidence.a, m.evidence.b, self.chain.height
        signer = a.validator if isinstance(a, types.Vote) else a.proposer
        then = self._set_of(a.height)
        refuse_if(not height - self.params.evidence_age <= a.height <= height or then is None, 204)
        key = {v.id: v.key for v in then or []}.get(signer)
        refuse_if(key is None or not self._contradict(a, b, key), 203)
        done = b"me/" + signer + a.height.to_bytes(8, "big")
        refuse_if(self.get(done) is not None, 205)
        rest = [v for v in self.validators if v.id != signer]
        refuse_if(not rest, 206)
        self.put(done, membership.Ejection(a.height))
        if len(rest) < len(self.validators):
            sets = self.get(K_HISTORY).sets
            refuse_if(sets[-1].since > height, 5)
            following = base.Validators(height + 1, rest)
            self.put(base.K_NEXT_VALIDATORS, following)
            self.put(K_HISTORY, base.History([*sets, following][-64:]))

    def _contradict(self, a: Any, b: Any, key: bytes) -> bool:
        if isinstance(a, types.Vote):
            same = (a.type, a.height, a.round, a.validator) == (b.type, b.height, b.round, b.validator)
            digests = [types.vote_digest(self.chain.chain_id, x.type, x.height, x.round, x.block_id) for x in (a, b)]
        else:
            same = (a.height, a.round, a.proposer) == (b.height, b.round, b.proposer)
            digests = [types.proposal_digest(self.chain.chain_id, x.height, x.round, x.pol_round, x.block_id) for x in (a, b)]
        signed = all(verified(key, digest, x.signature) for digest, x in zip(digests, (a, b), strict=True))
        return same and a.block_id != b.block_id and signed


def _work(op: Any) -> int:
    """LC-BLK-25"""
    tag = op.__struct_config__.tag
    if tag == 66:
        return 128
    if tag // 32 == 6:
        return 64
    if tag // 32 == NUMBER_OF_PREDICTIONS:
        return WORK_OF_PREDICTIONS[tag - 128]
    if tag // 32 == NUMBER_OF_FEDERATIONS:
        return WORK_OF_FEDERATIONS[tag - 160]
    if tag // 32 != NUMBER_OF_JOBS:
        return {64: 16, 68: 32, 69: 8, 70: 8, 71: 8, 224: 4, 225: 8, 226: 32, 227: 4}.get(tag, 1)
    hashes = [2 * len(o.leaves) + len(o.siblings) - 1 for o in getattr(op, "opening", [])]
    return 32 + sum(-(-(n + 20) // 10) for n in hashes)
