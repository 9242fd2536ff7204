"""The images that this node brought onto the engine: checked, written anew, loaded, tagged as ours, and removed again.

Every such image carries a tag `learningchain/<node>:<its posted id>`. The tag is the node's reference to it, given in the same step
that loads it: several nodes share one engine without removing each other's images, a killed node finds its own again, and an image
that somebody else had loaded before survives us. Callers know an image by its posted id; `require` says what the engine calls it.
After every way in, the engine's own view of the image is compared with the guard's: id, layers, settings and size.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import docker.errors

from learningchain.sandbox.archive import IMAGE_LABEL, ScannedImage, clean_archive, scan_archive, scan_export
from learningchain.sandbox.disk import BLOCK, leave_room
from learningchain.sandbox.docker.engine import Engine, explain
from learningchain.sandbox.documents import described_config
from learningchain.sandbox.errors import BadImage, EngineError, ImageNotFound
from learningchain.sandbox.layers import NAMES_CAP
from learningchain.sandbox.spec import MIB, ImageLimits, is_image_id

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}@sha256:[0-9a-f]{64}")
_NOT_FOUND = ("not found", "manifest unknown", "does not exist", "name unknown", "access denied")
_PULL_EVENTS = 1_000_000
PULL_LEAST = 100_000
"""Bytes per second over one window below which a pull ends."""
PULL_WINDOW_S = 20.0
PULL_PATIENCE_S, PULL_SLOWEST = 60.0, 1_000_000
"""A pull has so many seconds, and one more for each so many bytes that it may bring."""
_UNPACKING = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")
"""What engines say of a layer while they do not wait for the registry."""
_PULLED_CAP = 1024
_IN_USE = 409
IMAGES_CAP = 65_536 * MIB
"""Bytes of this node's images on the engine, all together."""
_NOTHING: tuple[object, ...] = (None, "", False, 0, [], {})
_SETTINGS = ("Volumes", "Entrypoint", "Cmd", "User", "OnBuild", "ExposedPorts", "Healthcheck", "StopSignal", "WorkingDir", "Shell")
"""Settings of an image that ours leave out, as the engine names them."""


_OF_THE_MACHINE = ("no space left", "input/output error", "read-only file system", "permission denied", "quota exceeded")
"""What an engine says of its own disk, in whatever words around it."""


def _not_loaded(why: str) -> BadImage | EngineError:
    """What is loaded was written by this node: where the engine's disk is the trouble, the image is not to blame."""
    if any(words in why.lower() for words in _OF_THE_MACHINE):
        return EngineError("loading an image", why)
    return BadImage(f"the engine cannot load the image: {why}")


