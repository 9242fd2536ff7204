"""The reaper: a small process beside a node that outlives it, and ends the containers that the node can no longer end.

    python reaper_program.py ENGINE TAG LOCK LEAVE_S

    node's state   container                                      what is done
    -------------  ---------------------------------------------  ---------------------------------------------
    lives          runs, and is GRACE_S past its deadline         killed: the node hangs
    gone           was not to outlive its node                    removed at once
    gone           runs, and is past its deadline                 killed; its end can still be looked at
    gone LEAVE_S   whatever it is                                 removed: nobody came back for it

A container's labels say its deadline and whether it may outlive its node. Standard input is a pipe of the node's: its end is the
node's, and a line on it says that nothing is left to do. Another node of the same tag holds LOCK, and has a reaper of its own: this
one ends. Holds no key, no file of the node's and no answer of a job: the engine's address and a tag are all that it knows.

Stands alone, with docker-py: it is started by its path, so that it costs the memory of a small program.
"""

import fcntl
import importlib.util
import os
import select
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

NODE_LABEL = "learningchain.node"
UNTIL_LABEL = "learningchain.until"
"""A container's deadline: seconds on the monotonic clock of the node's machine. No step of a wall clock moves it."""
STAYS_LABEL = "learningchain.stays"
"""Of a container that may outlive its node: the hash of its order."""
GRACE_S = 30.0
"""A node that lives ends its containers itself, and has so long for it."""
LOOK_S, LOOK_ALIVE_S = 1.0, 30.0
SETTLE_S = 5.0
"""What a dying node asked of the engine is there by then."""
GIVE_UP_S = 86_400.0
"""An engine that does not answer for so long after the node's end is nobody's any more."""
CALL_S = 20
READY = b"ready\n"


def until_label(seconds: float) -> str:
    return f"{seconds:.3f}"


def read_until(text: str) -> float:
    """The deadline that a label says; one that says none is over."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def fate(labels: Mapping[str, str], runs: bool, *, now: float, gone_s: float | None, leave_s: float) -> str:
    """What becomes of a container: "kill", "remove", or "" for nothing. `gone_s`: for how long the node has been gone, if it is."""
    if UNTIL_LABEL not in labels:
        return ""  # a program of ours: it ends with the node's connection, or by itself
    until = read_until(labels[UNTIL_LABEL])
    if gone_s is None:
        return "kill" if runs and now > until + GRACE_S else ""
    if STAYS_LABEL not in labels or gone_s > leave_s:
        return "remove"
    return "kill" if runs and now > until else ""


def look(api: Any, tag: str, gone_s: float | None, leave_s: float, say: Callable[[str], None]) -> bool:
    """Look at the node's containers once, and end those whose time is over; whether any with a deadline is left."""
    left = False
    for facts in api.containers(all=True, filters={"label": f"{NODE_LABEL}={tag}"}):
        labels, runs = facts.get("Labels") or {}, facts.get("State") not in ("created", "exited", "dead")
        doom = fate(labels, runs, now=time.monotonic(), gone_s=gone_s, leave_s=leave_s)
        left = left or (UNTIL_LABEL in labels and doom != "remove")
        if doom:
            say(f"{doom} {' '.join(facts.get('Names') or [facts['Id']])}")
            try:
                api.kill(facts["Id"]) if doom == "kill" else api.remove_container(facts["Id"], v=True, force=True)
            except Exception as problem:  # gone by itself, or an engine in trouble: the next look says which
                say(str(problem))
                left = True
    return left


def held(lock: int) -> bool:
    """Whether a node holds the lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False


def watch(connect: Callable[[], Any], tag: str, lock: int, leave_s: float, say: Callable[[str], None]) -> None:
    """Until nothing is left to do."""
    api, gone = None, 0.0
    while True:
        if not gone and select.select([0], [], [], LOOK_ALIVE_S)[0]:
            if os.read(0, 16):
                return
            gone = time.monotonic()
        elif gone:
            time.sleep(LOOK_S)
            if held(lock):
                return
        gone_s = time.monotonic() - gone if gone else None
        try:
            api = api or connect()
            left = look(api, tag, gone_s, leave_s, say)
        except Exception as problem:
            say(str(problem))
            api, left = None, True
        if gone_s is not None and (gone_s > GIVE_UP_S or (gone_s > SETTLE_S and not left)):
            return


def main(engine: str, tag: str, lock: str, leave_s: str) -> None:
    def connect() -> Any:
        import docker.api.client
        import docker.utils.utils

        environment: Any = docker.utils.utils.kwargs_from_env
        client: Any = docker.api.client.APIClient
        return client(version="auto", timeout=CALL_S, **({"base_url": engine} if engine else environment()))

    said = ""

    def say(text: str) -> None:
        """An engine that is away for long is told of once."""
        nonlocal said
        if text == said:
            return
        said = text
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text[:400]}\n".encode())

    if importlib.util.find_spec("docker") is None:
        sys.exit("there is no docker-py")
    held_by = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(1, READY)
    os.close(1)
    watch(connect, tag, held_by, float(leave_s), say)


if __name__ == "__main__":
    main(*sys.argv[1:])
