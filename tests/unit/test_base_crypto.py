"""Keys and signatures against another library, addresses against typing mistakes (LC-ID-1 to LC-ID-7)."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import re
from pathlib import Path
from unittest import mock

import coincurve
import ecdsa  # type: ignore[import-untyped]
import pytest
from ecdsa.util import sigdecode_string, sigencode_string  # type: ignore[import-untyped]
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from learningchain import chain, p2p
from learningchain.chain.crypto import SigningKey, account_id, address, is_public_key, parse_address, short_sha256, verify
from learningchain.chain.errors import Malformed
from learningchain.chain.tags import TAGS, InvalidTag, Tag
from learningchain.client import contracts as client_contracts
from tests.hashes import tagged

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "protocol_spec"
ORDER: int = ecdsa.SECP256k1.order
SECRETS = st.integers(1, ORDER - 1).map(lambda n: n.to_bytes(32, "big"))
DIGESTS = st.binary(min_size=32, max_size=32)


@given(SECRETS, DIGESTS)
@settings(max_examples=15, deadline=None)
def test_what_we_sign_another_library_verifies_and_signs_alike(secret: bytes, digest: bytes) -> None:
    key = SigningKey(secret)
    other = ecdsa.SigningKey.from_string(secret, curve=ecdsa.SECP256k1)
    signature = key.sign(digest)
    assert other.get_verifying_key().to_string("compressed") == key.public
    assert other.get_verifying_key().verify_digest(signature, digest, sigdecode=sigdecode_string)
    theirs = other.sign_digest_deterministic(digest, hashfunc=hashlib.sha256, sigencode=sigencode_string)
    s = int.from_bytes(theirs[32:], "big")
    low = theirs[:32] + min(s, ORDER - s).to_bytes(32, "big")
    assert low == signature, "RFC 6979, then the lower s"
    assert verify(key.public, digest, signature)
    assert verify(key.public, digest, theirs) is (s <= ORDER // 2)


@given(SECRETS, DIGESTS, st.integers(0, 63), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_changed_signature_is_bad(secret: bytes, digest: bytes, place: int, change: int) -> None:
    key = SigningKey(secret)
    signature = bytearray(key.sign(digest))
    signature[place] ^= change
    assert not verify(key.public, digest, bytes(signature))


@given(st.binary(max_size=70), st.binary(max_size=40), st.binary(max_size=70))
@settings(max_examples=150, deadline=None)
def test_verify_never_raises(public: bytes, digest: bytes, signature: bytes) -> None:
    assert verify(public, digest, signature) is False


def test_every_other_form_of_a_key_is_refused() -> None:
    """libsecp256k1 itself would take the uncompressed and the hybrid form."""
    key = SigningKey(b"\x07" * 32)
    digest = bytes(32)
    signature = key.sign(digest)
    full = coincurve.PublicKey(key.public).format(compressed=False)
    hybrid = bytes([6 + (full[-1] & 1)]) + full[1:]
    for form in (full, hybrid):
        assert coincurve.PublicKey(form).format() == key.public
        assert not is_public_key(form)
        assert not verify(form, digest, signature)
        with pytest.raises(Malformed):
            account_id(form)
    assert verify(key.public, digest, signature)


@pytest.mark.parametrize("secret", [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32, b"", bytes(33)])
def test_a_secret_that_is_no_scalar_is_refused(secret: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SigningKey(secret)


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_only_digests_are_signed(digest: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(b"\x07" * 32).sign(digest)


# --- addresses ----------------------------------------------------------------------------------------------------------------

IDS = st.binary(min_size=20, max_size=20)
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@given(IDS)
def test_an_address_comes_back(identity: bytes) -> None:
    text = address(identity)
    assert parse_address(text) == identity
    assert len(text) == 41 and text == text.lower()


@given(IDS, st.lists(st.tuples(st.integers(3, 40), st.sampled_from(CHARSET)), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_up_to_three_typing_mistakes_are_found(identity: bytes, mistakes: list[tuple[int, str]]) -> None:
    text = list(address(identity))
    for place, char in mistakes:
        text[place] = char
    wrong = "".join(text)
    assume(wrong != address(identity))
    with pytest.raises(Malformed, match="typing mistake"):
        parse_address(wrong)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_address(text)


@pytest.mark.parametrize("identity", [b"", bytes(19), bytes(21)])
def test_an_id_has_twenty_bytes(identity: bytes) -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        address(identity)


def test_tags_keep_uses_apart() -> None:
    assert tagged(b"a", b"bc") != tagged(b"ab", b"c")
    assert tagged(b"a", b"b") == hashlib.sha256(b"\x01ab").digest()
    with mock.patch.dict(TAGS):
        assert Tag("a", "a test").hash(b"b", b"cd") == tagged(b"a", b"b", b"cd")


@pytest.mark.parametrize(
    ("name", "why"),
    [("lc/tx", "is taken: it is for transactions' sign-bytes"), ("", "1 to 32"), ("x" * 33, "1 to 32"), ("ä", "ASCII")],
)
def test_a_tag_is_short_text_and_for_one_purpose(name: str, why: str) -> None:
    with pytest.raises(InvalidTag, match=why):
        Tag(name, "another purpose")


def test_the_specification_lists_every_tag_with_its_purpose() -> None:
    """LC-ID-8, read from its table; the tags of the program are those of all its modules."""
    for package in (chain, p2p, client_contracts):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(info.name)
    text = (SPEC / "identities.md").read_text().partition("**LC-ID-8**")[2]
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if "| lc/" in line]
    cells = [[cell.strip() for cell in row] for row in rows]
    listed = {name: use for row in cells for name, use in zip(row[0::3], row[1::3], strict=True) if name}
    assert {name: tag.use for name, tag in TAGS.items()} == listed


def test_nothing_in_the_product_is_hashed_under_a_tag_that_is_not_registered() -> None:
    for room in ("chain", "p2p"):
        for path in (ROOT / room).rglob("*.py"):
            names = re.findall(r'b"(lc/[a-z-]+)"', path.read_text())
            assert set(names) <= {"lc/beacon-secret"}, f"{path}: the prefix of an HMAC alone (LC-ID-8) is no tag"


@pytest.mark.parametrize("size", [0, 1, 35, 55, 56, 64, 65, 119, 120, 5_000])
def test_the_hash_of_short_inputs_is_sha256(size: int) -> None:
    data = (bytes(range(256)) * 20)[:size]
    assert short_sha256(data).digest() == hashlib.sha256(data).digest()
