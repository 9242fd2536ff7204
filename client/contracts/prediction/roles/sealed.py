"""What a node keeps to itself about requests, as it lies in the work database: answers that are sealed and not all open yet."""

from __future__ import annotations

from typing import NamedTuple

from learningchain.chain.codec import Wire, encode, read
from learningchain.chain.contracts.prediction.tally import Answer
from learningchain.client.work.events import Secret

KIND = "prediction"
"""Of the contract's messages; it begins the kinds of its secrets."""
ANSWER = "prediction.answer"
SALT = 32


class SeatOf(NamedTuple):
    """One duty of a server: a request, and its round."""

    request: bytes
    round: int


class SealedAnswer(Wire, frozen=True):
    """What opens a seat's commitment."""

    commitment: bytes
    salt: bytes
    answer: Answer


def of_answer(seat: SeatOf, sealed: SealedAnswer) -> Secret:
    return Secret(ANSWER, key_of(seat), seat.request, encode(sealed))


def answer_in(secret: Secret) -> tuple[SeatOf, SealedAnswer]:
    return SeatOf(secret.ref, secret.key[-1]), read(SealedAnswer, secret.blob)


def key_of(seat: SeatOf) -> bytes:
    return seat.request + bytes((seat.round,))
