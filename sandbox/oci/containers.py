"""The containers of the engine: each is made and begun by crun, a child of the engine, in namespaces of its own.

    create -> its volumes in memory mounted -> start: config.json, control group, crun -> output handed on -> ended -> remove

What a container prints goes to whoever is attached, in the Engine's frames, and nowhere else. The engine is the first process of
its process namespace: the kernel ends every container with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from learningchain.sandbox.docker.devices import CDI_FOLDERS, DeviceParts, parts_of
from learningchain.sandbox.errors import DeviceRefused
from learningchain.sandbox.oci.bundle import runtime_config
from learningchain.sandbox.oci.groups import ControlGroup, ControlGroups
from learningchain.sandbox.oci.mounts import cover, make_dev, unmount
from learningchain.sandbox.oci.trees import Trees, UnpackedImage, remove_tree
from learningchain.sandbox.oci.volumes import Volumes
from learningchain.sandbox.oci.watch import held_by, used_by

INITS = ("tini-static", "catatonit", "docker-init")
"""Programs that need no library, any of which is the first process of a job's container."""
START_S = 60.0
KILL_S = 20.0
WATCH_S = 0.05
_READ = 1 << 16
_ERROR_CAP = 1 << 14
_NOT_FOUND, _NOT_EXECUTABLE, _KILLED = 127, 126, 137
_NO_PROGRAM = ("no such file", "not found")
_NO_START = ("permission denied", "exec format error", "is a directory", "cannot execute")


