"""Tar streams and docker-archives from strangers: what the scan lets through, and the reason it gives otherwise."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from learningchain.sandbox.archive import clean_archive, scan_archive
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.spec import ImageLimits
from learningchain.sandbox.targuard import BadTar, TarWalk

LIMITS = ImageLimits(archive_bytes=4 << 20, unpacked_bytes=1 << 20, files=50, layers=4)


def entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def unpacked(layer: bytes) -> bytes:
    return gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer


def docker_archive(
    path: Path,
    layers: list[bytes],
    *,
    settings: dict[str, object] | None = None,
    digests: list[str] | None = None,
    os: str = "linux",
    extra: tuple[tuple[tarfile.TarInfo, bytes], ...] = (),
    tags: list[str] | None = None,
) -> str:
    named = digests or [f"sha256:{hashlib.sha256(unpacked(layer)).hexdigest()}" for layer in layers]
    document = json.dumps(
        {"os": os, "architecture": "amd64", "config": settings or {}, "rootfs": {"type": "layers", "diff_ids": named}}
    ).encode()
    image = hashlib.sha256(document).hexdigest()
    manifest = [{"Config": f"{image}.json", "RepoTags": tags, "Layers": [f"{i}/layer.tar" for i in range(len(layers))]}]
    files = [entry(f"{i}/layer.tar", layer) for i, layer in enumerate(layers)]
    path.write_bytes(tar(entry(f"{image}.json", document), *files, entry("manifest.json", json.dumps(manifest).encode()), *extra))
    return f"sha256:{image}"


GOOD = tar(entry("lc", kind=tarfile.DIRTYPE), entry("lc/job", b"#!/bin/true\n"), entry("bin/sh", b"", b"2", "/lc/job"))


def test_a_plain_image_passes_under_the_hash_of_its_configuration(tmp_path: Path) -> None:
    image_id = docker_archive(tmp_path / "a.tar", [GOOD, gzip.compress(GOOD)])
    assert scan_archive(tmp_path / "a.tar", LIMITS, architecture="amd64").image_id == image_id


def test_what_the_engine_gets_holds_our_tag_and_nothing_that_was_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    docker_archive(path, [GOOD], extra=(entry("repositories", b"{}"),), tags=["debian:latest"])
    image = scan_archive(path, LIMITS)
    rewritten = b"".join(clean_archive(path, image, "learningchain/n:abc"))
    with tarfile.open(fileobj=io.BytesIO(rewritten)) as archive:
        names = archive.getnames()
        manifest = json.loads(archive.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert sorted(names) == sorted([f"{image.loaded_id[7:]}.json", "0/layer.tar", "manifest.json"])
    assert manifest[0]["RepoTags"] == ["learningchain/n:abc"]


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (tar(entry("dev/sda", kind=tarfile.BLKTYPE)), "device"),
        (tar(entry("dev/tty", kind=tarfile.CHRTYPE)), "device"),
        (tar(entry("../etc/passwd", b"x")), "leads out"),
        (tar(entry("a/../../b", b"x")), "leads out"),
        (tar(entry("a", kind=tarfile.LNKTYPE, link="../../etc/shadow")), "leads out"),
        (tar(*(entry(f"f{i}") for i in range(51))), "more than 50 files"),
        (tar(entry("big", bytes(2 << 20))), "unpacks to more than"),
        (gzip.compress(tar(entry("bomb", bytes(3 << 20)))), "unpacks to more than"),
        (gzip.compress(GOOD)[:-9], "ends too early|damaged"),
        (GOOD[:700], "ends within|not a tar"),
        (tar(entry("run/pipe", kind=tarfile.FIFOTYPE)), "device or pipe"),
        (GOOD + b"x" * 512, "goes on after its end"),
        (b"no tar at all" * 100, "not a tar header"),
    ],
)
def test_a_hostile_layer_is_refused_by_name(tmp_path: Path, layer: bytes, why: str) -> None:
    named = [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    docker_archive(tmp_path / "a.tar", [layer], digests=named if layer[:2] == b"\x1f\x8b" else None)
    with pytest.raises(BadImage, match=why):
        scan_archive(tmp_path / "a.tar", LIMITS)


def packed_to(layer: bytes, size: int) -> bytes:
    """As one gzip stream of so many bytes: its header holds a name, which may be of any length."""
    plain = gzip.compress(layer, mtime=0)
    name = b"n" * (size - len(plain) - 1) + b"\0"
    return plain[:3] + b"\x08" + plain[4:10] + name + plain[10:]


@pytest.mark.parametrize("behind", [b"\0", b"x", gzip.compress(GOOD)], ids=["a zero", "a letter", "another stream"])
def test_nothing_follows_a_packed_layer_wherever_the_reads_of_it_end(tmp_path: Path, behind: bytes) -> None:
    """Some readers join a second stream to the first. A read may end just before it: the first one takes two bytes alone."""
    for size in range((1 << 16) - 1, (1 << 16) + 4):
        packed = packed_to(GOOD, size)
        assert len(packed) == size
        docker_archive(tmp_path / "a.tar", [packed])
        scan_archive(tmp_path / "a.tar", LIMITS)
        docker_archive(tmp_path / "a.tar", [packed + behind], digests=[f"sha256:{hashlib.sha256(GOOD).hexdigest()}"])
        with pytest.raises(BadImage, match="goes on after its end"):
            scan_archive(tmp_path / "a.tar", LIMITS)


@pytest.mark.parametrize(("zeros", "passes"), [((16 << 20) - len(GOOD), True), (16 << 20, False)])
def test_zeros_behind_a_layer_have_a_bound(tmp_path: Path, zeros: int, passes: bool) -> None:
    """Packed they are a thousandth of what has to be read and hashed."""
    docker_archive(tmp_path / "a.tar", [gzip.compress(GOOD + bytes(zeros), 1)])
    if passes:
        scan_archive(tmp_path / "a.tar", LIMITS)
    else:
        with pytest.raises(BadImage, match="goes on after its end"):
            scan_archive(tmp_path / "a.tar", LIMITS)


def test_a_document_of_an_archive_has_a_bound(tmp_path: Path) -> None:
    """It is held in memory several times while it is read."""
    docker_archive(tmp_path / "a.tar", [GOOD], settings={"Labels": {"a": "x" * ((1 << 20) - 1_000)}})
    scan_archive(tmp_path / "a.tar", LIMITS)
    docker_archive(tmp_path / "a.tar", [GOOD], settings={"Labels": {"a": "x" * (1 << 20)}})
    with pytest.raises(BadImage, match="the limit is 1048576"):
        scan_archive(tmp_path / "a.tar", LIMITS)


def test_refused_images(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    docker_archive(path, [GOOD], digests=["sha256:" + "0" * 64])
    with pytest.raises(BadImage, match="does not match its digest"):
        scan_archive(path, LIMITS)
    docker_archive(path, [GOOD], os="windows")
    with pytest.raises(BadImage, match="windows"):
        scan_archive(path, LIMITS)
    docker_archive(path, [GOOD])
    with pytest.raises(BadImage, match="'amd64'; this machine is 'arm64'"):
        scan_archive(path, LIMITS, architecture="arm64")
    docker_archive(path, [GOOD] * 5)
    with pytest.raises(BadImage, match="at most 4"):
        scan_archive(path, LIMITS)
    docker_archive(path, [GOOD], extra=(entry("manifest.json", b"[]"),))
    with pytest.raises(BadImage, match="twice"):
        scan_archive(path, LIMITS)
    docker_archive(path, [GOOD], extra=(entry("../out", b"x"),))
    with pytest.raises(BadImage, match="leads out"):
        scan_archive(path, LIMITS)
    docker_archive(path, [GOOD], extra=(entry("pad", bytes(5 << 20)),))
    with pytest.raises(BadImage, match="the limit is"):
        scan_archive(path, LIMITS)
    path.write_bytes(tar(entry("hello", b"world")))
    with pytest.raises(BadImage, match=r"lacks 'manifest\.json'"):
        scan_archive(path, LIMITS)
    with pytest.raises(FileNotFoundError):  # this machine's trouble, of which the image is not to blame
        scan_archive(tmp_path / "missing.tar", LIMITS)


def test_long_names_are_understood_in_both_dialects() -> None:
    name = "a" * 90 + "/" + "b" * 200
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        walk = TarWalk(io.BytesIO(tar(entry(name, b"xy"), form=form)), max_bytes=1 << 20, max_members=3)
        assert [(member.name, member.size) for member in walk] == [(name, 2)]


def test_an_extended_header_of_a_gigabyte_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = b"x", 1 << 30
    with pytest.raises(BadTar, match="extended header of 1073741824 bytes"):
        list(TarWalk(io.BytesIO(info.tobuf()), max_bytes=1 << 40, max_members=3))


# --- what builders and engines write ----------------------------------------------------------------------------------------------

ROOT = tar(
    entry("/", kind=tarfile.DIRTYPE),
    entry("/usr/bin", kind=tarfile.DIRTYPE),
    entry("usr/bin/perlbug", b"#!/bin/sh\n"),
    entry("usr/bin/perlthanks", kind=tarfile.LNKTYPE, link="/usr/bin/perlbug"),
    entry("usr/bin", kind=tarfile.DIRTYPE),
    entry("usr/bin/b", b"b"),
)
"""As kaniko and buildah write it: everything from the image's root, a folder once more before what else is in it."""
MEMBERS = b"".join(gzip.compress(GOOD[at : at + 700]) for at in range(0, len(GOOD), 700))
TAKEN: dict[str, tuple[list[bytes], dict[str, object], list[str] | None]] = {
    "paths from the root": ([ROOT], {}, None),
    "streams behind each other": ([MEMBERS], {}, None),
    "labels in two cases": ([GOOD], {"Labels": {"maintainer": "a", "Maintainer": "b", "\u017ftage": "c", "stage": "d"}}, None),
    "a VOLUME of a base": ([GOOD], {"Volumes": {"/var/lib/data": {}}}, None),
    "two tags of one image": ([GOOD], {}, ["job:v1", "job:v2"]),
}


