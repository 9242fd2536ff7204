"""The JSON documents of an image, read so that nobody else can read something else in them. Pure.

The engine is written in Go, whose reader of JSON matches keys whatever their case, in Unicode's sense (a long s is an s), merges
objects that occur twice, and replaces what is no text. So a document is refused that has a key twice in this sense, a key that is
another spelling of one with a meaning, or a character that is none.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec

from learningchain.sandbox.errors import BadImage

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ENV_CAP, _ENV_BYTES = 1000, 128 * 1024
_KEY_CAP = 256
"""Characters of a key. To order the accents of one letter as Unicode does takes the square of their number, and stops all."""
_IN_IMAGE = (
    *("architecture", "author", "comment", "config", "container", "container_config", "created", "docker_version", "history"),
    *("id", "os", "os.features", "os.version", "parent", "rootfs", "variant"),
)
_IN_CONFIG = (
    *("ArgsEscaped", "AttachStderr", "AttachStdin", "AttachStdout", "Cmd", "Domainname", "Entrypoint", "Env", "ExposedPorts"),
    *("Healthcheck", "Hostname", "Image", "Labels", "MacAddress", "NetworkDisabled", "OnBuild", "OpenStdin", "Shell", "StdinOnce"),
    *("StopSignal", "StopTimeout", "Tty", "User", "Volumes", "WorkingDir"),
)
_LABELS = "Labels"
_IN_ROOTFS = ("diff_ids", "type")
_IN_MANIFEST = ("Config", "LayerSources", "Layers", "Parent", "RepoTags")


class ImageConfig(msgspec.Struct, frozen=True):
    """What counts of an image's configuration document: the layers' digests, unpacked and bottom first, and the environment."""

    architecture: str
    layers: tuple[str, ...]
    env: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    """Names of the environment that no container is given."""


def parse_config(raw: bytes, architecture: str | None) -> ImageConfig:
    """An image's configuration document. Raises BadImage."""
    what = "the image's configuration"
    config = parse(raw, what)
    if not isinstance(config, dict):
        raise BadImage(f"{what} is no object")
    _one_spelling(config, _IN_IMAGE, what)
    settings, rootfs = config.get("config") or {}, config.get("rootfs")
    if not isinstance(settings, dict) or not isinstance(rootfs, dict) or not isinstance(settings.get("Volumes") or {}, dict):
        raise BadImage(f"{what} is damaged")
    _one_spelling(settings, _IN_CONFIG, what)
    _one_spelling(rootfs, _IN_ROOTFS, what)
    made_for = _platform(config.get("os"), config.get("architecture"), architecture)
    digests = rootfs.get("diff_ids")
    if not isinstance(digests, list) or not digests or not all(isinstance(d, str) and _DIGEST.fullmatch(d) for d in digests):
        raise BadImage(f"{what} names no layers")
    return ImageConfig(made_for, tuple(digests), *_env(settings.get("Env") or []))


def described_config(facts: dict[str, Any], architecture: str | None) -> ImageConfig:
    """The same of an image that is on the engine, as the engine inspects it. Raises BadImage."""
    settings = facts.get("Config") or {}
    for path in settings.get("Volumes") or ():  # left out, but the engine makes them once, to read the image's files
        if not path.startswith("/") or not path.strip("/") or ".." in path.split("/"):
            raise BadImage(f"the image declares the VOLUME {path[:80]!r}, of which no engine makes a container")
    made_for = _platform(facts.get("Os"), facts.get("Architecture"), architecture)
    return ImageConfig(made_for, (), *_env(settings.get("Env") or []))


def _platform(system: Any, made_for: Any, architecture: str | None) -> str:
    if system != "linux":
        raise BadImage(f"the image is made for {str(system)[:20]!r}, not for linux")
    if not isinstance(made_for, str) or (architecture is not None and made_for != architecture):
        raise BadImage(f"the image is made for {str(made_for)[:20]!r}; this machine is {architecture!r}")
    return made_for