class CallRefused(Exception):
    """What is answered instead, with the status of the Engine's API."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Container:
    """One container, from its creation to its removal."""

    def __init__(self, name: str, asked: dict[str, Any], image: UnpackedImage, folder: Path) -> None:
        self.container_id = os.urandom(32).hex()
        self.name, self.asked, self.image, self.folder = name, asked, image, folder
        self.created = time.time()
        self.state = "created"
        self.code = 0
        self.out_of_memory = False
        self.changed = threading.Condition()
        self.listener: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.init: int | None = None
        """A descriptor of its first process."""
        self.init_pid = 0
        self.group: ControlGroup | None = None

    @property
    def memory(self) -> int:
        return int(self.asked["HostConfig"]["Memory"])

    @property
    def mounts(self) -> list[dict[str, Any]]:
        return list(self.asked["HostConfig"]["Mounts"])

    @property
    def in_memory(self) -> list[str]:
        """Where it may write, and what it writes counts as its memory."""
        made = [mount for mount in self.mounts if not mount["ReadOnly"] and (mount.get("VolumeOptions") or {}).get("DriverConfig")]
        return [*self.asked["HostConfig"].get("Tmpfs", {}), *(mount["Target"] for mount in made)]

    @property
    def labels(self) -> dict[str, str]:
        return self.image.labels | (self.asked.get("Labels") or {})

    def described(self) -> dict[str, Any]:
        config = {key: value for key, value in self.asked.items() if key != "HostConfig"}
        mounts = [
            {
                "Type": "volume",
                "Driver": "local",
                "Name": mount["Source"],
                "Destination": mount["Target"],
                "RW": not mount["ReadOnly"],
            }
            for mount in self.mounts
        ]
        return {
            "Id": self.container_id,
            "Name": f"/{self.name}",
            "Image": self.image.image_id,
            "Config": config | {"Labels": self.labels},
            "HostConfig": self.asked["HostConfig"],
            "Mounts": mounts,
            "State": {
                "Status": self.state,
                "Running": self.state == "running",
                "OOMKilled": self.out_of_memory,
                "ExitCode": self.code,
            },
        }

    def listed(self) -> dict[str, Any]:
        return {"Id": self.container_id, "Names": [f"/{self.name}"], "Labels": self.labels, "State": self.state}


class Containers:
    """Those of one engine; safe from several threads."""

    def __init__(self, crun: str, folder: Path, dev: Path, trees: Trees, volumes: Volumes, groups: ControlGroups) -> None:
        self._crun, self._folder, self._dev = crun, folder, dev
        self._init = next((path for name in INITS if (path := shutil.which(name))), "")
        self._trees, self._volumes, self._groups = trees, volumes, groups
        self._lock = threading.RLock()
        self._all: dict[str, Container] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            remove_tree(left)
        (folder / "state").mkdir()

    def create(self, name: str, asked: dict[str, Any]) -> Container:
        image = self._trees.find(asked["Image"])
        if image is None:
            raise CallRefused(404, f"No such image: {asked['Image'][:100]}")
        with self._lock:
            if any(other.name == name for other in self._all.values()):
                raise CallRefused(409, f"the name {name[:100]} is in use")
            container = Container(name or f"unnamed-{os.urandom(6).hex()}", asked, image, Path())
            container.folder = self._folder / container.container_id
            for mount in container.mounts:
                more = mount.get("VolumeOptions") or {}
                driver = more.get("DriverConfig") or {}
                self._volumes.create(mount["Source"], driver.get("Options") or {}, more.get("Labels") or {})
            self._all[container.container_id] = container
        return container

    def find(self, name: str) -> Container:
        with self._lock:
            for container in self._all.values():
                if name in (container.name, container.container_id):
                    return container
        raise CallRefused(404, f"No such container: {name[:100]}")

    def listed(self) -> list[Container]:
        with self._lock:
            return list(self._all.values())

    def uses_image(self, image: UnpackedImage) -> bool:
        return any(container.image.image_id == image.image_id for container in self.listed())

    def uses_volume(self, name: str) -> bool:
        return any(mount["Source"] == name for container in self.listed() for mount in container.mounts)

    def start(self, name: str) -> None:
        """Returns when its first process runs, or has ended already."""
        container = self.find(name)
        if container.state != "created":
            raise CallRefused(304, "it was started before")
        container.folder.mkdir()
        root, dev, places = self._trees.root(container.image), self._dev, dict[str, str]()
        try:
            devices = _devices(container.asked)
            if devices:
                dev, root = container.folder / "dev", cover(container.folder, root)
                make_dev(dev, [place for device in devices for place, _ in device.nodes])
            for mount in container.mounts:
                places[mount["Source"]] = self._volumes.take(mount["Source"])
            init = self._init if container.asked["HostConfig"].get("Init") else ""
            config = runtime_config(
                container.asked,
                image_env=container.image.env,
                rootfs=str(root),
                dev=str(dev),
                places=places,
                init=init,
                devices=devices,
            )
            (container.folder / "config.json").write_text(json.dumps(config))
            container.group = self._make_group(container)
            self._run(container)
        except BaseException:
            if container.state == "created":
                self._give_back(places)
            raise

    def _make_group(self, container: Container) -> ControlGroup | None:
        host = container.asked["HostConfig"]
        if not self._groups.controllers:
            return None
        return self._groups.make(
            f"lc-{container.container_id[:24]}", memory=container.memory, cpus=host["NanoCpus"] / 1e9, pids=host["PidsLimit"] + 1
        )

    def _run(self, container: Container) -> None:
        folder, group = container.folder, container.group
        container.process = subprocess.Popen(
            self._command(container, "create", "--bundle", str(folder), f"--pid-file={folder}/pid"),
            stdin=subprocess.PIPE if container.asked.get("OpenStdin") else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={},
            preexec_fn=None if group is None else group.enter,
            start_new_session=True,
        )
        container.state = "running"
        pumps = [
            threading.Thread(target=self._hand_on, args=(container, number, stream), daemon=True)
            for number, stream in ((1, container.process.stdout), (2, container.process.stderr))
        ]
        for pump in pumps:
            pump.start()
        if container.listener is not None and container.process.stdin is not None:
            threading.Thread(target=self._hand_in, args=(container, container.listener), daemon=True).start()
        code = self._begin(container)
        threading.Thread(target=self._reap, args=(container, pumps, code), daemon=True).start()
        if container.init is not None and not self._groups.has("memory"):
            threading.Thread(target=self._watch, args=(container,), daemon=True).start()

    def _command(self, container: Container, *words: str) -> list[str]:
        there = [self._crun, "--root", str(self._folder / "state"), "--cgroup-manager=disabled", f"--log={container.folder}/log"]
        return [*there, *words, container.container_id]

    def _begin(self, container: Container) -> int:
        """Lets its first process go on, which the runtime made and holds; the runtime's exit code where there is none.

        The number of its processes is bounded in between. A runtime would set that for itself and so for its user namespace, where
        all processes of the engine count.
        """
        process, most = container.process, container.asked["HostConfig"]["PidsLimit"]
        try:
            code = process.wait(START_S) if process is not None else 1
        except subprocess.TimeoutExpired:
            raise CallRefused(500, f"crun makes no container within {START_S:g} s") from None
        if code:
            return code
        container.init_pid = int((container.folder / "pid").read_text())
        container.init = os.pidfd_open(container.init_pid)
        resource.prlimit(container.init_pid, resource.RLIMIT_NPROC, (most, most))
        subprocess.run(self._command(container, "start"), cwd="/", env={}, capture_output=True, timeout=START_S, check=False)
        return 0

    def _hand_on(self, container: Container, number: int, stream: Any) -> None:
        """What it prints, to whoever is attached; where nobody is, nowhere."""
        while piece := os.read(stream.fileno(), _READ):
            listener = container.listener
            if listener is None:
                continue
            try:
                listener.sendall(bytes([number, 0, 0, 0]) + len(piece).to_bytes(4, "big") + piece)
            except OSError:
                if container.listener is listener:
                    container.listener = None

    def _hand_in(self, container: Container, listener: socket.socket) -> None:
        """What is sent to it; its standard input ends with the connection."""
        process = container.process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):
            while piece := listener.recv(_READ):
                process.stdin.write(piece)
                process.stdin.flush()
        with contextlib.suppress(OSError):
            process.stdin.close()

    def _reap(self, container: Container, pumps: list[threading.Thread], code: int) -> None:
        """Its first process is this one's child: the runtime that made it has ended. `code`: where there is none."""
        if container.init is not None:
            code = os.waitstatus_to_exitcode(os.waitpid(container.init_pid, 0)[1])
        for pump in pumps:
            pump.join(KILL_S)
        log = ""
        with contextlib.suppress(OSError):
            log = (container.folder / "log").read_text(errors="replace")[-_ERROR_CAP:]
        if container.group is not None:
            container.out_of_memory = container.out_of_memory or container.group.killed_for_memory()
            container.group.remove()
        remove_tree(self._folder / "state" / container.container_id)
        container.code = code_of(code, log)
        self._give_back([mount["Source"] for mount in container.mounts])
        with container.changed:
            container.state = "exited"
            container.changed.notify_all()
        listener, container.listener = container.listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)

    def _give_back(self, volumes: Iterable[str]) -> None:
        for name in volumes:
            self._volumes.give_back(name)

    def _watch(self, container: Container) -> None:
        """Keeps a container to its memory where no control group is its own; that of the whole engine is the bound that holds."""
        while container.state == "running":
            if container.init_pid and self.memory_of(container) > container.memory:
                container.out_of_memory = True
                self.kill(container.name)
                return
            time.sleep(WATCH_S)

    def memory_of(self, container: Container) -> int:
        held = container.group.memory() if container.group is not None else None
        return held if held is not None else held_by(container.init_pid, container.in_memory)

    def computed_by(self, container: Container) -> float:
        return used_by(container.init_pid)

    def kill(self, name: str) -> None:
        container = self.find(name)
        if container.state != "running":
            raise CallRefused(409, "it does not run")
        if container.init is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(container.init, signal.SIGKILL)

    def wait(self, container: Container, seconds: float) -> int | None:
        """Its exit code, once it is dead."""
        with container.changed:
            container.changed.wait_for(lambda: container.state == "exited", seconds)
        return container.code if container.state == "exited" else None

    def remove(self, name: str) -> None:
        container = self.find(name)
        if container.state == "running":
            with contextlib.suppress(CallRefused):
                self.kill(name)
            if self.wait(container, KILL_S) is None:
                raise CallRefused(500, f"it still runs {KILL_S:g} s after it was killed")
        with self._lock:
            self._all.pop(container.container_id, None)
        if container.init is not None:
            os.close(container.init)
            container.init = None
        if container.folder.exists():
            for name in ("dev", "root"):
                unmount(str(container.folder / name))
            remove_tree(container.folder)


def _devices(asked: dict[str, Any]) -> list[DeviceParts]:
    """What the devices bring that a container asks for by name."""
    names = [name for one in asked["HostConfig"].get("DeviceRequests", ()) for name in one["DeviceIDs"]]
    try:
        return [parts_of(name, CDI_FOLDERS) for name in names]
    except DeviceRefused as refused:
        raise CallRefused(500, str(refused)) from None


def code_of(code: int, log: str) -> int:
    """A container's exit code as engines say it, of what the runtime ended with and wrote of itself."""
    if code < 0:
        return 128 - code
    told = log.lower()
    if code and told:
        if any(words in told for words in _NO_START):
            return _NOT_EXECUTABLE
        if any(words in told for words in _NO_PROGRAM):
            return _NOT_FOUND
    return code