@pytest.mark.parametrize(("layers", "settings", "tags"), TAKEN.values(), ids=TAKEN)
def test_what_builders_write_is_taken_and_written_plainly(
    tmp_path: Path, layers: list[bytes], settings: dict[str, object], tags: list[str] | None
) -> None:
    path = tmp_path / "a.tar"
    docker_archive(path, layers, settings=settings, tags=tags)
    image = scan_archive(path, LIMITS)
    written = b"".join(clean_archive(path, image, "t:1"))
    with tarfile.open(fileobj=io.BytesIO(written)) as outer:
        raw = outer.extractfile("0/layer.tar").read()  # type: ignore[union-attr]
    with tarfile.open(fileobj=io.BytesIO(raw)) as layer:
        names = layer.getnames()
        assert len(set(names)) == len(names) and not [name for name in names if name.startswith("/")]
        assert {one.linkname for one in layer if one.islnk()} == ({"usr/bin/perlbug"} if layers == [ROOT] else set())
    assert b"Volumes" not in image.document and b"aintainer" not in image.document


def oci(layers: list[bytes], *, attested: bool) -> list[tuple[tarfile.TarInfo, bytes]]:
    """As `docker save` of Engine 25 and later writes it: an OCI layout, and the list of images beside it. Its layers are packed
    where the engine has containerd's store, and statements about the build stand beside the image."""
    digest = {raw: hashlib.sha256(raw).hexdigest() for raw in layers}
    packed = {raw: gzip.compress(raw, mtime=0) if attested else raw for raw in layers}
    named = [f"sha256:{digest[raw]}" for raw in layers]
    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": named}}
    ).encode()
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    blobs = {hashlib.sha256(one).hexdigest(): one for one in (*packed.values(), config, *((statement,) if attested else ()))}
    places = [f"blobs/sha256/{hashlib.sha256(packed[raw]).hexdigest()}" for raw in layers]
    listed = [
        {
            "Config": f"blobs/sha256/{hashlib.sha256(config).hexdigest()}",
            "RepoTags": ["job:1"],
            "Layers": places,
            "LayerSources": {},
        }
    ]
    folders = [entry(name, kind=tarfile.DIRTYPE) for name in ("blobs", "blobs/sha256")]
    files = {"index.json": b'{"schemaVersion":2,"manifests":[]}', "manifest.json": json.dumps(listed).encode(), "oci-layout": b"{}"}
    return [*folders, *(entry(f"blobs/sha256/{name}", raw) for name, raw in blobs.items()), *(entry(*one) for one in files.items())]


