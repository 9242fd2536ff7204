"""The one place that talks to the Engine's API: bounded retries, time limits, and errors that name what was tried.

docker-py's client is not made for several threads at once, so every thread gets its own; the API version is agreed on
once per client. Other modules of the sandbox pass in what they want done as a function of that client.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import docker.api.client
import docker.errors
import docker.transport
import docker.utils.utils
import requests.exceptions
import urllib3.exceptions

from learningchain.sandbox.docker.context import DockerContext, active_context
from learningchain.sandbox.errors import EngineError, SandboxUnavailable
from learningchain.sandbox.spec import EngineInfo

T = TypeVar("T")

CALL_TIMEOUT_S = 60
TRANSFER_TIMEOUT_S = 900
"""Loading a large image gives no sign of life while the engine unpacks."""
PULL_TIMEOUT_S = 120
"""Pulling gives signs of life both while bytes arrive and while they are unpacked."""
KEPT_CONNECTIONS = 2
"""Of each thread's client. docker-py keeps one for each of the last 25 paths that were asked for, whatever it is told."""
_ATTEMPTS = 3
_PAUSE_S = 0.25
_DROPPED = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)
_py_client: Any = docker.api.client.APIClient
_adapter: Any = docker.transport.UnixHTTPAdapter


def _client(timeout: int, **settings: Any) -> Any:
    """docker-py's client, which keeps few connections to an engine of this machine."""
    client: Any = _py_client(timeout=timeout, **settings)
    usual = client.get_adapter(client.base_url)
    if isinstance(usual, _adapter):
        client.mount(client.base_url, _adapter(usual.socket_path, timeout, KEPT_CONNECTIONS))
        usual.close()
    return client


_make_client: Any = _client
_environment: Any = docker.utils.utils.kwargs_from_env


class Engine:
    """Connections to one engine: the one that is named, else DOCKER_HOST's, else that of docker's active context."""

    def __init__(self, base_url: str | None = None) -> None:
        self._settings: dict[str, Any] = {"base_url": base_url} if base_url else dict(_environment())
        self.context: DockerContext | None = None
        self._refusal: SandboxUnavailable | None = None
        if "base_url" not in self._settings:
            self._ask_docker()
        self._local = threading.local()

    def _ask_docker(self) -> None:
        try:
            self.context = active_context()
        except SandboxUnavailable as refusal:  # told when it is used: a node without an engine still runs
            self._refusal = refusal
        if self.context is not None:
            self._settings["base_url"] = self.context.url

    def api(self, *, transfer: bool = False, pull: bool = False) -> Any:
        """This thread's client; they differ in how long silence is borne. Raises SandboxUnavailable where no engine answers."""
        name, timeout = (
            ("transfer", TRANSFER_TIMEOUT_S) if transfer else ("pull", PULL_TIMEOUT_S) if pull else ("plain", CALL_TIMEOUT_S)
        )
        client = getattr(self._local, name, None)
        if client is None:
            if self._refusal is not None:
                raise self._refusal
            try:
                client = _make_client(version="auto", timeout=timeout, **self._settings)
            except (docker.errors.DockerException, *_DROPPED) as problem:
                raise SandboxUnavailable(_no_engine(self._where, problem)) from problem
            setattr(self._local, name, client)
        return client

    def call(self, what: str, action: Callable[[Any], T], *, attempts: int = _ATTEMPTS, transfer: bool = False) -> T:
        """Runs `action` on this thread's client, again where the connection dropped or the engine had an inner fault.

        `action` must be safe to repeat; `transfer`: it may be silent for long. Raises EngineError.
        """
        last: EngineError
        pause = threading.Event()
        for attempt in range(attempts):
            if attempt:
                pause.wait(_PAUSE_S * attempt)
            try:
                return action(self.api(transfer=transfer))
            except docker.errors.APIError as problem:
                status = problem.status_code
                last = EngineError(what, explain(problem), status)
                if status is not None and status < 500:
                    raise last from problem
            except (docker.errors.DockerException, *_DROPPED) as problem:
                last = EngineError(what, f"the engine does not answer ({type(problem).__name__})")
            except SandboxUnavailable as problem:
                last = EngineError(what, str(problem))
        raise last

    @property
    def _where(self) -> str:
        if self.context is not None:
            return f"{self.context.url} (by docker's context {self.context.name!r})"
        return str(self._settings.get("base_url") or "its usual socket /var/run/docker.sock")

    @property
    def local(self) -> bool:
        """Whether it is reached by a socket of this machine: then its folders are most likely ours to look at."""
        return str(self._settings.get("base_url") or "unix:").startswith(("unix:", "http+unix:"))

    def info(self) -> EngineInfo:
        """Asks the engine what it is. Raises SandboxUnavailable naming whatever makes it unusable."""
        api = self.api()
        try:
            facts = self.call("asking the engine what it is", lambda api: api.info())
        except EngineError as problem:
            raise SandboxUnavailable(str(problem)) from problem
        try:
            return _described(facts, str(api._version), self.context)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as problem:
            raise SandboxUnavailable(
                f"the engine describes itself in a way that no Docker Engine does ({type(problem).__name__}: {str(problem)[:100]})"
            ) from problem