class ImageStore:
    """This node's images on one engine. `labels` mark the containers that it makes, never starts and removes."""

    def __init__(
        self,
        engine: Engine,
        node_tag: str,
        scratch: Path,
        labels: dict[str, str],
        now: Callable[[], float] = time.monotonic,
        disk: Callable[[], Path | None] = lambda: None,
        cap: int = IMAGES_CAP,
    ) -> None:
        """`disk`: where the engine keeps images, as far as that is on this machine. `cap`: most bytes that they take there."""
        self._engine = engine
        self._repository = f"learningchain/{node_tag}"
        self._scratch = scratch
        self._labels = labels
        self._now = now
        self._disk, self._cap = disk, cap
        self._used: dict[str, float] = {}
        """When a run last asked for each."""
        self._kept: set[str] = set()
        """Images that make no room for others."""
        self._loading = threading.Lock()
        self._checked: dict[str, str] = {}
        """Images that a run may use: what the engine calls each."""
        self._pulled: dict[str, str] = {}
        """The posted ids of images by the reference that they were pulled under."""

    def _tag(self, image_id: str) -> str:
        return image_id.removeprefix("sha256:")

    def _name(self, image_id: str) -> str:
        return f"{self._repository}:{self._tag(image_id)}"

    def load(self, path: Path, expect_image_id: str | None, limits: ImageLimits, architecture: str | None) -> str:
        """Checks and loads a docker-archive; returns its posted id. Raises BadImage, EngineError."""
        image = scan_archive(path, limits, architecture=architecture)
        if expect_image_id is not None and image.image_id != expect_image_id:
            raise BadImage(f"the archive holds image {image.image_id}, not {expect_image_id}")
        self._take_in(path, image)
        return image.image_id

    def _take_in(self, path: Path, image: ScannedImage) -> None:
        if not self._adopt(image):
            self._load(path, image)
        try:
            self._agree(image)
        except EngineError:
            self._untag(self._name(image.image_id))
            raise
        self._checked[image.image_id] = image.loaded_id
        self._used[image.image_id] = self._now()

    def _load(self, path: Path, image: ScannedImage) -> None:
        with self._loading:
            self._make_room(image.unpacked_bytes + BLOCK * image.files)
            leave_room(self._disk(), "loading an image", image.unpacked_bytes, image.files)
            self._write(path, image)

    def _make_room(self, size: int) -> None:
        """Gives up images until `size` more bytes are within the bound, the least recently used first and none that a container
        has: an archive unpacks to a thousand times its bytes. Whoever needs one again brings it again. Raises EngineError.
        """
        there = self._ours()
        taken = sum(there.values())
        for image_id in sorted(there, key=lambda one: self._used.get(one, 0.0)):
            if taken + size <= self._cap:
                return
            if image_id in self._kept:
                continue
            try:
                self.remove(image_id)
            except EngineError as problem:
                if problem.status != _IN_USE:
                    raise
                continue
            taken -= there[image_id]
        if taken + size > self._cap:
            text = f"it takes {size // MIB} MiB unpacked beside {taken // MIB} MiB of images that are in use"
            raise EngineError("loading an image", f"{text}; all together may take {self._cap // MIB} (sandbox.images_mb)")

    def _ours(self) -> dict[str, int]:
        """This node's images on the engine, by their posted ids, and the bytes that each takes there. Raises EngineError."""
        found = self._engine.call("listing images", lambda api: api.images(name=self._repository))
        names = [(name.rpartition(":"), facts) for facts in found for name in facts.get("RepoTags") or []]
        return {f"sha256:{tag}": int(facts.get("Size") or 0) for (of, _, tag), facts in names if of == self._repository}

    def keep(self, image_id: str) -> None:
        """Never makes room for others: runs of every image need it."""
        self._kept.add(image_id)

    def _write(self, path: Path, image: ScannedImage) -> None:
        try:
            api = self._engine.api(transfer=True)
            for event in api.load_image(clean_archive(path, image, self._name(image.image_id))):
                if "error" in event:
                    raise _not_loaded(str(event["error"])[:300])
        except docker.errors.APIError as problem:
            raise _not_loaded(explain(problem)) from problem
        except (docker.errors.DockerException, OSError) as problem:
            raise EngineError("loading an image", str(problem)[:300]) from problem

    def _agree(self, image: ScannedImage) -> None:
        """Compares what the engine has with what the guard wrote. Raises EngineError."""
        facts = self._inspect(image.loaded_id)
        if facts is None:
            raise EngineError("loading an image", f"the engine took it but does not know {image.loaded_id}")
        differing = image_differences(image, facts)
        if differing:
            raise EngineError("loading an image", f"the engine sees another image than was written: {'; '.join(differing)[:300]}")

    def pull(self, reference: str, limits: ImageLimits, architecture: str | None) -> str:
        """Pulls `name@sha256:...` from its registry, takes it in as an archive is taken in, and returns its posted id.

        A registry's layers are packed: their packed size is bounded while they arrive, the unpacked size afterwards. What runs
        is never what was pulled: its files are taken as the engine shows them, written anew as one layer and loaded, and the pulled
        image is given up.
        Raises BadImage, ImageNotFound, EngineError.
        """
        if _REFERENCE.fullmatch(reference) is None:
            raise BadImage(f"{reference[:100]!r} names no digest; an image is pulled as name@sha256:<64 hex digits>")
        before = self._pulled.get(reference)
        if before is not None and self.known(before):
            return before
        there = self._inspect(reference)
        if there is None:
            self._pull(reference, limits)
            there = self._inspect(reference)
            if there is None:
                raise ImageNotFound(f"{reference} was pulled, but the engine does not know it")
            try:
                image_id = self._accept(there, limits, architecture)
            finally:
                # A pulled image, taken in or refused, loses its last reference and goes.
                self._untag(reference)
        else:
            image_id = self._accept(there, limits, architecture)
        if len(self._pulled) >= _PULLED_CAP:
            self._pulled.clear()
        self._pulled[reference] = image_id
        return image_id

    def _accept(self, facts: dict[str, Any], limits: ImageLimits, architecture: str | None) -> str:
        """Takes in an image that is on the engine, pulled by us or by somebody else. Raises BadImage, EngineError."""
        image_id = str(facts["Id"])
        if not is_image_id(image_id):
            raise EngineError("pulling an image", f"the engine calls it {image_id[:80]!r}")
        if int(facts.get("Size", 0)) > limits.unpacked_bytes:
            raise BadImage(f"the image unpacks to {facts['Size']} bytes; the limit is {limits.unpacked_bytes}")
        config = described_config(facts, architecture)
        self._scratch.mkdir(parents=True, exist_ok=True)
        leave_room(self._scratch, "reading a pulled image", int(facts.get("Size", 0)))
        with tempfile.NamedTemporaryFile(dir=self._scratch, prefix=".pulled-") as file:
            for piece in self._exported(image_id, limits):
                file.write(piece)
            file.flush()
            self._take_in(Path(file.name), scan_export(Path(file.name), image_id, config, limits))
        return image_id

    def _exported(self, image_id: str, limits: ImageLimits) -> Iterator[bytes]:
        """The files of an image as a container of it shows them. Not by `docker save`, which puts a layer together again as it
        came, and waits for ever where that takes reading a pipe. Raises BadImage, EngineError."""
        settings = {"Image": image_id, "Entrypoint": ["/x"], "Cmd": [], "NetworkDisabled": True, "Labels": self._labels}
        what, size = "reading a pulled image", 0
        made = self._engine.call(what, lambda api: api.create_container_from_config(settings))["Id"]
        try:
            for piece in self._engine.api(transfer=True).export(made):
                size += len(piece)
                if size > limits.unpacked_bytes + limits.files * 2048 + MIB:
                    raise BadImage(f"the image unpacks to more than {limits.unpacked_bytes} bytes")
                yield piece
        except (docker.errors.DockerException, OSError) as problem:
            raise EngineError(what, str(problem)[:300]) from problem
        finally:
            self._engine.call(what, lambda api: api.remove_container(made, v=True, force=True))

    def _pull(self, reference: str, limits: ImageLimits) -> None:
        name, _, digest = reference.partition("@")
        watch = PullWatch(reference, limits.archive_bytes, self._now)
        disk = self._disk()
        leave_room(disk, "pulling an image")
        try:
            events = self._engine.api(pull=True).pull(name, tag=digest, stream=True, decode=True)
            with contextlib.closing(events):  # an engine ends a pull that nobody listens to any more
                for event in events:
                    watch.event(event)
                    leave_room(disk, "pulling an image")  # what it unpacks to is nowhere said
        except docker.errors.APIError as problem:
            raise _pull_error(reference, explain(problem)) from problem
        except (docker.errors.DockerException, OSError) as problem:
            raise EngineError("pulling an image", str(problem)[:300]) from problem

    def require(self, image_id: str) -> str:
        """What the engine calls an image that a run may use. Raises ImageNotFound, EngineError."""
        loaded = self._checked.get(image_id)
        if loaded is not None:
            self._used[image_id] = self._now()
            return loaded  # where somebody removed it since, creating the container says so
        facts = self._inspect(self._name(image_id))
        # An image under our tag was written by us, perhaps before a restart: its label says what it was made of.
        if facts is None or ((facts.get("Config") or {}).get("Labels") or {}).get(IMAGE_LABEL) != image_id:
            raise ImageNotFound(f"image {image_id} is not on this engine; load or pull it first")
        if (facts.get("Config") or {}).get("Volumes"):
            raise EngineError("looking up an image", "an image under this node's tag declares a VOLUME: this node did not load it")
        self._used[image_id] = self._now()
        return self._checked.setdefault(image_id, str(facts["Id"]))

    def known(self, image_id: str) -> bool:
        """Asks the engine. What somebody removed there is looked up anew before it runs again. Raises EngineError."""
        there = self._inspect(self._name(image_id)) is not None
        if not there:
            self._checked.pop(image_id, None)
        return there

    def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(self._engine.call("looking up an image", lambda api: api.inspect_image(name)))
        except EngineError as problem:
            if problem.status == 404:
                return None
            raise

    def _adopt(self, image: ScannedImage) -> bool:
        """Tags an image that is on the engine as ours too; False where it is not there."""
        tag = self._tag(image.image_id)
        try:
            self._engine.call("tagging an image", lambda api: api.tag(image.loaded_id, self._repository, tag))
        except EngineError as problem:
            if problem.status == 404:
                return False
            raise
        return True

    def _untag(self, name: str) -> None:
        try:
            self._engine.call("removing an image", lambda api: api.remove_image(name))
        except EngineError as problem:
            if problem.status != 404:
                raise

    def remove(self, image_id: str) -> None:
        """Gives up this node's reference; the engine deletes the image with the last one. Raises EngineError."""
        self._untag(self._name(image_id))
        self._checked.pop(image_id, None)
        self._used.pop(image_id, None)

    def remove_all(self, keep: Collection[str]) -> tuple[int, list[str], list[str]]:
        """Gives up every image of this node but those in `keep`, by their posted ids. How many, the problems, and which stay."""
        removed, problems, kept = 0, list[str](), list[str]()
        for image_id in self._ours():
            if image_id in keep:
                kept.append(image_id)
                continue
            self._checked.pop(image_id, None)
            try:
                self._untag(self._name(image_id))
                removed += 1
            except EngineError as problem:
                problems.append(str(problem))
        return removed, problems, kept