def linked(layers: list[bytes]) -> list[tuple[tarfile.TarInfo, bytes]]:
    """As skopeo and podman write it: layers beside each other, and links to them from folders as older engines had them."""
    names = [hashlib.sha256(raw).hexdigest() for raw in layers]
    named = [f"sha256:{name}" for name in names]
    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": named}}
    ).encode()
    places = [f"{name[::-1]}/layer.tar" for name in names]
    files = [
        part
        for name, place, raw in zip(names, places, layers, strict=True)
        for part in (entry(f"{name}.tar", raw), entry(place, kind=tarfile.SYMTYPE, link=f"../{name}.tar"))
    ]
    listed = [{"Config": "c.json", "RepoTags": ["job:1"], "Layers": places}]
    return [*files, entry("c.json", config), entry("manifest.json", json.dumps(listed).encode()), entry("repositories", b"{}")]


OUTER = {
    "Engine 25": oci([GOOD, ROOT], attested=False),
    "containerd's store": oci([GOOD, ROOT], attested=True),
    "skopeo": linked([GOOD, ROOT]),
}


@pytest.mark.parametrize("files", OUTER.values(), ids=OUTER)
def test_the_same_layers_are_the_same_image_whoever_wrote_the_archive(
    tmp_path: Path, files: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    (tmp_path / "a.tar").write_bytes(tar(*files))
    docker_archive(tmp_path / "plain.tar", [GOOD, ROOT])
    wanted = [layer.written_digest for layer in scan_archive(tmp_path / "plain.tar", LIMITS).layers]
    assert [layer.written_digest for layer in scan_archive(tmp_path / "a.tar", LIMITS).layers] == wanted


def layer_of(job: bytes) -> bytes:
    return tar(entry("lc/job", job))


SCRIPT = b"#!/usr/bin/python3\nprint()\n"
NAMED: dict[str, tuple[list[bytes], str, str]] = {
    "zstd": ([b"\x28\xb5\x2f\xfd" + bytes(600)], "packed by zstd", "skopeo copy docker-archive:FILE docker-archive:"),
    "xz": ([b"\xfd7zXZ\0" + bytes(600)], "packed by xz", "skopeo copy docker-archive:FILE docker-archive:"),
    "a name in Latin-1": (
        [tar(entry("opt/file-\udce4", b"x"), form=tarfile.GNU_FORMAT)],
        r"not UTF-8, b'opt/file-\\xe4'",
        "job build",
    ),
    "no end": ([tar(entry("opt/a", b"a"))[:1024]], "the stream ends within an entry", "job build"),
    "streams without end": ([gzip.compress(b"") * 60], "in more than 50 streams", "job build"),
    "zeros behind a stream": ([gzip.compress(GOOD) + bytes(512)], "goes on after its end", "job build"),
    "line ends of Windows": ([layer_of(SCRIPT.replace(b"\n", b"\r\n"))], "line ends of Windows", "sed"),
    "a byte order mark": ([layer_of(b"\xef\xbb\xbf" + SCRIPT)], "byte order mark", "sed"),
}


@pytest.mark.parametrize(("layers", "why", "remedy"), NAMED.values(), ids=NAMED)
def test_what_is_not_taken_is_named_with_what_mends_it(tmp_path: Path, layers: list[bytes], why: str, remedy: str) -> None:
    path = tmp_path / "a.tar"
    docker_archive(path, layers, digests=["sha256:" + hashlib.sha256(layers[0]).hexdigest()])
    with pytest.raises(BadImage, match=why) as told:
        scan_archive(path, LIMITS)
    assert remedy in told.value.remedy


def test_a_later_layer_s_program_is_the_one_that_counts(tmp_path: Path) -> None:
    path, bad = tmp_path / "a.tar", layer_of(SCRIPT.replace(b"\n", b"\r\n"))
    docker_archive(path, [bad, layer_of(SCRIPT)])
    scan_archive(path, LIMITS)
    docker_archive(path, [layer_of(SCRIPT), bad])
    with pytest.raises(BadImage, match="line ends of Windows"):
        scan_archive(path, LIMITS)


@pytest.mark.parametrize(
    ("magic", "why", "remedy"),
    [
        (b"\x1f\x8b", "packed by gzip", "gunzip -c FILE"),
        (b"\x28\xb5\x2f\xfd", "packed by zstd", "zstd -dc FILE"),
    ],
)
def test_an_archive_that_is_packed_as_a_whole_is_to_be_unpacked(tmp_path: Path, magic: bytes, why: str, remedy: str) -> None:
    (tmp_path / "a.tar").write_bytes(magic + bytes(1024))
    with pytest.raises(BadImage, match=why) as told:
        scan_archive(tmp_path / "a.tar", LIMITS)
    assert remedy in told.value.remedy


@pytest.mark.full("it needs zstd and skopeo; the test above reads what is said")
@pytest.mark.parametrize("program", ["gzip", "zstd", "xz", "zstd of layers", "xz of layers"])
def test_what_is_said_to_mend_an_archive_does(tmp_path: Path, program: str) -> None:
    path, plain, layers = tmp_path / "a.tar", tmp_path / "plain.tar", program.endswith("layers")
    packer = program.split()[0]
    if missing := [one for one in (packer, *(["skopeo"] if layers else [])) if shutil.which(one) is None]:
        pytest.skip(f"{missing[0]} is not installed here")

    def packed(raw: bytes) -> bytes:
        return subprocess.run([packer, "-c"], input=raw, capture_output=True, check=True).stdout

    docker_archive(plain, [GOOD])
    if layers:
        docker_archive(path, [packed(GOOD)], digests=[f"sha256:{hashlib.sha256(GOOD).hexdigest()}"])
    else:
        path.write_bytes(packed(plain.read_bytes()))
    with pytest.raises(BadImage) as told:
        scan_archive(path, LIMITS)
    command = told.value.remedy.partition(": ")[2].replace("FILE", path.name)
    subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=True)  # noqa: S602 - it is what people type
    mended = scan_archive(tmp_path / "image.tar", LIMITS)
    assert mended.layers[0].written_digest == scan_archive(plain, LIMITS).layers[0].written_digest


