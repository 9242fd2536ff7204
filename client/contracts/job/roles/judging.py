"""A validator's word on open cases, by what this node measured itself. Pure.

    work.judge         confirms the ban of an account whose claim in a job of the case this node's own sandbox measured as FALSE
    corroborated       where it measured another claim of that account as FALSE for another contractor (by root), within a month
    own-measurement    always
    never              never

It never lifts by itself: that this node measured nothing false, or something else, says nothing of what others measured. What
people said by hand stands; who may not confirm (the accused, a suspended one, a poster or claimant of the case) is silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.records import Posting
from learningchain.chain.contracts.membership import Case, JudgeCase, MemberParams, case_key
from learningchain.chain.contracts.membership.records import NUMBER
from learningchain.chain.host import ACTIVE, K_VALIDATORS, Account, Reader, Validators, account_key, read_params
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.contracts.job.roles.secrets import FalseClaim
from learningchain.client.work.events import Effect, Submit

MAX_FALSE = 4_096
"""Measurements that are kept; the oldest go first. More false claims in a month than anybody can make without being banned."""


class CaseJudge:
    """`found`: what this node measured as false, from its disk."""

    def __init__(self, me: bytes, policy: str, found: Sequence[FalseClaim]) -> None:
        self._me, self.policy = me, policy
        self._found = {(one.account, one.job): one for one in found}
        self._judged: set[tuple[bytes, int]] = set()
        """Accounts and numbers of cases of which it was said."""

    def found_false(self, found: FalseClaim) -> list[bytes]:
        """A measurement that is on this disk now. Those that make room for it, by their keys in the database."""
        self._found[found.account, found.job] = found
        gone = sorted(self._found, key=lambda key: self._found[key].time)[: max(0, len(self._found) - MAX_FALSE)]
        for key in gone:
            del self._found[key]
        return [account + job for account, job in gone]

    def look(self, reader: Reader, clock: int) -> Iterator[Effect]:
        """What is to be said of the cases that are open now."""
        if self.policy == "never" or not self._found or not self._is_judge(reader):
            return
        since = clock - read_params(reader, NUMBER, MemberParams).standing_life
        for account in sorted({account for account, _ in self._found}):
            case = reader.get(case_key(account))
            if not isinstance(case, Case) or (account, case.number) in self._judged:
                continue
            job = self._measured_in(case, account, since)
            if job is None or self._me in (*case.confirm, *case.lift) or self._is_party(reader, account, case):
                continue
            self._judged.add((account, case.number))
            yield Submit(secrets.KIND, f"judge:{account.hex()}:{case.number}", job, JudgeCase(account, True))

    def _measured_in(self, case: Case, account: bytes, since: int) -> bytes | None:
        """A job of the case in which this node measured a false claim, where that is enough for its policy."""
        own = [one for (who, _), one in self._found.items() if who == account and one.time > since]
        here = sorted(one.job for one in own if any(ref.ref == one.job for ref in case.refs))
        enough = self.policy == "own-measurement" or len({one.origin for one in own}) > 1
        return here[0] if here and enough else None

    def _is_judge(self, reader: Reader) -> bool:
        """A validator that is not suspended itself."""
        validators, own = reader.get(K_VALIDATORS), reader.get(account_key(self._me))
        sits = isinstance(validators, Validators) and any(v.id == self._me for v in validators.members)
        return sits and isinstance(own, Account) and own.status == ACTIVE

    def _is_party(self, reader: Reader, account: bytes, case: Case) -> bool:
        if account == self._me:
            return True
        for ref in case.refs:
            posting = reader.get(records.posting_key(ref.ref))
            if isinstance(posting, Posting) and posting.poster == self._me:
                return True
            if reader.get(records.claimant_key(ref.ref, self._me)) is not None:
                return True
        return False
