"""Entries of other kinds, and headers that readers understand differently."""

from __future__ import annotations

from ..programs.kit import FINE, HELD
from .kit import BLOCK, CHARACTER, FIFO, FOLDER, HARD, JOB, SOFT, Base, archive, case, entry, one, over, pax, record, tar

DEVICE = "the image holds a device or pipe"
DISAGREE = "readers disagree"


@case("kinds", DEVICE)
def block_device(_: Base) -> bytes:
    """the machine's disk as a file that everybody may write"""
    return one(JOB, entry("disk", kind=BLOCK, mode=0o666, device=(254, 0)))


@case("kinds", DEVICE)
def character_device(_: Base) -> bytes:
    """the machine's memory as a file that everybody may write"""
    return one(JOB, entry("dev/mem", kind=CHARACTER, mode=0o666, device=(1, 1)))


@case("kinds", DEVICE)
def pipe(_: Base) -> bytes:
    """a pipe in place of the list of users, which the engine would wait at for ever"""
    return one(JOB, entry("etc/passwd", kind=FIFO))


@case("kinds", "with a size of")
def pipe_with_a_size(_: Base) -> bytes:
    """a pipe with contents: some readers skip them, others find a sparse file of 2 GiB in them"""
    hidden = pax(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", str(2 << 30)))
    return one(JOB, entry("pipe", hidden + entry("big", b"1\n0\n512\n".ljust(1024, b"\0")), FIFO))


@case("kinds", "with a size of")
def folder_with_a_size(_: Base) -> bytes:
    """a folder with contents: a device for those who look into them"""
    return one(JOB, entry("d", entry("disk", kind=BLOCK, mode=0o666, device=(254, 0)), FOLDER))


@case("kinds", "with a size of")
def link_with_a_size(_: Base) -> bytes:
    """a link with contents"""
    return one(JOB, entry("l", entry("disk", kind=BLOCK, device=(254, 0)), SOFT, link="x"))


@case("kinds", "with a size of")
def hard_link_with_a_size(_: Base) -> bytes:
    """a hard link with contents, as POSIX allows and engines do not"""
    return one(JOB, entry("l", entry("disk", kind=BLOCK, device=(254, 0)), HARD, link="lc/job"))


@case("kinds", "the archive holds a device")
def outer_device(_: Base) -> bytes:
    """a device beside the layers"""
    return archive(tar(JOB), around=entry("disk", kind=BLOCK, device=(254, 0)))


@case("kinds", "the archive holds a pipe")
def outer_pipe(_: Base) -> bytes:
    """a pipe in place of the archive's list of images"""
    return archive(tar(JOB), around=entry("repositories", kind=FIFO))


@case("kinds", "the archive lacks")
def layer_is_a_folder(_: Base) -> bytes:
    """a folder in place of a layer"""
    return archive(tar(JOB), around=entry("d", kind=FOLDER), manifest=b'[{"Config":"config.json","Layers":["d"]}]')


@case("kinds", "named like a folder")
def file_named_like_a_folder(_: Base) -> bytes:
    """a file of the oldest kind whose extended name ends in a slash: a folder for some readers, and its contents entries"""
    hidden = entry("disk", kind=BLOCK, device=(254, 0))
    return one(JOB, pax(("path", "y/")) + entry("y", hidden, b"\0"))


@case("kinds", "named like a folder")
def file_with_a_slash(_: Base) -> bytes:
    """the same without an extended header"""
    return one(JOB, entry("y/", entry("disk", kind=BLOCK, device=(254, 0)), b"\0"))


@case("kinds", "an entry of unknown type b'S'")
def gnu_sparse_file(_: Base) -> bytes:
    """a sparse file of 8 GiB in GNU's old form"""
    return one(JOB, entry("big", kind=b"S", size=b"\x80" + (8 << 30).to_bytes(11, "big"), magic=b"ustar  \0"))


@case("kinds", "an entry of unknown type b'V'")
def volume_header(_: Base) -> bytes:
    """a label of a tape"""
    return one(JOB, entry("label", kind=b"V"))


@case("kinds", "an entry of unknown type b'M'")
def second_volume(_: Base) -> bytes:
    """a file that began on another tape"""
    return one(JOB, entry("rest", b"x", b"M"))


@case("kinds", "an entry of unknown type b'D'")
def incremental_folder(_: Base) -> bytes:
    """a folder with a list of files to remove"""
    return one(JOB, entry("d", b"R/etc/passwd\0T/etc/shadow\0\0", b"D"))


@case("kinds", "an entry of unknown type b'7'")
def contiguous_file(_: Base) -> bytes:
    """a file of a kind that one reader takes for a file and another for nothing"""
    return one(JOB, entry("c", b"x", b"7"))


@case("kinds", "an entry of unknown type b'X'")
def solaris_header(_: Base) -> bytes:
    """an extended header in the dialect of one system"""
    return one(JOB, entry("x", record("path", "../../etc/passwd"), b"X") + entry("y", b"x"))


@case("headers", "sparse files are not accepted")
def pax_sparse_file(_: Base) -> bytes:
    """a sparse file of a tebibyte, form 1.0"""
    keys = (("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "big"), ("GNU.sparse.realsize", str(1 << 40)))
    return one(JOB, pax(*keys) + entry("GNUSparseFile.0/big", b"1\n0\n512\n".ljust(1024, b"\0")))


@case("headers", "sparse files are not accepted")
def old_pax_sparse_file(_: Base) -> bytes:
    """a sparse file of a tebibyte, form 0.1"""
    keys = (("GNU.sparse.size", str(1 << 40)), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "0,1"))
    return one(JOB, pax(*keys) + entry("big", b"x"))


@case("headers", "a global header changes entries")
def global_header(_: Base) -> bytes:
    """a header that renames every file after it"""
    return one(pax(("path", "lc/job"), kind=b"g"), JOB)


@case("headers", "a global header changes entries")
def global_header_in_between(_: Base) -> bytes:
    """a header for all between a file's own header and the file"""
    return one(JOB, pax(("path", "a")), pax(("comment", "x"), kind=b"g"), entry("b", b"x"))


@case("headers", "extended headers that contradict each other")
def two_extended_headers(_: Base) -> bytes:
    """two extended headers for one file"""
    return one(JOB, pax(("path", "a")), pax(("path", "../b")), entry("c", b"x"))


@case("headers", "extended headers that contradict each other")
def two_dialects(_: Base) -> bytes:
    """a long name of GNU's and an extended header for one file"""
    return one(JOB, entry("././@LongLink", b"a\0", b"L"), pax(("path", "b")), entry("c", b"x"))


@case("headers", "two values for 'path'")
def two_paths(_: Base) -> bytes:
    """one extended header with two paths"""
    return one(JOB, pax(("path", "a"), ("path", "../b")) + entry("c", b"x"))


@case("headers", "the unknown key")
def unknown_key(_: Base) -> bytes:
    """an extended header with a key that some readers know"""
    return one(JOB, pax(("RHT.security.selinux", "system_u:object_r:docker_var_lib_t:s0")) + entry("c", b"x"))


@case("headers", "a damaged path")
def empty_path(_: Base) -> bytes:
    """an extended header with an empty path, which some readers take as none"""
    return one(JOB, pax(("path", "")) + entry("../c", b"x"))


@case("headers", "a damaged extended header")
def wrong_record_length(_: Base) -> bytes:
    """a record that is longer than it says"""
    return one(JOB, entry("pax", b"9 path=../../etc/passwd\n", b"x") + entry("c", b"x"))


@case("headers", "a damaged extended header")
def foreign_digits(_: Base) -> bytes:
    """a record whose length is in digits that are not ASCII"""
    return one(JOB, entry("pax", "\u0661\u0662 path=abcd\n".encode(), b"x") + entry("c", b"x"))


@case("headers", "a size that is no number")
def signed_size(_: Base) -> bytes:
    """a size with a sign"""
    return one(JOB, pax(("size", "+512")) + entry("c", bytes(512)))


@case("headers", "an extended header of 1073741824 bytes")
def header_of_a_gigabyte(_: Base) -> bytes:
    """an extended header of a gigabyte, which some readers take into memory"""
    return one(JOB, entry("pax", kind=b"x", size=1 << 30))


@case("headers", "an extended header without an entry")
def header_without_a_file(_: Base) -> bytes:
    """an extended header at the end of the layer"""
    return one(JOB, pax(("path", "a")))


@case("headers", "a damaged long name")
def zero_in_a_long_name(_: Base) -> bytes:
    """a long name with a zero byte in it"""
    return one(JOB, entry("././@LongLink", b"a\0../../etc/passwd\0", b"L") + entry("c", b"x"))


@case("headers", DISAGREE)
def prefix_in_a_foreign_place(_: Base) -> bytes:
    """GNU's header with bytes where POSIX has the prefix"""
    return one(JOB, entry("passwd", b"x", magic=b"ustar  \0", prefix=b"../../etc"))


@case("headers", DISAGREE)
def star_dialect(_: Base) -> bytes:
    """the header of star, which has times in the prefix"""
    return one(JOB, entry("c", b"x", prefix=b"a".ljust(131, b"\0"), tail=b"tar\0"))


@case("headers", "neither ustar nor GNU")
def header_without_a_dialect(_: Base) -> bytes:
    """a header of Unix version 7"""
    return one(JOB, entry("c", b"x", magic=bytes(8)))


@case("headers", "its checksum differs")
def wrong_checksum(_: Base) -> bytes:
    """a header whose sum is wrong"""
    return one(JOB, entry("c", b"x", wrong=1))


@case("headers", "its size is no number")
def negative_size(_: Base) -> bytes:
    """a size below zero, in binary"""
    return one(JOB, entry("c", size=b"\xff" * 12))


@case("headers", "its size is out of range")
def enormous_size(_: Base) -> bytes:
    """a size of 2^80, in binary"""
    return one(JOB, entry("c", size=b"\x80" + (1 << 80).to_bytes(11, "big")))


@case("headers", "its size is no number")
def hexadecimal_size(_: Base) -> bytes:
    """a size that is no octal number"""
    return one(JOB, entry("c", size=b"0x1000\0"))


@case("headers", ends=FINE)
def size_in_the_extended_header(base: Base) -> bytes:
    """a size of zero with another in the extended header: a file for one reader, entries for another"""
    hidden = entry("lc/job", b"#!/other\n")
    return over(base, pax(("size", str(len(hidden)))) + entry("c", hidden, size=0))


@case("headers", ends=HELD, mode="set_user_id_of_the_image")
def set_user_id_file(base: Base) -> bytes:
    """a file that runs as root, with every capability as an extended attribute"""
    power = b"\x01\x00\x00\x02" + b"\xff" * 16
    return over(
        base, pax(("SCHILY.xattr.security.capability", power)) + entry("lc/suid", b"#!/usr/local/bin/python3\n", mode=0o6777)
    )