def blob(kind: str, raw: bytes, **more: object) -> tuple[dict[str, object], tuple[str, bytes]]:
    name = hashlib.sha256(raw).hexdigest()
    described = {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{name}", "size": len(raw)}
    return described | more, (f"blobs/sha256/{name}", raw)


def exported(layer: bytes) -> bytes:
    """As `docker buildx build --output type=oci` writes it: a list of manifests, statements about the build beside the image."""

    def manifest(config: dict[str, object], kind: str, raw: bytes, **more: object) -> dict[str, object]:
        settings, first = blob("config.v1+json", json.dumps(config).encode())
        held, second = blob(kind, raw)
        files.extend((first, second))
        text = json.dumps({"schemaVersion": 2, "config": settings, "layers": [held]}).encode()
        described, third = blob("manifest.v1+json", text, **more)
        files.append(third)
        return described

    files: list[tuple[str, bytes]] = []
    of = {"os": "linux", "architecture": "amd64"}
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    rootfs = {"type": "layers", "diff_ids": [digest]}
    image = manifest({**of, "config": {}, "rootfs": rootfs}, "layer.v1.tar+gzip", gzip.compress(layer, mtime=0), platform=of)
    none = {"os": "unknown", "architecture": "unknown"}
    statement = manifest({**none, "config": {}, "rootfs": rootfs}, "layer.v1.tar", b"{}", platform=none)
    several, file = blob("index.v1+json", json.dumps({"schemaVersion": 2, "manifests": [image, statement]}).encode())
    index = json.dumps({"schemaVersion": 2, "manifests": [several]}).encode()
    top = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    return tar(*(entry(*one) for one in (*files, file, *top.items())))


@pytest.mark.full("it needs skopeo; the test below reads what is said")
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed here")
def test_what_is_said_to_mend_an_oci_layout_with_statements_does(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(exported(GOOD))
    docker_archive(tmp_path / "plain.tar", [GOOD])
    with pytest.raises(BadImage, match="OCI layout") as told:
        scan_archive(tmp_path / "a.tar", LIMITS)
    command = told.value.remedy.partition(": ")[2].replace("FILE", "a.tar")
    subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=True)  # noqa: S602 - it is what people type
    mended, plain = (scan_archive(tmp_path / name, LIMITS) for name in ("image.tar", "plain.tar"))
    assert mended.layers[0].written_digest == plain.layers[0].written_digest


def test_other_archives_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar(entry("oci-layout", b"{}"), entry("index.json", b"{}")))
    with pytest.raises(BadImage, match="OCI layout") as told:
        scan_archive(path, LIMITS)
    assert "skopeo copy" in told.value.remedy
    two = [{"Config": "c.json", "RepoTags": [tag], "Layers": ["l"]} for tag in ("job:v1", "job:v2")]
    path.write_bytes(tar(entry("manifest.json", json.dumps(two).encode())))
    with pytest.raises(BadImage, match=r"exactly one image, and it holds 2 \(job:v1, job:v2\)") as told:
        scan_archive(path, LIMITS)
    assert "docker save job:v1" in told.value.remedy
