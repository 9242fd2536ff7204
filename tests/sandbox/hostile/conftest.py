"""The engine and the sandboxes that the hostile cases run on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.sandbox import SandboxUnavailable

from ..oci_room import oci_room
from .engine import OwnEngine, lacking, lacking_gvisor
from .stage import Stage, build_image


@pytest.fixture(scope="session")
def own_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine | None]:
    """An engine that nobody else uses; None where none can be started."""
    if lacking():
        yield None
        return
    engine = OwnEngine(tmp_path_factory.mktemp("engine"))
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def hostile_image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("image") / "hostile.tar"
    return path, build_image(path)


@pytest.fixture(scope="session")
def runc(
    own_engine: OwnEngine | None, hostile_image: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    yield from _stage(own_engine, "runc", hostile_image, tmp_path_factory)


@pytest.fixture(scope="session")
def runsc(
    own_engine: OwnEngine | None, hostile_image: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    if own_engine is None or lacking_gvisor():
        pytest.skip(f"no gVisor here: {lacking_gvisor()}")
    yield from _stage(own_engine, "runsc", hostile_image, tmp_path_factory)


@pytest.fixture(scope="session")
def oci(hostile_image: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Without Docker, as the user nobody."""
    if shutil.which("crun") is None:
        pytest.skip("there is no crun: apt-get install crun")
    with pytest.MonkeyPatch.context() as patch, oci_room(patch) as sandbox:
        folder = tmp_path_factory.mktemp("oci")
        archive, image = hostile_image
        stage = Stage(
            folder, url=sandbox.host.url, runtime="crun", archive=archive, image=image, oci=sandbox, data=sandbox.host.data
        )
        yield stage
        stage.close()


def _stage(
    engine: OwnEngine | None, runtime: str, image: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    try:
        folder = tmp_path_factory.mktemp(runtime)
        where = {"url": None, "data": None} if engine is None else {"url": engine.url, "data": engine.folder / "data"}
        stage = Stage(folder, runtime=runtime, archive=image[0], image=image[1], **where)
    except SandboxUnavailable as problem:
        pytest.fail(f"these tests need a Docker Engine: {problem}", pytrace=False)
    yield stage
    stage.close()
