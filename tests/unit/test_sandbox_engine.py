"""What the sandbox promises without an engine: bounded retries, and limits that are refused before anything runs."""

from __future__ import annotations

import hashlib
import json
import socketserver
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import docker.api.client
import docker.errors
import pytest
import requests

from learningchain.sandbox import EngineError, Sandbox
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker.engine import KEPT_CONNECTIONS, Engine
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


class Counting(socketserver.ThreadingUnixStreamServer):
    """An engine that has every container, and counts the connections that it has."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), self.RequestHandlerClass)
        self.open, self.changed = 0, threading.Condition()

    def count(self, change: int) -> None:
        with self.changed:
            self.open += change
            self.changed.notify_all()

    class RequestHandlerClass(BaseHTTPRequestHandler):  # type: ignore[assignment]
        protocol_version = "HTTP/1.1"
        server: Counting

        def setup(self) -> None:
            super().setup()
            self.server.count(1)

        def finish(self) -> None:
            self.server.count(-1)
            super().finish()

        def do_GET(self) -> None:
            body = b'{"ApiVersion": "1.44"}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...


def test_connections_to_the_engine_do_not_pile_up_with_the_containers_that_are_asked_for(tmp_path: Path) -> None:
    with Counting(tmp_path / "engine") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        engine = Engine(f"unix://{tmp_path}/engine")
        for number in range(60):
            engine.call("looking", partial(docker.api.client.APIClient.inspect_container, container=f"c{number}"))
        with server.changed:
            assert server.changed.wait_for(lambda: server.open <= KEPT_CONNECTIONS, 10), f"{server.open} are open"
        server.shutdown()


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


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Docker's own files in a home: contexts with their engines, and which of them is the current one."""
    for name in ("DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(engine_module, "_make_client", _refuses)

    def write(current: str | None, **hosts: str) -> None:
        for name, host in hosts.items():
            folder = tmp_path / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
            folder.mkdir(parents=True)
            meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
            (folder / "meta.json").write_text(json.dumps(meta) if host else "{")
        (tmp_path / ".docker").mkdir(exist_ok=True)
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({} if current is None else {"currentContext": current}))

    return write


ROOTLESS = "unix:///run/user/1000/docker.sock"


@pytest.mark.parametrize(
    ("named", "environ", "current", "where"),
    [
        (None, {}, "rootless", f"{ROOTLESS} (by docker's context 'rootless')"),
        (None, {"DOCKER_CONTEXT": "rootless"}, "far", f"{ROOTLESS} (by docker's context 'rootless')"),
        (None, {"DOCKER_CONTEXT": "", "DOCKER_HOST": ""}, "rootless", f"{ROOTLESS} (by docker's context 'rootless')"),
        (None, {"DOCKER_CONTEXT": "default"}, "far", "its usual socket /var/run/docker.sock"),
        (None, {}, None, "its usual socket /var/run/docker.sock"),
        (None, {"DOCKER_HOST": "unix:///a.sock", "DOCKER_CONTEXT": "rootless"}, "far", "unix:///a.sock"),
        ("unix:///b.sock", {"DOCKER_HOST": "unix:///a.sock"}, "far", "unix:///b.sock"),
    ],
)
def test_the_engine_is_the_named_one_else_that_of_the_environment_else_that_of_docker_s_context(
    contexts: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    named: str | None,
    environ: dict[str, str],
    current: str | None,
    where: str,
) -> None:
    contexts(current, rootless=ROOTLESS, far="ssh://me@far")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SandboxUnavailable) as told:
        Engine(named).info()
    assert f"no Docker Engine answers at {where} (Connection refused)" in str(told.value)


@pytest.mark.parametrize(
    ("current", "why"),
    [
        ("far", "leads to ssh://me@far, and a node uses an engine of this machine"),
        ("tls", "leads to tcp://10.0.0.1:2376"),
        ("gone", "is not there"),
        ("cut", "cannot be read"),
    ],
)
def test_a_context_that_names_no_socket_of_this_machine_is_refused_when_it_is_used(
    contexts: Callable[..., None], monkeypatch: pytest.MonkeyPatch, current: str, why: str
) -> None:
    contexts(current, far="ssh://me@far", tls="tcp://10.0.0.1:2376", cut="")
    engine = Engine()
    with pytest.raises(SandboxUnavailable) as told:
        engine.info()
    assert f"docker's context {current!r} {why}" in str(told.value)
    assert str(told.value).endswith("learningchain config set sandbox.engine unix:///var/run/docker.sock")
    monkeypatch.setattr(engine_module, "_make_client", lambda **_: Describing(FACTS))
    assert Engine("unix:///var/run/docker.sock").info().context == "", "what is said to mend it does"


def test_an_engine_says_which_context_led_to_it(contexts: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    contexts("rootless", rootless=ROOTLESS)
    asked: list[Any] = []
    monkeypatch.setattr(engine_module, "_make_client", lambda **how: asked.append(how["base_url"]) or Describing(FACTS))
    engine = Engine()
    assert engine.info().context == "rootless" and engine.local and asked == [ROOTLESS]


def _refuses(**_: object) -> None:
    raise docker.errors.DockerException("Connection refused")


def test_a_refusal_of_the_system_is_said_without_the_exceptions_around_it() -> None:
    wrapped = "Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))"
    said = engine_module._no_engine("unix:///x", OSError(wrapped))
    assert said.startswith("no Docker Engine answers at unix:///x (No such file or directory). ")
