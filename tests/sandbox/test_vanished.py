"""An image that somebody removes from a real engine behind a node's back is loaded there again, and runs."""

from __future__ import annotations

from pathlib import Path

from learningchain.sandbox import RunStatus, Sandbox
from learningchain.sandbox.docker.engine import Engine

from .conftest import RunJob


def test_an_image_that_was_removed_behind_its_back_runs_again(room: Sandbox, run_job: RunJob, archive: tuple[Path, str]) -> None:
    path, image = archive
    assert run_job("good").status is RunStatus.OK
    room.settle()  # a container that is being removed keeps its image
    engine = Engine()
    name = next(
        name for facts in engine.call("listing", lambda api: api.images()) for name in facts["RepoTags"] or () if image[7:] in name
    )
    engine.call("removing", lambda api: api.remove_image(name, force=True))
    failed = run_job("good")
    assert failed.status is RunStatus.ENGINE_ERROR and "image" in failed.reason.lower()
    assert not room.has_image(image)
    again = run_job("good")
    assert again.status is RunStatus.ENGINE_ERROR and "load or pull it first" in again.reason, "it forgot what it had checked"
    assert room.load_archive(path, image) == image and room.has_image(image)
    assert run_job("good").status is RunStatus.OK
