"""A small engine for machines without Docker: it runs containers by crun as an ordinary user, and speaks as much of the Engine's
API as the sandbox uses, at a socket in a folder of this user's.

    python -m learningchain.sandbox.oci.engine_program CRUN DATA RUN

It is started in namespaces of its own for users, mounts and processes, whose first process it is (`host`): what it mounts and
starts ends with it, whoever ends it, and nothing of it needs root, a daemon or a program with set-user-id. Nobody but its user gets
to the socket. It goes when nobody has been connected for IDLE_S and it has no container, and after LEAVE_S in any case.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from learningchain.sandbox.oci.api import Server
from learningchain.sandbox.oci.containers import Containers
from learningchain.sandbox.oci.groups import ROOT, find_groups, memory_bound
from learningchain.sandbox.oci.mounts import make_dev, mount
from learningchain.sandbox.oci.trees import Trees
from learningchain.sandbox.oci.volumes import Volumes

READY = "ready"
SOCKET = "engine.sock"
IDLE_S, LEAVE_S, LOOK_S = 3.0, 900.0, 0.25


def main(crun: str, data: str, run: str) -> None:
    place, mounted = Path(data), Path(run)
    groups, bound = find_groups(), memory_bound()
    mount("proc", "/proc", "proc", 0)
    if ROOT.is_dir():
        mount("none", str(ROOT), "tmpfs", 0, "size=4k,mode=0555")
    make_dev(mounted / "dev")
    trees, volumes = Trees(place / "images"), Volumes(place / "volumes", mounted / "volumes")
    containers = Containers(crun, mounted / "containers", mounted / "dev", trees, volumes, groups)
    path = mounted / SOCKET
    path.unlink(missing_ok=True)
    os.umask(0o077)
    server = Server(str(path), containers, trees, volumes, groups, bound, place)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.write(1, f"{READY}\n".encode())
    os.close(1)
    _stay(server, containers)
    path.unlink(missing_ok=True)


def _stay(server: Server, containers: Containers) -> None:
    alone_since = time.monotonic()
    while True:
        time.sleep(LOOK_S)
        now = time.monotonic()
        if server.connections:
            alone_since = now
        alone = now - alone_since
        if alone > LEAVE_S or (alone > IDLE_S and not containers.listed()):
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
