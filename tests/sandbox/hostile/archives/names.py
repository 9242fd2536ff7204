"""Paths that lead out of the image, or mean one thing to one reader and another to the next."""

from __future__ import annotations

from ..programs.kit import FINE
from .kit import FOLDER, HARD, JOB, SOFT, Base, archive, case, entry, one, over, pax, tar

OUT = "leads out of it"
DRIVERS = "a name that storage drivers use themselves"


@case("names", OUT)
def parent_folders(_: Base) -> bytes:
    """a file above the image's root"""
    return one(JOB, entry("../../../etc/cron.d/x", b"x"))


@case("names", OUT)
def parent_folders_within(_: Base) -> bytes:
    """`..` in the middle of a path"""
    return one(JOB, entry("lc/../../etc/passwd", b"x"))


@case("names")
def absolute_path(base: Base) -> bytes:
    """a path from the host's root, which is the image's here"""
    return over(base, entry("/etc/passwd", b"x"))


@case("names", OUT)
def extended_path(_: Base) -> bytes:
    """a harmless name that an extended header turns into `../x`"""
    return one(JOB, pax(("path", "../../etc/passwd")) + entry("harmless", b"x"))


@case("names", OUT)
def long_name(_: Base) -> bytes:
    """the same by GNU's long name"""
    return one(JOB, entry("././@LongLink", b"../" * 40 + b"etc/passwd\0", b"L") + entry("harmless", b"x"))


@case("names", OUT)
def prefix(_: Base) -> bytes:
    """the same by the header's prefix"""
    return one(JOB, entry("passwd", b"x", prefix=b"../../etc"))


@case("names", OUT)
def outer_path(_: Base) -> bytes:
    """a file of the archive itself, above the place where it is unpacked"""
    return archive(tar(JOB), around=entry("../../etc/cron.d/x", b"x"))


@case("names", OUT)
def layer_outside(_: Base) -> bytes:
    """a layer that the manifest finds in the host's /etc"""
    return archive(tar(JOB), manifest=b'[{"Config":"config.json","Layers":["../../../etc/passwd"]}]')


@case("names", OUT)
def configuration_outside(_: Base) -> bytes:
    """a configuration that the manifest finds in the host's /etc"""
    return archive(tar(JOB), manifest=b'[{"Config":"/etc/passwd","Layers":["0/layer.tar"]}]')


@case("names", OUT)
def layer_is_a_link_outside(_: Base) -> bytes:
    """a layer that is a link to a file of the host"""
    return archive(
        tar(JOB),
        around=entry("1/layer.tar", kind=SOFT, link="../../../../etc/passwd"),
        manifest=b'[{"Config":"config.json","Layers":["1/layer.tar"]}]',
    )


@case("names", "the archive lacks")
def layers_in_a_circle(_: Base) -> bytes:
    """layers that are links to each other"""
    links = entry("1/layer.tar", kind=SOFT, link="../2/layer.tar") + entry("2/layer.tar", kind=SOFT, link="../1/layer.tar")
    return archive(tar(JOB), around=links, manifest=b'[{"Config":"config.json","Layers":["1/layer.tar"]}]')


@case("names", "leads through what is no folder")
def linked_parent(_: Base) -> bytes:
    """a file in a folder that is a link to the host's /etc"""
    return one(JOB, entry("a", kind=SOFT, link="../../../../../../etc"), entry("a/cron.d/x", b"x"))


@case("names", ends=FINE)
def linked_parent_of_another_layer(base: Base) -> bytes:
    """the same with the link in one layer and the file in the next: the link is replaced by a folder"""
    link = tar(entry("a", kind=SOFT, link="../../../../../../etc"))
    return archive(*base.layers, link, tar(entry("a", kind=FOLDER), entry("a/hostile", b"x")), settings=base.settings)


@case("names", OUT)
def hard_link_outside(_: Base) -> bytes:
    """a hard link to the host's passwords"""
    return one(JOB, entry("shadow", kind=HARD, link="../../../../../etc/shadow"))


@case("names", "a hard link to what is no earlier file of its layer")
def hard_link_to_an_absolute_path(_: Base) -> bytes:
    """the same by an absolute path"""
    return one(JOB, entry("shadow", kind=HARD, link="/etc/shadow"))


@case("names", "a hard link to what is no earlier file of its layer")
def hard_link_through_a_link(_: Base) -> bytes:
    """a hard link to a file behind a symbolic link to the host's root"""
    return one(JOB, entry("root", kind=SOFT, link="../../../../.."), entry("shadow", kind=HARD, link="root/etc/shadow"))


@case("names", "a hard link to what is no earlier file of its layer")
def hard_link_to_nothing(_: Base) -> bytes:
    """a hard link to a file that comes later"""
    return one(JOB, entry("first", kind=HARD, link="second"), entry("second", b"x"))


@case("names", "a hard link to what is no earlier file of its layer")
def hard_link_to_itself(_: Base) -> bytes:
    """a hard link to itself"""
    return one(JOB, entry("self", kind=HARD, link="self"))


