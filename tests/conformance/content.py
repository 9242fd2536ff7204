"""Files by name, after `protocol_spec/content.md`: names as text, and the tree of a file, which its size determines."""

from __future__ import annotations

import re

from tests.conformance.checks import check
from tests.conformance.keys import sha
from tests.conformance.texts import check_cid

CHUNK, LINKS = 262_144, 174
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
RAW, DAG_PB = b"\x01\x55\x12\x20", b"\x01\x70\x12\x20"


# --- names: LC-CONTENT-1 ------------------------------------------------------------------------------------------------------


@check("LC-CONTENT-1")
def a_name_begins_with_b(text: str) -> bool:
    return text.startswith("b")


@check("LC-CONTENT-1")
def a_name_has_59_characters(text: str) -> bool:
    return len(text) == 59


@check("LC-CONTENT-1")
def a_name_has_characters_of_lower_case_base32_only(text: str) -> bool:
    return all(c in ALPHABET for c in text[1:])


@check("LC-CONTENT-1")
def the_unused_bits_of_a_name_are_zero(bits: str) -> bool:
    return "1" not in bits[288:]


def parse_name(text: str) -> bytes:
    """The binary name. Raises `Refused`."""
    a_name_begins_with_b(text)
    a_name_has_59_characters(text)
    a_name_has_characters_of_lower_case_base32_only(text)
    bits = "".join(f"{max(0, ALPHABET.find(c)):05b}" for c in text[1:])
    the_unused_bits_of_a_name_are_zero(bits)
    cid = bytes(int(bits[at : at + 8], 2) for at in range(0, 288, 8) if bits[at : at + 8])
    check_cid(cid)
    return cid


def write_name(cid: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in cid) + "00"
    return "b" + "".join(ALPHABET[int(bits[at : at + 5], 2)] for at in range(0, 290, 5))


# --- trees: LC-CONTENT-2, 3 ---------------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    low = bytes([value & 127 | (128 if value > 127 else 0)])
    return low + _varint(value >> 7) if value > 127 else low


def parts_of(size: int, depth: int) -> list[int]:
    """Bytes of file below each child of a node."""
    span = CHUNK * LINKS ** (depth - 1)
    return [min(span, size - at) for at in range(0, size, span)]


def tsize(size: int, depth: int) -> int:
    """The lengths of all blocks of a subtree together."""
    if depth == 0:
        return size
    parts = parts_of(size, depth)
    own = len(node(size, depth, [RAW + bytes(32)] * len(parts)))
    return own + sum({part: tsize(part, depth - 1) for part in set(parts)}[part] for part in parts)


def node(size: int, depth: int, children: list[bytes]) -> bytes:
    """The dag-pb message of a node: one link per child, then the UnixFS record."""
    links, record = b"", b"\x08\x02\x18" + _varint(size)
    for child, part in zip(children, parts_of(size, depth), strict=True):
        link = b"\x0a\x24" + child + b"\x12\x00\x18" + _varint(_tsize_of(part, depth - 1))
        links += b"\x12" + _varint(len(link)) + link
        record += b"\x20" + _varint(part)
    return links + b"\x0a" + _varint(len(record)) + record


_tsizes: dict[tuple[int, int], int] = {}


def _tsize_of(size: int, depth: int) -> int:
    if (size, depth) not in _tsizes:
        _tsizes[size, depth] = tsize(size, depth)
    return _tsizes[size, depth]


def file_name(leaves: list[tuple[bytes, int]]) -> str:
    """The name of a file from its chunks' hashes and sizes."""
    names, depth = [(RAW + digest, size) for digest, size in leaves], 0
    while len(names) > 1:
        depth += 1
        groups = [names[at : at + LINKS] for at in range(0, len(names), LINKS)]
        names = [(DAG_PB + sha(_joined(group, depth)), sum(size for _, size in group)) for group in groups]
    return write_name(names[0][0])


def _joined(group: list[tuple[bytes, int]], depth: int) -> bytes:
    return node(sum(size for _, size in group), depth, [name for name, _ in group])


@check("LC-CONTENT-3")
def the_children_are_of_the_kind_that_their_depth_gives_them(children: list[bytes], depth: int) -> bool:
    return all(child[:4] == (RAW if depth == 1 else DAG_PB) for child in children)


@check("LC-CONTENT-3")
def a_node_is_the_one_that_its_place_and_children_determine(block: bytes, size: int, depth: int, children: list[bytes]) -> bool:
    return len(children) == len(parts_of(size, depth)) and block == node(size, depth, children)


def check_node(block: bytes, size: int, depth: int) -> None:
    """Raises `Refused` unless it is the node at this place of a tree."""
    found = re.findall(rb"\x0a\x24(\x01[\x55\x70]\x12\x20.{32})", block, re.DOTALL)
    the_children_are_of_the_kind_that_their_depth_gives_them(found, depth)
    a_node_is_the_one_that_its_place_and_children_determine(block, size, depth, found)
