"""Names of content: one text and one binary form each, the same as IPFS tools print."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learningchain.chain.errors import Malformed
from learningchain.p2p.content.cid import Cid, Codec, cid_of, from_bytes, parse

HELLO = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"hello world\n", HELLO),
        (b"hello\n", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"),  # kubo, test/sharness/t0114
        (b"", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
    ],
)
def test_a_small_file_has_the_name_that_ipfs_gives_it(data: bytes, text: str) -> None:
    assert str(cid_of(Codec.RAW, data)) == text


@given(st.sampled_from(Codec), st.binary(min_size=32, max_size=32))
def test_text_and_bytes_come_back(codec: Codec, digest: bytes) -> None:
    cid = Cid(codec, digest)
    assert parse(str(cid)) == cid == from_bytes(cid.to_bytes())


@given(st.text(max_size=80))
def test_other_text_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


@given(st.binary(max_size=80))
def test_other_bytes_are_malformed_or_canonical(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert from_bytes(data).to_bytes() == data


@pytest.mark.parametrize(
    "text",
    [
        "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",  # version 0
        HELLO.upper(),
        "B" + HELLO[1:].upper(),
        "f" + cid_of(Codec.RAW, b"hello world\n").to_bytes().hex(),  # base16
        HELLO[:-1],
        HELLO + "a",
        HELLO + "=",
        HELLO[:-1] + "5",  # an unused bit set
        # sha2-512
        "bafkrgqhhyivzstcz3hhswshfjgy6ertgmnqeleynhwt4dlfsthi4hn7zgh4uvlsb5xncykzapi3ocd4lzogukir6ksdy6wzrnz6ohnv4aglcs",
        "bafyreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",  # dag-cbor
    ],
)
def test_other_forms_of_a_name_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


@pytest.mark.parametrize(
    "head", [b"\x01\x55\x12\x21", b"\x81\x00\x55\x12\x20", b"\x02\x55\x12\x20", b"\x01\xf0\x00\x12\x20", b"\x01\x55\x16\x20"]
)
def test_other_versions_hashes_and_wasteful_varints_are_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        from_bytes(head + bytes(32))


def test_a_name_of_version_0_says_what_to_use() -> None:
    with pytest.raises(Malformed, match="--cid-version=1"):
        parse("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o")