@case("names", ends=FINE)
def links_of_the_image(base: Base) -> bytes:
    """symbolic links to the host's files and a hard link to one of them: within the image they lead nowhere"""
    links = entry("a", kind=SOFT, link="/etc/shadow") + entry("b", kind=SOFT, link="../../../../../var/run/docker.sock")
    return over(base, links, entry("c", kind=HARD, link="a"))


@case("names", "holds 'lc/job' twice")
def one_name_twice(_: Base) -> bytes:
    """one file twice: which counts depends on the reader"""
    return one(JOB, entry("lc/job", b"#!/other\n"))


@case("names", "holds 'lc/job' twice")
def one_name_in_two_spellings(_: Base) -> bytes:
    """one file twice, with `./` and doubled slashes"""
    return one(JOB, entry(".//lc/./job", b"#!/other\n"))


@case("names", "the archive holds 'config.json' twice")
def two_configurations(_: Base) -> bytes:
    """two configurations of one name in the archive"""
    return archive(tar(JOB), around=entry("config.json", b"{}"))


@case("names", ends=FINE)
def names_that_fold(base: Base) -> bytes:
    """names that differ in case, in Unicode's form, in look-alikes: all of them are different files"""
    names = (
        "LC/JOB",
        "lc/Job",
        "lc/\ufb01le",
        "lc/file",
        "lc/\u212a",
        "lc/k",
        "lc/e\u0301",
        "lc/\u00e9",
        "lc/\u202ebol",
        "lc/a\nb",
    )
    return over(base, *(entry(name, b"#!/other\n") for name in names))


@case("names", "not UTF-8")
def names_without_characters(_: Base) -> bytes:
    """a name that is no text"""
    return one(JOB, entry(b"lc/\xff\xfe", b"x"))


@case("names", "a damaged path")
def zero_in_a_name(_: Base) -> bytes:
    """a name with a zero byte, where some readers stop"""
    return one(JOB, pax(("path", "lc/job\0x")) + entry("harmless", b"x"))


@case("names", "bytes behind its name")
def bytes_behind_a_name(_: Base) -> bytes:
    """a name that goes on behind its zero byte"""
    return one(JOB, entry(b"lc/a\0../../etc/passwd", b"x"))


@case("names", "a path that is too long")
def long_component(_: Base) -> bytes:
    """a file name of 300 bytes, which no file system takes"""
    return one(JOB, pax(("path", "x" * 300)) + entry("x", b"x"))


@case("names", "a path that is too long")
def deep_path(_: Base) -> bytes:
    """a path through 300 folders"""
    return one(JOB, pax(("path", "d/" * 300 + "x")) + entry("x", b"x"))


@case("names", "the image's root is no folder")
def root_is_a_file(_: Base) -> bytes:
    """a file in place of the root"""
    return one(JOB, entry(".", b"x"))


@case("names", "the image's root is no folder")
def root_is_a_link(_: Base) -> bytes:
    """a link to the host's root in place of the root"""
    return one(entry(".", kind=SOFT, link="/"), JOB)


@case("whiteouts", ends=("failed", "the image provides no /lc/job"))
def whiteout_of_the_program(base: Base) -> bytes:
    """a mark that removes the program of the layers below"""
    return over(base, entry("lc/.wh.job"))


@case("whiteouts", ends=FINE)
def whiteout_of_nothing(base: Base) -> bytes:
    """a mark that removes what is not there"""
    return over(base, entry(".wh.nothing"), entry("lc/.wh.other"))


@case("whiteouts", DRIVERS)
def whiteout_of_the_parent(_: Base) -> bytes:
    """a mark that removes the folder above the image"""
    return one(JOB, entry(".wh..."))


@case("whiteouts", DRIVERS)
def whiteout_of_the_root(_: Base) -> bytes:
    """a mark that empties the root itself"""
    return one(JOB, entry(".wh..wh..opq"))


@case("whiteouts", DRIVERS)
def whiteout_as_a_folder(_: Base) -> bytes:
    """a file in a folder that is a mark"""
    return one(JOB, entry(".wh.lc/job", b"x"))


@case("whiteouts", DRIVERS)
def whiteout_of_a_driver(_: Base) -> bytes:
    """a folder in which a storage driver keeps hard links"""
    return one(JOB, entry("lc/.wh..wh.plnk"))


@case("whiteouts", "by what is no empty file")
def whiteout_with_contents(_: Base) -> bytes:
    """a mark that is a link to the host's files"""
    return one(JOB, entry("lc/.wh.x", kind=SOFT, link="/etc"))


@case("whiteouts", "by what is no empty file")
def whiteout_of_a_size(_: Base) -> bytes:
    """a mark with bytes in it"""
    return one(JOB, entry("lc/.wh.x", b"x"))


@case("whiteouts", ends=FINE)
def opaque_folder(base: Base) -> bytes:
    """a mark that empties a folder of the layers below"""
    return over(base, entry("etc", kind=FOLDER), entry("etc/.wh..wh..opq"), entry("etc/new", b"x"))
