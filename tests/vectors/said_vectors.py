"""Vectors of boxes, vaults and what nodes tell each other (LC-FILE-11 to 15, 42 to 48)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from learningchain.chain.codec import encode
from learningchain.chain.crypto import SigningKey
from learningchain.chain.errors import Malformed
from learningchain.client.contracts.federation.arithmetic import updates, vault
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace, published_digest
from learningchain.client.contracts.federation.arithmetic.updates import BadUpdate
from learningchain.client.contracts.federation.arithmetic.vault import BadVault, VaultPlace
from learningchain.client.contracts.federation.roles.channel import (
    KeyAsk,
    KeyGive,
    ShareAsk,
    ShareGive,
    UpdateAnswer,
    UpdateOffer,
    answer_digest,
    decode_fed,
    encode_fed,
    is_answer_of,
)
from learningchain.client.contracts.federation.roles.looking import local_seed
from learningchain.client.contracts.federation.roles.sponsor import KEY_BOX_LABEL, key_context
from learningchain.client.keys.boxes import CannotOpen, open_box, public_of, seal_box
from learningchain.sandbox.data import DataFile, DataSet

Case = dict[str, Any]


def seed(name: str) -> bytes:
    return hashlib.sha256(b"vector " + name.encode()).digest()


PLACE = AttemptPlace(seed("chain"), seed("federation"), 3, 7)
MEMBER = seed("member")[:20]
PRIVATES = [seed(f"seat {n}") for n in (1, 2, 3)]
LOW_ORDER = bytes(32)


def said() -> dict[str, list[Case]]:
    return {
        "update_files": list(_update_files()),
        "vaults": list(_vaults()),
        "given_shares": list(_given()),
        "words": list(_words()),
        "answers": list(_answers()),
        "keys": list(_keys()),
        "seeds": [_seed(r, attempt) for r, attempt in ((1, 2), (1, 3), (1_000, 2_002))],
        "own_data": list(_own_data()),
    }


# --- update files ----------------------------------------------------------------------------------------------------------------


def _sealed(seats: int, secret: bool, name: str = "file", low: bool = False) -> bytes:
    """Of d = 3."""
    public = [public_of(one) for one in PRIVATES[:seats]]
    if low:
        public[0] = LOW_ORDER
    found = updates.seal_seeds(PLACE, MEMBER, public, secret, Random(f"{name} {seats} {secret}").randbytes)
    return b"".join(updates.update_file(found, [np.array([1, -1, 2**22], np.int32)]))


def _resealed(raw: bytes, seat: int, told: bytes, label: bytes = b"learningchain update box 1", member: bytes = MEMBER) -> bytes:
    """With another box for one seat."""
    box = seal_box(told, public_of(PRIVATES[seat - 1]), seed("ephemeral"), label, PLACE.raw + member + bytes([seat]))
    at = 164 + 112 * (seat - 1)
    return raw[:at] + box + raw[at + 112 :]


def _changed(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def _update_files() -> Iterator[Case]:
    three, two, open_ = _sealed(3, True), _sealed(2, True), _sealed(3, False)
    for seat in (1, 2, 3):
        yield _update_file(three, seat)
        yield _update_file(open_, seat, secret=False)
    yield _update_file(two, 1, seats=2)
    yield _update_file(_changed(two, 490), 2, seats=2)
    for raw in (three[:-1], three + b"\0", b""):
        yield _update_file(raw, 1)
    for at in (0, 7, 8, 40, 44, 48, 68, 132, 170, 275, 300):
        yield _update_file(_changed(three, at), 1)
    yield _update_file(_changed(open_, 100), 1, secret=False)
    yield _update_file(_changed(open_, 163), 2, secret=False)
    told = open_box(three[164:276], PRIVATES[0], b"learningchain update box 1", PLACE.raw + MEMBER + b"\1")
    yield _update_file(_resealed(three, 1, told), 1)
    yield _update_file(_resealed(three, 1, told[32:] + told[:32]), 1)
    yield _update_file(_resealed(three, 1, told, member=bytes(20)), 1)
    yield _update_file(_resealed(three, 1, told, b"learningchain box 1"), 1)
    one = open_box(open_[164:276], PRIVATES[0], b"learningchain update box 1", PLACE.raw + MEMBER + b"\1")[:32]
    yield _update_file(_resealed(open_, 1, one + b"\1" + bytes(31)), 1, secret=False)
    yield _update_file(three[:164] + LOW_ORDER + three[196:], 1)
    shared = three[:164] + LOW_ORDER + _under_zeros(LOW_ORDER, told) + three[276:]
    yield _update_file(shared, 1)
    yield _update_file(_sealed(3, True, "low", low=True), 1)
    yield _update_file(_sealed(3, True, "low", low=True), 2)


def _under_zeros(e: bytes, told: bytes) -> bytes:
    """What anybody can seal to anybody under a point of low order."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = b"learningchain update box 1" + e + public_of(PRIVATES[0]) + PLACE.raw + MEMBER + b"\1"
    return ChaCha20Poly1305(HKDF(hashes.SHA256(), 32, None, info).derive(bytes(32))).encrypt(bytes(12), told, None)


