"""`lab`: a graph of nodes on this machine to try things on, made, looked at and ended by one command each.

    passphrase    of all its identities, for its owner alone        genesis.json   the network's file, as every node has it
    nodeN         the data folder of a node                         nodeN.log      what that node says

The nodes are processes of their own and outlive the command that starts them; which of them run is read from the locks of their
data folders. The folder appears whole or not at all. Whatever fails while nodes start ends those that this command started.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts.validators import Number

from learningchain.chain.storage import private
from learningchain.client.cli.common import HERE, PASSPHRASE_VARIABLE, Common, NotStarted, WrongUsage, clean, listing
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.cli.ready import locked_by
from learningchain.client.reading import variable

PASSPHRASE, GENESIS = "passphrase", "genesis.json"
HOST: Final = "127.0.0.1"
NODES, API_PORT, LISTEN_PORT = 4, 7600, 7500
MOST_NODES: Final = 16
CREDITS: Final = 100
MIN_BOUNTY: Final = "5"
PARAMS: Final = ("job_reveal=10s",)
START_S: Final = 120.0
"""For every node to answer, to know another one, and to have a block."""
STOP_S: Final = 20.0
"""A node that still runs so long after SIGTERM is killed."""
KILL_S: Final = 5.0
LOOK_S: Final = 5.0
ENGINE_S: Final = 30.0
POLL_S: Final = 0.1
WIDE: Final = 60
"""Characters of what a sandbox lacks that the table has room for."""
LINES: Final = 3
"""Of the log of a node that ended."""

Folder = Annotated[Path, Parameter(help="Folder of the laboratory.")]
DEFAULT: Final = Path("lab")


@dataclass(frozen=True)
class LabNode:
    """A node of the laboratory: where it lies and listens."""

    data: Path
    listen: str
    api: str

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def log(self) -> Path:
        return self.data.with_name(f"{self.name}.log")

    @property
    def lock(self) -> Path:
        return self.data / "lock"


# --- the commands ----------------------------------------------------------------------------------------------------------------


def up(
    *,
    nodes: Annotated[
        int | None, Parameter(validator=Number(gte=1, lte=MOST_NODES), help=f"How many of a new laboratory. Default: {NODES}.")
    ] = None,
    folder: Folder = DEFAULT,
    api_port: Annotated[
        int | None, Parameter(help=f"Port of the first node's API; the others follow. Default: {API_PORT}.")
    ] = None,
    listen_port: Annotated[
        int | None, Parameter(help=f"Port where other nodes reach the first; the others follow. Default: {LISTEN_PORT}.")
    ] = None,
    work: Annotated[bool, Parameter(help="Run jobs, or only verify them. It counts for the nodes that are started now.")] = True,
    common: Common = HERE,
) -> int:
    """Make a graph of nodes on this machine and start it; one that is there already is started again and loses nothing."""
    from learningchain.client.node import process

    if why := process.why_no_node():
        raise NotStarted(f"The laboratory does not start: {why}")
    place = _place(folder)
    members = find(place)
    if not members and (place / PASSPHRASE).exists():
        raise WrongUsage(f"{place} was removed half. Remove the rest first: learningchain lab down --remove{_option(folder)}")
    planned = plan(
        place, nodes or NODES, API_PORT if api_port is None else api_port, LISTEN_PORT if listen_port is None else listen_port
    )
    _check_same(place, members, planned, nodes, api_port, listen_port)
    starting = [one for one in members if not _held(one.lock)] if members else planned
    check_ports(starting)
    check_rights(place)
    with _signals_interrupt():
        if not members:
            common.out.note(f"Making {len(planned)} identities and their network in {place}")
            _make(place, planned)
            members = planned
        if starting:
            common.out.note(f"Starting {', '.join(one.name for one in starting)}; each is up when it knows the others")
            _start(place, starting, members, work)
    no_engine = _no_engine(members[0]) if starting else ""
    rows = _look_at_all(members)
    _show_up(common, place, members, rows, started=[one.name for one in starting], no_engine=no_engine)
    return 0


def status(*, folder: Folder = DEFAULT, common: Common = HERE) -> int:
    """Show the laboratory's nodes: process, height, peers, sandbox."""
    place, members = _existing(folder)
    rows = _look_at_all(members)

    def people(console: Console) -> None:
        columns = ["node", "process", "height", "peers", "runs jobs", "sandbox"]
        names = ["name", "pid", "height", "peers", "works"]
        reasons = {row["sandbox"] for row in rows if len(row["sandbox"] or "") > WIDE}  # mostly the same for all: told once
        listed = [[*(row[name] for name in names), "not ready" if row["sandbox"] in reasons else row["sandbox"]] for row in rows]
        console.print(listing(columns, listed, {"process", "height", "peers"}))
        for reason in sorted(reasons):
            console.print(f"\nNot ready: {clean(reason)}", soft_wrap=True)

    common.out.show({"folder": str(place), "nodes": rows}, people)
    if all(row["pid"] is None for row in rows):
        common.out.note(f"No node runs. Start them: learningchain lab up{_option(folder)}")
    return 0


