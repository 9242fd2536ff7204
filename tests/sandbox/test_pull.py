"""Images from a registry: a real pull by digest, from a registry of a few lines on loopback."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import tarfile
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import docker.errors
import pytest

from learningchain.sandbox import BadImage, EngineError, ImageLimits, ImageNotFound, Sandbox, disk
from learningchain.sandbox.images import build_python_image
from learningchain.sandbox.spec import MIB
from tests.unit.tar_kit import raw

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """Serves what is put into it, by digest, over the registry's HTTP API."""

    def __init__(self) -> None:
        blobs: dict[str, bytes] = {}
        self.blobs = blobs

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                data = blobs.get(self.path.rpartition("/")[2]) if self.path != "/v2/" else b"{}"
                self.send_response(200 if data is not None else 404)
                self.send_header("Content-Type", MANIFEST if "/manifests/" in self.path else "application/octet-stream")
                body = b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}' if data is None else data
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, settings: dict[str, object], layer: bytes) -> tuple[str, str]:
        """Puts an image of one layer in; returns its reference and its image id."""
        return self.put(gzip.compress(layer, mtime=0), sha256(layer), settings)

    def put(self, packed: bytes, unpacked: str, settings: dict[str, object] | None = None) -> tuple[str, str]:
        """The same of a layer that is packed already, whose unpacked digest is named."""
        architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
        rootfs = {"type": "layers", "diff_ids": [unpacked]}
        config = {"os": "linux", "architecture": architecture, "config": settings or {}, "rootfs": rootfs}
        return self._put(json.dumps(config).encode(), [packed])

    def push(self, archive: Path) -> tuple[str, str]:
        """The same of a docker-archive, as it is."""
        with tarfile.open(archive) as file:
            read = {member.name: file.extractfile(member).read() for member in file if member.isfile()}  # type: ignore[union-attr]
        (image,) = json.loads(read["manifest.json"])
        return self._put(read[image["Config"]], [gzip.compress(read[name], 1, mtime=0) for name in image["Layers"]])

    def _put(self, document: bytes, packed: list[bytes]) -> tuple[str, str]:
        layers = [{"mediaType": LAYER, "size": len(one), "digest": sha256(one)} for one in packed]
        described = {"mediaType": CONFIG, "size": len(document), "digest": sha256(document)}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}).encode()
        for data in (*packed, document, manifest):
            self.blobs[sha256(data)] = data
        return f"127.0.0.1:{self.server.server_port}/job@{sha256(manifest)}", sha256(document)


def layer(*members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(os.urandom(info.size)))
    return out.getvalue()