def _update_file(raw: bytes, seat: int, secret: bool = True, seats: int = 3) -> Case:
    private = PRIVATES[seat - 1]
    try:
        updates.read_update(raw, PLACE, MEMBER, 3)
        seeds = updates.open_seeds(raw, PLACE, MEMBER, seat, private, secret, aggregators=seats)
        found: Any = [[j, one.hex()] for j, one in sorted(seeds.items())]
    except BadUpdate as bad:
        found = bad.answer
    told = {"place": PLACE.raw.hex(), "member": MEMBER.hex(), "seat": seat, "seats": seats, "secret": secret, "d": 3}
    return {"rule": "LC-FILE-15", **told, "private": private.hex(), "file": raw.hex(), "found": found}


# --- vaults ----------------------------------------------------------------------------------------------------------------------

OWNER = VaultPlace(seed("federation"), MEMBER, 5)
SECRET = seed("secret")


def _vaults() -> Iterator[Case]:
    heads = {n: _head(n) for n in (0, 4, 5)}
    for raw in heads.values():
        yield _vault(raw)
        yield _vault(raw + b"the model, encrypted")
        yield _vault(raw[:-1])
    four = heads[4]
    for at in (0, 7, 10, 45, 63, 70, 100, 144, 145, 147, 170, 240):
        yield _vault(_changed(four, at))
    yield _vault(heads[0][:145])
    yield _vault(heads[0][:144] + b"\0\1")
    for n, k in ((3, 2), (1, 1), (2, 2)):
        yield _vault(four[:144] + bytes((n, k)) + four[146:])
    entries = [four[146 + 101 * at : 247 + 101 * at] for at in range(4)]
    yield _vault(four[:146] + b"".join([entries[1], entries[0], *entries[2:]]))
    yield _vault(four[:146] + b"".join([entries[0], entries[0], *entries[2:]]))
    yield _vault(four, SECRET[::-1])
    holder, private = sorted(_holders(4).items())[0]
    for share in (b"\2" + bytes(32), b"\1" + bytes(31)):
        box = seal_box(share, public_of(private), seed("ephemeral"), b"learningchain vault share 1", OWNER.raw + holder)
        yield _vault(four[:146] + (holder + box)[:101].ljust(101, b"\0") + four[247:])


def _given() -> Iterator[Case]:
    """What a holder gives of the vault of four, to the box key that its owner has now."""
    head, private = vault.read_vault(_head(4), OWNER), seed("owner's key")
    owners = _holders(4)
    for place, holder in enumerate(head.shares, 1):
        share = vault.own_share(head, OWNER, holder, owners[holder])
        box = vault.give_share(share, OWNER, holder, public_of(private), Random(f"given {place}").randbytes)
        yield _given_share(head, place, holder, box, private)
    yield _given_share(head, place, holder, _changed(box, 40), private)
    yield _given_share(head, place, holder, box, seed("nobody's"))
    yield _given_share(head, 1, next(iter(head.shares)), box, private)
    for share in (b"\1" + bytes(32), b"\4" + bytes(31)):
        label = b"learningchain vault share given 1"
        wrong = seal_box(share, public_of(private), seed("ephemeral"), label, OWNER.raw + holder)
        yield _given_share(head, place, holder, wrong, private)


