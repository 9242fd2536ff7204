"""A node's images on an engine in this process: loaded once, pulled at most once, and given up on every way in which it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from learningchain.sandbox import disk
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker import store
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.store import ImageStore
from learningchain.sandbox.errors import BadImage, EngineError, ImageNotFound
from learningchain.sandbox.spec import MIB, ImageLimits

from .docker_double import Client, DockerDouble, refusal
from .test_sandbox_archive import GOOD, LIMITS, docker_archive, entry, tar

POSTED = "sha256:" + "d" * 64
REFERENCE = "registry.test/job@sha256:" + "e" * 64


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDouble]:
    double = DockerDouble(tmp_path / "volumes")
    double.folder.mkdir()
    monkeypatch.setattr(engine_module, "_PAUSE_S", 0)
    monkeypatch.setattr(Engine, "api", lambda self, **_: Client(double))
    double.registry[REFERENCE] = image(POSTED), [GOOD]
    yield double
    assert (double.boxes, double.open_pulls) == ({}, 0), "no container and no pull is left, however it ended"
    assert not (tmp_path / "scratch").exists() or list((tmp_path / "scratch").iterdir()) == []


def image(image_id: str, **changes: Any) -> dict[str, Any]:
    """What the engine says of a registry's image."""
    return {"Id": image_id, "Size": 100, "Os": "linux", "Architecture": "amd64", "Config": {"Env": ["A=1"]}, "RootFS": {}} | changes


@pytest.fixture
def open_store(double: DockerDouble, tmp_path: Path) -> Callable[[], ImageStore]:
    """As a node opens it at each of its starts."""
    labels = {"learningchain.node": "n"}
    return lambda: ImageStore(Engine("unix:///x.sock"), "n", tmp_path / "scratch", labels, disk=lambda: tmp_path)