def _described(facts: dict[str, Any], api_version: str, context: DockerContext | None) -> EngineInfo:
    """What the engine says of itself. Raises SandboxUnavailable; other errors where it says something of another shape."""
    version = str(facts.get("ServerVersion", "?"))
    if facts.get("OSType") != "linux":
        raise SandboxUnavailable(f"engine {version} runs {facts.get('OSType')} containers; Linux is needed")
    security = [str(option) for option in facts.get("SecurityOptions") or []]
    if not any("name=seccomp" in option for option in security):
        raise SandboxUnavailable(f"engine {version} has no seccomp: system calls of jobs could not be filtered")
    store = dict(facts.get("DriverStatus") or [])
    if "snapshotter" in str(store.get("driver-type", "")):
        raise SandboxUnavailable(
            f"engine {version} uses the containerd image store, whose image ids are not the hash of the image's "
            'configuration; set {"features": {"containerd-snapshotter": false}} in daemon.json and restart it'
        )
    for key, name in (("MemoryLimit", "memory"), ("PidsLimit", "pids"), ("CpuCfsQuota", "cpu")):
        if facts.get(key) is False:
            raise SandboxUnavailable(f"engine {version} cannot limit {name}: enable that cgroup controller")
    return EngineInfo(
        version,
        api_version,
        {"x86_64": "amd64", "aarch64": "arm64"}.get(str(facts["Architecture"]), str(facts["Architecture"])),
        tuple(sorted(facts.get("Runtimes") or {})),
        int(facts.get("NCPU", 1)),
        int(facts.get("MemTotal", 0)) >> 20,
        any("name=rootless" in option or "name=userns" in option for option in security),
        str(facts.get("DockerRootDir") or ""),
        tuple(str(folder) for folder in facts.get("CDISpecDirs") or ()),
        context="" if context is None else context.name,
        whole_processors=facts.get("WholeProcessors") is True,
    )


def explain(problem: Exception) -> str:
    """The engine's own words, on one line and bounded."""
    text = getattr(problem, "explanation", None) or str(problem)
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return " ".join(str(text).split())[:400]


def _plain(problem: Exception) -> str:
    """What the system said, without the exceptions that libraries wrap it in."""
    text = " ".join(str(problem).split())
    found = re.search(r"Error\(\d+, '([^']{1,100})'\)", text)
    return found[1] if found else text[:200]


def _no_engine(where: str, problem: Exception) -> str:
    return (
        f"no Docker Engine answers at {where} ({_plain(problem)}). Install one (Debian: apt-get install docker.io, in a clone "
        "scripts/engine.sh start), start it, and let this user reach its socket; `docker info` must succeed"
    )