def parse_manifest(raw: bytes) -> tuple[str, list[str]]:
    """manifest.json of a docker-archive of one image: the names of its configuration and of its layers. Raises BadImage."""
    what = "manifest.json"
    value = parse(raw, what)
    if isinstance(value, list) and len(value) > 1:
        tags = [str(tag)[:80] for one in value if isinstance(one, dict) for tag in one.get("RepoTags") or ()]
        known = f" ({', '.join(tags[:4])})" if tags else ""
        raise BadImage(
            f"the archive must hold exactly one image, and it holds {len(value)}{known}",
            f"Save one of them by its tag: docker save {shlex.quote(tags[0]) if tags else 'NAME:TAG'} -o one.tar",
        )
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        raise BadImage("the archive must hold exactly one image")
    _one_spelling(value[0], _IN_MANIFEST, what)
    config, layers = value[0].get("Config"), value[0].get("Layers")
    if not isinstance(config, str) or not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise BadImage("manifest.json names no configuration or no layers")
    return config, layers


def parse(raw: bytes, what: str) -> Any:
    """One JSON document in UTF-8, without a key that occurs twice for any reader. Raises BadImage.

    Labels are free text, which every reader takes as it is spelled: two may differ in case alone.
    """
    twice = f"{what} has a key twice, as some readers see it"

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if any(len(key) > _KEY_CAP for key, _ in pairs):
            raise BadImage(f"{what} has a key of more than {_KEY_CAP} characters")
        found = dict(pairs)
        if len(found) != len(pairs):
            raise BadImage(twice)
        return found if len({_folded(key) for key in found}) == len(found) else _Alike(found)

    def no_number(name: str) -> Any:
        raise BadImage(f"{what} holds {name}, which is not JSON")

    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=distinct, parse_constant=no_number)
        if _holds_alike(value):
            raise BadImage(twice)
        # Half a surrogate pair is no character: each reader makes something else of it.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise BadImage(f"{what} is not JSON") from None
    return value


class _Alike(dict[str, Any]):
    """An object with keys that some readers take for one."""


def _holds_alike(value: Any, key: str = "") -> bool:
    if isinstance(value, dict):
        return (isinstance(value, _Alike) and key != _LABELS) or any(_holds_alike(inner, name) for name, inner in value.items())
    return isinstance(value, list) and any(map(_holds_alike, value))


def _folded(key: str) -> str:
    """The same for all spellings that any reader takes for one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", key).casefold()).casefold()


def _one_spelling(found: dict[str, Any], known: Iterable[str], what: str) -> None:
    exact = {_folded(key): key for key in known}
    for key in found:
        if exact.get(_folded(key), key) != key:
            raise BadImage(f"{what} has the key {key[:40]!r}, which some readers take for {exact[_folded(key)]!r}")


def _is_dropped(item: str) -> bool:
    """What the dynamic linker, the container's init and a runtime for graphics cards would obey: strangers set none of it."""
    name = item.partition("=")[0]
    return name in ("LD_PRELOAD", "LD_AUDIT") or name.startswith(("NVIDIA_", "TINI_"))


def _env(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The image's own environment, of which the container's own variables replace those of the same name; and the names of what is
    dropped of it."""
    if not isinstance(value, list) or len(value) > _ENV_CAP or not all(isinstance(item, str) for item in value):
        raise BadImage("the image's environment is damaged")
    if any("=" not in item or item[0] == "=" or "\0" in item for item in value):  # a name of nothing: no runtime starts it
        raise BadImage("the image's environment is damaged")
    if sum(len(item.encode()) for item in value) > _ENV_BYTES:
        raise BadImage(f"the image's environment is damaged: it has more than {_ENV_BYTES} bytes")
    kept = tuple(item for item in value if not _is_dropped(item))
    return kept, tuple(sorted({item.partition("=")[0] for item in value if _is_dropped(item)}))
