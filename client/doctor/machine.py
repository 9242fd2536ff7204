"""What this machine gives a node: the container engine, ports, its clock, open files, the programs' versions."""

from __future__ import annotations

import ctypes
import errno
import resource
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import learningchain
from learningchain.client.doctor.findings import DoctorFinding, failure, fine, skipped, together, warning
from learningchain.client.node.process import SPARE_FILES

if TYPE_CHECKING:
    from learningchain.client.config import Config, SandboxConfig
    from learningchain.sandbox import Backend

CONNECT_S: Final = 3.0
FEW_FILES: Final = 2 * SPARE_FILES
_TIME_ERROR: Final = 5
"""What adjtimex(2) gives where nothing keeps the clock."""
_ENGINE: Final = "Start that engine and let this user use it, or name another: learningchain config set sandbox.engine URL"


# --- the engine ----------------------------------------------------------------------------------------------------------------


def look_at_engine(folder: Path, settings: SandboxConfig, needed: bool, gpus: Sequence[str] = ()) -> list[DoctorFinding]:
    """`needed`: this node is to run jobs. Without that, an engine that is away is worth no alarm. `gpus`: what `work.gpus` says."""
    from learningchain.sandbox import SandboxError, UnknownBackend

    made = failure if needed else skipped
    try:
        with (
            tempfile.TemporaryDirectory(prefix="learningchain-doctor-") as place,
            closing(_backend(folder, settings, place, gpus)) as backend,
        ):
            engine = backend.check_engine()
    except UnknownBackend as fault:
        return [made("engine", str(fault), "learningchain config set sandbox.backend docker")]
    except SandboxError as fault:
        why = f"{fault}" if needed else f"{fault} (this node runs no jobs: work.enabled is off)"
        return [made("engine", why, _ENGINE)]
    if settings.backend == "docker" and settings.runtime not in engine.runtimes:
        text = f"the engine has no runtime {settings.runtime}: it has {', '.join(engine.runtimes)}"
        return [made("engine", text, "Install it for the engine, or: learningchain config set sandbox.runtime runc")]
    text = f"engine {engine.version}, {engine.architecture}, {engine.cpus} processors, {engine.mem_mb:,} MiB of memory"
    if engine.context:
        text += f", by docker's context {engine.context}"
    return [fine("engine", text), *judge_devices([(one.name, one.ok, one.detail) for one in engine.devices])]


def judge_devices(devices: Iterable[tuple[str, bool, str]]) -> list[DoctorFinding]:
    """What is known of each GPU that is offered: its name, whether it can be given, and what it brings or why it cannot."""
    remedy = "Jobs that ask for it are left alone until then; docs/gpus.md"
    return [fine("gpus", f"{name}: {detail}") if ok else warning("gpus", detail, remedy) for name, ok, detail in devices]


def load_backend(folder: Path, settings: SandboxConfig) -> None:
    """Whoever bounds the looks by a time loads before it begins what they need of this program: that hangs nowhere, and takes long
    where many processes share few processors. No engine is asked; what is wrong with the backend is found by its look."""
    from learningchain.sandbox import SandboxError, UnknownBackend

    with suppress(SandboxError, UnknownBackend), tempfile.TemporaryDirectory(prefix="learningchain-doctor-") as place:
        _backend(folder, settings, place, ()).close()


def prove_sandbox(folder: Path, settings: SandboxConfig, place: str, gpus: Sequence[str] = ()) -> list[DoctorFinding]:
    """Tries to break every limit, in containers of its own: up to a minute. `place` is a folder for what it writes, which whoever
    waits for it removes: who is told to end waits no longer, and this thread ends with the process."""
    from learningchain.sandbox import SandboxError, UnknownBackend

    try:
        with closing(_backend(folder, settings, place, gpus)) as backend:
            try:
                report = backend.self_test()
            finally:
                backend.cleanup()
    except (SandboxError, UnknownBackend) as fault:
        return [failure("sandbox", str(fault), _ENGINE)]
    devices = judge_devices([(one.name, one.ok, one.detail) for one in report.devices])
    return judge_checks([{"name": c.name, "ok": c.ok, "detail": c.detail} for c in report.checks]) + devices


