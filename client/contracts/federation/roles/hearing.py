"""Who may say what on the channel (LC-FILE-44, 45), by the ledger: everybody else is not heard. A few look-ups each. Pure."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.records import AggregatorSeat, FederationMember
from learningchain.chain.host import Reader
from learningchain.client.contracts.federation.roles.channel import (
    FedMessage,
    KeyAsk,
    KeyGive,
    ShareAsk,
    ShareGive,
    UpdateAnswer,
    UpdateOffer,
    decode_fed,
)
from learningchain.client.contracts.federation.roles.looking import FederationLook, look
from learningchain.client.work.machine import Hearing
from learningchain.p2p.wire import FED


def hear(reader: Reader, me: bytes, sender: bytes, payload: bytes) -> FedMessage | None:
    """Raises Malformed."""
    message = decode_fed(payload)
    at = look(reader, message.federation)
    return message if at is not None and _may(at, me, sender, message) else None


def _may(at: FederationLook, me: bytes, sender: bytes, message: Any) -> bool:
    match message:
        case UpdateOffer():
            return me in at.seats and (_is_member(at, sender) or sender == at.posting.sponsor)
        case UpdateAnswer():
            return sender in at.seats and isinstance(at.reader.get(records.aggregator_key(at.id, sender)), AggregatorSeat)
        case KeyAsk():
            return _has_seat(at, sender) and (me == at.posting.sponsor or _has_seat(at, me))
        case KeyGive():
            return _has_seat(at, me) and (sender == at.posting.sponsor or _has_seat(at, sender))
        case ShareAsk():
            return _has_vault(at, sender) and _is_member(at, me)
        case ShareGive():
            return _has_vault(at, me) and _is_member(at, sender)
    return False


def _has_vault(at: FederationLook, account: bytes) -> bool:
    found = at.reader.get(records.member_key(at.id, account))
    return isinstance(found, FederationMember) and bool(found.vault)


def _has_seat(at: FederationLook, account: bytes) -> bool:
    return any(seat.account == account for seat in at.now.panel)


def _is_member(at: FederationLook, account: bytes) -> bool:
    return isinstance(at.reader.get(records.member_key(at.id, account)), FederationMember)


HEARING = Hearing(FED, hear)
