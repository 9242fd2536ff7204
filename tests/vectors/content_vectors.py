"""Vectors of files by name: names as text, names of files, nodes of trees, good and bad (LC-CONTENT-1, 2, 3)."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from learningchain.p2p.content.cid import Cid, Codec, cid_of, parse
from learningchain.p2p.content.dag import CHUNK, LINKS, Builder, chunks, depth_of, encode_node, parse_node, tree_bytes
from tests.vectors.records import packed

SIZES = (0, 1, 262_143, 262_144, 262_145, 524_288, 1_000_000, 10_485_760)
FULL = CHUNK * LINKS


def _file(size: int) -> bytes:
    """As content.md makes it."""
    count = -(-size // CHUNK)
    return b"".join(hashlib.sha256(n.to_bytes(8, "big")).digest() * 8_192 for n in range(count))[:size]


def _name(size: int) -> str:
    data = _file(size)
    if size <= CHUNK:
        return str(cid_of(Codec.RAW, data))
    builder = Builder(lambda cid, block: None)
    for chunk in chunks(io.BytesIO(data)):
        builder.feed(chunk)
    return str(builder.finish())


def content() -> dict[str, Any]:
    files = [{"rule": "LC-CONTENT-2", "size": n, "name": _name(n), "bytes": tree_bytes(n, depth_of(n))} for n in SIZES]
    return {"files": files, "names": _names(), "nodes": _nodes(), "refused_nodes": _refused()}


def _names() -> dict[str, Any]:
    cid = cid_of(Codec.RAW, b"a name")
    text = str(cid)
    bad = {
        "version 0": "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG",
        "upper case": text.upper(),
        "another base": "z" + text[1:],
        "a character less": text[:-1],
        "a character more": text + "a",
        "unused bits that are not zero": text[:-1] + chr(ord(text[-1]) + 1),
        "padding": text + "=",
        "a character outside the base": text[:-1] + "1",
        "another codec": "b" + "afy" + text[4:],
        "nothing": "",
    }
    for why, name in bad.items():
        try:
            parse(name)
        except ValueError:
            continue
        raise ValueError(f"a name that should be refused: {why}")
    return {
        "rule": "LC-CONTENT-1",
        "good": [{"name": str(c), "cid": c.to_bytes().hex()} for c in (cid, cid_of(Codec.DAG_PB, b"a node"))],
        "refused": [{"why": why, "name": name} for why, name in bad.items()],
    }


def _children(count: int, codec: Codec) -> list[Cid]:
    return [cid_of(codec, b"%d" % n) for n in range(count)]


def _made(size: int, depth: int) -> bytes:
    count = -(-size // (CHUNK * LINKS ** (depth - 1)))
    return encode_node(size, depth, _children(count, Codec.RAW if depth == 1 else Codec.DAG_PB))


def _nodes() -> list[dict[str, Any]]:
    places = [(CHUNK + 1, 1), (FULL - 1, 1), (FULL, 1), (FULL + 1, 2), (CHUNK, 1), (7_936_671_744, 2), (7_936_671_745, 3)]
    found = []
    for size, depth in places:
        block = _made(size, depth)
        parse_node(block, size, depth)
        name = str(cid_of(Codec.DAG_PB, block))
        found.append({"rule": "LC-CONTENT-3", "size": size, "depth": depth, "node": packed(block), "name": name})
    return found


def _refused() -> list[dict[str, Any]]:
    size = CHUNK + 1
    good = _made(size, 1)
    a, b = _children(2, Codec.RAW)
    data = good[good.rindex(b"\x0a", 0, -10) :]
    swapped = good.replace(b"\x18\x01", b"\x18\x81\x00", 1)
    cases: dict[str, tuple[bytes, int, int]] = {
        "another place": (good, size + 1, 1),
        "a byte more": (good + b"\x00", size, 1),
        "a byte less": (good[:-1], size, 1),
        "a child too few": (encode_node(CHUNK, 1, [a]), size, 1),
        "a child too many": (encode_node(2 * CHUNK + 1, 1, _children(3, Codec.RAW)), size, 1),
        "nodes where leaves belong": (encode_node(size, 1, _children(2, Codec.DAG_PB)), size, 1),
        "leaves where nodes belong": (encode_node(FULL + 1, 2, _children(2, Codec.RAW)), FULL + 1, 2),
        "the record before the links": (data + good[: -len(data)], size, 1),
        "a link with a name": (good.replace(b"\x12\x00\x18", b"\x12\x01a\x18", 1), size, 1),
        "a number longer than it need be": (swapped, size, 1),
        "another type than a file": (good.replace(b"\x08\x02\x18", b"\x08\x01\x18", 1), size, 1),
        "no node": (b"", size, 1),
        "another depth": (_made(FULL, 1), FULL, 2),
    }
    for why, (block, at, depth) in cases.items():
        try:
            parse_node(block, at, depth)
        except ValueError:
            continue
        raise ValueError(f"a node that should be refused: {why}")
    if (a, b) != tuple(parse_node(good, size, 1).children):
        raise ValueError("the children of a node")
    told = {why: {"node": packed(block), "size": at, "depth": depth} for why, (block, at, depth) in cases.items()}
    return [{"rule": "LC-CONTENT-3", "why": why} | case for why, case in told.items()]