class PullWatch:
    """Ends a pull that is too large or too slow, by the engine's events. `now` in seconds. Raises BadImage, EngineError."""

    def __init__(self, reference: str, cap: int, now: Callable[[], float]) -> None:
        self._reference, self._cap, self._now = reference, cap, now
        self._sizes: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._events = 0
        self._until = now() + PULL_PATIENCE_S + cap / PULL_SLOWEST
        self._mark = now(), 0
        """When this many bytes had arrived: the start of the window."""

    def event(self, event: dict[str, Any]) -> None:
        if "error" in event:
            raise _pull_error(self._reference, str(event["error"]))
        self._events += 1
        detail = event.get("progressDetail") or {}
        now, layer = self._now(), str(event.get("id"))
        if now > self._until:
            raise EngineError("pulling an image", "its time is up: its registry is too slow")
        if event.get("status") == "Downloading":
            self._sizes[layer] = int(detail.get("total") or 0)
            self._done[layer] = int(detail.get("current") or 0)
        if event.get("status") in _UNPACKING:
            self._mark = now, sum(self._done.values())  # the engine unpacks: its time, not the registry's
        else:
            self._check_rate(now, sum(self._done.values()))
        if sum(self._sizes.values()) > self._cap or sum(self._done.values()) > self._cap or self._events > _PULL_EVENTS:
            raise BadImage(f"{self._reference} is larger than {self._cap} bytes to download")

    def _check_rate(self, now: float, done: int) -> None:
        began, before = self._mark
        if now - began < PULL_WINDOW_S:
            return
        if done - before < PULL_LEAST * PULL_WINDOW_S:
            raise EngineError("pulling an image", f"{done - before} bytes in {now - began:.0f} s: its registry is too slow")
        self._mark = now, done