def _given_share(head: vault.VaultHead, place: int, holder: bytes, box: bytes, private: bytes) -> Case:
    told: Case = {"federation": OWNER.federation.hex(), "member": OWNER.member.hex(), "r": OWNER.r, "place": place}
    case: Case = {"rule": "LC-FILE-43", **told, "holder": holder.hex(), "box": box.hex(), "private": private.hex()}
    return case | {"share": _or_none(lambda: vault.given_share(box, head, OWNER, holder, private))}


def _holders(n: int) -> dict[bytes, bytes]:
    return {seed(f"holder {at}")[:20]: seed(f"holder's key {at}") for at in range(n)}


def _head(n: int) -> bytes:
    keys = {holder: public_of(private) for holder, private in _holders(n).items()}
    return vault.make_head(OWNER, seed("vault"), vault.of_secret(SECRET), keys, Random(f"vault {n}").randbytes)


def _vault(raw: bytes, secret: bytes = SECRET) -> Case:
    told: Case = {"federation": OWNER.federation.hex(), "member": OWNER.member.hex(), "r": OWNER.r, "secret": secret.hex()}
    case: Case = {"rule": "LC-FILE-42", **told, "file": raw.hex(), "head": None}
    try:
        head = vault.read_vault(raw, OWNER)
    except BadVault:
        return case
    privates = _holders(5)
    known = [privates.get(holder, seed("nobody's")) for holder in head.shares]
    case["head"] = [head.needed, [holder.hex() for holder in head.shares], head.size]
    case["key"] = _or_none(lambda: vault.own_key(head, OWNER, vault.of_secret(secret)))
    case["privates"] = [one.hex() for one in known]
    case["shares"] = [
        _or_none(lambda: vault.own_share(head, OWNER, holder, private))  # noqa: B023
        for holder, private in zip(head.shares, known, strict=True)
    ]
    return case


def _or_none(run: Callable[[], bytes]) -> str | None:
    try:
        return run().hex()
    except BadVault:
        return None


# --- messages --------------------------------------------------------------------------------------------------------------------

CID = b"\x01\x55\x12\x20" + seed("file")
FEDERATION = seed("federation")


def _words() -> Iterator[Case]:
    """Each message; each of its fields of another type, too short, too long, below and above; too few and too many fields."""
    answer, key, share = UpdateAnswer(FEDERATION, 7, CID, 6, bytes(64)), bytes(range(80)), bytes(range(81))
    for message in (
        *(UpdateOffer(FEDERATION, 2**63 - 1, CID), answer, KeyAsk(FEDERATION), KeyGive(FEDERATION, key), ShareAsk(FEDERATION, 0)),
        *(ShareGive(FEDERATION, 5, 255, share), UpdateOffer(FEDERATION, 0, CID)),
    ):
        raw = encode_fed(message)
        yield _word(raw)
        yield _word(raw + b"\0")
        fields = [getattr(message, name) for name in message.__struct_fields__]
        tag = raw[1]
        yield _word(encode([tag, *fields[:-1]]))
        yield _word(encode([tag, *fields, 0]))
        for at, value in enumerate(fields):
            for other in _others(value):
                yield _word(encode([tag, *fields[:at], other, *fields[at + 1 :]]))
    for tag in (0, 7, 2**40):
        yield _word(encode([tag, FEDERATION]))
    yield _word(encode([b"\3", FEDERATION]))
    yield _word(encode([]))
    yield _word(encode(FEDERATION))
    yield _word(b"")
    yield _word(b"\x93\x05\xc4\x20" + FEDERATION + b"\xcc\x05")
    yield _word(encode([3, FEDERATION + bytes(600)]))
    yield _word(encode([3, FEDERATION]) + bytes(600))


def _others(value: Any) -> Iterator[Any]:
    if isinstance(value, bytes):
        yield from (value[:-1], value + b"\0", 7, value.hex())
        return
    yield from (-1, 2**63, 256, 9, 0, b"\1", "1", True, [1])


def _word(raw: bytes) -> Case:
    try:
        found: Any = decode_fed(raw)
        told = [raw[1], *(getattr(found, name) for name in found.__struct_fields__)]
    except Malformed:
        return {"rule": "LC-FILE-44", "bytes": raw.hex(), "message": None}
    shown = [one.hex() if isinstance(one, bytes) else {"int": str(one)} if one >= 2**53 else one for one in told]
    return {"rule": "LC-FILE-44", "bytes": raw.hex(), "message": shown}


