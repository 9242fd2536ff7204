"""The box key of this node's account (X25519, LC-MEM-29): made, put on the ledger and replaced by itself. Pure.

    the account is a member, and no private key here was made under its present key --> draw one, keep it, SetBoxKey
    the ledger has another box key than the newest one that is here                 --> SetBoxKey with that one

So a new member has a box key in a block or two, one whose key was rotated or recovered gets another one right after, and one that
came back from a backup never keeps a key on the ledger that it cannot open. The private key is in the work database before the
message leaves, and thus in a backup. Those that were replaced stay there while something sealed to them may be under way.
"""

from __future__ import annotations

from typing import Final

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import Member, SetBoxKey, member_key
from learningchain.chain.host import BANNED, Account, Reader, account_key
from learningchain.client.contracts.membership.roles.capacity import KIND
from learningchain.client.keys.boxes import public_of
from learningchain.client.work.boxes import BOX_KEYS, BoxSecret, box_in
from learningchain.client.work.events import (
    Chain,
    DropSecret,
    Effect,
    Input,
    KeepSecret,
    Kept,
    Secret,
    SecretRefused,
    SecretStored,
    Submit,
)
from learningchain.client.work.machine import Machine, Recalled

KEEP_MS: Final = 30 * 24 * 3_600_000
"""Chain clock: so long after it was replaced by the one on the ledger, nobody sends anything any more that is sealed to it."""
MOST: Final = 64
"""Private keys that are kept. Beyond them the oldest goes, whatever may be under way: its owner replaced it so often."""
OWNER_MS: Final = 60_000
"""A key that the owner asked for is the API's to send; this sends it where it is not on the ledger after so long."""


def of_box(private: bytes, account_public: bytes, made: int) -> Secret:
    """Stays until it is dropped."""
    return Secret(BOX_KEYS, public_of(private), b"", encode(BoxSecret(private, account_public, made)))


def newest(secrets: dict[bytes, BoxSecret]) -> tuple[bytes, BoxSecret] | None:
    return max(secrets.items(), key=lambda one: (one[1].made, one[0])) if secrets else None


def after(secrets: dict[bytes, BoxSecret], clock: int) -> int:
    """When a new one is made: now, and behind all that there are."""
    last = newest(secrets)
    return clock if last is None else max(clock, last[1].made + 1)


class BoxKeys(Machine):
    name = "box keys"

    def __init__(self, known: Recalled) -> None:
        self._me, self._rng = known.me, known.rng
        self._here = {secret.key: box_in(secret) for secret in known.secrets if secret.kind == BOX_KEYS}
        self._waits: bytes | None = None
        """The public key of one that is being written to the disk."""
        self._owners: dict[bytes, int] = {}
        """Keys that the owner asked for: from when on this sends them."""
        self._said: set[tuple[int, int, bytes]] = set()

    def handle(self, given: Input) -> list[Effect]:
        match given:
            case Kept(secret) if secret.kind == BOX_KEYS:
                made = box_in(secret)
                self._here[secret.key], self._owners = made, {secret.key: made.made + OWNER_MS}
            case SecretStored(secret) if secret.kind == BOX_KEYS:
                self._here[secret.key], self._waits = box_in(secret), None
            case SecretRefused(secret) if secret.kind == BOX_KEYS:
                self._waits = None
            case Chain() if given.recent:
                return self._look(given.reader, given.clock)
        return []

    def _look(self, reader: Reader, clock: int) -> list[Effect]:
        member, account = reader.get(member_key(self._me)), reader.get(account_key(self._me))
        if not isinstance(member, Member) or not isinstance(account, Account) or account.status == BANNED or member.left:
            return []
        if self._waits is not None:
            return []
        last = newest(self._here)
        if last is None or last[1].account_key != account.key:
            return [self._make(account.key, clock)]
        public = last[0]
        if member.box_key == public:
            return self._drop_old(public, member.box_since, clock)
        return self._send(public, member, clock)

    def _make(self, account_public: bytes, clock: int) -> Effect:
        """Kept first: it is sent at the look after the disk has it."""
        made = of_box(self._rng(32), account_public, after(self._here, clock))
        self._waits = made.key
        return KeepSecret(made)

    def _send(self, public: bytes, member: Member, clock: int) -> list[Effect]:
        # The outbox takes a key once: the same one may be needed again after the account left and came back.
        place = member.since, member.box_since, public
        if place in self._said or clock < self._owners.get(public, 0):
            return []
        self._said.add(place)
        return [Submit(KIND, f"box:{member.since}:{member.box_since}:{public.hex()[:16]}", b"", SetBoxKey(public))]

    def _drop_old(self, present: bytes, since: int, clock: int) -> list[Effect]:
        old = sorted(set(self._here) - {present}, key=lambda key: self._here[key].made)
        gone = old if clock >= since + KEEP_MS else old[: max(0, len(old) + 1 - MOST)]
        for key in gone:
            del self._here[key]
        return [DropSecret(BOX_KEYS, key) for key in gone]