def full(left: int, monkeypatch: pytest.MonkeyPatch, files: int = 1 << 30) -> None:
    """So many bytes may still be used on every disk of this machine."""
    facts = SimpleNamespace(f_bavail=(disk.SPARE + left) // 512, f_bfree=1 << 50, f_frsize=512, f_files=1 << 40, f_favail=files)
    monkeypatch.setattr(disk.os, "statvfs", lambda _: facts)


# --- archives ---------------------------------------------------------------------------------------------------------------------


def test_an_image_that_is_there_is_not_loaded_again(
    double: DockerDouble, open_store: Callable[[], ImageStore], tmp_path: Path
) -> None:
    path = tmp_path / "a.tar"
    posted = docker_archive(path, [GOOD])
    for _ in range(2):
        assert open_store().load(path, posted, LIMITS, "amd64") == posted
    assert double.count("load_image") == 1
    with pytest.raises(BadImage, match="not sha256:00"):
        open_store().load(path, "sha256:" + "0" * 64, LIMITS, "amd64")
    first = open_store()
    assert first.require(posted) == next(iter(double.images))
    first.remove(posted)
    first.remove(posted)
    with pytest.raises(ImageNotFound):
        first.require(posted)


@pytest.mark.parametrize(
    ("fault", "error", "why"),
    [
        (refusal(500, "Error processing tar file: No space left on device"), EngineError, "(?i)no space left"),
        (refusal(500, "mkdir /var/lib/docker: read-only file system"), EngineError, "read-only"),
        (refusal(400, "invalid reference"), BadImage, "invalid reference"),
        (requests.ConnectionError("gone"), EngineError, "gone"),
        (requests.ReadTimeout("slow"), EngineError, "slow"),
    ],
)
def test_an_image_that_the_engine_does_not_take_is_not_ours(
    double: DockerDouble, open_store: Callable[[], ImageStore], tmp_path: Path, fault: Exception, error: type[Exception], why: str
) -> None:
    posted = docker_archive(tmp_path / "a.tar", [GOOD])
    one = open_store()
    double.faults["load_image"] = [fault]
    with pytest.raises(error, match=why):
        one.load(tmp_path / "a.tar", posted, LIMITS, None)
    double.events = [{"stream": "Loading"}, {"error": "unexpected EOF"}]
    with pytest.raises(BadImage, match="unexpected EOF"):
        one.load(tmp_path / "a.tar", posted, LIMITS, None)
    double.events = [{"error": "write /layer: no space left on device"}]
    with pytest.raises(EngineError, match="no space left"):
        one.load(tmp_path / "a.tar", posted, LIMITS, None)
    with pytest.raises(ImageNotFound):
        one.require(posted)


def test_the_disk_has_to_hold_what_an_image_unpacks_to_and_its_files(
    double: DockerDouble, open_store: Callable[[], ImageStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = docker_archive(tmp_path / "a.tar", [tar(entry("f", bytes(500_000)), entry("g"))])
    for left, files in ((400_000, 1 << 30), (1 << 30, disk.SPARE_FILES + 1)):
        full(left, monkeypatch, files)
        with pytest.raises(EngineError, match="loading an image: "):
            open_store().load(tmp_path / "a.tar", posted, LIMITS, None)
    assert double.count("load_image") == 0


def bounded(double: DockerDouble, folder: Path, *names: str) -> tuple[ImageStore, dict[str, tuple[Path, str]]]:
    """A store with room for two of the images, each of 600,000 bytes by what the engine says."""
    clock = iter(range(1_000))
    made = {}
    for name in names:
        made[name] = folder / f"{name}.tar", docker_archive(folder / f"{name}.tar", [tar(entry(name, bytes(600_000)))])
    return ImageStore(Engine("unix:///x.sock"), "n", folder / "scratch", {}, now=lambda: float(next(clock)), cap=1_300_000), made


def load(one: ImageStore, double: DockerDouble, made: tuple[Path, str]) -> None:
    one.load(*made, LIMITS, None)
    for facts in double.images.values():
        facts["Size"] = 600_000


def test_what_was_used_least_recently_makes_room_for_an_image(double: DockerDouble, tmp_path: Path) -> None:
    one, made = bounded(double, tmp_path, "a", "b", "c", "d")
    load(one, double, made["a"])
    load(one, double, made["b"])
    one.require(made["a"][1])
    load(one, double, made["c"])
    assert [one.known(made[name][1]) for name in "abc"] == [True, False, True]
    with pytest.raises(ImageNotFound):
        one.require(made["b"][1])
    one.keep(made["a"][1])
    one.require(made["c"][1])
    load(one, double, made["d"])
    assert [one.known(made[name][1]) for name in "abcd"] == [True, False, False, True], "one that all runs need stays"


def test_an_image_in_use_makes_no_room_and_who_finds_none_is_told_the_setting(double: DockerDouble, tmp_path: Path) -> None:
    one, made = bounded(double, tmp_path, "a", "b", "c")
    for name in "ab":
        load(one, double, made[name])
    double.faults["remove_image"] = [refusal(409, "a container uses it")] * 2
    with pytest.raises(EngineError, match=r"0 MiB unpacked beside 1 MiB of images that are in use; .*sandbox.images_mb"):
        load(one, double, made["c"])
    assert double.count("load_image") == 2
    load(one, double, made["c"])
    assert [one.known(made[name][1]) for name in "abc"] == [False, True, True]


def test_images_of_an_earlier_start_count_and_those_of_others_do_not(double: DockerDouble, tmp_path: Path) -> None:
    one, made = bounded(double, tmp_path, "a", "b", "c")
    for name in "ab":
        load(one, double, made[name])
    double.images["sha256:theirs"] = {"Size": 1 << 40}
    double.names["learningchain/nn:x"] = "sha256:theirs"
    again, _ = bounded(double, tmp_path)
    load(again, double, made["c"])
    assert [again.known(made[name][1]) for name in "abc"].count(True) == 2 and "learningchain/nn:x" in double.names


def test_an_engine_that_fails_is_not_one_that_lacks_the_image(
    double: DockerDouble, open_store: Callable[[], ImageStore], tmp_path: Path
) -> None:
    posted = docker_archive(tmp_path / "a.tar", [GOOD])
    one = open_store()
    for method, action in (
        ("tag", lambda: one.load(tmp_path / "a.tar", posted, LIMITS, None)),
        ("inspect_image", lambda: one.known(posted)),
        ("inspect_image", lambda: one.require(posted)),
        ("remove_image", lambda: one.remove(posted)),
    ):
        double.faults[method] = [refusal(403, "not yours")]
        with pytest.raises(EngineError, match="not yours"):
            action()
    assert double.count("load_image") == 0


def test_an_image_under_our_name_that_declares_a_volume_does_not_run(
    double: DockerDouble, open_store: Callable[[], ImageStore], tmp_path: Path
) -> None:
    posted = docker_archive(tmp_path / "a.tar", [GOOD])
    open_store().load(tmp_path / "a.tar", posted, LIMITS, None)
    next(iter(double.images.values()))["Config"]["Volumes"] = {"/data": {}}
    with pytest.raises(EngineError, match="VOLUME"):
        open_store().require(posted)


# --- pulls ------------------------------------------------------------------------------------------------------------------------


def test_a_pulled_image_is_written_anew_and_pulled_once(double: DockerDouble, open_store: Callable[[], ImageStore]) -> None:
    one = open_store()
    assert one.pull(REFERENCE, LIMITS, "amd64") == POSTED
    assert one.pull(REFERENCE, LIMITS, "amd64") == POSTED
    assert double.count("pull") == double.count("load_image") == 1
    assert list(double.names) == [f"learningchain/n:{POSTED[7:]}"], "what was pulled is given up"
    assert POSTED not in double.images
    assert json.loads(json.dumps(double.images[one.require(POSTED)]["Config"])) == {
        "Env": ["A=1"],
        "Labels": {"learningchain.image": POSTED},
    }
    one.remove(POSTED)
    assert one.pull(REFERENCE, LIMITS, "amd64") == POSTED
    assert double.count("pull") == 2, "it had gone"


def test_an_image_that_somebody_else_pulled_stays_with_them(double: DockerDouble, open_store: Callable[[], ImageStore]) -> None:
    double.images[POSTED], double.names[REFERENCE], double.files[POSTED] = image(POSTED), POSTED, [GOOD]
    one = open_store()
    assert one.pull(REFERENCE, LIMITS, None) == POSTED
    assert double.count("pull") == 0
    assert double.names[REFERENCE] == POSTED
    one.remove(POSTED)
    assert POSTED in double.images


@pytest.mark.parametrize(
    ("changes", "pieces", "error", "why"),
    [
        ({"Size": 1_048_577}, [GOOD], BadImage, "unpacks to 1048577 bytes; the limit is 1048576"),
        ({"Config": {"Volumes": {"/": {}}}}, [GOOD], BadImage, "VOLUME '/'"),
        ({"Architecture": "arm64"}, [GOOD], BadImage, "made for 'arm64'"),
        ({"Os": "windows"}, [GOOD], BadImage, "not for linux"),
        ({"Id": "sha256:short"}, [GOOD], EngineError, "the engine calls it"),
        ({}, [bytes(MIB)] * 4, BadImage, "unpacks to more than 1048576 bytes"),
        ({}, [tar(entry("etc/passwd", b"", b"2", "/dev/urandom"))], BadImage, "'etc/passwd' is no file"),
        ({}, [GOOD[:700]], BadImage, "files are refused"),
    ],
)
def test_a_pulled_image_that_is_refused_is_on_the_engine_no_more(
    double: DockerDouble,
    open_store: Callable[[], ImageStore],
    changes: dict[str, Any],
    pieces: list[bytes],
    error: type[Exception],
    why: str,
) -> None:
    double.registry[REFERENCE] = image(POSTED, **changes), pieces
    with pytest.raises(error, match=why):
        open_store().pull(REFERENCE, LIMITS, "amd64")
    assert (double.images, double.names) == ({}, {})


@pytest.mark.parametrize(
    ("events", "error", "why"),
    [
        ([{"error": "toomanyrequests"}], EngineError, "toomanyrequests"),
        *(
            ([{"error": why}], ImageNotFound, "not in its registry")
            for why in ("x Not Found", "manifest unknown", "repository does not exist", "NAME UNKNOWN", "pull access denied")
        ),
        (
            [{"status": "Downloading", "id": layer, "progressDetail": {"current": 1, "total": 3 * MIB}} for layer in "ab"],
            BadImage,
            "larger than 4194304 bytes",
        ),
    ],
)
def test_a_pull_that_ends_early_ends_on_the_engine_too(
    double: DockerDouble, open_store: Callable[[], ImageStore], events: list[dict[str, Any]], error: type[Exception], why: str
) -> None:
    double.events = events
    with pytest.raises(error, match=why) as caught:
        open_store().pull(REFERENCE, LIMITS, None)
    assert double.open_pulls == 0, "an engine goes on while somebody listens"
    del caught  # until here it kept all that the pull had open


def test_no_pull_begins_and_none_goes_on_where_the_disk_is_nearly_full(
    double: DockerDouble, open_store: Callable[[], ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        full(-512, patch)
        with pytest.raises(EngineError, match="pulling an image: it would leave"):
            open_store().pull(REFERENCE, LIMITS, None)
        assert double.count("pull") == 0

    def filling() -> Iterator[dict[str, Any]]:
        yield {"status": "Extracting", "id": "a"}
        full(-512, monkeypatch)
        yield {"status": "Extracting", "id": "a"}
        raise AssertionError("nobody should listen any more")

    double.events = filling()  # type: ignore[assignment]
    with pytest.raises(EngineError, match="pulling an image: it would leave"):
        open_store().pull(REFERENCE, LIMITS, None)


def test_a_pulled_image_is_not_read_where_its_files_would_take_the_last_of_the_disk(
    double: DockerDouble, open_store: Callable[[], ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    double.registry[REFERENCE] = image(POSTED, Size=900_000), [GOOD]
    full(500_000, monkeypatch)
    with pytest.raises(EngineError, match="reading a pulled image: it would leave"):
        open_store().pull(REFERENCE, LIMITS, None)
    assert double.count("export") == 0


@pytest.mark.parametrize(
    "reference", ["debian:latest", REFERENCE + "0", REFERENCE + "\n", REFERENCE[:-1], "-x@sha256:" + "e" * 64, ""]
)
def test_only_a_reference_with_a_whole_digest_is_pulled(
    double: DockerDouble, open_store: Callable[[], ImageStore], reference: str
) -> None:
    with pytest.raises(BadImage, match="names no digest"):
        open_store().pull(reference, LIMITS, None)
    assert double.did == []


def test_what_is_remembered_of_pulls_is_bounded(
    double: DockerDouble, open_store: Callable[[], ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_PULLED_CAP", 3)
    one = open_store()
    for number in range(8):
        reference, posted = f"r.test/job@sha256:{number:064x}", f"sha256:{number:064x}"
        double.registry[reference] = image(posted), [GOOD]
        assert one.pull(reference, ImageLimits(), None) == posted
        assert 1 <= len(one._pulled) <= 3