def down(
    *,
    folder: Folder = DEFAULT,
    remove: Annotated[
        bool, Parameter(negative="", show_default=False, help="Also remove all that the laboratory made: identities, chain, logs.")
    ] = False,
    common: Common = HERE,
) -> int:
    """End the laboratory's nodes in order; the folder stays, unless it is to be removed."""
    place, members = _existing(folder)
    told, left = _stop(members)
    gone: list[str] = []
    if remove and not left:
        told += _clean_engine(members)
        gone = _remove(place, members)
    document = {"folder": str(place), "killed": told, "running": left, "removed": remove and not left, "kept": gone}

    def people(console: Console) -> None:
        for text in told:
            console.print(clean(text), soft_wrap=True)
        if left:
            console.print(f"Still running: {', '.join(left)}. Nothing was removed. Look at these processes", soft_wrap=True)
        elif not remove:
            console.print(f"No node runs. {place} stays as it is.", soft_wrap=True)
        else:
            console.print(f"{place} is removed" + (f", but for {', '.join(gone)}" if gone else ""), soft_wrap=True)

    common.out.show(document, people)
    if not left and not remove:
        common.out.note(f"Next: learningchain lab up{_option(folder)}, or learningchain lab down --remove{_option(folder)}")
    return 1 if left else 0


# --- the folder ------------------------------------------------------------------------------------------------------------------


def _place(folder: Path) -> Path:
    return folder.expanduser().resolve()


def _option(folder: Path) -> str:
    return "" if folder == DEFAULT else f" --folder {shlex.quote(str(folder))}"


def plan(place: Path, nodes: int, api_port: int, listen_port: int) -> list[LabNode]:
    """The nodes of a new laboratory. Raises `WrongUsage` where the ports do not do."""
    for option, first in (("--api-port", api_port), ("--listen-port", listen_port)):
        if not 1 <= first <= 65_536 - nodes:
            raise WrongUsage(f"{option} is the first of {nodes} ports from 1 to 65535, not {first}")
    if abs(api_port - listen_port) < nodes:
        text = f"--api-port {api_port} and --listen-port {listen_port} are less than {nodes} ports apart"
        raise WrongUsage(f"{text}, so that two nodes would want the same one. Choose one of them further away")
    return [LabNode(place / f"node{n}", f"{HOST}:{listen_port + n}", f"{HOST}:{api_port + n}") for n in range(nodes)]


def find(place: Path) -> list[LabNode]:
    """The nodes of the laboratory in this folder; none where there is nothing. Raises `WrongUsage` where other things are in it."""
    from learningchain.client import config

    if not os.path.lexists(place) or (place.is_dir() and not any(place.iterdir())):
        return []
    if not place.is_dir() or not (place / PASSPHRASE).is_file() or not (place / GENESIS).is_file():
        raise WrongUsage(f"{place} is there and is no laboratory; nothing in it was touched. Choose another place with --folder")
    folders = [path for path in place.iterdir() if re.fullmatch(r"node\d{1,4}", path.name) and (path / "keystore.json").exists()]
    found = []
    for data in sorted(folders, key=lambda path: int(path.name.removeprefix("node"))):
        settings = config.load(data, {}).config  # the environment is for the user's own node
        found.append(LabNode(data, settings.network.listen, settings.api.listen))
    return found


def _existing(folder: Path) -> tuple[Path, list[LabNode]]:
    place = _place(folder)
    members = find(place)
    if not members and not (place / PASSPHRASE).exists():
        raise WrongUsage(f"There is no laboratory in {place}. Make one: learningchain lab up{_option(folder)}")
    return place, members


def _check_same(
    place: Path, members: list[LabNode], planned: list[LabNode], nodes: int | None, api_port: int | None, listen_port: int | None
) -> None:
    """Raises `WrongUsage` where what is asked for is not what is there."""
    if not members:
        return
    asked = (
        (nodes is not None and nodes != len(members), f"has {len(members)} nodes"),
        (api_port is not None and planned[0].api != members[0].api, f"has its first API at {members[0].api}"),
        (listen_port is not None and planned[0].listen != members[0].listen, f"has its first node at {members[0].listen}"),
    )
    for differs, has in asked:
        if differs:
            raise WrongUsage(
                f"The laboratory in {place} {has}. Start it as it is, without that option; choose another --folder; or remove it "
                "first: learningchain lab down --remove"
            )


