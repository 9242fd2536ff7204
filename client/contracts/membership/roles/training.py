"""Declares how long a training this node takes on, by itself, and again when that changes. Pure.

    work.enabled, work.max_run_s and the engine's processor --> SetTraining, where the ledger has another one

So who posts a job sees before how many nodes leave it alone because it is too long for them.
"""

from __future__ import annotations

from learningchain.chain.contracts.membership import Member, SetTraining, Training, member_key, training_key
from learningchain.chain.host import BANNED, Account, Reader, account_key
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.membership.roles.capacity import KIND
from learningchain.client.work.events import Chain, Effect, EngineReady, Input, Submit
from learningchain.client.work.machine import Machine, Recalled


class Trainings(Machine):
    name = "training"

    def __init__(self, known: Recalled) -> None:
        self._me, self._config = known.me, known.config
        self._engine: EngineReady | None = None
        self._said: set[str] = set()

    def reconfigure(self, config: WorkConfig) -> None:
        self._config = config

    def handle(self, given: Input) -> list[Effect]:
        match given:
            case EngineReady():
                self._engine = given
            case Chain():
                return self._look(given.reader)
        return []

    def _look(self, reader: Reader) -> list[Effect]:
        member, account = reader.get(member_key(self._me)), reader.get(account_key(self._me))
        if not isinstance(member, Member) or not isinstance(account, Account) or account.status == BANNED or member.left:
            return []
        found = reader.get(training_key(self._me))
        known = found if isinstance(found, Training) else Training(0, 0, 0)
        wanted = self._wanted(known)
        # The outbox takes a key once: the same may be declared again after something else, and after the account came back.
        key = f"training:{member.since}:{known.since}:{wanted.arch}:{wanted.train_s}"
        if (wanted.arch, wanted.train_s) == (known.arch, known.train_s) or key in self._said:
            return []
        self._said.add(key)
        return [Submit(KIND, key, b"", wanted)]

    def _wanted(self, known: Training) -> SetTraining:
        """What is to stand on the ledger. Without an engine that is what stands there: it may be away for a while."""
        if not self._config.enabled:
            return SetTraining(known.arch, 0)
        if self._engine is None or self._engine.arch is None:
            return SetTraining(known.arch, known.train_s)
        return SetTraining(self._engine.arch, self._config.max_run_s)
