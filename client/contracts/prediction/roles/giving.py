"""The requester's second duty: the key of a private request, to those who were drawn. Pure.

    input      when                                                         effect
    Changed    a private request of this node, or an appeal by this node,   Submit GiveKeys: a box for each seat
               waits for keys, and the key is here
    Kept       the key has come                                             those that wait for it are looked at

Nobody else can do it, and there are seconds: who gives no keys pays the seats and gets nothing (LC-PRE-22). What is submitted once
is on the disk: after a kill the same boxes go out. The private keys that open them are `OwnBoxKeys`, a seat's side.
"""

from __future__ import annotations

from typing import Final

from learningchain.chain.contracts.prediction import duties, records
from learningchain.chain.contracts.prediction.messages import GiveKeys
from learningchain.chain.contracts.prediction.records import ENDED, PredictionSeat, RequestRecord, RequestState, RequestTerms
from learningchain.chain.crypto import sha256
from learningchain.chain.host import Reader
from learningchain.client.contracts.prediction.roles import private
from learningchain.client.work.events import Chain, Changed, Effect, Input, Kept, Notice, SecretStored, Submit, take
from learningchain.client.work.machine import LedgerStatus, Machine, Recalled

KIND: Final = "prediction"
APPEAL_ROUND = 3


class KeyGiver(Machine):
    """Follows requests of this node that wait for its keys; those of others cost a look each when they move."""

    name = "keys of requests"

    def __init__(self, known: Recalled) -> None:
        self._me, self._rng = known.me, known.rng
        self._keys = {sha256(one.blob): one.blob for one in known.secrets if one.kind == private.KEY}
        self._waits: dict[bytes, int] = {}
        """Requests whose key is not here, with the round."""

    @property
    def busy(self) -> bool:
        return bool(self._waits)

    def notices(self) -> list[Notice]:
        text = "this request of yours waits for its key, which is not on this node: restore the backup that has it, or it fails"
        return [Notice("request.key", request, text) for request in sorted(self._waits)]

    def handle(self, given: Input) -> list[Effect]:
        effects: list[Effect] = []
        match given:
            case Kept(secret) | SecretStored(secret) if secret.kind == private.KEY:
                self._keys[sha256(secret.blob)] = secret.blob
            case Changed():
                for request in given.under(duties.REQUESTS):
                    take(effects, request, self._look(given.reader, request))
            case Chain() if self._waits:
                for request in sorted(self._waits):
                    take(effects, request, self._look(given.reader, request))
        return effects

    def _look(self, reader: Reader, request: bytes) -> list[Effect]:
        self._waits.pop(request, None)
        record, asked = reader.get(records.request_key(request)), reader.get(records.terms_key(request))
        if not isinstance(record, RequestRecord) or not isinstance(asked, RequestTerms) or not asked.terms.key_hash:
            return []
        giver = record.appellant if record.round == APPEAL_ROUND else asked.requester
        if record.state != RequestState.KEYS or giver != self._me:
            return []
        key = self._keys.get(asked.terms.key_hash[0])
        if key is None:
            self._waits[request] = record.round
            return []
        made = private.boxes(key, request, record.round, _seats(reader, request, record), self._rng)
        # A restart of the network, or a draw that is gone, begins a round anew: then it has another beacon.
        begun = next(one.beacon for one in record.rounds if one.round == record.round)
        name = f"keys:{request.hex()}:{record.round}:{begun.hex()[:16]}"
        return [Submit(KIND, name, request, GiveKeys(request, record.round, made))]


def _seats(reader: Reader, request: bytes, record: RequestRecord) -> list[tuple[bytes, bytes]]:
    """Accounts of the present round in their order, with the box keys that they had at the draw."""
    drawn = next(one for one in record.rounds if one.round == record.round)
    found = [(account, reader.get(records.seat_key(request, record.round, account))) for account in drawn.seats]
    return [(account, seat.box_key if isinstance(seat, PredictionSeat) else b"") for account, seat in found]


def given_status(reader: Reader, me: bytes, clock: int, op: GiveKeys) -> tuple[LedgerStatus, int | None]:
    """For the outbox: what the state says of the keys that this node gives."""
    record = reader.get(records.request_key(op.request))
    if not isinstance(record, RequestRecord) or record.state in ENDED or record.round < op.round:
        return LedgerStatus.TOO_LATE, None
    if record.round > op.round or record.state != RequestState.KEYS:
        return LedgerStatus.STANDS, None
    return (LedgerStatus.TOO_LATE if clock >= record.deadline else LedgerStatus.OPEN), record.deadline
