"""Data volumes on a real engine where somebody, or something, interferes: with names, with what they hold, with what is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from learningchain.sandbox import DataSet, EngineError, RunResult, RunSpec, RunStatus, Sandbox, SandboxUnavailable
from learningchain.sandbox.data import scan_folder
from learningchain.sandbox.docker import isolation, sidecar
from learningchain.sandbox.images import build_python_image
from learningchain.sandbox.phases import PHASES

from .backend_suite import LIMITS, SUM

JOB = Path(__file__).with_name("suite_job.py")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("images") / "suite.tar"
    return path, build_python_image(path, {"/lc/job": JOB.read_bytes()}, with_packages=())


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setitem(PHASES, "sum", SUM)
    sandbox = Sandbox(tmp_path / "room", node_tag=f"data-{os.getpid()}")
    try:
        sandbox.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"these tests need a Docker Engine: {problem}", pytrace=False)
    yield sandbox
    monkeypatch.undo()
    sandbox.close()
    assert sandbox.cleanup().problems == ()


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("1")
    (tmp_path / "data" / "b").write_text("2")
    return scan_folder(tmp_path / "data")


def add(room: Sandbox, archive: tuple[Path, str], data: DataSet) -> RunResult:
    question = data.files[0].path.parent.parent / "question"
    question.write_text("0")
    return room.run(
        RunSpec(
            run_id=f"sum-{os.urandom(4).hex()}",
            image_id=room.load_archive(*archive),
            phase="sum",
            budget_s=5,
            params='{"mode":"answer"}',
            limits=LIMITS,
            inputs={"question": question, "data": data},
        )
    )


def api() -> Any:
    return docker.from_env().api


def volumes(room: Sandbox) -> list[dict[str, Any]]:
    mine = {"label": f"learningchain.node=data-{os.getpid()}"}
    return [found for found in api().volumes(filters=mine)["Volumes"] or [] if found["Name"].startswith("lc-data-")]


def test_one_content_is_one_volume_until_somebody_removes_it(room: Sandbox, archive: tuple[Path, str], data: DataSet) -> None:
    assert add(room, archive, data).result == 3
    room.settle()
    first = [found["Name"] for found in volumes(room)]
    assert add(room, archive, data).result == 3
    room.settle()
    assert [found["Name"] for found in volumes(room)] == first
    assert len(first) == 1
    api().remove_volume(first[0])  # as `docker volume prune` does
    assert add(room, archive, data).result == 3
    room.settle()
    assert [found["Name"] for found in volumes(room)] != first


def test_a_volume_that_was_replaced_reaches_no_job(room: Sandbox, archive: tuple[Path, str], data: DataSet) -> None:
    room.keep_data(data)
    [made] = volumes(room)
    for driver_opts, labels, told in (
        ({}, {}, "Labels"),
        ({"type": "tmpfs", "device": "tmpfs"}, made["Labels"], "Options"),
    ):
        api().remove_volume(made["Name"])
        api().create_volume(made["Name"], driver="local", driver_opts=driver_opts, labels=labels)
        outcome = add(room, archive, data)
        assert outcome.status is RunStatus.ENGINE_ERROR
        assert "another volume than was asked for, and nothing ran" in outcome.reason
        assert told in outcome.reason
        assert outcome.log_tail == ""
    api().remove_volume(made["Name"])


@pytest.mark.parametrize("view", [True, False])
def test_a_volume_that_somebody_made_before_is_not_used(
    room: Sandbox, archive: tuple[Path, str], data: DataSet, monkeypatch: pytest.MonkeyPatch, view: bool
) -> None:
    """An engine answers the creation of a volume whose name is taken as if it had made it."""
    honest, taken = docker.api.client.APIClient.create_volume, []  # type: ignore[attr-defined]

    def create(self: Any, name: str, **more: Any) -> Any:
        if name.endswith("-view") == view:
            taken.append(name)
            honest(
                self,
                name,
                driver="local",
                driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "exec,suid"},
                labels=more["labels"],
            )
        return honest(self, name, **more)

    monkeypatch.setattr(docker.api.client.APIClient, "create_volume", create)
    outcome = add(room, archive, data)
    assert outcome.status is RunStatus.ENGINE_ERROR
    assert "another volume than was asked for, and nothing ran" in outcome.reason
    assert "Options" in outcome.reason
    assert outcome.log_tail == ""
    names = {found["Name"] for found in api().volumes()["Volumes"] or []}
    assert taken
    if view:
        assert not names & set(taken)


def test_a_volume_with_somebody_elses_files_is_not_filled(room: Sandbox, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name, options and labels are right: what is in it tells."""
    honest = docker.api.client.APIClient.create_volume  # type: ignore[attr-defined]

    def create(self: Any, name: str, **more: Any) -> Any:
        made = honest(self, name, **more)
        Path(made["Mountpoint"], "theirs").write_text("1")
        return made

    room.keep_data(data)  # the sidecar's image, and that it would work
    room._data.clear()
    monkeypatch.setattr(docker.api.client.APIClient, "create_volume", create)
    if not Path(api().info()["DockerRootDir"]).is_dir() or os.geteuid() != 0:
        pytest.skip("only root on the engine's own machine can put a file there")
    with pytest.raises(EngineError, match="the volume is not empty"):
        room.keep_data(data)
    assert volumes(room) == []


def test_what_a_killed_node_left_is_not_used_again_and_goes(room: Sandbox, data: DataSet, tmp_path: Path) -> None:
    room.keep_data(data)
    [left] = volumes(room)
    heir = Sandbox(tmp_path / "heir", node_tag=f"data-{os.getpid()}")
    heir.check_engine()
    heir.keep_data(data)
    assert len(volumes(heir)) == 2, "a content that the heir did not bring itself is no content of its own"
    report = heir.cleanup()
    assert (report.volumes, report.problems) == (1, ()), "its own went before"
    assert left["Name"] not in {found["Name"] for found in volumes(heir)}
    heir.close()


def test_the_self_test_names_a_view_that_can_be_run_from(room: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes flags and does not keep them."""

    def careless(folders: list[str]) -> dict[str, str]:
        options = isolation.view_options(folders)
        return options | {"o": options["o"].replace("noexec,", "").replace("noexec", "exec")}

    monkeypatch.setattr(sidecar, "view_options", careless)
    failed = {check.name for check in room.self_test().failures}
    assert failed == {"data_mount", "data_no_programs"}


def test_an_engine_that_mounts_the_data_elsewhere_runs_nothing(
    room: Sandbox, archive: tuple[Path, str], data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = docker.api.client.APIClient.create_container_from_config  # type: ignore[attr-defined]

    def create(self: Any, config: dict[str, Any], name: str) -> Any:
        if config["Entrypoint"] == ["/lc/job"]:
            mounts = [dict(mount) for mount in config["HostConfig"]["Mounts"]]
            mounts[0]["Source"] = mounts[0]["Source"].replace("-view", "-in")
            config = config | {"HostConfig": config["HostConfig"] | {"Mounts": mounts}}
        return honest(self, config, name)

    monkeypatch.setattr(docker.api.client.APIClient, "create_container_from_config", create)
    outcome = add(room, archive, data)
    assert outcome.status is RunStatus.ENGINE_ERROR
    assert "another container than was asked for, and nothing ran" in outcome.reason
    assert outcome.log_tail == ""