def judge_checks(checks: list[dict[str, object]]) -> list[DoctorFinding]:
    """What a self-test said: name, ok and detail of each limit."""
    broken = [check for check in checks if not check.get("ok")]
    if not broken:
        return [fine("sandbox", f"each of {len(checks)} limits held when it was tried")]
    remedy = "This engine does not enforce it, so no stranger's job runs: docs/sandbox.md has the name of the check"
    return [failure("sandbox", f"{check.get('name')}: {check.get('detail')}", remedy) for check in broken]


def _backend(folder: Path, settings: SandboxConfig, place: str, gpus: Sequence[str]) -> Backend:
    """One beside the node's own, under a tag of its own: whatever it makes it removes."""
    from platformdirs import user_cache_path

    from learningchain.client.config import own_gpus
    from learningchain.sandbox import BackendSettings, make_backend

    own = folder / "sandbox"
    cache = (
        Path(settings.cache_dir)
        if settings.cache_dir
        else (own / "cache" if own.is_dir() else user_cache_path("learningchain") / "images")
    )
    wanted = BackendSettings(
        data=Path(place),
        node_tag=f"doctor-{secrets.token_hex(6)}",
        engine=settings.engine,
        runtime=settings.runtime,
        cache_dir=cache,
        disk_from=settings.disk_from_mb << 20,
        devices=own_gpus(gpus),
    )
    return make_backend(settings.backend, wanted)


# --- ports ---------------------------------------------------------------------------------------------------------------------


def look_at_ports(config: Config, running: bool) -> list[DoctorFinding]:
    """Held by the node that runs, or free for one that starts."""
    from learningchain.p2p.address_book import endpoint, parse_endpoint

    findings = []
    listened = [("network.listen", config.network.listen), ("api.listen", config.api.listen)]
    if config.network.bulk and config.network.bulk_port and not running:  # a node listens there while files are asked for
        host, _ = parse_endpoint(config.network.listen)
        listened.append(("network.bulk_port", endpoint(host, config.network.bulk_port)))
    for setting, where in listened:
        host, port = parse_endpoint(where)
        another = "PORT chooses another port" if setting == "network.bulk_port" else "HOST:PORT chooses another address"
        change = f"learningchain config set {setting} {another}"
        if running:
            why = _unreachable(_loopback(host), port)
            text = f"nothing answers at {where} ({setting}), although the node runs: {why}"
            findings.append(fine("ports", f"the node listens on {where}") if not why else failure("ports", text, change))
            continue
        why = taken(host, port)
        text = f"{where} ({setting}) cannot be listened on: {why}"
        findings.append(fine("ports", f"{where} is free") if not why else failure("ports", text, f"Stop that program; {change}"))
    host, _ = parse_endpoint(config.network.listen)
    away = [seed for seed in config.network.peers if not _is_loopback(parse_endpoint(seed.rpartition("@")[2])[0])]
    if away and _is_loopback(host):
        text = f"network.listen is {config.network.listen}: peers on other machines cannot connect to this node, it only to them"
        findings.append(warning("ports", text, "learningchain config set network.listen 0.0.0.0:7400, and open the port"))
    return findings