def image_differences(image: ScannedImage, facts: dict[str, Any]) -> list[str]:
    """Where the engine's description of a loaded image is not that of what the guard wrote. `facts` as the engine inspects it."""
    config, rootfs = facts.get("Config") or {}, facts.get("RootFS") or {}
    # Contents, and as much again as their names and links may take; storage drivers count blocks of 4 KiB or bytes.
    most = image.unpacked_bytes + 4096 * image.files + min(NAMES_CAP, 4096 * image.files) + MIB
    wanted: list[tuple[str, object, object]] = [
        ("id", facts.get("Id"), image.loaded_id),
        ("layers", rootfs.get("Layers"), [layer.written_digest for layer in image.layers]),
        ("Os", facts.get("Os"), "linux"),
        ("Architecture", facts.get("Architecture"), image.config.architecture),
        ("Env", config.get("Env") or [], list(image.config.env)),
        ("Labels", config.get("Labels"), {IMAGE_LABEL: image.image_id}),
    ]
    differing = [f"its {name} is {str(found)[:80]}" for name, found, asked in wanted if found != asked]
    differing += [f"it has {name}" for name in _SETTINGS if config.get(name) not in _NOTHING]
    size = facts.get("Size")
    if not isinstance(size, int) or size > most:
        differing.append(f"its Size is {size}; at most {most} was written")
    return differing


def _pull_error(reference: str, why: str) -> Exception:
    if any(word in why.lower() for word in _NOT_FOUND):
        return ImageNotFound(f"{reference} is not in its registry: {why[:200]}")
    return EngineError("pulling an image", why[:300])
