"""As much of the Engine's API as the sandbox uses, over a socket of this user's: requests to calls of the engine's parts.

    request --path and method--> a row of `_ROUTES` -> images, volumes, containers -> JSON

Whoever talks here is this user, by docker-py. What is not in the table is answered with 501.
"""

from __future__ import annotations

import json
import os
import platform
import re
import select
import socket
import socketserver
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from learningchain.sandbox.docker.devices import CDI_FOLDERS, OCI_ENGINE
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.oci.containers import CallRefused, Container, Containers
from learningchain.sandbox.oci.groups import ControlGroups, processors_bound
from learningchain.sandbox.oci.trees import TreeError, Trees, UnpackedImage, unpack_files
from learningchain.sandbox.oci.volumes import Volumes

API_VERSION = "1.41"
RUNTIME = "crun"
_BODY_CAP = 4 << 20
_EVENTS = 4096
_UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)
_VERSION = re.compile(r"/v1\.[0-9]+")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The engine at its socket. `connections`: how many are open."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, path: str, containers: Containers, trees: Trees, volumes: Volumes, groups: ControlGroups, bound: int, data: Path
    ) -> None:
        self.containers, self.trees, self.volumes, self.groups, self.bound, self.data = (
            containers,
            trees,
            volumes,
            groups,
            bound,
            data,
        )
        self.connections = 0
        self.created: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        super().__init__(path, Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is its peer's business."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged of what goes well."""

    def address_string(self) -> str:
        return "local"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        path = _VERSION.sub("", parts.path, count=1)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            for verb, pattern, call in _ROUTES:
                found = re.fullmatch(pattern, path)
                if verb == method and found is not None:
                    getattr(self, call)(*map(unquote, found.groups()))
                    return
            raise CallRefused(501, f"this engine has no {method} {path[:100]}")
        except CallRefused as refused:
            self._send(refused.status, {"message": str(refused)})
        except (TreeError, BadImage, LookupError, ValueError) as problem:
            self._send(400, {"message": f"{type(problem).__name__}: {problem}"[:400]})
        except BrokenPipeError:
            self.close_connection = True
        except OSError as problem:
            self._send(500, {"message": str(problem)[:400]})

    def _send(self, status: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> Any:
        size = int(self.headers.get("Content-Length") or 0)
        if size > _BODY_CAP:
            raise CallRefused(413, "the request is too long")
        return json.loads(self.rfile.read(size) or b"{}")

    def _filters(self) -> dict[str, list[str]]:
        return {key: list(values) for key, values in json.loads(self.query.get("filters") or "{}").items()}

    # --- the engine ------------------------------------------------------------------------------------------------------------

    def version(self) -> None:
        self._send(200, {"ApiVersion": API_VERSION, "MinAPIVersion": "1.24", "Version": "crun"})

    def info(self) -> None:
        groups, memory = self.server.groups, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        bound = self.server.bound
        self._send(
            200,
            {
                "CDISpecDirs": list(CDI_FOLDERS),
                "ServerVersion": f"{OCI_ENGINE}as user {_outer_user()}",
                "OSType": "linux",
                "SecurityOptions": ["name=seccomp", "name=rootless"],
                "Architecture": platform.machine(),
                "Runtimes": {RUNTIME: {}},
                "NCPU": len(os.sched_getaffinity(0)),
                "MemTotal": min(memory, bound) if bound else memory,
                # A bound of the whole engine, with a watch over each container, is as good: nobody else's memory is at stake.
                "MemoryLimit": groups.has("memory") or bool(bound),
                "PidsLimit": True,
                "CpuCfsQuota": groups.has("cpu") or processors_bound(),
                "WholeProcessors": not groups.has("cpu"),
                "DockerRootDir": str(self.server.data),
            },
        )

    def events(self) -> None:
        since, until = float(self.query.get("since", 0)), float(self.query.get("until", time.time()))
        found = [event for event in self.server.created if since <= event["time"] <= until]
        data = "".join(json.dumps(event) + "\n" for event in found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def networks(self) -> None:
        self._send(200, [])

    # --- containers ------------------------------------------------------------------------------------------------------------

    def containers(self) -> None:
        wanted = self._filters()
        found = [one for one in self.server.containers.listed() if _labelled(one.labels, wanted)]
        if "volume" in wanted:
            found = [one for one in found if {mount["Source"] for mount in one.mounts} & set(wanted["volume"])]
        self._send(200, [one.listed() for one in found])

    def create_container(self) -> None:
        container = self.server.containers.create(self.query.get("name", ""), self._body())
        actor = {"ID": container.container_id, "Attributes": container.labels}
        self.server.created.append({"id": container.container_id, "time": time.time(), "Actor": actor})
        self._send(201, {"Id": container.container_id, "Warnings": []})

    def inspect_container(self, name: str) -> None:
        self._send(200, self.server.containers.find(name).described())

    def start(self, name: str) -> None:
        self.server.containers.start(name)
        self._send(204)

    def kill(self, name: str) -> None:
        self.server.containers.kill(name)
        self._send(204)

    def wait(self, name: str) -> None:
        container = self.server.containers.find(name)
        while (code := self.server.containers.wait(container, 0.5)) is None:
            if _gone(self.connection):
                self.close_connection = True
                return
        self._send(200, {"StatusCode": code})

    def remove_container(self, name: str) -> None:
        self.server.containers.remove(name)
        self._send(204)

    def attach(self, name: str) -> None:
        """The connection is the container's streams from here on."""
        container = self.server.containers.find(name)
        self.connection.sendall(_UPGRADED)
        self.close_connection = True
        if container.state == "exited":
            return
        container.listener = self.connection
        self._stay_attached(container)

    def _stay_attached(self, container: Container) -> None:
        """Until one side ends it. Of what comes in, only a container with a standard input reads anything."""
        while container.listener is self.connection:
            if container.state == "exited":
                break
            if not container.asked.get("OpenStdin") and _gone(self.connection):
                break
            with container.changed:
                container.changed.wait(0.5)
        if container.listener is self.connection:
            container.listener = None

    def stats(self, name: str) -> None:
        container = self.server.containers.find(name)
        if container.state != "running":
            return self._send(200, {"memory_stats": {}})
        memory = {"usage": self.server.containers.memory_of(container), "stats": {}}
        used = {"total_usage": int(self.server.containers.computed_by(container) * 1e9)}
        return self._send(200, {"memory_stats": memory, "cpu_stats": {"cpu_usage": used}})

    # --- volumes ---------------------------------------------------------------------------------------------------------------

    def volumes(self) -> None:
        wanted = self._filters()
        self._send(200, {"Volumes": [one for one in self.server.volumes.listed() if _labelled(one["Labels"], wanted)]})

    def create_volume(self) -> None:
        asked = self._body()
        self.server.volumes.create(asked["Name"], asked.get("DriverOpts") or {}, asked.get("Labels") or {})
        self._send(201, self.server.volumes.describe(asked["Name"]))

    def inspect_volume(self, name: str) -> None:
        facts = self.server.volumes.describe(name)
        if facts is None:
            raise CallRefused(404, f"no such volume: {name[:100]}")
        self._send(200, facts)

    def remove_volume(self, name: str) -> None:
        if self.server.containers.uses_volume(name):
            raise CallRefused(409, f"volume {name[:100]} is in use")
        if not self.server.volumes.remove(name):
            raise CallRefused(404, f"no such volume: {name[:100]}")
        self._send(204)

    # --- images ----------------------------------------------------------------------------------------------------------------

    def images(self) -> None:
        named = self._filters().get("reference")
        found = [
            image
            for image in self.server.trees.listed()
            if named is None or any(tag.rpartition(":")[0] in named or tag in named for tag in image.tags)
        ]
        self._send(200, [{"Id": one.image_id, "RepoTags": one.tags, "Size": one.size, "Labels": one.labels} for one in found])

    def _image(self, name: str) -> UnpackedImage:
        image = self.server.trees.find(name)
        if image is None:
            raise CallRefused(404, f"No such image: {name[:100]}")
        return image

    def inspect_image(self, name: str) -> None:
        image = self._image(name)
        self._send(
            200,
            {
                "Id": image.image_id,
                "RepoTags": image.tags,
                "Os": "linux",
                "Architecture": image.architecture,
                "Config": {"Env": image.env, "Labels": image.labels},
                "RootFS": {"Type": "layers", "Layers": image.layers},
                "Size": image.size,
            },
        )

    def load_image(self) -> None:
        self._take(self.server.trees.load)
        self._send(200, {"stream": "Loaded"})

    def put_archive(self, name: str) -> None:
        """Into a folder of a volume that the container has mounted, and nowhere else."""
        path, mounts = self.query["path"], self.server.containers.find(name).mounts
        target = next((mount["Target"] for mount in mounts if path.startswith(f"{mount['Target']}/")), "")
        source = next((mount["Source"] for mount in mounts if mount["Target"] == target), "")
        volume = self.server.volumes.describe(source)
        if volume is None:
            raise CallRefused(404, f"{path[:100]} is in no volume of this container")
        self._take(lambda body: unpack_files(body, Path(volume["Mountpoint"]), path.removeprefix(f"{target}/")))
        self._send(200)

    def _take(self, into: Callable[[_Exactly | _Chunks], object]) -> None:
        """The body that is sent, to its end."""
        chunked = "chunked" in (self.headers.get("Transfer-Encoding") or "")
        source = _Chunks(self.rfile) if chunked else _Exactly(self.rfile, int(self.headers.get("Content-Length") or 0))
        try:
            into(source)
        except BaseException:
            self.close_connection = True  # the rest of what is sent would be taken for a request
            raise
        while source.read(1 << 16):
            pass

    def tag_image(self, name: str) -> None:
        self.server.trees.tag(self._image(name), f"{self.query['repo']}:{self.query['tag']}")
        self._send(201)

    def remove_image(self, name: str) -> None:
        image = self._image(name)
        if len(image.tags) < 2 and self.server.containers.uses_image(image):
            raise CallRefused(409, "a container has it")
        self.server.trees.untag(name)
        self._send(200, [])

    def pull(self) -> None:
        raise CallRefused(501, "this engine asks no registry: have the job's owner post the image as an archive")


_ONE = "([A-Za-z0-9._-]+)"
_IMAGE = "([A-Za-z0-9._:/@-]+)"
_ROUTES = (
    ("GET", "/version", "version"),
    ("GET", "/info", "info"),
    ("GET", "/events", "events"),
    ("GET", "/networks", "networks"),
    ("GET", "/containers/json", "containers"),
    ("POST", "/containers/create", "create_container"),
    ("GET", f"/containers/{_ONE}/json", "inspect_container"),
    ("GET", f"/containers/{_ONE}/stats", "stats"),
    ("POST", f"/containers/{_ONE}/start", "start"),
    ("POST", f"/containers/{_ONE}/kill", "kill"),
    ("POST", f"/containers/{_ONE}/wait", "wait"),
    ("POST", f"/containers/{_ONE}/attach", "attach"),
    ("PUT", f"/containers/{_ONE}/archive", "put_archive"),
    ("DELETE", f"/containers/{_ONE}", "remove_container"),
    ("GET", "/volumes", "volumes"),
    ("POST", "/volumes/create", "create_volume"),
    ("GET", f"/volumes/{_ONE}", "inspect_volume"),
    ("DELETE", f"/volumes/{_ONE}", "remove_volume"),
    ("GET", "/images/json", "images"),
    ("POST", "/images/load", "load_image"),
    ("POST", "/images/create", "pull"),
    ("GET", f"/images/{_IMAGE}/json", "inspect_image"),
    ("POST", f"/images/{_IMAGE}/tag", "tag_image"),
    ("DELETE", f"/images/{_IMAGE}", "remove_image"),
)


def _labelled(labels: dict[str, str], wanted: dict[str, list[str]]) -> bool:
    return all(labels.get(key) == value for key, _, value in (label.partition("=") for label in wanted.get("label", ())))


def _outer_user() -> str:
    """Whose engine this is outside of its user namespace, where everybody is root: his number."""
    return Path("/proc/self/uid_map").read_text().split()[1]


def _gone(connection: Any) -> bool:
    """Whether its other end was closed. Reads nothing."""
    try:
        return bool(select.select([connection], [], [], 0)[0]) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


class _Exactly:
    """A body of a known length."""

    def __init__(self, source: Any, size: int) -> None:
        self._source, self._left = source, size

    def read(self, size: int, /) -> bytes:
        data: bytes = self._source.read(min(size, self._left))
        self._left -= len(data)
        return data


class _Chunks:
    """A body in chunks, as HTTP has them."""

    def __init__(self, source: Any) -> None:
        self._source, self._left, self._over = source, 0, False

    def read(self, size: int, /) -> bytes:
        if not self._left and not self._over:
            self._left = int(self._source.readline(64).partition(b";")[0], 16)
            if not self._left:
                self._source.readline(64)
                self._over = True
        if self._over:
            return b""
        data: bytes = self._source.read(min(size, self._left))
        if not data:
            raise ConnectionError("the body ends within a chunk")
        self._left -= len(data)
        if not self._left:
            self._source.readline(64)
        return data
