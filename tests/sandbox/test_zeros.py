"""Images of zeros on a real engine: a few kilobytes of an archive are a hundred megabytes on its disk."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import docker
import pytest

from learningchain.sandbox import EngineError, Sandbox
from learningchain.sandbox.spec import MIB
from tests.unit.test_sandbox_archive import GOOD, docker_archive, entry, tar


def zeros(folder: Path, name: str) -> tuple[Path, str]:
    """An archive whose image has 32 MiB, and its id."""
    path = folder / f"{name}.tar"
    posted = docker_archive(path, [GOOD, gzip.compress(tar(entry(name, bytes(32 * MIB))))])
    assert path.stat().st_size < MIB
    return path, posted


def test_all_images_together_stay_within_the_bound_and_none_in_use_goes(tmp_path: Path) -> None:
    tag = f"zeros-{os.getpid()}"
    room = Sandbox(tmp_path / "room", node_tag=tag, images_cap=100 * MIB)
    room.check_engine()
    engine = docker.from_env()
    boxes = []

    def here() -> int:
        """Bytes of the node's images as the engine counts them."""
        return sum(image.attrs["Size"] for image in engine.images.list(name=f"learningchain/{tag}"))

    try:
        made = {name: zeros(tmp_path, name) for name in "abcdef"}

        def use(name: str) -> None:
            boxes.append(engine.containers.create(room.require_image(made[name][1]), ["/x"]))

        for name in "abc":
            room.load_archive(*made[name])
        use("a")
        room.load_archive(*made["d"])
        assert [room.has_image(made[name][1]) for name in "abcd"] == [True, False, True, True], "the one longest unused goes"
        use("c")
        use("d")
        with pytest.raises(EngineError, match=r"images that are in use; all together may take 100 \(sandbox.images_mb\)"):
            room.load_archive(*made["e"])
        assert 90 * MIB < here() <= 100 * MIB
    finally:
        for box in boxes:
            box.remove(force=True)
        assert room.cleanup().problems == ()
        room.close()
    assert here() == 0
