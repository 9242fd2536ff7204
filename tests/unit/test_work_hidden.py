"""The hidden file format: what any AEAD library writes, whatever the size; wrong keys and damage are told apart from nothing."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from learningchain.client.keys import hidden
from learningchain.client.keys.hidden import BadKey

KEY, NONCE = bytes(range(32)), bytes(range(100, 112))
SPEC = Path(__file__).parents[2] / "protocol_spec" / "hidden-file.md"
SIZES = [0, 1, 15, 16, 17, 63, 64, 65, (1 << 20) - 1, 1 << 20, (1 << 20) + 1]


@pytest.mark.parametrize("size", SIZES)
def test_the_format_is_chacha20_poly1305_of_rfc_8439(tmp_path: Path, size: int) -> None:
    plain = hashlib.shake_128(b"plain").digest(size)
    (tmp_path / "plain").write_bytes(plain)
    digest = hidden.encrypt(tmp_path / "plain", tmp_path / "sealed", KEY, NONCE)
    assert digest == hashlib.sha256(plain).digest()
    assert (tmp_path / "sealed").read_bytes() == NONCE + ChaCha20Poly1305(KEY).encrypt(NONCE, plain, None)
    hidden.decrypt(tmp_path / "sealed", tmp_path / "opened", KEY, digest)
    assert (tmp_path / "opened").read_bytes() == plain


@pytest.mark.parametrize("where", [0, 12, 40, -17, -16, -1])
def test_a_changed_byte_anywhere_is_a_bad_key_and_leaves_nothing(tmp_path: Path, where: int) -> None:
    sealed = bytearray(NONCE + ChaCha20Poly1305(KEY).encrypt(NONCE, bytes(100), None))
    sealed[where] ^= 1
    (tmp_path / "sealed").write_bytes(sealed)
    with pytest.raises(BadKey, match="tag"):
        hidden.decrypt(tmp_path / "sealed", tmp_path / "opened", KEY, hashlib.sha256(bytes(100)).digest())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sealed"]


def test_a_key_that_opens_other_data_than_posted_is_bad(tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(NONCE + ChaCha20Poly1305(KEY).encrypt(NONCE, b"other", None))
    with pytest.raises(BadKey, match="other data than the posting"):
        hidden.decrypt(tmp_path / "sealed", tmp_path / "opened", KEY, hashlib.sha256(b"promised").digest())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sealed"]


@pytest.mark.parametrize(("content", "key"), [(b"short", KEY), (bytes(100), bytes(31)), (bytes(100), bytes(32))])
def test_junk_and_keys_of_another_size_are_bad_keys(tmp_path: Path, content: bytes, key: bytes) -> None:
    (tmp_path / "sealed").write_bytes(content)
    with pytest.raises(BadKey):
        hidden.decrypt(tmp_path / "sealed", tmp_path / "opened", key, bytes(32))


def test_every_statement_of_the_chapter_is_carried_out_by_code() -> None:
    stated = set(re.findall(r"LC-HIDDEN-(\d+)", SPEC.read_text()))
    named: set[str] = set()
    for path in Path(hidden.__file__).parents[1].rglob("*.py"):
        for numbers in re.findall(r"LC-HIDDEN-(\d+(?:, \d+)*)", path.read_text()):
            named |= set(numbers.split(", "))
    assert stated == named
