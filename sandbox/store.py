"""The images that this node brought onto the engine: checked, loaded or pulled, tagged as ours, and removed again.

Every such image carries a tag `learningchain/<node>:<start of its id>`. The tag is the node's reference to it, given in
the same step that loads it: several nodes share one engine without removing each other's images, a killed node finds
its own again, and an image that somebody else had loaded before survives us. Images are run by id, never by a tag.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import docker.errors

from sandbox.archive import clean_archive, scan_archive
from sandbox.engine import Engine, explain
from sandbox.errors import BadImage, EngineError, ImageNotFound
from sandbox.spec import ImageLimits, is_image_id

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}@sha256:[0-9a-f]{64}")
_NOT_FOUND = ("not found", "manifest unknown", "does not exist", "name unknown", "access denied")
_PULL_EVENTS = 1_000_000


class ImageStore:
    """This node's images on one engine."""

    def __init__(self, engine: Engine, node_tag: str, scratch: Path) -> None:
        self._engine = engine
        self._repository = f"learningchain/{node_tag}"
        self._scratch = scratch
        self._checked: set[str] = set()

    def _tag(self, image_id: str) -> str:
        return image_id.removeprefix("sha256:")[:40]

    def load(self, path: Path, expect_image_id: str | None, limits: ImageLimits, architecture: str | None) -> str:
        """Checks and loads a docker-archive; returns its image id. Raises BadImage, EngineError."""
        image = scan_archive(path, limits, architecture=architecture)
        if expect_image_id is not None and image.image_id != expect_image_id:
            raise BadImage(f"the archive holds image {image.image_id}, not {expect_image_id}")
        if not self._adopt(image.image_id):
            self._load(path, image, f"{self._repository}:{self._tag(image.image_id)}")
        self._checked.add(image.image_id)
        return image.image_id

    def _load(self, path: Path, image: Any, tag: str) -> None:
        try:
            api = self._engine.api(transfer=True)
            for event in api.load_image(clean_archive(path, image, tag)):
                if "error" in event:
                    raise BadImage(f"the engine cannot load the image: {str(event['error'])[:300]}")
        except docker.errors.APIError as problem:
            raise BadImage(f"the engine cannot load the image: {explain(problem)}") from problem
        except (docker.errors.DockerException, OSError) as problem:
            raise EngineError("loading an image", str(problem)[:300]) from problem
        if self._inspect(image.image_id) is None:
            raise EngineError("loading an image", f"the engine took it but does not know {image.image_id}")

    def pull(self, reference: str, limits: ImageLimits, architecture: str | None) -> str:
        """Pulls `name@sha256:...` from its registry, checks it as an archive is checked, and returns its image id.

        A registry's layers are packed: their packed size is bounded while they arrive, the unpacked size afterwards.
        Raises BadImage, ImageNotFound, EngineError.
        """
        if _REFERENCE.fullmatch(reference) is None:
            raise BadImage(f"{reference[:100]!r} names no digest; an image is pulled as name@sha256:<64 hex digits>")
        known = self._inspect(reference)
        if known is None:
            self._pull(reference, limits)
            known = self._inspect(reference)
            if known is None:
                raise ImageNotFound(f"{reference} was pulled, but the engine does not know it")
            try:
                return self._accept(known, limits, architecture)
            finally:
                # From here on our own tag holds it; a refused image loses its last reference and goes.
                self._untag(reference)
        return self._accept(known, limits, architecture)

    def _accept(self, facts: dict[str, Any], limits: ImageLimits, architecture: str | None) -> str:
        image_id = str(facts["Id"])
        if not is_image_id(image_id):
            raise EngineError("pulling an image", f"the engine calls it {image_id[:80]!r}")
        if int(facts.get("Size", 0)) > limits.unpacked_bytes:
            raise BadImage(f"the image unpacks to {facts['Size']} bytes; the limit is {limits.unpacked_bytes}")
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._scratch, prefix=".pulled-") as file:
            size = 0
            for piece in self._engine.api(transfer=True).get_image(image_id):
                size += len(piece)
                if size > limits.unpacked_bytes + limits.files * 1024:
                    raise BadImage(f"the image unpacks to more than {limits.unpacked_bytes} bytes")
                file.write(piece)
            file.flush()
            # The engine hands layers out unpacked, so the archive's own size says nothing new.
            unpacked = ImageLimits(
                archive_bytes=size, unpacked_bytes=limits.unpacked_bytes, files=limits.files, layers=limits.layers
            )
            if scan_archive(Path(file.name), unpacked, architecture=architecture).image_id != image_id:
                raise BadImage("the engine's image id is not the hash of the image's configuration")
        self._adopt(image_id)
        self._checked.add(image_id)
        return image_id

    def _pull(self, reference: str, limits: ImageLimits) -> None:
        name, _, digest = reference.partition("@")
        sizes: dict[str, int] = {}
        try:
            events = self._engine.api(transfer=True).pull(name, tag=digest, stream=True, decode=True)
            for count, event in enumerate(events):
                if "error" in event:
                    raise _pull_error(reference, str(event["error"]))
                total = (event.get("progressDetail") or {}).get("total")
                if event.get("status") == "Downloading" and total:
                    sizes[str(event.get("id"))] = int(total)
                if sum(sizes.values()) > limits.archive_bytes or count > _PULL_EVENTS:
                    raise BadImage(f"{reference} is larger than {limits.archive_bytes} bytes to download")
        except docker.errors.APIError as problem:
            raise _pull_error(reference, explain(problem)) from problem
        except (docker.errors.DockerException, OSError) as problem:
            raise EngineError("pulling an image", str(problem)[:300]) from problem

    def require(self, image_id: str) -> None:
        """Makes sure that a run may use this image. Raises ImageNotFound, BadImage, EngineError."""
        if image_id in self._checked:
            return  # where somebody removed it since, creating the container says so
        facts = self._inspect(image_id)
        if facts is None:
            raise ImageNotFound(f"image {image_id} is not on this engine; load or pull it first")
        if (facts.get("Config") or {}).get("Volumes"):
            raise BadImage("the image declares a VOLUME")
        self._checked.add(image_id)

    def known(self, image_id: str) -> bool:
        return self._inspect(image_id) is not None

    def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(self._engine.call("looking up an image", lambda api: api.inspect_image(name)))
        except EngineError as problem:
            if problem.status == 404:
                return None
            raise

    def _adopt(self, image_id: str) -> bool:
        """Tags an image that is on the engine as ours too; False where it is not there."""
        try:
            self._engine.call("tagging an image", lambda api: api.tag(image_id, self._repository, self._tag(image_id)))
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
        self._checked.discard(image_id)
        self._untag(f"{self._repository}:{self._tag(image_id)}")

    def remove_all(self, keep: Collection[str]) -> tuple[int, list[str]]:
        """Gives up every image of this node but those in `keep`; returns how many, and the problems."""
        removed, problems = 0, []
        found = self._engine.call("listing images", lambda api: api.images(name=self._repository))
        for facts in found:
            if facts["Id"] in keep:
                continue
            for tag in facts.get("RepoTags") or []:
                if tag.rpartition(":")[0] != self._repository:
                    continue
                try:
                    self._untag(tag)
                    removed += 1
                except EngineError as problem:
                    problems.append(str(problem))
            self._checked.discard(facts["Id"])
        return removed, problems


def _pull_error(reference: str, why: str) -> Exception:
    if any(word in why.lower() for word in _NOT_FOUND):
        return ImageNotFound(f"{reference} is not in its registry: {why[:200]}")
    return EngineError("pulling an image", why[:300])
