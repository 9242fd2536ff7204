"""Images that are well written and odd to run: programs that are none, and folders of the contract that are links."""

from __future__ import annotations

import struct

from ..programs.kit import FAILED, FINE
from .kit import FOLDER, JOB, SOFT, Base, archive, case, entry, one, over, tar

CANNOT = ("failed", "/lc/job cannot be executed in this image (exit 126)")
MISSING = ("failed", "the image provides no /lc/job, or its interpreter is missing (exit 127)")


@case("images", ends=MISSING)
def no_program(base: Base) -> bytes:
    """an image without a program"""
    return archive(*base.layers[:-1], settings=base.settings)


@case("images", ends=CANNOT)
def program_is_a_folder(base: Base) -> bytes:
    """a folder in place of the program"""
    return over(base, entry("lc/job", kind=FOLDER))


@case("images", ends=CANNOT)
def program_without_permission(base: Base) -> bytes:
    """a program that nobody may execute"""
    return over(base, entry("lc/job", b"#!/usr/local/bin/python3\n", mode=0o644))


@case("images", ends=MISSING)
def program_of_another_machine(base: Base) -> bytes:
    """a program for another processor"""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 0xF7, 1, 0x400000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return over(base, entry("lc/job", head.ljust(4096, b"\0")))


@case("images", ends=MISSING)
def missing_interpreter(base: Base) -> bytes:
    """a program whose interpreter is not there"""
    return over(base, entry("lc/job", b"#!/no/such/thing\n"))


@case("images", ends=FAILED)
def program_interprets_itself(base: Base) -> bytes:
    """a program that is its own interpreter"""
    return over(base, entry("lc/job", b"#!/lc/job\n"))


@case("images", ends=FAILED)
def program_in_a_circle(base: Base) -> bytes:
    """a program that is a link to itself"""
    return over(base, entry("lc/job", kind=SOFT, link="job"))


@case("images", ends=MISSING)
def program_outside(base: Base) -> bytes:
    """a program that is a link to one of the host's"""
    return over(base, entry("lc/job", kind=SOFT, link="../../../../../usr/bin/dockerd"))


@case("images", ends=MISSING)
def program_is_whoever_runs_it(base: Base) -> bytes:
    """a program that is a link to the runtime that starts it (/proc/self/exe)"""
    return over(base, entry("lc/job", kind=SOFT, link="/proc/self/exe"))


@case("images", ends=FAILED)
def interpreter_is_whoever_runs_it(base: Base) -> bytes:
    """the same by way of its interpreter"""
    return over(base, entry("lc/job", b"#!/proc/self/exe\n"))


@case("images", "'lc/out' is no folder")
def outputs_are_a_link(_: Base) -> bytes:
    """the folder for outputs as a link to the host's /etc"""
    return one(JOB, entry("lc/out", kind=SOFT, link="../../../../../etc"))


@case("images", "'tmp' is no folder")
def scratch_is_a_link(_: Base) -> bytes:
    """the folder for scratch as a link into the folder for inputs"""
    return one(JOB, entry("tmp", kind=SOFT, link="lc/in"))


@case("images", "'lc/in' is no folder")
def inputs_are_a_link(_: Base) -> bytes:
    """the folder for inputs as a link into the kernel's processes"""
    return one(JOB, entry("lc/in", kind=SOFT, link="/proc/self"))


@case("images", "'proc' is no folder")
def processes_are_a_link(_: Base) -> bytes:
    """the kernel's processes as a link: whatever writes there would write elsewhere"""
    return one(JOB, entry("proc", kind=SOFT, link="/tmp"))


@case("images", "'dev' is no folder")
def devices_are_a_file(_: Base) -> bytes:
    """a file in place of the folder for devices"""
    return one(JOB, entry("dev", b"x"))


@case("images", "'etc/passwd' is no file of at most 65536 bytes")
def users_without_end(_: Base) -> bytes:
    """a list of users that a runtime reads as root, a line of 128 KiB"""
    return one(JOB, entry("etc/passwd", b"x" * (1 << 17)))


@case("images", "'etc/passwd' is no file of at most 65536 bytes")
def users_are_random(_: Base) -> bytes:
    """a list of users that never ends, line after line: the runtime would read for ever, as root, before any clock runs"""
    return one(JOB, entry("etc/passwd", kind=SOFT, link="/dev/urandom"))


@case("images", "'etc/group' is no file of at most 65536 bytes")
def groups_are_silent(_: Base) -> bytes:
    """a list of groups that whoever reads it waits for"""
    return one(JOB, entry("etc/group", kind=SOFT, link="/dev/pts/ptmx"))


@case("images", "'etc' is no folder")
def settings_are_a_link(_: Base) -> bytes:
    """a folder of settings that lies elsewhere, with the same in it"""
    return one(JOB, entry("x", kind=FOLDER), entry("x/passwd", kind=SOFT, link="/dev/urandom"), entry("etc", kind=SOFT, link="x"))


@case("images", "'etc/hostname' is a folder")
def host_name_is_a_folder(_: Base) -> bytes:
    """a folder in place of a file that the engine lays over the image"""
    return one(JOB, entry("etc/hostname", kind=FOLDER))


@case("images", ends=("engine-error", "starting a run"))
def first_process_is_a_link(base: Base) -> bytes:
    """the place of the engine's own first process, as a link to the job's outputs"""
    return over(base, entry("sbin", kind=SOFT, link="/lc/out"))


@case("images", ends=MISSING)
def first_process_of_the_image(base: Base) -> bytes:
    """a first process of its own in that place"""
    return over(base, entry("sbin", kind=FOLDER), entry("sbin/docker-init", kind=SOFT, link="/lc/job"))


@case("images", ends=FINE)
def many_layers(base: Base) -> bytes:
    """as many layers as are allowed"""
    return archive(*base.layers, *(tar(entry(f"layer{number}", b"x")) for number in range(40)), settings=base.settings)
