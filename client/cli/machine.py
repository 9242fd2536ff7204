"""`machine`: other machines of the owner train for this node. `join` and `run` are typed there, the others where the node is."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from learningchain.client.cli.common import HERE, Common, NotStarted, WrongUsage, show_list, when
from learningchain.client.cli.options import Parameter

if TYPE_CHECKING:
    from learningchain.client.machines.lease_file import LeaseOrder
    from learningchain.client.machines.program import MachineProgram
    from learningchain.client.machines.trust import MachineJoinToken, MachineSecrets
    from learningchain.sandbox import Backend, BackendSettings

LAST_S = 90.0
"""Of the two minutes of which Slurm warns a lease: what is under way then may still end."""
MachineName = Annotated[str, Parameter(name="NAME", help="Of the machine: a-z, 0-9 and -, at most 32.")]


def machines(*, common: Common = HERE) -> int:
    """Other machines that train for this node: state, what they have, runs, when they were heard."""
    found = common.ask(lambda node: node.machines())

    return show_list(
        common,
        found,
        "No other machine trains for this node. Let one: learningchain machine add NAME",
        ["machine", "state", "cpus", "MiB", "runs", "heard", "why"],
        lambda one: [
            one["name"],
            one["state"],
            f"{one['cpus_milli'] / 1_000:g}",
            one["mem_mb"],
            len(one["runs"]),
            when(one["heard"]),
            one["why"],
        ],
        right={"cpus", "MiB", "runs"},
    )


def add(
    name: MachineName,
    /,
    *,
    address: Annotated[str, Parameter(help="HOST:PORT at which the machine reaches the node. Default: cluster.listen.")] = "",
    common: Common = HERE,
) -> int:
    """Make a token with which one machine joins this node within an hour. It is shown once."""
    made = common.ask(lambda node: node.add_machine(name, address))
    common.out.show(made, lambda console: console.print(made["token"], soft_wrap=True))
    common.out.note(
        f"Good for one machine until {when(made['until'])}: who has it becomes {name}. There: learningchain machine join TOKEN"
    )
    return 0


def drain(
    name: MachineName,
    /,
    *,
    off: Annotated[bool, Parameter(negative="", show_default=False, help="Let it take runs again.")] = False,
    common: Common = HERE,
) -> int:
    """Let a machine take no further training, before it is switched off. Those that it has go on."""
    done = common.ask(lambda node: node.drain_machine(name, not off))
    text = (
        f"{name} takes no further training; learningchain machines shows those that it has."
        if done["drain"]
        else f"{name} takes trainings again."
    )
    common.out.show(done, lambda console: console.print(text, soft_wrap=True))
    return 0


def remove(name: MachineName, /, *, common: Common = HERE) -> int:
    """Let a machine train for this node no more. Its runs end there, and a token that waits for it is good no more."""
    gone = common.ask(lambda node: node.remove_machine(name))
    common.out.show(gone, lambda console: console.print(f"{name} trains for this node no more."))
    return 0


def join(
    token: Annotated[str, Parameter(name="TOKEN", help="What machine add printed where the node is.")],
    /,
    *,
    common: Common = HERE,
) -> int:
    """Let this machine join the node that made the token. It needs Docker, and no keystore, network or node of its own."""
    import ssl

    import msgspec

    from learningchain.chain.errors import Malformed
    from learningchain.chain.storage import private
    from learningchain.chain.storage.datadir import take_folder
    from learningchain.client.machines import program
    from learningchain.client.machines.trust import BadToken, parse_token

    try:
        wanted, data = parse_token(token), common.folder
        take_folder(str(data))  # before the token is used up
        secrets = asyncio.run(program.join(wanted))
    except BadToken as problem:
        raise WrongUsage(str(problem)) from None
    except program.NodeRefused as problem:
        raise WrongUsage(f"This machine does not join: {problem}") from None
    except (OSError, ssl.SSLError, TimeoutError, Malformed) as fault:
        why = str(fault) or "it did not answer in time"
        raise WrongUsage(
            f"This machine does not join: the node at {wanted.address} is out of reach ({why}). Look whether it runs, and whether "
            "cluster.listen and firewalls let this machine reach it"
        ) from None
    private.replace(data / program.FILE, msgspec.json.encode(secrets))
    common.out.show(
        {"name": secrets.name, "node": secrets.address, "data": str(data)},
        lambda console: console.print(f"This machine is {secrets.name} of the node at {secrets.address}.", soft_wrap=True),
    )
    common.out.note(f"Next: learningchain machine run{common.again}")
    return 0


def run(*, common: Common = HERE) -> int:
    """Train for the node that this machine joined, until interrupted. Without the node it goes on, and waits for it."""
    from learningchain.client.machines import program
    from learningchain.client.node import logs, process

    if why := process.why_no_node():
        raise NotStarted(f"The machine does not start: {why}")
    data = common.folder
    try:
        secrets = program.read_secrets(data)
    except FileNotFoundError:
        raise NotStarted(
            f"The machine does not start: {data} joined no node. Where the node is: learningchain machine add NAME; then here: "
            "learningchain machine join TOKEN"
        ) from None
    except (OSError, ValueError) as problem:
        raise NotStarted(f"The machine does not start: {data / program.FILE} cannot be read: {problem}. Join again") from None
    logs.configure("info", "console")
    import uvloop

    with _alone(data / program.FOLDER), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(data, secrets))


def doctor(
    *,
    self_test: Annotated[
        bool, Parameter(negative="", show_default=False, help="Also try to break the sandbox's limits here: about a minute.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Look at all that this machine needs to train for its node, and say what to do. Exit code as learningchain doctor."""
    from learningchain.client import config
    from learningchain.client.cli.doctor import LOOK_S, TEST_S, scratch, show_findings
    from learningchain.client.doctor import files, joined, machine
    from learningchain.client.doctor.findings import examine
    from learningchain.client.machines import program  # noqa: F401  # before the time for the looks begins, as `load_backend`

    data = common.folder
    looks = {
        "permissions": lambda: files.look_at_folder(data),
        "settings": lambda: files.look_at_settings(data),
        "program": lambda: joined.look_at_program(data),
        "node": lambda: joined.look_at_node(data),
        "clock": lambda: machine.judge_clock(None, 0, machine.kernel_keeps_time(), 0),
        "disk": lambda: files.look_at_disk(data),
        "limits": machine.look_at_limits,
    }
    with scratch() if self_test else nullcontext() as place:
        try:
            loaded = config.load(data).config
            machine.load_backend(data, loaded.sandbox)
            looks["engine"] = lambda: machine.look_at_engine(data, loaded.sandbox, True)
            if place is not None:
                looks["sandbox"] = lambda: machine.prove_sandbox(data, loaded.sandbox, place)
        except config.ConfigError:  # a finding already
            pass
        return show_findings(common, examine(looks, LOOK_S if place is None else TEST_S))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two programs of one machine would end each other's runs."""
    import fcntl

    from learningchain.chain.storage import private

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = private.open_folder(folder)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise NotStarted(
            f"The machine does not start: another learningchain machine run uses {folder}. End that one first"
        ) from None
    finally:
        os.close(held)


