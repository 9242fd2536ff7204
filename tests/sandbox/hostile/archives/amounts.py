"""Archives that grow: bombs, and what follows where an archive should have ended."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma

from .kit import END, JOB, MIB, Base, archive, case, digest, document, entry, one, pax, tar


def packed(layer: bytes, instead: bytes) -> bytes:
    """An image of one layer that lies in the archive as `instead`."""
    return archive(layer, packed={0: instead})


@case("amounts", "the image unpacks to more than 1048576 bytes")
def large_file(_: Base) -> bytes:
    """a file larger than the whole image may be"""
    return one(JOB, entry("big", bytes(2 * MIB)))


@case("amounts", "the image unpacks to more than 1048576 bytes")
def layers_that_add_up(_: Base) -> bytes:
    """three layers, each below the limit, together above it"""
    return archive(tar(JOB), *(tar(entry(f"f{number}", bytes(400_000))) for number in range(3)))


@case("amounts", "the image unpacks to more than 1048576 bytes")
def gzip_bomb(_: Base) -> bytes:
    """200 kB that unpack to 200 MB"""
    layer = tar(JOB, entry("big", bytes(200 * MIB)))
    return packed(layer, gzip.compress(layer, 1, mtime=0))


@case("amounts", "the image has more than 50 files")
def many_files(_: Base) -> bytes:
    """more files than an image may have"""
    return one(JOB, *(entry(f"f{number}") for number in range(80)))


@case("amounts", "the image has more than 50 files")
def implied_folders(_: Base) -> bytes:
    """one file below a hundred folders that nobody named"""
    return one(JOB, pax(("path", "d/" * 100 + "x")) + entry("x"))


@case("amounts", "at most 4 are allowed")
def thousand_layers(_: Base) -> bytes:
    """a thousand layers"""
    layer = tar(JOB)
    config = document([digest(layer)] * 1000)
    names = ["0/layer.tar"] * 1000
    manifest = json.dumps([{"Config": "config.json", "Layers": names}]).encode()
    return archive(layer, config=config, manifest=manifest)


@case("amounts", "more than 1024 entries")
def many_outer_files(_: Base) -> bytes:
    """thousands of files beside the layers"""
    return archive(tar(JOB), around=b"".join(entry(f"x{number}") for number in range(1100)))


@case("amounts", "bytes; the limit is 8388608")
def large_archive(_: Base) -> bytes:
    """an archive above the limit"""
    return archive(tar(JOB), around=entry("pad", bytes(9 * MIB)))


@case("amounts", "a description in the archive has")
def large_configuration(_: Base) -> bytes:
    """a configuration of 2 MiB"""
    layer = tar(JOB)
    return archive(layer, config=document([digest(layer)], {"Cmd": ["x" * 2 * MIB]}))


@case("amounts", "a description in the archive has")
def large_manifest(_: Base) -> bytes:
    """a list of images of 2 MiB"""
    return archive(tar(JOB), manifest=b"[" + b" " * (2 * MIB) + b"]")


@case("amounts", "the image's environment is damaged")
def large_environment(_: Base) -> bytes:
    """an environment larger than any program takes"""
    return archive(tar(JOB), settings={"Env": [f"V{number}={'x' * 1000}" for number in range(900)]})


@case("amounts", "bytes")
def thousands_of_headers(_: Base) -> bytes:
    """a small packed layer of thousands of headers that change nothing"""
    comment = pax(("comment", "x" * 60_000), kind=b"g")
    layer = tar(*[comment] * 400, JOB)
    return packed(layer, gzip.compress(layer, 1, mtime=0))


@case("amounts", "headers of more than")
def headers_of_many_layers(_: Base) -> bytes:
    """a packed layer of headers that change nothing, named as each of several layers"""
    layer = tar(*[pax(("comment", "x"), kind=b"g")] * 400, JOB)
    small = gzip.compress(layer, 9, mtime=0)
    return archive(*[layer] * 4, packed=dict.fromkeys(range(4), small))


@case("amounts", "the stream ends within a file")
def cut_off(_: Base) -> bytes:
    """a layer that ends within a file"""
    layer = JOB + entry("f", bytes(1000))[:900]
    return archive(layer)


@case("amounts", "the stream ends within")
def archive_cut_off(_: Base) -> bytes:
    """an archive that ends within a layer"""
    return archive(tar(JOB, entry("f", bytes(10_000))))[:5000]


@case("amounts", "a layer goes on after its end")
def entries_behind_the_end(_: Base) -> bytes:
    """entries behind the end of a layer, which some readers go on to read"""
    return archive(tar(JOB) + tar(entry("disk", kind=b"4", device=(254, 0))))


@case("amounts", "a layer goes on after its end")
def entries_behind_one_empty_block(_: Base) -> bytes:
    """entries behind one empty block, where the end is two"""
    return archive(JOB + bytes(512) + tar(entry("disk", kind=b"4", device=(254, 0))))


@case("amounts", "a layer goes on after its end")
def zeros_behind_the_end(_: Base) -> bytes:
    """64 MiB of zeros behind the end, packed small"""
    layer = tar(JOB) + bytes(64 * MIB)
    return packed(layer, gzip.compress(layer, 1, mtime=0))


@case("amounts", "a layer goes on after its end")
def two_packed_streams(_: Base) -> bytes:
    """a second packed stream with a second archive behind the first: the streams are joined"""
    layer = tar(JOB)
    return packed(layer, gzip.compress(layer, mtime=0) + gzip.compress(tar(entry("x", b"x")), mtime=0))


@case("amounts", "a packed layer is damaged")
def damaged_packing(_: Base) -> bytes:
    """a packed layer with a wrong checksum"""
    layer = tar(JOB)
    return packed(layer, gzip.compress(layer, mtime=0)[:-8] + bytes(8))


@case("amounts", "a packed layer ends too early")
def packing_cut_off(_: Base) -> bytes:
    """a packed layer without its end"""
    layer = tar(JOB)
    return packed(layer, gzip.compress(layer, mtime=0)[:-4])


@case("amounts", "a layer is packed by xz")
def other_packing(_: Base) -> bytes:
    """a layer packed by xz: an engine would start a program of the host to unpack it"""
    layer = tar(JOB)
    return packed(layer, lzma.compress(layer).ljust(1024, b"\0"))


@case("amounts", "a layer is packed by bzip2")
def slow_packing(_: Base) -> bytes:
    """a layer packed by bzip2"""
    layer = tar(JOB)
    return packed(layer, bz2.compress(layer).ljust(1024, b"\0"))


@case("amounts", "not a tar header")
def packed_twice(_: Base) -> bytes:
    """a layer packed twice"""
    layer = tar(JOB)
    return packed(layer, gzip.compress(gzip.compress(layer, mtime=0).ljust(1024, b"\0"), mtime=0))


@case("amounts", "does not match its digest")
def other_contents(_: Base) -> bytes:
    """a layer that is not what the configuration names"""
    return archive(tar(JOB), packed={0: tar(JOB, entry("x", b"x"))})


@case("amounts", "does not match its digest")
def layers_in_another_order(_: Base) -> bytes:
    """two layers whose places are exchanged"""
    first, second = tar(JOB), tar(entry("x", b"x"))
    return archive(first, second, packed={0: second, 1: first})


@case("amounts", "the archive lacks 'manifest.json'")
def no_image(_: Base) -> bytes:
    """an archive that holds no image"""
    return tar(entry("hello", b"world"))


@case("amounts", "the archive lacks 'manifest.json'")
def nothing_at_all(_: Base) -> bytes:
    """an empty archive"""
    return END
