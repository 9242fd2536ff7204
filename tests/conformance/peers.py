"""What peers do, after `protocol_spec/p2p.md` and `consensus.md`: frames, the binding of a TLS key, turns, timeouts, times."""

from __future__ import annotations

from tests.conformance import records
from tests.conformance.checks import check
from tests.conformance.keys import check_signature, tagged
from tests.conformance.wire import decode

LIMITS = {0: 4_500_000, 1: 32_768, 2: 2_200_000, 3: 512}
PART, BATCH, LAST = 254, 255, 0x80
QUEUES = 5
SHORTEST_PART = 32_768
Message = tuple[int, bytes]


# --- frames: LC-P2P-11 to LC-P2P-14 -------------------------------------------------------------------------------------------


@check("LC-P2P-11")
def a_frame_is_not_empty(frame: bytes) -> bool:
    return len(frame) > 0


@check("LC-P2P-12")
def the_channel_exists(message: bytes) -> bool:
    return message[0] in LIMITS


@check("LC-P2P-12")
def the_payload_is_not_longer_than_its_channel_allows(message: bytes) -> bool:
    return len(message) - 1 <= LIMITS.get(message[0], len(message))


@check("LC-P2P-13")
def the_queue_exists(queue: int) -> bool:
    return queue < QUEUES


@check("LC-P2P-13")
def a_part_has_a_piece(frame: bytes) -> bool:
    return len(frame) > 2


@check("LC-P2P-13")
def a_part_that_is_not_the_last_has_at_least_half_a_piece(frame: bytes) -> bool:
    return bool(frame[1] & LAST) or len(frame) - 2 >= SHORTEST_PART


@check("LC-P2P-14")
def a_batch_is_not_empty(messages: list[bytes]) -> bool:
    return len(messages) > 0


@check("LC-P2P-14")
def a_batch_has_at_most_1_024_messages(messages: list[bytes]) -> bool:
    return len(messages) <= 1_024


@check("LC-P2P-14")
def no_message_of_a_batch_is_empty(messages: list[bytes]) -> bool:
    return all(messages)


@check("LC-P2P-14")
def the_lengths_of_a_batch_fit(end: int, frame: bytes) -> bool:
    return end <= len(frame)


class Reader:
    """One connection."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}

    def read(self, frame: bytes) -> list[Message]:
        """The messages that this frame completes. Raises `Refused`."""
        a_frame_is_not_empty(frame)
        if frame[:1] == bytes([BATCH]):
            return [_whole(message) for message in _split(frame)]
        if frame[:1] == bytes([PART]):
            return self._part(frame)
        return [_whole(frame)] if frame else []

    def _part(self, frame: bytes) -> list[Message]:
        a_part_has_a_piece(frame)
        queue = frame[1] & ~LAST
        the_queue_exists(queue)
        a_part_that_is_not_the_last_has_at_least_half_a_piece(frame)
        so_far = self._parts.pop(queue, b"") + frame[2:]
        _whole(so_far)
        if frame[1] & LAST:
            return [_whole(so_far)]
        self._parts[queue] = so_far
        return []


def _whole(message: bytes) -> Message:
    the_channel_exists(message)
    the_payload_is_not_longer_than_its_channel_allows(message)
    return message[0], message[1:]


def _split(frame: bytes) -> list[bytes]:
    found, at = [], 1
    while at < len(frame):
        end = at + 4 + int.from_bytes(frame[at : at + 4], "big")
        the_lengths_of_a_batch_fit(end, frame)
        found.append(frame[at + 4 : end])
        at = end
    a_batch_is_not_empty(found)
    a_batch_has_at_most_1_024_messages(found)
    no_message_of_a_batch_is_empty(found)
    return found


def check_binding(chain_id: bytes, key_info: bytes, value: bytes) -> bytes:
    """LC-P2P-3, 4: the digest that binds a TLS key. Raises `Refused`."""
    _, key, signature = decode(records.RECORDS["Binding"], value, 256)
    digest = tagged("lc/tls", chain_id, key_info)
    check_signature(key, digest, signature)
    return digest


# --- rounds -------------------------------------------------------------------------------------------------------------------


def turn(validators: int, height: int, round_: int) -> int:
    """LC-CON-4"""
    return (height + round_) % validators


def timeout(kind: str, round_: int, params: dict[str, int]) -> int:
    """LC-CON-6, 9"""
    if kind == "resend":
        return min(params["timeout_propose"], params["timeout_max"])
    return min(params[f"timeout_{kind}"] + params["timeout_step"] * round_, params["timeout_max"])


@check("LC-CON-16")
def a_fresh_proposal_is_of_its_round(header_round: int, round_: int) -> bool:
    return header_round == round_


@check("LC-CON-16")
def a_fresh_proposal_is_not_too_old(time: int, earliest: int) -> bool:
    return time >= earliest


@check("LC-CON-16")
def a_fresh_proposal_is_not_of_the_future(time: int, latest: int) -> bool:
    return time <= latest


def check_time(header_round: int, round_: int, time: int, arrival: int, drift: int, timeout_propose: int) -> None:
    """LC-CON-16. Raises `Refused`."""
    a_fresh_proposal_is_of_its_round(header_round, round_)
    a_fresh_proposal_is_not_too_old(time, arrival - drift - timeout_propose * 2 ** min(round_, 6))
    a_fresh_proposal_is_not_of_the_future(time, arrival + drift)
