"""Private requests: boxes that one seat opens, keys that are bad, inputs and answers that nobody else reads."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from learningchain.chain.contracts.prediction.blinding import unblind
from learningchain.chain.contracts.prediction.formulas import MAX_SCORE
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.crypto import sha256
from learningchain.client.contracts.prediction.roles.private import (
    BoxPlace,
    NoBoxKey,
    answer_without,
    blinded,
    box,
    boxes,
    encrypted,
    opened,
    plain_input,
)
from learningchain.client.keys.boxes import public_of
from learningchain.client.keys.hidden import BadKey

KEY, REQUEST = bytes(range(32)), sha256(b"request")
SEATS = [(sha256(b"account %d" % n)[:20], sha256(b"private %d" % n)) for n in range(5)]
PLACE = BoxPlace(REQUEST, 1, SEATS[0][0])


def drawing(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def test_each_seat_opens_its_own_box_and_no_other() -> None:
    made = boxes(KEY, REQUEST, 1, [(account, public_of(own)) for account, own in SEATS], drawing(1))
    assert all(len(one) == 80 for one in made) and len({one[:32] for one in made}) == len(made), "a key of its own for each"
    assert not {one[:32] for one in made} & {
        one[:32] for one in boxes(KEY, REQUEST, 1, [(a, public_of(b)) for a, b in SEATS], drawing(7))
    }
    for n, (account, own) in enumerate(SEATS):
        for m, one in enumerate(made):
            place = BoxPlace(REQUEST, 1, account)
            if n == m:
                assert opened(one, place, public_of(own), [own], sha256(KEY)) == KEY
            else:
                with pytest.raises(BadKey):
                    opened(one, place, public_of(own), [own], sha256(KEY))


@pytest.mark.parametrize(
    "place", [PLACE._replace(request=sha256(b"other")), PLACE._replace(round=2), PLACE._replace(account=SEATS[1][0])], ids=repr
)
def test_a_box_counts_for_its_request_round_and_account_alone(place: BoxPlace) -> None:
    own = SEATS[0][1]
    made = box(KEY, PLACE, public_of(own), bytes(range(1, 33)))
    assert opened(made, PLACE, public_of(own), [own], sha256(KEY)) == KEY
    with pytest.raises(BadKey):
        opened(made, place, public_of(own), [own], sha256(KEY))


def test_every_changed_byte_and_every_other_key_is_noticed() -> None:
    own = SEATS[0][1]
    made = box(KEY, PLACE, public_of(own), bytes(range(1, 33)))
    for at in range(80):
        junk = bytearray(made)
        junk[at] ^= 1 << (at % 7)
        with pytest.raises(BadKey):
            opened(bytes(junk), PLACE, public_of(own), [own], sha256(KEY))
    for junk_box in (b"", made[:-1], made + b"\0", bytes(80)):
        with pytest.raises(BadKey):
            opened(junk_box, PLACE, public_of(own), [own], sha256(KEY))
    with pytest.raises(BadKey, match="another key"):
        opened(box(bytes(32), PLACE, public_of(own), bytes(range(1, 33))), PLACE, public_of(own), [own], sha256(KEY))


def test_a_box_key_to_which_nothing_can_be_sealed_keeps_no_others_from_theirs() -> None:
    """A server that sets one would else cost the requester its request, and each honest seat its work."""
    zero, one = bytes(32), (1).to_bytes(32, "little")
    seats = [(SEATS[0][0], zero), (SEATS[1][0], public_of(SEATS[1][1])), (SEATS[2][0], one)]
    made = boxes(KEY, REQUEST, 1, seats, drawing(2))
    assert [len(each) for each in made] == [80, 80, 80]
    assert len({each[n : n + 16] for each in made for n in range(0, 80, 16)}) == 15, "nobody sees for whom there was none"
    assert opened(made[1], BoxPlace(REQUEST, 1, SEATS[1][0]), seats[1][1], [SEATS[1][1]], sha256(KEY)) == KEY


def test_the_private_key_of_the_draw_opens_it_also_when_it_was_replaced() -> None:
    old, new = SEATS[0][1], SEATS[1][1]
    made = box(KEY, PLACE, public_of(old), bytes(range(1, 33)))
    assert opened(made, PLACE, public_of(old), [new, old], sha256(KEY)) == KEY
    with pytest.raises(NoBoxKey) as lost:
        opened(made, PLACE, public_of(old), [new], sha256(KEY))
    assert answer_without(lost.value).code == AnswerCode.ABSTAIN
    assert answer_without(BadKey("")).code == AnswerCode.BAD_KEY


def test_the_input_opens_with_its_key_alone() -> None:
    rows = b'{"a":1}\n' * 1_000
    file = encrypted(rows, KEY, drawing(3))
    assert len(file) == len(rows) + 28 and rows[:20] not in file and plain_input(file, KEY) == rows
    for junk, key in ((file, bytes(32)), (file[:-1], KEY), (file[:27], KEY), (b"", KEY), (file[:40] + b"x" + file[41:], KEY)):
        with pytest.raises(BadKey):
            plain_input(junk, key)
    assert encrypted(b"", KEY, drawing(4)) != encrypted(b"", KEY, drawing(5))


@pytest.mark.parametrize("seed", range(20))
def test_a_blinded_answer_is_the_plain_one_for_who_has_the_key(seed: int) -> None:
    draw = random.Random(seed)
    classes, rows = draw.choice((0, 2, 10, 65_536)), sorted(draw.sample(range(256), 16))
    plain = Answer(
        AnswerCode.OK,
        [draw.randrange(classes) for _ in rows] if classes else [],
        [draw.randint(-(10**15), 10**15) for _ in rows],
        draw.randint(-(10**15), 10**15),
    )
    hidden = blinded(plain, KEY, REQUEST, rows, classes)
    assert hidden.scores != plain.scores and all(abs(score) <= MAX_SCORE for score in hidden.scores)
    assert unblind(hidden, KEY, REQUEST, rows, classes) == plain
    assert unblind(hidden, bytes(32), REQUEST, rows, classes) != plain
    assert blinded(plain, KEY, sha256(b"other"), rows, classes) != hidden


# --- as the RFCs say it, by other means ------------------------------------------------------------------------------------------


def x25519(scalar: bytes, point: bytes) -> bytes:
    """RFC 7748, section 5, in the numbers of Python."""
    p = 2**255 - 19
    k = int.from_bytes(bytes([scalar[0] & 248]) + scalar[1:31] + bytes([scalar[31] & 127 | 64]), "little")
    x1 = int.from_bytes(point, "little") % 2**255
    x2, z2, x3, z3, swapped = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swapped ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        x3, z3 = (da + cb) ** 2 % p, x1 * (da - cb) ** 2 % p
        x2, z2 = aa * bb % p, (aa - bb) * (aa + 121_665 * (aa - bb)) % p
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


def boxed_again(key: bytes, place: BoxPlace, box_key: bytes, ephemeral: bytes) -> bytes:
    """LC-PRIV-2, from the page alone."""
    public = x25519(ephemeral, (9).to_bytes(32, "little"))
    extracted = hmac.digest(bytes(32), x25519(ephemeral, box_key), "sha256")
    info = b"learningchain box 1" + public + box_key + place.request + bytes([place.round]) + place.account
    return public + ChaCha20Poly1305(hmac.digest(extracted, info + b"\1", "sha256")).encrypt(bytes(12), key, None)


@pytest.mark.parametrize("n", range(5))
def test_a_box_is_what_the_page_says(n: int) -> None:
    account, own = SEATS[n]
    place, ephemeral = BoxPlace(REQUEST, n % 3 + 1, account), hashlib.sha256(b"e%d" % n).digest()
    assert x25519(own, (9).to_bytes(32, "little")) == public_of(own)
    assert box(KEY, place, public_of(own), ephemeral) == boxed_again(KEY, place, public_of(own), ephemeral)