def look_at_addresses(config: Config) -> list[DoctorFinding]:
    """Whether what is told to peers, and the peers that are configured, take a connection from here."""
    from learningchain.p2p.address_book import parse_endpoint

    told = {f"advertised {where}": parse_endpoint(where) for where in config.network.advertise}
    peers = {f"peer {seed}": parse_endpoint(seed.rpartition("@")[2]) for seed in config.network.peers}
    calls = {name: (lambda place=place: _unreachable(*place)) for name, place in (told | peers).items()}
    found = together(calls, CONNECT_S + 2)
    bad = {name: "no answer in time" if why is None else str(why) for name, why in found.items() if why != ""}
    findings = [
        warning("reachable", f"{name} takes no connection from here: {bad[name]}", "Open the port in the firewall and the router")
        for name in told
        if name in bad
    ]
    if not peers:
        return findings or [skipped("reachable", "no peer and no advertised address is configured")]
    silent = [name for name in peers if name in bad]
    if len(silent) == len(peers):
        text = f"none of {len(peers)} configured peers takes a connection; {silent[0]}: {bad[silent[0]]}"
        findings.append(failure("reachable", text, "Look at this machine's network; ask a member for addresses (network.peers)"))
    elif silent:
        text = f"{len(silent)} of {len(peers)} configured peers take no connection; {silent[0]}: {bad[silent[0]]}"
        findings.append(warning("reachable", text, "They may be off. If they are for good, take them out of network.peers"))
    else:
        findings.append(fine("reachable", f"all {len(peers)} configured peers take a connection"))
    return findings


def _unreachable(host: str, port: int) -> str:
    """Why not; nothing where it takes a connection."""
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as fault:
        return fault.strerror or str(fault)
    return ""


def taken(host: str, port: int) -> str:
    """Why it cannot be listened on; nothing where it can. The port is free again when this returns."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(place)
            tried.listen(1)
    except OSError as fault:
        return "another program has it" if fault.errno == errno.EADDRINUSE else fault.strerror or str(fault)
    return ""


def _loopback(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


# --- clock, files, versions ----------------------------------------------------------------------------------------------------


def kernel_keeps_time() -> bool | None:
    """Whether something sets this machine's clock right, as the kernel knows it; None where it does not say (adjtimex(2))."""
    if sys.platform != "linux":
        return None
    buffer = ctypes.create_string_buffer(512)  # struct timex with modes 0: nothing is changed
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return None if answer < 0 else answer != _TIME_ERROR


SLOW_MS: Final = 1_000
"""What a block may take from its proposer's clock to being final here, and is no fault of any clock."""


def judge_clock(offset_ms: int | None, proposers: int, kept: bool | None, drift_ms: int) -> list[DoctorFinding]:
    """`offset_ms`: how far this clock is before those of other proposers, the time of a round included; None: unknown. `drift_ms`:
    what validators bear (parameter `drift`)."""
    remedy = "Set the clock, and have it kept: timedatectl set-ntp true, or chrony"
    if offset_ms is None:
        if kept is None:
            return [skipped("clock", "no block of other validators came lately to compare it with, and the kernel does not say")]
        if kept:
            return [fine("clock", "something keeps this machine's clock; no block of other validators came lately to compare with")]
        text = "nothing seems to keep this machine's clock, and no block of other validators came lately to compare it with"
        return [warning("clock", text, remedy)]
    away = max(0, -offset_ms, offset_ms - SLOW_MS)
    side = "behind" if offset_ms < 0 else "before"
    text = f"it is about {away / 1000:.1f} s {side} those of {proposers} other validators, who bear {drift_ms / 1000:g} s"
    if away > drift_ms:
        return [failure("clock", text, remedy)]
    if away > drift_ms // 2:
        return [warning("clock", text, remedy)]
    return [fine("clock", f"it agrees with those of {proposers} other validators")]


def look_at_limits() -> list[DoctorFinding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FEW_FILES:
        text = f"this user's processes may open {hard} files, and a node with many peers and programs wants {FEW_FILES}"
        return [warning("limits", text, "Raise LimitNOFILE of the service, or ulimit -n")]
    return [fine("limits", "enough open files are allowed")]


def look_at_versions(running: str | None) -> list[DoctorFinding]:
    """`running`: the version of the node that runs."""
    from learningchain.chain.params import PROTOCOL_VERSION

    own = learningchain.__version__
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if running is not None and running != own:
        text = f"the node that runs is {running}, and {own} is installed"
        return [warning("versions", text, "Restart the node, so that it is the one that is installed")]
    return [fine("versions", f"LearningChain {own}, protocol versions 1 to {PROTOCOL_VERSION}, {python}")]
