"""A validator's word on open cases, by what this node measured itself. Pure.

It confirms the ban only of those whose model this node measured as false; what people said by hand stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from chain.contracts.job import records
from chain.contracts.job.records import ENDED, Job
from chain.contracts.membership import Case, JudgeCase, case_key
from chain.host import ACTIVE, K_VALIDATORS, Account, Reader, Validators, account_key
from client.contracts.job import secrets
from client.work.events import Effect, Submit


class CaseJudge:
    """`measured`: (account, job) for each claim that this node found false."""

    def __init__(self, me: bytes, enabled: bool, measured: set[tuple[bytes, bytes]]) -> None:
        self._me, self._enabled, self._measured = me, enabled, measured
        self._judged: set[bytes] = set()
        """Accounts of which it was said."""

    def found_false(self, account: bytes, job: bytes) -> None:
        self._measured.add((account, job))

    def look(self, reader: Reader) -> Iterator[Effect]:
        """What is to be said of the cases that are open now."""
        if not self._enabled or not self._measured:
            return
        validators = reader.get(K_VALIDATORS)
        judges = isinstance(validators, Validators) and any(v.id == self._me for v in validators.members)
        for account, job in list(self._open_cases(reader)):
            if judges and account not in self._judged:
                self._judged.add(account)
                key = f"judge:{account.hex()}:{job.hex()}"
                yield Submit(secrets.KIND, key, job, JudgeCase(account, True))

    def _open_cases(self, reader: Reader) -> Iterator[tuple[bytes, bytes]]:
        for account, job in sorted(self._measured):
            case, record = reader.get(case_key(account)), reader.get(records.job_key(job))
            if isinstance(case, Case):
                if self._me not in (*case.confirm, *case.lift) and any(r.ref == job for r in case.refs):
                    yield account, job
                continue
            standing = reader.get(account_key(account))
            over = isinstance(record, Job) and record.state in ENDED
            if over or not isinstance(standing, Account) or standing.status != ACTIVE:
                self._measured.discard((account, job))
                self._judged.discard(account)