def check_ports(members: Sequence[LabNode]) -> None:
    """Raises `WrongUsage` naming the first that cannot be listened on."""
    from learningchain.client.doctor.machine import taken

    for member in members:
        for where, option in ((member.listen, "--listen-port"), (member.api, "--api-port")):
            host, _, port = where.rpartition(":")
            if why := taken(host, int(port)):
                setting = f"{'network' if option == '--listen-port' else 'api'}.listen"
                other = f"learningchain config set {setting} HOST:PORT --data {shlex.quote(str(member.data))}"
                todo = other if member.data.exists() else f"choose others with {option}"
                raise WrongUsage(f"{member.name} cannot listen on {where}: {why}. Nothing was started. End that program, or {todo}")


def check_rights(place: Path) -> None:
    """Raises `WrongUsage` where this user may make nothing."""
    there = next(path for path in (place, *place.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise WrongUsage(f"This user may not write to {there}. Choose another place with --folder, or have the right given to you")


def _make(place: Path, members: list[LabNode]) -> None:
    """Identities, settings, the network's file: beside the place at first, so that a half of a laboratory never has its name."""
    from learningchain.chain.ledger.genesis import to_json
    from learningchain.client import config
    from learningchain.client.cli.network import make_genesis, put_genesis
    from learningchain.client.cli.setup import make_identity

    word = secrets.token_urlsafe(24)
    place.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        private.replace(new / PASSPHRASE, f"{word}\n".encode())
        keys = []
        for member in members:
            settings: dict[str, Any] = {"name": member.name, "network.listen": member.listen, "api.listen": member.api}
            settings["network.peers"] = [other.listen for other in members if other is not member]
            settings["work.min_bounty"] = config.parse_value("work.min_bounty", MIN_BOUNTY, "lab up")
            keys.append(make_identity(new / member.name, settings, lambda: word).key.public.hex())
        genesis = make_genesis("lab", [f"{key}={CREDITS}" for key in keys], [], [], list(PARAMS), now=time.time())
        private.replace(new / GENESIS, to_json(genesis))
        for member in members:
            put_genesis(new / member.name, new / GENESIS)
        os.rename(new, place)  # takes the place of an empty folder, and of nothing else
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _remove(place: Path, members: list[LabNode]) -> list[str]:
    """What the laboratory made, and the folder where that was all; the names of what stays."""
    for member in members:
        shutil.rmtree(member.data)
        member.log.unlink(missing_ok=True)
    for name in (GENESIS, PASSPHRASE):  # without them it is no laboratory any more: the last to go
        (place / name).unlink(missing_ok=True)
    kept = sorted(path.name for path in place.iterdir())
    if not kept:
        place.rmdir()
    return kept


# --- processes -------------------------------------------------------------------------------------------------------------------


def holder(member: LabNode) -> int | None:
    """The process of the node that runs on this data folder; None where none does."""
    pid = locked_by(member.lock)
    return pid if pid is not None and _held(member.lock) and _is_node(pid) else None


def _held(lock: Path) -> bool:
    """Whether somebody holds the lock: the kernel's word, also where the process that is named there is gone or another one.

    It is tried only where the process is there, so that a node that starts does not meet it.
    """
    pid = locked_by(lock)
    if pid is None or not Path(f"/proc/{pid}").exists():
        return False
    try:
        descriptor = private.open_file(lock)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_node(pid: int) -> bool:
    """Whether this process was started as a node: where the folder is shared between containers, the number may be a stranger's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"node" in words and any(b"learningchain" in word for word in words)


def _start(place: Path, starting: list[LabNode], members: list[LabNode], work: bool) -> None:
    """Returns when every node answers and knows another. Raises `NotStarted`, and then none of those runs that it started."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for member in starting:
            processes[member.name] = _process(place, member, work)
        asyncio.run(_met(members, processes))
    except BaseException:
        _end(list(processes.values()))
        raise


def _process(place: Path, member: LabNode, work: bool) -> subprocess.Popen[bytes]:
    """A session of its own: neither the end of this command nor the terminal's Ctrl-C reaches it."""
    import learningchain
    from learningchain.client import config

    kept = {name: value for name, value in os.environ.items() if not name.startswith(config.PREFIX)}  # those are the user's node's
    package = str(Path(learningchain.__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (package, kept.get("PYTHONPATH")) if part)
    log = private.open_or_create(member.log)
    os.lseek(log, 0, os.SEEK_END)
    words = ["node", "--data", str(member.data), "--passphrase-file", str(place / PASSPHRASE), "--work" if work else "--no-work"]
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "learningchain", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=kept | {"PYTHONPATH": path},
            cwd=place,
            start_new_session=True,
        )
    finally:
        os.close(log)


async def _met(members: list[LabNode], processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Raises `NotStarted` when a node ended, or when time is up."""
    end = time.monotonic() + START_S
    missing = list(members)
    while missing:
        for member in members:
            process = processes.get(member.name)
            if process is not None and process.poll() is not None:
                raise NotStarted(f"{member.name} ended as it started. {_said(member)}")
        if time.monotonic() > end:
            names = ", ".join(member.name for member in missing)
            raise NotStarted(f"Within {START_S:.0f} s not up: {names}. {_said(missing[0])}")
        await asyncio.sleep(POLL_S)
        rows = await asyncio.gather(*(_look(member) for member in missing))
        missing = [member for member, row in zip(missing, rows, strict=True) if not _is_up(row, len(members))]


def _is_up(row: dict[str, Any], nodes: int) -> bool:
    return bool(row["height"]) and (nodes == 1 or bool(row["peers"]))


def _said(member: LabNode) -> str:
    """How its log ends, in one line."""
    try:
        lines = member.log.read_text("utf-8", "replace").splitlines()[-LINES:]
    except OSError as fault:
        lines = [str(fault)]
    return f"The nodes that were started are ended. Its log {member.log} ends with: {' | '.join(line[:300] for line in lines)}"


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    end = time.monotonic() + STOP_S
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(KILL_S)


def _stop(members: list[LabNode]) -> tuple[list[str], list[str]]:
    """What is worth telling, and the nodes that run on. Raises `WrongUsage` where this user may not stop one.

    A node is over when its process is: it gives its data folder back a little before that.
    """
    with contextlib.ExitStack() as stack:
        running = {member: process for member in members if (process := _opened(member, stack)) is not None}
        _send(running, signal.SIGTERM)
        late = _waited(running, STOP_S)
        _send(late, signal.SIGKILL)
        left = [*_waited(late, KILL_S), *(member for member in members if member not in running and _held(member.lock))]
    told = [f"{one.name} did not stop within {STOP_S:.0f} s and was killed; its log is {one.log}" for one in late]
    return told, [f"{one.name} (process {locked_by(one.lock)})" for one in left]


def _opened(member: LabNode, stack: contextlib.ExitStack) -> int | None:
    """A descriptor of the node's process, which stays that process's when its number is given to another one."""
    pid = holder(member)
    try:
        process = None if pid is None else os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if process is not None:
        stack.callback(os.close, process)
    return process if holder(member) == pid else None


def _send(running: dict[LabNode, int], number: signal.Signals) -> None:
    for member, process in running.items():
        try:
            signal.pidfd_send_signal(process, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            raise WrongUsage(f"{member.name} is another user's process. Stop it as that user") from None


def _waited(running: dict[LabNode, int], seconds: float) -> dict[LabNode, int]:
    """Those whose processes have not ended when the time is over."""
    left, end = dict(running), time.monotonic() + seconds
    while left and (rest := end - time.monotonic()) > 0:
        ended, _, _ = select.select(list(left.values()), [], [], rest)
        left = {member: process for member, process in left.items() if process not in ended}
    return left


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Who ends this command while nodes start, or closes its terminal, ends it as Ctrl-C does: what was begun is taken back."""
    numbers = [
        n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL
    ]  # nohup ignores one: so it stays
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


# --- what the nodes say ----------------------------------------------------------------------------------------------------------


def _look_at_all(members: list[LabNode]) -> list[dict[str, Any]]:
    async def looked() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(_look(member) for member in members)))

    return asyncio.run(looked())


async def _look(member: LabNode) -> dict[str, Any]:
    """One line of the table; what is not known is None."""
    from learningchain.client.cli.ledger import read_status
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.http import local_url, read_token
    from learningchain.client.sdk.types import ApiError

    url, pid = local_url(member.api), holder(member)
    row: dict[str, Any] = {"name": member.name, "data": str(member.data), "api": url, "listen": member.listen, "pid": pid}
    row |= dict.fromkeys(("height", "peers", "works", "sandbox"))
    if pid is None:
        return row
    try:
        async with asyncio.timeout(LOOK_S), Client(url, read_token(member.data / "api.token", own=True)) as node:
            found, _, sandbox = await read_status(node)
    except (ApiError, TimeoutError, OSError):
        return row  # it is starting or stopping
    said = "testing" if "has not ended" in sandbox else sandbox.removeprefix("Not ready: ")
    return row | {"height": found["height"], "peers": found["peers"], "works": found["working"], "sandbox": said}


def _no_engine(member: LabNode) -> str:
    """Why no job can run here; empty where it can."""
    from learningchain.client import config
    from learningchain.client.doctor.findings import FindingLevel, examine
    from learningchain.client.doctor.machine import look_at_engine

    settings = config.load(member.data, {}).config.sandbox
    found = examine({"engine": partial(look_at_engine, member.data, settings, True)}, LOOK_S)
    return next((one.text for one in found if one.level != FindingLevel.FINE), "")


def _clean_engine(members: list[LabNode]) -> list[str]:
    """Removes what the nodes left on the container engine; what could not be."""
    from learningchain.client.doctor.findings import together

    calls: dict[str, Callable[[], list[str]]] = {
        one.name: partial(_cleaned, one) for one in members if (one.data / "sandbox").is_dir()
    }
    told = []
    for name, result in together(calls, ENGINE_S).items():
        if isinstance(result, list):
            told += [f"Left on the engine by {name}: {problem}" for problem in result]
        else:
            told.append(f"What {name} left on the engine could not be looked for: {result or 'no answer in time'}")
    return told


def _cleaned(member: LabNode) -> list[str]:
    from learningchain.client import config
    from learningchain.client.keys.keystore import Keystore
    from learningchain.sandbox import BackendSettings, make_backend

    settings = config.load(member.data, {}).config.sandbox
    tag = Keystore.public(member.data / "keystore.json").address[:20]  # as the node's own: `client.work.compose.make_engine`
    wanted = BackendSettings(data=member.data / "sandbox", node_tag=tag, engine=settings.engine, runtime=settings.runtime)
    with contextlib.closing(make_backend(settings.backend, wanted)) as backend:
        return [str(problem) for problem in backend.cleanup().problems]


def environment(place: Path, member: LabNode) -> str:
    """What a shell is told so that the commands that follow are this node's owner's, and ask for nothing."""
    word = f'"$(cat {shlex.quote(str(place / PASSPHRASE))})"'
    return f"export LEARNINGCHAIN_DATA={shlex.quote(str(member.data))} {PASSPHRASE_VARIABLE}={word}"


def _show_up(
    common: Common, place: Path, members: list[LabNode], rows: list[dict[str, Any]], *, started: list[str], no_engine: str
) -> None:
    line = environment(place, members[-1])
    elsewhere = [name for name in ("LEARNINGCHAIN_API", "LEARNINGCHAIN_TOKEN_FILE") if variable(name)]
    document = {
        "folder": str(place),
        "started": started,
        "nodes": rows,
        "passphrase_file": str(place / PASSPHRASE),
        "export": line,
        "no_engine": no_engine or None,
    }

    def people(console: Console) -> None:
        if not started:
            console.print(f"The laboratory in {place} runs already.\n", soft_wrap=True)
        columns = ["node", "data folder", "API", "runs jobs"]
        listed = [
            [row["name"], row["data"], row["api"], "no engine" if row["works"] and no_engine else row["works"]] for row in rows
        ]
        console.print(listing(columns, listed, whole={"node", "API"}))
        console.print(f"\nTo go on as the owner of {members[-1].name}, type in this terminal:\n\n{line}", soft_wrap=True)
        if elsewhere:
            console.print(f"unset {' '.join(elsewhere)}", soft_wrap=True)
        option = "" if place == Path.cwd() / DEFAULT else f" --folder {shlex.quote(str(place))}"
        console.print("\nThen, for example:\n")
        for words, text in (
            ("job new my-job", "a job to begin from, and what to do with it"),
            ("dashboard", "the node's pages in a browser"),
            (f"lab status{option}", "how the nodes stand"),
            (f"lab down{option}", "ends them; lab up starts them again"),
        ):
            console.print(f"learningchain {words:26}  {text}", soft_wrap=True)

    common.out.show(document, people)
    if no_engine:
        common.out.note(f"The nodes take no jobs: {no_engine}. All else works; they look for the engine again by themselves.")
    elif any(row["sandbox"] == "testing" for row in rows):
        common.out.note("Each node still proves its sandbox before it runs a job, up to a minute: learningchain lab status")
