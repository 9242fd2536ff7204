"""What a remote signer answers, after `protocol_spec/remote-signer.md`: requests, the guard, refusals."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.conformance import keys
from tests.conformance import records as r
from tests.conformance.checks import Refused
from tests.conformance.wire import HASH, HEIGHT, ID, KEY, UINT, Record, binary, decode, decode_plain, integer, items, text

LIMIT = 65_536 + 1_024
NAMES = ("hello", "vote", "proposal", "transaction", "binding", "secrets", "abstain", "ping", "statement")
WELCOME, SIGNATURE, SILENCE, SECRETS, DONE, REFUSAL = range(16, 22)
FOREIGN, VERSION, BAD, FORGOTTEN, NOT_ALLOWED = 2, 3, 4, 5, 6
HEIGHTS, ROUNDS = range(2**48 + 1), range(2**31)
ALL_ROUNDS = 2**31 - 1


class Characters(NamedTuple):
    """The least and most of a text."""

    low: int
    high: int


FIELDS: dict[int, tuple[Any, ...]] = {
    0: (range(2**63), (32, 32), HEIGHTS),
    1: (range(1, 3), HEIGHTS, ROUNDS, (0, 32)),
    2: (HEIGHTS, ROUNDS, range(-1, 2**31), (32, 32)),
    3: ((1, 65_536),),
    4: ((1, 512),),
    5: (HEIGHTS, range(1, 65)),
    6: (HEIGHTS,),
    7: (),
    8: (Characters(1, 32), (1, 8_192)),
}
"""LC-SIG-3: of each request, the values of an integer, the least and most bytes, or characters."""
TOKEN = Record(
    "JoinToken",
    ("version", integer(1, 1)),
    ("network", text(1, 64)),
    ("chain_id", HASH),
    ("contacts", items(Record("Contact", ("id", ID), ("address", r.ADDRESS)), 1, 4)),
    ("secret", HASH),
    ("authority", HASH),
    ("expires", UINT),
    ("height", HEIGHT),
    ("block_id", HASH),
    ("inviter", ID),
    ("inviter_key", KEY),
    ("signature", binary(64, 64)),
)
"""LC-MEM-32"""
JOINING = Record("JoinStatement", ("chain_id", HASH), ("invitation", KEY), ("key", KEY))
"""LC-SIG-12"""


def _fits(value: Any, bound: Any) -> bool:
    if isinstance(bound, range):
        return type(value) is int and value in bound
    return type(value) is (str if isinstance(bound, Characters) else bytes) and bound[0] <= len(value) <= bound[1]


def request_in(raw: bytes) -> list[Any]:
    """LC-SIG-2. Raises `Refused`: such bytes end the connection."""
    if not 0 < len(raw) <= LIMIT:
        raise Refused("a frame's length")
    found = decode_plain(raw)
    if type(found) is not list or not found or type(found[0]) is not int or found[0] not in FIELDS:
        raise Refused("no request")
    fields = FIELDS[found[0]]
    if len(found) != len(fields) + 1:
        raise Refused("another number of fields")
    for value, bound in zip(found[1:], fields, strict=True):
        if not _fits(value, bound):
            raise Refused("a field out of its bounds")
    return found


class Guard:
    """LC-SIG-7: the last of each kind, and the height up to which nothing is signed."""

    def __init__(self, *, forgot: bool) -> None:
        self.floor = 1 if forgot else 0
        self.last: dict[int, tuple[int, int, bytes, bytes]] = {}

    @property
    def forgot(self) -> bool:
        return self.floor > 0 and not self.last

    @property
    def highest(self) -> tuple[int, int, int]:
        if self.forgot:
            return -1, 0, 0
        places = [(height, round_, kind) for kind, (height, round_, _, _) in self.last.items()]
        return max([(self.floor, ALL_ROUNDS, 2), *places])

    def may_sign(self, kind: int, height: int, round_: int, digest: bytes) -> bytes | None:
        """The signature that was made already, empty where a new one may be made, None for silence."""
        known = self.last.get(kind)
        if known is not None and known[:3] == (height, round_, digest):
            return known[3]
        below = [(h, r_, k) for k, (h, r_, _, _) in self.last.items()]
        return b"" if height > self.floor and all((height, round_, kind) > place for place in below) else None


class Conversation:
    """One connection. `follow` says what is wrong with the answer to a request; "" where nothing is."""

    def __init__(self, vector: dict[str, Any], *, forgot: bool, transactions: bool, for_good: bool) -> None:
        self.chain_id, self.key, self.own, self.beacon = (
            bytes.fromhex(vector["signer"][name]) for name in ("chain_id", "key", "id", "beacon_key")
        )
        self.guard, self.transactions, self.for_good = Guard(forgot=forgot), transactions, for_good
        self.greeted = self.told = False

    def follow(self, raw: bytes, answer: bytes) -> str:
        request, said = request_in(raw), decode_plain(answer)
        tag, *fields = request
        if not self.greeted and (refusal := self._greeting(tag, fields)):
            return self._refuses(said, refusal)
        self.greeted = True
        if tag in (1, 2):
            return self._vote(tag, fields, said)
        if tag == 3:
            return self._transaction(fields[0], said)
        if tag == 8:
            return self._statement(fields[0], fields[1], said)
        if tag == 4:
            return self._signed(said, keys.tagged("lc/tls", self.chain_id, fields[0]))
        if tag == 5:
            height, count = fields
            wanted = [keys.beacon_secret(self.beacon, self.chain_id, h) for h in range(height, height + count)]
            return "" if said == [SECRETS, wanted] else "other secrets"
        if tag == 6 or (tag == 0 and fields[2]):
            self.guard.floor, self.told = max(self.guard.floor, fields[-1]), True
        if tag == 0:
            wanted_welcome = [WELCOME, 1, self.own, self.key, *self.guard.highest]
            return "" if said == wanted_welcome else f"the welcome is {wanted_welcome}"
        return "" if said == [DONE] else "it is done"

    def _greeting(self, tag: int, fields: list[Any]) -> int:
        """LC-SIG-5: the code, 0 for none."""
        if tag != 0:
            return BAD
        return VERSION if fields[0] != 1 else FOREIGN if fields[1] != self.chain_id else 0

    def _refuses(self, said: list[Any], code: int) -> str:
        good = said[:2] == [REFUSAL, code] and len(said) == 3 and type(said[2]) is str and len(said[2]) <= 512
        return "" if good else f"refusal {code}"

    def _signed(self, said: list[Any], digest: bytes) -> str:
        if len(said) != 2 or said[0] != SIGNATURE:
            return "a signature"
        return "" if keys.is_signed(self.key, digest, said[1]) else "a signature of this digest"

    def _vote(self, tag: int, fields: list[Any], said: list[Any]) -> str:
        if tag == 1:
            kind, height, round_, block = fields
            if len(block) not in (0, 32):
                return self._refuses(said, BAD)
            digest = keys.vote_digest(self.chain_id, kind, height, round_, block)
        else:
            kind, (height, round_, pol_round, block) = 0, fields
            digest = keys.proposal_digest(self.chain_id, height, round_, pol_round, block)
        if self.guard.forgot and not self.told:
            return self._refuses(said, FORGOTTEN)
        known = self.guard.may_sign(kind, height, round_, digest)
        if known is None:
            return "" if said == [SILENCE] else "silence"
        if wrong := self._signed(said, digest):
            return wrong
        if known and known != said[1]:
            return "the same signature again"
        self.guard.last[kind] = height, round_, digest, said[1]
        return ""

    def _transaction(self, body: bytes, said: list[Any]) -> str:
        if not self.transactions:
            return self._refuses(said, NOT_ALLOWED)
        try:
            found = decode(r.TX_BODY, body, 65_536)
        except Refused:
            return self._refuses(said, BAD)
        if found[1] != self.own:
            return self._refuses(said, BAD)
        if not self.for_good and any(message[0] in (71, 224, 225) for message in found[5]):
            return self._refuses(said, NOT_ALLOWED)
        return self._signed(said, keys.tx_digest(self.chain_id, body))

    def _statement(self, domain: str, body: bytes, said: list[Any]) -> str:
        """LC-SIG-12"""
        if not self.transactions:
            return self._refuses(said, NOT_ALLOWED)
        try:
            return self._signed(said, self._stated(domain, body))
        except Refused:
            return self._refuses(said, BAD)

    def _stated(self, domain: str, body: bytes) -> bytes:
        if domain == "lc/token":
            token = decode(TOKEN, body, 4_096)
            if token[11] != bytes(64) or [token[2], token[9], token[10]] != [self.chain_id, self.own, self.key]:
                raise Refused("a token of others")
            return keys.tagged(domain, body)
        if domain == "lc/join":
            chain_id, invitation, key = decode(JOINING, body, 4_096)
            keys.check_key(invitation)
            if (chain_id, key) != (self.chain_id, self.key):
                raise Refused("another's join")
            return keys.tagged(domain, chain_id, invitation, key)
        raise Refused("an unknown domain")
