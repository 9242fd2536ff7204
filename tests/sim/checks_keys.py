"""Keys a second time, from protocol_spec/keys.md: rotation, guardians, recoveries to their end.

Shares with the product the types of messages and records.
"""

from __future__ import annotations

from chain import host as base
from chain.contracts import keys
from chain.crypto import is_public_key
from chain.host import BANNED, K_HISTORY
from chain.types import Validator
from tests.hashes import tagged
from tests.sim.checks_ledger import Ledger, Refused, refuse_if, replace, verified

NUMBER_OF_KEYS = 7
RETRY = 10_000


class Keys:
    def __init__(self, ledger: Ledger) -> None:
        self.l = ledger
        ledger.on_due[NUMBER_OF_KEYS] = self._due
        ledger.due_work[NUMBER_OF_KEYS] = self._due_work
        ledger.handlers |= {
            keys.RotateKey: self._rotate,
            keys.SetGuardians: self._name,
            keys.Recover: self._recover,
            keys.ObjectRecovery: self._object,
        }

    def changes(self, who: bytes) -> keys.KeyChanges:
        return self.l.get(b"kc/" + who) or keys.KeyChanges(0, 0, 0)

    # --- new keys ---------------------------------------------------------------------------------------------------------------

    def _taken(self, key: bytes) -> bool:
        first = tagged(b"lc/id", key)[:20]
        return self.l.get(b"gk/" + key) is not None or self.l.account(first) is not None

    def _check_new(self, account: bytes, key: bytes, signature: bytes) -> None:
        """LC-KEY-1"""
        refuse_if(not is_public_key(key), 700)
        refuse_if(self._taken(key), 701)
        digest = tagged(b"lc/new-key", self.l.chain.chain_id + account + key)
        refuse_if(not verified(key, digest, signature), 702)

    def _share(self, who: bytes) -> None:
        """LC-KEY-2: of 48 sets that differ by keys, as many are this validator's as any other's."""
        height, sets = self.l.chain.height, self.l.get(K_HISTORY).sets
        coming = self.l.get(base.K_NEXT_VALIDATORS)
        following = coming.members if coming is not None else self.l.validators
        had, used = None, 0
        for entry in sets:
            has = next((v.key for v in entry.members if v.id == who), None)
            used += had is not None and has is not None and has != had and entry.since > height - self.l.params.evidence_age - 1
            had = has
        refuse_if(who in [v.id for v in following] and used >= max(1, 48 // len(following)), 5)

    def _change(self, who: bytes, key: bytes) -> None:
        """LC-KEY-3"""
        height, sets = self.l.chain.height, self.l.get(K_HISTORY).sets
        coming = self.l.get(base.K_NEXT_VALIDATORS)
        following = coming.members if coming is not None else self.l.validators
        if who in [v.id for v in following]:
            refuse_if(sum(s.since > height - self.l.params.evidence_age - 1 for s in sets) >= 48, 5)
            refuse_if(coming is not None, 5)
            members = [Validator(v.id, key if v.id == who else v.key) for v in following]
            self.l.put(base.K_NEXT_VALIDATORS, base.Validators(height + 1, members))
            self.l.put(K_HISTORY, base.History([*sets, base.Validators(height + 1, members)][-64:]))
        self.l.put(b"gk/" + key, base.KeyOwner(who, height))
        self.l.put(b"a/" + who, replace(self.l.account(who), key=key))

    def _rotate(self, sender: bytes, m: keys.RotateKey) -> None:
        """LC-KEY-2"""
        known, clock = self.changes(sender), self.l.chain.clock
        self._check_new(sender, m.key, m.signature)
        refuse_if(known.rotated > 0 and clock - known.rotated < self.l.params.key_rest, 703)
        self._share(sender)
        self._change(sender, m.key)
        self.l.put(b"kc/" + sender, replace(known, count=known.count + 1, rotated=clock))
        self._count_objection(sender)

    # --- guardians --------------------------------------------------------------------------------------------------------------

    def _name(self, sender: bytes, m: keys.SetGuardians) -> None:
        """LC-KEY-4"""
        ids, p = m.guardians, self.l.params
        refuse_if(sorted({*ids}) != ids or sender in ids, 704)
        refuse_if(any(self.l.get(b"m/" + one) is None or self.l.get(b"m/" + one).left or self.l.banned(one) for one in ids), 704)
        refuse_if(m.threshold > len(ids) or (bool(ids) and m.threshold < 1), 705)
        refuse_if(m.delay not in range(p.recovery_delay_min, p.recovery_delay_max + 1) if ids else m.delay > 0, 706)
        now, asked = self._in_force(sender), (ids, m.threshold, m.delay)
        if now is None:
            self.l.put(b"kg/" + sender, keys.GuardianSet(*asked, []) if ids else None)
        elif asked == (now.guardians, now.threshold, now.delay):
            self.l.put(b"kg/" + sender, replace(now, coming=[]))
        else:
            since = self.l.chain.clock + now.delay
            self.l.put(b"kg/" + sender, replace(now, coming=[keys.ComingGuardians(since, *asked)]))

    def _in_force(self, who: bytes) -> keys.GuardianSet | None:
        """LC-KEY-4"""
        known = self.l.get(b"kg/" + who)
        for later in known.coming if known is not None and self.l.get(b"kr/" + who) is None else []:
            if later.since <= self.l.chain.clock:
                return keys.GuardianSet(later.guardians, later.threshold, later.delay, []) if later.guardians else None
        return known  # type: ignore[no-any-return]

    def _recover(self, sender: bytes, m: keys.Recover) -> None:
        """LC-KEY-5"""
        of, known, clock = self._in_force(m.account), self.l.get(b"kr/" + m.account), self.l.chain.clock
        refuse_if(of is None or sender not in of.guardians, 708)
        assert of is not None
        refuse_if(self.l.banned(m.account), 709)
        refuse_if(known is None and clock < self.changes(m.account).barred_until and not of.coming, 710)
        self._check_new(m.account, m.key, m.signature)
        said = {w.guardian: w.key for w in known.words} if known is not None else {}
        refuse_if(said.get(sender) == m.key, 711)
        said[sender] = m.key
        if known is None:
            self.l.put(b"kg/" + m.account, of)
            gather = clock + self.l.params.recovery_gather
            known = keys.Recovery(clock, gather, [], b"", gather, False)
        words = [keys.GuardianWord(one, said[one]) for one in sorted(said)]
        agreed = self._agreed(of, words, known.objected, known.key)
        until = known.until if agreed == known.key else clock + of.delay if agreed else known.gather
        self._move(m.account, replace(known, words=words, key=agreed, until=until))

    def _agreed(self, of: keys.GuardianSet, words: list[keys.GuardianWord], objected: bool, before: bytes) -> bytes:
        """LC-KEY-6"""
        said = [w.key for w in words]
        ranks = sorted((-said.count(key), key != before, place, key) for place, key in enumerate(said))
        return ranks[0][3] if ranks and -ranks[0][0] >= self._needed(of, objected) else b""

    def _needed(self, of: keys.GuardianSet, objected: bool) -> int:
        return of.threshold if not objected or 3 * of.threshold > 2 * len(of.guardians) else 2 * len(of.guardians) // 3 + 1

    def _move(self, who: bytes, recovery: keys.Recovery) -> None:
        known = self.l.get(b"kr/" + who)
        if known is not None:
            self.l.cancel(known.until, NUMBER_OF_KEYS, who, who)
        self.l.put(b"kr/" + who, recovery)
        self.l.schedule(recovery.until, NUMBER_OF_KEYS, who, who)

    # --- ends -------------------------------------------------------------------------------------------------------------------

    def _end(self, who: bytes, *, recovered: bool = False) -> None:
        """LC-KEY-9"""
        known = self.l.get(b"kr/" + who)
        self.l.cancel(known.until, NUMBER_OF_KEYS, who, who)
        self.l.put(b"kr/" + who, None)
        if known.objected and not recovered:
            barred = self.l.chain.clock + self.l.get(b"kg/" + who).delay
            self.l.put(b"kc/" + who, replace(self.changes(who), barred_until=barred))

    def _object(self, sender: bytes, _m: keys.ObjectRecovery) -> None:
        """LC-KEY-7"""
        known = self.l.get(b"kr/" + sender)
        refuse_if(known is None, 712)
        refuse_if(known.objected, 707)
        self._count_objection(sender)

    def _count_objection(self, who: bytes) -> None:
        known, of = self.l.get(b"kr/" + who), self.l.get(b"kg/" + who)
        if known is None or known.objected:
            return
        gather = self.l.chain.clock + self.l.params.recovery_gather
        agreed = self._agreed(of, known.words, True, known.key)
        until = known.until if agreed else gather
        self._move(who, replace(known, key=agreed, until=until, gather=gather, objected=True))

    def _due(self, who: bytes, at: int) -> None:
        """LC-KEY-8"""
        known, of = self.l.get(b"kr/" + who), self.l.get(b"kg/" + who)
        if known is None or of is None or known.until != at:
            return
        words = [w for w in known.words if w.key == known.key and not self.l.banned(w.guardian)]
        if (
            not known.key
            or len(words) < self._needed(of, known.objected)
            or self.l.account(who).status == BANNED
            or self._taken(known.key)
        ):
            self._end(who)
            return
        try:
            self._change(who, known.key)
        except Refused:
            later = self.l.chain.clock + RETRY
            self.l.put(b"kr/" + who, replace(known, until=later))
            self.l.schedule(later, NUMBER_OF_KEYS, who, who)
            return
        self._end(who, recovered=True)
        self.l.put(b"kg/" + who, replace(of, coming=[]))
        self.l.put(b"kc/" + who, replace(self.changes(who), count=self.changes(who).count + 1))

    def _due_work(self, who: bytes) -> int:
        known = self.l.get(b"kr/" + who)
        return len(known.words) if known is not None else 0