async def _run(data: Path, secrets: MachineSecrets) -> int:
    from learningchain.client import config
    from learningchain.client.cli.app import own_version
    from learningchain.client.machines.frames import MAX_HELD
    from learningchain.client.machines.program import FOLDER, MachineProgram
    from learningchain.client.machines.trust import fingerprint
    from learningchain.client.work.engine import ThreadedSandbox
    from learningchain.client.work.engine_watch import EngineWatch
    from learningchain.sandbox import BackendSettings

    loaded, folder = config.load(data).config, (data / FOLDER).absolute()
    settings = loaded.sandbox
    wanted = BackendSettings(
        data=folder / "sandbox",
        node_tag=f"machine-{fingerprint(secrets.certificate).hex()[:20]}",
        engine=settings.engine,
        runtime=settings.runtime,
        cache_dir=Path(settings.cache_dir) if settings.cache_dir else None,
        disk_from=settings.disk_from_mb << 20,
        images_cap=settings.images_mb << 20,
    )
    sandbox = ThreadedSandbox(_backend(settings.backend, wanted), MAX_HELD, self_test=True)
    program = MachineProgram(secrets, folder, sandbox, own_version(), sets_cap=loaded.work.data_mb << 20)
    watch = asyncio.ensure_future(EngineWatch(sandbox, program.engine_is).run())
    try:
        return await _serve(program)
    finally:
        watch.cancel()


def _backend(name: str, wanted: BackendSettings) -> Backend:
    from learningchain.sandbox import UnknownBackend, make_backend

    try:
        return make_backend(name, wanted)
    except UnknownBackend as problem:
        raise NotStarted(f"The machine does not start: {problem}") from None


async def _serve(program: MachineProgram) -> int:
    """Until it is over, or somebody ends it. USR1 says that a lease's time is over soon: what is under way may still end."""
    loop, stop = asyncio.get_running_loop(), program.over
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: loop.call_later(LAST_S, stop.set))
    running, waits = asyncio.ensure_future(program.run()), asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, waits}, return_when=asyncio.FIRST_COMPLETED)
    waits.cancel()
    if not running.done():
        await program.wind_down()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return 0


def lease(
    order: Annotated[Path, Parameter(name="FILE", help="What the node wrote for this lease.")],
    /,
    *,
    common: Common = HERE,
) -> int:
    """Be a machine of a node for one training, as a job of Slurm is. The node starts it; nobody types it."""
    from learningchain.client.machines.lease_file import given_devices, read_lease
    from learningchain.client.machines.trust import BadToken, parse_token
    from learningchain.client.node import logs, process

    if why := process.why_no_node():
        raise NotStarted(f"The lease does not start: {why}")
    try:
        wanted = read_lease(order)
        token, devices = parse_token(wanted.token), given_devices(wanted, os.environ)
    except (OSError, ValueError, BadToken) as problem:
        raise NotStarted(
            f"The lease does not start: {order} cannot be used: {problem}. The node writes it for each lease"
        ) from None
    logs.configure("info", "console")
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_lease(wanted, token, devices))


async def _lease(wanted: LeaseOrder, token: MachineJoinToken, devices: tuple[str, ...]) -> int:
    import ssl

    from learningchain.chain.errors import Malformed
    from learningchain.client.cli.app import own_version
    from learningchain.client.machines import lease_file, program
    from learningchain.client.work.engine import ThreadedSandbox
    from learningchain.sandbox import BackendSettings

    try:
        secrets = await program.join(token)
    except (program.NodeRefused, OSError, ssl.SSLError, TimeoutError, Malformed) as fault:
        why = str(fault) or "it did not answer in time"
        raise NotStarted(f"The lease does not start: the node at {token.address} does not take it: {why}") from None
    try:
        with lease_file.taken_place(secrets.authority) as place:
            sandbox = BackendSettings(data=place.folder / "sandbox", node_tag=place.tag, runtime=wanted.runtime, devices=devices)
            backend = ThreadedSandbox(_backend(wanted.backend, sandbox), 1, self_test=True)
            made = program.MachineProgram(secrets, place.folder, backend, own_version(), lease=True, devices=devices)
            return await _serve(made)
    except OSError as fault:
        raise NotStarted(f"The lease does not start: {fault.strerror}: {fault.filename}") from None