def _answers() -> Iterator[Case]:
    own, other = SigningKey(seed("aggregator")), SigningKey(seed("another"))
    offer, attempt = UpdateOffer(FEDERATION, 7, CID), UpdateOffer(FEDERATION, 8, CID)
    good = UpdateAnswer(FEDERATION, 7, CID, 1, own.sign(answer_digest(PLACE.chain, MEMBER, offer, 1)))
    yield _answer(good, own)
    yield _answer(good, other)
    yield _answer(good, own, member=bytes(20))
    yield _answer(good, own, chain=bytes(32))
    for changed in ({"attempt": 8}, {"answer": 3}, {"federation": bytes(32)}, {"cid": CID[:-1] + b"\0"}, {"signature": bytes(64)}):
        yield _answer(UpdateAnswer(**{name: changed.get(name, getattr(good, name)) for name in good.__struct_fields__}), own)
    yield _answer(UpdateAnswer(FEDERATION, 8, CID, 8, own.sign(answer_digest(PLACE.chain, MEMBER, attempt, 8))), own)


def _answer(found: UpdateAnswer, key: SigningKey, member: bytes = MEMBER, chain: bytes = PLACE.chain) -> Case:
    told = {"chain": chain.hex(), "member": member.hex(), "key": key.public.hex(), "bytes": encode_fed(found).hex()}
    return {"rule": "LC-FILE-45", **told, "holds": is_answer_of(key.public, chain, member, found)}


# --- keys and seeds --------------------------------------------------------------------------------------------------------------


def _keys() -> Iterator[Case]:
    key, seat = seed("hidden key"), seed("sits")[:20]
    place, private = key_context(PLACE.chain, FEDERATION, seat), PRIVATES[0]
    box = seal_box(key, public_of(private), seed("ephemeral"), KEY_BOX_LABEL, place)
    yield _key(box, private, place, key)
    yield _key(box, private, place, key[::-1])
    yield _key(box, PRIVATES[1], place, key)
    yield _key(box, private, bytes(84), key)
    for at in (0, 40, 79):
        yield _key(_changed(box, at), private, place, key)
    yield _key(LOW_ORDER + box[32:], private, place, key)
    other = seal_box(key, public_of(private), seed("ephemeral"), b"learningchain box 1", place)
    yield _key(other, private, place, key)


def _key(box: bytes, private: bytes, place: bytes, key: bytes) -> Case:
    key_hash = hashlib.sha256(key).digest()
    try:
        found = open_box(box, private, KEY_BOX_LABEL, place)
    except CannotOpen:
        found = b""
    fits = hashlib.sha256(found).digest() == key_hash
    told = {"box": box.hex(), "private": private.hex(), "place": place.hex(), "key_hash": key_hash.hex()}
    return {"rule": "LC-FILE-46", **told, "key": found.hex() if fits else None}


def _seed(r: int, attempt: int) -> Case:
    place = AttemptPlace(PLACE.chain, FEDERATION, r, attempt)
    return {"rule": "LC-FILE-47", "within": place.within.hex(), "seed": {"int": str(local_seed(place))}}


# --- own data --------------------------------------------------------------------------------------------------------------------


def _own_data() -> Iterator[Case]:
    """In any order and under any names; the same file twice counts twice; in another federation it is something else."""
    ages, sexes = b"age\n42\n", b"sex\nf\n"
    many = tuple(b"n\n%d\n" % n for n in range(40))
    for federation in (FEDERATION, seed("another federation")):
        for files in (
            (ages,),
            (ages, sexes),
            (sexes, ages),
            (ages, ages),
            (b"",),
            (ages, b"", sexes),
            many,
        ):
            yield _published(federation, files)


def _published(federation: bytes, files: Sequence[bytes]) -> Case:
    named = [DataFile(f"{n:02}.csv", Path("/"), len(file), hashlib.sha256(file).digest()) for n, file in enumerate(files)]
    content = DataSet(tuple(named)).content_digest
    told = {"content": content.hex(), "published": published_digest(federation, content).hex()}
    return {"rule": "LC-FILE-48", "federation": federation.hex(), "files": [file.hex() for file in files], **told}
