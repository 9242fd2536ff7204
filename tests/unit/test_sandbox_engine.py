"""What the sandbox promises without an engine: bounded retries, and limits that are refused before anything runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests

from learningchain.sandbox import EngineError, Sandbox
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.errors import SandboxUnavailable


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(engine_module, "_PAUSE_S", 0)
    engine = Engine("unix:///nowhere.sock")
    monkeypatch.setattr(engine, "api", lambda **_: "a client")
    return engine


def refusal(status: int) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("no", response=response, explanation="because")


def answers(*steps: object) -> Any:
    """An action that raises or returns its steps one after another."""
    left = list(steps)

    def action(_: object) -> object:
        step = left.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    action.left = left  # type: ignore[attr-defined]
    return action


def test_a_dropped_connection_and_an_inner_fault_are_tried_again(engine: Engine) -> None:
    assert engine.call("x", answers(requests.ConnectionError("gone"), refusal(500), "done")) == "done"


def test_retries_end(engine: Engine) -> None:
    action = answers(*(requests.ReadTimeout("slow") for _ in range(9)))
    with pytest.raises(EngineError, match="starting a run: the engine does not answer"):
        engine.call("starting a run", action)
    assert len(action.left) == 6


def test_a_refusal_is_final_and_keeps_the_engines_words(engine: Engine) -> None:
    action = answers(refusal(409), "never")
    with pytest.raises(EngineError, match="because") as caught:
        engine.call("x", action)
    assert caught.value.status == 409
    assert action.left == ["never"]


class Describing:
    """A client of an engine that says `facts` of itself."""

    _version = "1.43"

    def __init__(self, facts: Any) -> None:
        self.facts = facts

    def info(self) -> Any:
        return self.facts


FACTS = {"OSType": "linux", "SecurityOptions": ["name=seccomp"], "Architecture": "x86_64", "NCPU": 2, "MemTotal": 2**30}


@pytest.mark.parametrize(
    "facts",
    [
        None,
        [],
        FACTS | {"SecurityOptions": 5},
        FACTS | {"DriverStatus": [1]},
        FACTS | {"NCPU": "many"},
        FACTS | {"MemTotal": 1e999},
    ],
)
def test_an_engine_that_describes_itself_strangely_is_told_as_unusable(engine: Engine, monkeypatch: Any, facts: Any) -> None:
    monkeypatch.setattr(engine, "api", lambda **_: Describing(FACTS))
    assert engine.info().architecture == "amd64"
    monkeypatch.setattr(engine, "api", lambda **_: Describing(facts))
    with pytest.raises(SandboxUnavailable):
        engine.info()


def test_a_tag_that_could_reach_another_nodes_objects_is_refused(tmp_path: Path) -> None:
    for tag in ("", "Upper", "a/b", "a b", "x" * 41, "-a"):
        with pytest.raises(ValueError, match="node_tag"):
            Sandbox(tmp_path, node_tag=tag)


@pytest.mark.parametrize(("current", "named"), [("rootless", True), ("default", False), (None, False)])
def test_an_engine_of_docker_s_context_is_named_where_none_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: str | None, named: bool
) -> None:
    host = "unix:///run/user/1000/docker.sock"
    folder = tmp_path / ".docker" / "contexts" / "meta" / hashlib.sha256(b"rootless").hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": "rootless", "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}))
    if current is not None:
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"currentContext": current}))
    for name in ("DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(engine_module, "_make_client", _refuses)
    with pytest.raises(SandboxUnavailable) as told:
        Engine().info()
    assert (f"learningchain config set sandbox.engine {host}" in str(told.value)) is named


def _refuses(**_: object) -> None:
    raise docker.errors.DockerException("Connection refused")
