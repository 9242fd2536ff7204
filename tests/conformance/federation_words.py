"""Boxes, the head of a vault and what nodes tell each other (LC-FILE-11 to 15, 42 to 47 of `protocol_spec/federation-files.md`)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from tests.conformance import keys, sealed, wire
from tests.conformance.checks import Refused, check
from tests.conformance.federation_files import commitment
from tests.conformance.keys import sha, tagged
from tests.conformance.wire import HASH, SIGNATURE, SMALL, UINT, Record, Schema, binary, integer

# --- update files: LC-FILE-11 to LC-FILE-15 ---------------------------------------------------------------------------------------

SIZE, HEADER, BOX = "SIZE", "HEADER", "BOX"
HEAD, COMMITMENTS, BOXES = 500, 68, 164


class Place(NamedTuple):
    """LC-FILE-1, and who is asked about whom: `seat` from 1 on, of `seats`."""

    place: bytes
    member: bytes
    seat: int
    seats: int
    secret: bool


@check("LC-FILE-15")
def a_file_has_its_size(raw: bytes, dims: int) -> bool:
    return len(raw) == HEAD + 4 * dims


@check("LC-FILE-11")
def a_file_begins_with_its_mark_place_and_member(raw: bytes, at: Place) -> bool:
    return raw[:COMMITMENTS] == b"LCFU1\0\0\0" + at.place[32:] + at.member


@check("LC-FILE-11")
def commitments_of_no_seed_are_zeros(raw: bytes, at: Place) -> bool:
    return at.secret or not any(raw[COMMITMENTS + 32 : BOXES])


@check("LC-FILE-14")
def the_third_box_of_two_is_zeros(raw: bytes, at: Place) -> bool:
    return at.seats == 3 or not any(raw[BOXES + 224 : HEAD])


@check("LC-FILE-12")
def behind_the_one_seed_there_are_zeros(told: bytes, at: Place) -> bool:
    return at.secret or not any(told[32:])


@check("LC-FILE-15")
def the_file_commits_to_the_seed(raw: bytes, at: Place, j: int, seed: bytes) -> bool:
    return commitment(at.place, at.member, j, seed) == raw[COMMITMENTS + 32 * (j - 1) : COMMITMENTS + 32 * j]


def seeds(raw: bytes, dims: int, at: Place, private: bytes) -> dict[int, bytes] | str:
    """What an aggregator finds: the seeds of its masks, or why it does not have the file."""
    try:
        a_file_has_its_size(raw, dims)
    except Refused:
        return SIZE
    try:
        a_file_begins_with_its_mark_place_and_member(raw, at)
        commitments_of_no_seed_are_zeros(raw, at)
        the_third_box_of_two_is_zeros(raw, at)
    except Refused:
        return HEADER
    try:
        return box_seeds(raw, at, private)
    except Refused:
        return BOX


def box_seeds(raw: bytes, at: Place, private: bytes) -> dict[int, bytes]:
    box = raw[BOXES + 112 * (at.seat - 1) : BOXES + 112 * at.seat]
    told = sealed.open_box(box, private, "learningchain update box 1", at.place + at.member + bytes([at.seat]))
    behind_the_one_seed_there_are_zeros(told, at)
    known = [j for j in (1, 2, 3) if j != at.seat] if at.secret else [1]
    found = {j: told[32 * n : 32 * n + 32] for n, j in enumerate(known)}
    for j, seed in found.items():
        the_file_commits_to_the_seed(raw, at, j, seed)
    return found


# --- the head of a vault: LC-FILE-42, 43 ------------------------------------------------------------------------------------------

FIXED, ENTRY = 146, 101
"""Bytes before the holders, and of each."""


class Owner(NamedTuple):
    federation: bytes
    member: bytes
    r: int

    @property
    def told(self) -> bytes:
        return self.federation + self.member + self.r.to_bytes(4, "big")


class Head(NamedTuple):
    salt: bytes
    own: bytes
    needed: int
    holders: list[tuple[bytes, bytes]]
    size: int


@check("LC-FILE-42")
def a_vault_has_its_fixed_part(raw: bytes) -> bool:
    return len(raw) >= FIXED


@check("LC-FILE-42")
def a_vault_begins_with_its_mark_and_owner(raw: bytes, owner: Owner) -> bool:
    return raw[:64] == b"LCFV1\0\0\0" + owner.told


@check("LC-FILE-42")
def holders_are_none_or_four_or_five(n: int) -> bool:
    return n in (0, 4, 5)


@check("LC-FILE-42")
def more_than_half_of_the_holders_are_needed(n: int, k: int) -> bool:
    return k == (n // 2 + 1 if n else 0)


@check("LC-FILE-42")
def all_the_holders_are_there(raw: bytes, n: int) -> bool:
    return len(raw) >= FIXED + ENTRY * n


@check("LC-FILE-42")
def holders_stand_in_order_each_once(holders: list[bytes]) -> bool:
    return all(one < other for one, other in pairwise(holders))


@check("LC-FILE-43")
def a_share_is_the_holder_s(share: bytes, place: int) -> bool:
    return len(share) == 33 and share[0] == place


def head(raw: bytes, owner: Owner) -> Head:
    """Raises `Refused`."""
    a_vault_has_its_fixed_part(raw)
    a_vault_begins_with_its_mark_and_owner(raw, owner)
    n, k = raw[144], raw[145]
    holders_are_none_or_four_or_five(n)
    more_than_half_of_the_holders_are_needed(n, k)
    all_the_holders_are_there(raw, n)
    entries = [raw[146 + ENTRY * at : 146 + ENTRY * (at + 1)] for at in range(n)]
    holders_stand_in_order_each_once([entry[:20] for entry in entries])
    return Head(raw[64:96], raw[96:144], k, [(entry[:20], entry[20:]) for entry in entries], 146 + ENTRY * n)


def own_key(found: Head, owner: Owner, secret: bytes) -> bytes:
    """K, for its owner. Raises `Refused`."""
    return sealed.opened(sealed.hkdf(secret, found.salt, b"learningchain vault key 1" + owner.told), found.own)


def share(found: Head, owner: Owner, place: int, private: bytes) -> bytes:
    """That of the holder in a place from 1 on. Raises `Refused`."""
    holder, box = found.holders[place - 1]
    told = sealed.open_box(box, private, "learningchain vault share 1", owner.told + holder)
    a_share_is_the_holder_s(told, place)
    return told


def given_share(box: bytes, owner: Owner, place: int, holder: bytes, private: bytes) -> bytes:
    """What the holder in a place gave. Raises `Refused`."""
    told = sealed.open_box(box, private, "learningchain vault share given 1", owner.told + holder)
    a_share_is_the_holder_s(told, place)
    return told


# --- messages: LC-FILE-44, 45 -----------------------------------------------------------------------------------------------------

_OF, _ATTEMPT, _CID = ("federation", HASH), ("attempt", UINT), ("cid", binary(36, 36))
WORDS = {
    1: Record("UpdateOffer", _OF, _ATTEMPT, _CID),
    2: Record("UpdateAnswer", _OF, _ATTEMPT, _CID, ("answer", integer(1, 8)), ("signature", SIGNATURE)),
    3: Record("KeyAsk", _OF),
    4: Record("KeyGive", _OF, ("box", binary(80, 80))),
    5: Record("ShareAsk", _OF, ("r", UINT)),
    6: Record("ShareGive", _OF, ("r", UINT), ("share", SMALL), ("box", binary(81, 81))),
}


class Word(Schema):
    """One of them behind its tag."""

    def fit(self, value: Any) -> None:
        a_message_has_a_known_tag(value)
        if type(value) is list and value and type(value[0]) is int and value[0] in WORDS:
            WORDS[value[0]].fit(value[1:])


@check("LC-FILE-44")
def a_message_has_a_known_tag(value: Any) -> bool:
    return type(value) is list and bool(value) and type(value[0]) is int and value[0] in WORDS


def word(raw: bytes) -> list[Any]:
    """Raises `Refused`."""
    found: list[Any] = wire.decode(Word(), raw, 512)
    return found


def is_answer(chain: bytes, member: bytes, told: list[Any], key: bytes) -> bool:
    """LC-FILE-45: whether the account of this key signed an UpdateAnswer."""
    _, federation, attempt, cid, answer, signature = told
    parts = (chain, federation, attempt.to_bytes(8, "big"), member, cid, bytes([answer]))
    return keys.is_signed(key, tagged("lc/fed-answer", *parts), signature)


# --- keys and seeds: LC-FILE-46, 47 -----------------------------------------------------------------------------------------------


@check("LC-FILE-46")
def a_key_is_that_of_the_terms(key: bytes, key_hash: bytes) -> bool:
    return sha(key) == key_hash


def hidden_key(box: bytes, private: bytes, place: bytes, key_hash: bytes) -> bytes:
    """`place`: chain id, federation, seat. Raises `Refused`."""
    found = sealed.open_box(box, private, "learningchain hidden key box 1", place)
    a_key_is_that_of_the_terms(found, key_hash)
    return found


def local_seed(within: bytes) -> int:
    return int.from_bytes(sha(within)[:8], "big")


def own_data(files: list[bytes]) -> bytes:
    """LC-FILE-48: whatever the files are called."""
    return sha(b"LC-DATA-2\x00" + b"".join(sorted(map(sha, files))))


def published(federation: bytes, content: bytes) -> bytes:
    return tagged("lc/fed-data", federation, content)