def file(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def device(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = tarfile.BLKTYPE, 254, 0
    return info


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.server.shutdown()
    registry.server.server_close()


def test_an_image_is_pulled_by_digest_and_goes_with_the_node(room: Sandbox, registry: Registry) -> None:
    reference, image_id = registry.add({}, layer(file("lc/job", 100)))
    assert room.pull(reference) == image_id
    assert room.has_image(image_id)
    assert room.pull(reference) == image_id
    room.remove_image(image_id)
    assert not room.has_image(image_id)


def on_engine(name: str) -> bool:
    try:
        docker.from_env().images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


HIDDEN = raw(b"pipe", b"6", raw(b"hidden", content=b"x")) + bytes(1024)
"""For the engine a pipe and a file, for other readers a pipe with contents."""


@pytest.mark.parametrize(
    ("settings", "content", "why"),
    [
        ({"Volumes": {"/": {}}}, layer(file("lc/job", 101)), "VOLUME"),
        ({}, layer(*(file(f"f{number}", 1) for number in range(30))), "more than 25 files"),
        ({}, HIDDEN, "device or pipe"),
        ({}, layer(device("disk")), "device or pipe"),
        ({"Env": ["A"]}, layer(file("lc/job", 104)), "environment"),
        ({}, layer(link("etc/passwd", "/dev/urandom")), "'etc/passwd' is no file"),
    ],
)
def test_a_pulled_image_that_breaks_a_rule_is_refused_and_does_not_stay(
    room: Sandbox, registry: Registry, settings: dict[str, object], content: bytes, why: str
) -> None:
    reference, image_id = registry.add(settings, content)
    with pytest.raises(BadImage, match=why):
        room.pull(reference, ImageLimits(files=25))
    assert not room.has_image(image_id)
    assert not on_engine(image_id)
    assert not on_engine(reference)


def test_a_volume_of_a_pulled_image_is_left_out_and_none_stays(room: Sandbox, registry: Registry) -> None:
    engine = docker.from_env()
    before = {one.name for one in engine.volumes.list()}
    reference, image_id = registry.add({"Volumes": {"/data": {}, "/lc/out": {}}}, layer(file("lc/job", 102), file("data/f", 103)))
    assert room.pull(reference) == image_id
    facts = engine.images.get(f"learningchain/test-{os.getpid()}:{image_id.removeprefix('sha256:')}").attrs
    assert not facts["Config"].get("Volumes") and {one.name for one in engine.volumes.list()} == before
    room.remove_image(image_id)


def test_what_was_pulled_is_not_what_runs(room: Sandbox, registry: Registry) -> None:
    reference, image_id = registry.add({"User": "0", "Labels": {"learningchain.node": "another"}}, layer(file("lc/job", 200)))
    assert room.pull(reference) == image_id
    assert not on_engine(image_id)
    facts = docker.from_env().images.get(f"learningchain/test-{os.getpid()}:{image_id.removeprefix('sha256:')}").attrs
    assert facts["Config"]["Labels"] == {"learningchain.image": image_id}
    assert not facts["Config"]["User"]
    room.remove_image(image_id)


def test_an_image_that_the_registry_does_not_have_is_named(room: Sandbox, registry: Registry) -> None:
    missing = f"127.0.0.1:{registry.server.server_port}/job@sha256:{'1' * 64}"
    with pytest.raises(ImageNotFound, match="not in its registry"):
        room.pull(missing)
    with pytest.raises(docker.errors.ImageNotFound):
        docker.from_env().images.get(missing)


def test_a_small_packed_layer_that_unpacks_to_the_whole_disk_is_stopped_on_the_way(
    room: Sandbox, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says before what a packed layer unpacks to. The pull ends while the engine unpacks it, not when the disk is full."""
    size, folder = 2048 * MIB, docker.from_env().info()["DockerRootDir"]
    bomb = tarfile.TarInfo("bomb")
    bomb.size = size
    digest, packed = hashlib.sha256(), zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = []
    for piece in (bomb.tobuf(), *[bytes(MIB)] * (size // MIB), bytes(1024)):
        digest.update(piece)
        pieces.append(packed.compress(piece))
    reference = registry.put(b"".join([*pieces, packed.flush()]), f"sha256:{digest.hexdigest()}")[0]
    began = least = shutil.disk_usage(folder).free
    monkeypatch.setattr(disk, "SPARE", began - size // 4)
    stop = threading.Event()

    def watch() -> None:
        nonlocal least
        while not stop.wait(0.02):
            least = min(least, shutil.disk_usage(folder).free)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with pytest.raises(EngineError, match=r"pulling an image: .* MiB have to stay|pulling an image: it would leave"):
            room.pull(reference, ImageLimits(archive_bytes=8 * MIB, unpacked_bytes=16 * MIB))
    finally:
        stop.set()
        watching.join()
    assert began - least < size * 3 // 4


def test_an_image_that_would_take_the_last_of_the_disk_is_not_loaded(
    room: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are new each time: an image that an engine has already, under whatever name, is not loaded again."""
    path = tmp_path / "new.tar"
    image = build_python_image(path, {"/lc/job": os.urandom(64)}, with_packages=())
    with monkeypatch.context() as full:
        full.setattr(disk, "SPARE", 1 << 60)
        with pytest.raises(EngineError, match="loading an image: it would leave"):
            room.load_archive(path, image)
    assert not room.has_image(image)
    assert room.load_archive(path, image) == image, "with room on the disk"
    room.remove_image(image)
