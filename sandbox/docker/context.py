"""The engine that the command `docker` uses where neither a setting nor DOCKER_HOST names one: its active context's.

DOCKER_CONTEXT names the context, else `currentContext` in ~/.docker/config.json; `docker context use` writes it there, and so do
tools that set up rootless engines and engines in a machine of their own. A node takes sockets of this machine alone.
"""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple

from docker.context import ContextAPI
from docker.context.config import get_current_context_name

from learningchain.sandbox.errors import SandboxUnavailable

_contexts: Any = ContextAPI
_current_name: Any = get_current_context_name
_SOCKET: Final = "unix://"
_USUAL: Final = "unix:///var/run/docker.sock"


class DockerContext(NamedTuple):
    """A context that is not the default one: its name, and the URL of its engine's socket."""

    name: str
    url: str


def active_context() -> DockerContext | None:
    """None where the usual socket is meant. Raises SandboxUnavailable for a context that names no socket of this machine."""
    name = os.environ.get("DOCKER_CONTEXT") or str(_current_name() or "default")
    if name == "default":
        return None
    try:
        found = _contexts.get_context(name)
        url = str(found.endpoints["docker"]["Host"] or "") if found is not None else ""
    except Exception as problem:  # whatever a person's files hold
        raise _refusal(name, f"cannot be read ({' '.join(str(problem).split())[:200]})") from problem
    if found is None:
        raise _refusal(name, "is not there (docker context ls)")
    if not url.startswith(_SOCKET):
        raise _refusal(name, f"leads to {url[:200] or 'no engine'}, and a node uses an engine of this machine, by its socket")
    return DockerContext(name, url)


def _refusal(name: str, why: str) -> SandboxUnavailable:
    return SandboxUnavailable(
        f"docker's context {name[:100]!r} {why}. Name an engine: learningchain config set sandbox.engine {_USUAL}"
    )
