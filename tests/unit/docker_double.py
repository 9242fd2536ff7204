"""An engine in this process, as far as the sandbox asks for one: images by id and name, containers that are threads, volumes in
memory that are empty again as soon as nothing that runs mounts them. Sidecars run the sidecar's real program, jobs a function."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import shutil
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import requests

from learningchain.sandbox.docker import sidecar_program

from .test_sandbox_isolation import reported


def refusal(status: int, why: str = "no") -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError(why, response=response, explanation=why)


class Box:
    """One container. A job is called with it: it reads `inside`, writes `outside`, says things, and returns its exit code."""

    def __init__(self, docker: DockerDouble, name: str, config: dict[str, Any]) -> None:
        self.docker, self.name, self.config = docker, name, config
        self.mounts = {mount["Target"]: mount for mount in config.get("HostConfig", {}).get("Mounts", [])}
        self.ours, self.theirs = socket.socketpair()
        self.killed, self.dead, self.running = threading.Event(), threading.Event(), False
        self.code, self.out_of_memory, self.attached = 0, False, False

    @property
    def inside(self) -> Path:
        """What the job sees: a volume, or several as one tree."""
        name = self.mounts["/lc/in"]["Source"]
        lower = self.docker.volume_options.get(name, {}).get("o", "").partition("lowerdir=")[2]
        if not lower:
            return self.docker.folder / name
        merged = self.docker.folder / f"{name}-merged"
        for folder in reversed(lower.split(":")):
            shutil.copytree(folder, merged, dirs_exist_ok=True)
        return merged

    @property
    def outside(self) -> Path:
        return self.docker.folder / self.mounts["/lc/out"]["Source"]

    def say(self, data: bytes, stream: int = 1) -> None:
        with contextlib.suppress(OSError):
            self.ours.sendall(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data)

    def hush(self) -> None:
        """Closes its output, and goes on."""
        with contextlib.suppress(OSError):
            self.ours.shutdown(socket.SHUT_RDWR)

    def leave(self, losses: bytes | None = b"0.25\n0.5\n", model: bytes | None = b"weights") -> None:
        """What either phase leaves."""
        for name, content in (("losses", losses), ("model", model)):
            if content is not None:
                (self.outside / name).write_bytes(content)

    def main(self) -> None:
        try:
            self.code = self.keep() if self.config["Entrypoint"] != ["/lc/job"] else self.docker.job(self)
        finally:
            if self.killed.is_set():
                self.code = 137
            self.running = False
            self.dead.set()
            self.hush()

    def keep(self) -> int:
        """The sidecar's own program, over this box's streams and folders."""
        spec = importlib.util.spec_from_file_location("a_sidecar", sidecar_program.__file__)
        assert spec is not None
        assert spec.loader is not None
        program: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(program)
        for target, name in (("/lc/in", "IN"), ("/lc/out", "OUT"), ("/lc/data", "DATA")):
            if target in self.mounts:
                setattr(program, name, str(self.docker.folder / self.mounts[target]["Source"]))
        box = self

        class Answers(io.RawIOBase):
            def write(self, data: Any) -> int:
                box.say(bytes(data))
                return len(data)

        with contextlib.suppress(OSError, EOFError), self.ours.makefile("rb") as asked:
            program.serve(asked, Answers())
        return 0


def method(function: Callable[..., Any]) -> Callable[..., Any]:
    """A call of the engine: noted, and failed where the test says so."""

    def called(self: DockerDouble, *args: Any, **more: Any) -> Any:
        self.did.append(" ".join((function.__name__, *(str(arg) for arg in args if isinstance(arg, str)))))
        faults = self.faults.get(function.__name__, [])
        fault = faults.pop(0) if faults else None
        if fault is not None:
            raise fault
        return function(self, *args, **more)

    return called


class DockerDouble:
    """`job` is what every job does; `faults` has, for each method, what its next calls raise (None: that one succeeds)."""

    _version = "1.43"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.did: list[str] = []
        self.faults: dict[str, list[Exception | None]] = {}
        self.boxes: dict[str, Box] = {}
        self.made: list[Box] = []
        self.volumes: dict[str, Path] = {}
        self.volume_labels: dict[str, dict[str, str]] = {}
        self.volume_options: dict[str, dict[str, str]] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.names: dict[str, str] = {}
        self.registry: dict[str, tuple[dict[str, Any], list[bytes]]] = {}
        """What a reference names: the image as the engine will describe it, and its files in pieces."""
        self.files: dict[str, list[bytes]] = {}
        self.events: list[dict[str, Any]] = []
        self.computed_ns = 0
        """What every container says that it has used of a processor."""
        """What the engine tells while it pulls or loads."""
        self.open_pulls = 0
        self.job: Callable[[Box], int] = lambda box: box.leave() or 0
        self.facts: dict[str, Any] = {
            "OSType": "linux",
            "SecurityOptions": ["name=seccomp"],
            "Architecture": "x86_64",
            "NCPU": 2,
            "MemTotal": 2**30,
            "Runtimes": {"runc": {}},
        }

    def count(self, start: str) -> int:
        return len([call for call in self.did if call.startswith(start)])

    @method
    def info(self) -> Any:
        return self.facts

    # containers and volumes

    @method
    def create_container_from_config(self, config: dict[str, Any], name: str | None = None) -> dict[str, str]:
        name = name or f"unnamed-{len(self.did)}"
        if name in self.boxes:
            raise refusal(409, "the name is in use")
        box = self.boxes[name] = Box(self, name, config)
        self.made.append(box)
        for mount in box.mounts.values():
            if mount["Source"] not in self.volumes:
                more = mount["VolumeOptions"]
                self.create_volume(mount["Source"], "local", more["DriverConfig"]["Options"], more["Labels"])
        return {"Id": name}

    @method
    def create_volume(self, name: str, driver: str, driver_opts: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
        """As engines do: what is there already is answered, whatever was asked for."""
        if name not in self.volumes:
            self.volumes[name] = self.folder / name
            self.volumes[name].mkdir()
            self.volume_labels[name], self.volume_options[name] = labels, driver_opts
        return self.inspect_volume(name)

    @method
    def inspect_volume(self, name: str) -> dict[str, Any]:
        if name not in self.volumes:
            raise refusal(404, f"no volume {name}")
        options, labels = self.volume_options[name], self.volume_labels[name]
        facts = {"Name": name, "Driver": "local", "Options": options or None, "Labels": labels, "Scope": "local"}
        return facts | {"Mountpoint": str(self.volumes[name])}

    def find(self, name: str) -> Box:
        if name not in self.boxes:
            raise refusal(404, f"no container {name}")
        return self.boxes[name]

    @method
    def inspect_container(self, name: str) -> dict[str, Any]:
        box = self.find(name)
        return reported(box.config) | {"State": {"OOMKilled": box.out_of_memory}}

    @method
    def stats(self, name: str, *, stream: bool, one_shot: bool) -> dict[str, Any]:
        """As engines on control groups of version 1 say it; of one that does not run they say nothing of memory."""
        held = {"usage": 50 << 20, "stats": {"total_inactive_file": 20 << 20, "inactive_file": 1 << 20}}
        if not self.find(name).running:
            return {"memory_stats": {}}
        return {"memory_stats": held, "cpu_stats": {"cpu_usage": {"total_usage": self.computed_ns}}}

    @method
    def attach_socket(self, name: str, params: dict[str, int]) -> socket.socket:
        box = self.find(name)
        box.attached = True
        return box.theirs

    @method
    def put_archive(self, name: str, path: str, data: Iterator[bytes]) -> bool:
        """As the real client does it: an OSError of whoever sends looks like a connection that broke."""
        target, _, rest = path.removeprefix("/").partition("/data/")
        folder = self.volumes[self.find(name).mounts[f"/{target}/data"]["Source"]] / rest
        try:
            content = b"".join(data)
        except OSError as problem:
            raise requests.exceptions.ConnectionError(problem) from problem
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for entry in archive:
                if entry.isdir():
                    (folder / entry.name).mkdir()
                else:
                    (folder / entry.name).write_bytes(archive.extractfile(entry).read())  # type: ignore[union-attr]
        return True

    @method
    def start(self, name: str) -> None:
        box = self.find(name)
        mounted = {m["Source"] for other in self.boxes.values() if other.running for m in other.mounts.values()}
        for mount in box.mounts.values():
            if mount["Source"] not in mounted and self.volume_options[mount["Source"]].get("type") == "tmpfs":
                shutil.rmtree(self.volumes[mount["Source"]])
                self.volumes[mount["Source"]].mkdir()
        box.running = True
        threading.Thread(target=box.main, daemon=True).start()

    @method
    def wait(self, name: str, timeout: float) -> dict[str, int]:
        box = self.find(name)
        if not box.dead.wait(timeout):
            raise requests.exceptions.ConnectionError("Read timed out.")
        return {"StatusCode": box.code}

    @method
    def kill(self, name: str) -> None:
        box = self.find(name)
        if box.dead.is_set():
            raise refusal(409, "it is not running")
        box.killed.set()

    @method
    def remove_container(self, name: str, v: bool = False, force: bool = False) -> None:
        assert force, "one that runs has to go too"
        assert v, "its unnamed volumes have to go too"
        box = self.find(name)
        box.killed.set()
        box.hush()
        del self.boxes[name]

    @method
    def remove_volume(self, name: str, force: bool = False) -> None:
        if name not in self.volumes:
            raise refusal(404, f"no volume {name}")
        if any(name == mount["Source"] for box in self.boxes.values() for mount in box.mounts.values()):
            raise refusal(409, "the volume is in use")
        shutil.rmtree(self.volumes.pop(name))
        del self.volume_labels[name], self.volume_options[name]
        shutil.rmtree(self.folder / f"{name}-merged", ignore_errors=True)

    @method
    def containers(self, all: bool, filters: dict[str, Any]) -> list[dict[str, Any]]:
        found = [(name, box.config["Labels"]) for name, box in list(self.boxes.items())]
        return [{"Id": name, "Labels": labels} for name, labels in found if _has(labels, filters["label"])]

    @method
    def list_volumes(self, filters: dict[str, Any]) -> dict[str, Any]:
        found = list(self.volume_labels.items())
        return {"Volumes": [{"Name": name, "Labels": labels} for name, labels in found if _has(labels, filters["label"])]}

    # images

    @method
    def load_image(self, pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
            manifest = json.loads(archive.extractfile("manifest.json").read())[0]  # type: ignore[union-attr]
            document = archive.extractfile(manifest["Config"]).read()  # type: ignore[union-attr]
        config = json.loads(document)
        image = f"sha256:{hashlib.sha256(document).hexdigest()}"
        if not self.events:
            self.images[image] = {
                "Id": image,
                "Size": 10,
                "Os": config["os"],
                "Architecture": config["architecture"],
                "Config": config["config"],
                "RootFS": {"Layers": config["rootfs"]["diff_ids"]},
            }
            self.names |= dict.fromkeys(manifest["RepoTags"], image)
        return iter(self.events)

    @method
    def inspect_image(self, name: str) -> dict[str, Any]:
        image = self.names.get(name, name)
        if image not in self.images:
            raise refusal(404, f"no image {name}")
        return self.images[image]

    @method
    def tag(self, image: str, repository: str, tag: str) -> None:
        if image not in self.images:
            raise refusal(404, f"no image {image}")
        self.names[f"{repository}:{tag}"] = image

    @method
    def remove_image(self, name: str) -> None:
        if name not in self.names:
            raise refusal(404, f"no image {name}")
        image = self.names[name]
        if list(self.names.values()).count(image) == 1:
            if any(box.config["Image"] == image for box in self.boxes.values()):
                raise refusal(409, "a container uses it")
            del self.images[image]
        del self.names[name]

    @method
    def list_images(self, name: str) -> list[dict[str, Any]]:
        # Engines take the name for a pattern, and tell all names of what they find.
        return [
            {"RepoTags": [tag for tag, of in self.names.items() if of == image] or None, "Size": facts["Size"]}
            for image, facts in self.images.items()
        ]

    @method
    def pull(self, name: str, tag: str, stream: bool, decode: bool) -> Iterator[dict[str, Any]]:
        return self._pulling(f"{name}@{tag}")

    def _pulling(self, reference: str) -> Iterator[dict[str, Any]]:
        self.open_pulls += 1
        try:
            yield from self.events
            if reference not in self.registry:
                yield {"error": "manifest unknown: nothing of this name"}
                return
            facts, pieces = self.registry[reference]
            self.images[facts["Id"]], self.files[facts["Id"]], self.names[reference] = facts, pieces, facts["Id"]
        finally:
            self.open_pulls -= 1

    @method
    def export(self, name: str) -> Iterator[bytes]:
        yield from self.files[self.find(name).config["Image"]]


def _has(labels: dict[str, str], wanted: str | list[str]) -> bool:
    return all(
        labels.get(key) == value
        for key, _, value in (word.partition("=") for word in ([wanted] if isinstance(wanted, str) else wanted))
    )


class Client:
    """The names under which the library has the two calls that a class cannot have beside its attributes."""

    def __init__(self, double: DockerDouble) -> None:
        self._double = double

    def __getattr__(self, name: str) -> Any:
        return getattr(self._double, {"images": "list_images", "volumes": "list_volumes"}.get(name, name))
