"""Every bound of the sandbox, from both sides: the largest that passes, and the first that does not."""

from __future__ import annotations

import io
import socket
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from learningchain.sandbox import ContainerLimits, EngineError, RunSpec, SandboxUnavailable, layers
from learningchain.sandbox.archive import clean_archive, scan_archive
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker import isolation, selftest
from learningchain.sandbox.docker.attached import Attached, Dialogue
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.sidecar import SidecarSize
from learningchain.sandbox.documents import parse_config
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.phases import PHASES
from learningchain.sandbox.progress import Progress, parse_progress
from learningchain.sandbox.spec import MIB, Check, OutputFile, RunResult, RunStatus, SelfTestReport
from learningchain.sandbox.targuard import EXTENDED_CAP, BadTar, TarMember, TarWalk

from .tar_kit import pax, raw
from .test_sandbox_archive import GOOD, LIMITS, docker_archive, entry, tar
from .test_sandbox_guard import document, scan
from .test_sandbox_progress import frame

# --- tar --------------------------------------------------------------------------------------------------------------------------


def walk(stream: bytes, **bounds: int) -> list[TarMember]:
    return list(TarWalk(io.BytesIO(stream), **{"max_bytes": 1 << 20, "max_members": 50, **bounds}))  # type: ignore[arg-type]


def test_a_walk_ends_with_the_first_byte_header_or_entry_too_many() -> None:
    stream = raw(b"a", content=b"x" * 600) + raw(b"b") + raw(b"c") + bytes(512)
    assert len(walk(stream, max_bytes=len(stream), max_members=3, max_headers=len(stream) - 600)) == 3
    for bounds in ({"max_bytes": len(stream) - 1}, {"max_members": 2}, {"max_headers": len(stream) - 601}):
        with pytest.raises(BadTar, match="more than"):
            walk(stream, **bounds)


def test_an_extended_header_is_read_up_to_its_bound_and_no_record_beyond_it() -> None:
    def noted(size: int) -> bytes:
        return pax((b"comment", b"c" * (size - len(b"65536 comment=\n")))) + raw() + bytes(512)

    assert walk(noted(EXTENDED_CAP))
    with pytest.raises(BadTar, match="an extended header of 65537 bytes"):
        walk(noted(EXTENDED_CAP + 1))
    for text in (b"", b"30 path=a\n", b"8 path=a\n", b"11 path=a\n", b"6 =ab\n", b"8 patha\n", b"10 path=a\n5 x=\n"):
        with pytest.raises(BadTar):
            walk(raw(b"x", b"x", text) + raw() + bytes(512))


def test_permissions_and_times_are_the_entrys_own() -> None:
    (one,) = walk(raw(b"d//", b"5", mode=0o1750, mtime=12) + bytes(512))
    assert (one.name, one.mode, one.mtime) == ("d", 0o1750, 12)
    (one,) = walk(pax((b"mtime", b"-99.5")) + raw(mtime=12) + bytes(512))
    assert one.mtime == -99
    for start, end in ((116, 124), (329, 337), (337, 345)):
        block = bytearray(raw())
        block[start:end] = b"nonsense"
        block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:]) + 8 * 32)
        with pytest.raises(BadTar, match="owner or device is no number"):
            walk(bytes(block) + bytes(512))


@pytest.mark.parametrize("field", [{"name": b"a\0b"}, {"link": b"a\0b", "kind": b"2"}, {"prefix": b"a\0b"}])
def test_nothing_hides_behind_the_end_of_a_text(field: dict[str, Any]) -> None:
    with pytest.raises(BadTar, match="bytes behind its"):
        walk(raw(**field) + bytes(512))


# --- layers -----------------------------------------------------------------------------------------------------------------------


def test_bytes_files_and_names_of_an_image_are_counted_to_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [
        tar(entry("a", bytes(700)), entry("tmp", kind=b"5")),
        tar(entry("b", bytes(300)), entry("l", kind=b"2", link="/" + "t" * 9)),
    ]
    for field, most in (("unpacked_bytes", 1000), ("files", 4)):
        assert scan(tmp_path / "a.tar", both, msgspec.structs.replace(LIMITS, **{field: most}))
        with pytest.raises(BadImage, match=f"more than {most - 1} "):
            scan(tmp_path / "a.tar", both, msgspec.structs.replace(LIMITS, **{field: most - 1}))
    monkeypatch.setattr(layers, "NAMES_CAP", len("atmpbl") + 10)
    assert scan(tmp_path / "a.tar", both)
    monkeypatch.setattr(layers, "NAMES_CAP", len("atmpbl") + 9)
    with pytest.raises(BadImage, match="the names in the image"):
        scan(tmp_path / "a.tar", both)


@pytest.mark.parametrize("path", ["dev", "etc", "lc", "lc/in", "lc/out", "proc", "sys", "tmp"])
@pytest.mark.parametrize("kind", [b"0", b"2"], ids=["a file", "a link"])
def test_where_runtimes_mount_is_a_folder_or_nothing_in_the_end(tmp_path: Path, path: str, kind: bytes) -> None:
    bad = entry(path, kind=kind, link="/proc" if kind == b"2" else "")
    folder, _, base = path.rpartition("/")
    gone = entry(f"{folder}/.wh.{base}".lstrip("/"))
    with pytest.raises(BadImage, match=f"'{path}' is no folder"):
        scan(tmp_path / "a.tar", [tar(bad)])
    with pytest.raises(BadImage, match=f"'{path}' is no folder"):
        scan(tmp_path / "b.tar", [tar(entry(path, kind=b"5")), tar(bad)])
    assert scan(tmp_path / "c.tar", [tar(bad), tar(gone)])
    assert scan(tmp_path / "d.tar", [tar(bad), tar(entry(path, kind=b"5"))])
    if folder:
        assert scan(tmp_path / "e.tar", [tar(bad), tar(entry(f"{folder}/.wh..wh..opq"))])


@pytest.mark.parametrize("path", ["etc/group", "etc/passwd"])
def test_lists_of_users_are_small_files_or_nothing(tmp_path: Path, path: str) -> None:
    assert scan(tmp_path / "a.tar", [tar(entry(path, bytes(65536)))])
    for bad in (entry(path, bytes(65537)), entry(path, kind=b"2", link="/dev/zero"), entry(f"{path}/f", b"x")):
        with pytest.raises(BadImage, match=f"'{path}' is no file of at most 65536"):
            scan(tmp_path / "b.tar", [tar(entry("f")), tar(bad)])
    big = tar(entry("big", bytes(65537)), entry("h", kind=b"1", link="big"), entry(path, kind=b"1", link="h"))
    with pytest.raises(BadImage, match="is no file"):
        scan(tmp_path / "c.tar", [big])


@pytest.mark.parametrize("path", ["etc/hostname", "etc/hosts", "etc/resolv.conf"])
def test_files_that_runtimes_mount_are_no_folders(tmp_path: Path, path: str) -> None:
    assert scan(tmp_path / "a.tar", [tar(entry(path))])
    with pytest.raises(BadImage, match=f"'{path}' is a folder"):
        scan(tmp_path / "b.tar", [tar(entry(f"{path}/f"))])


def test_names_are_as_long_as_engines_take_and_no_longer(tmp_path: Path) -> None:
    long = "/".join(["d" * 203] * 10 + ["f" * 8])
    assert len(long) == 2048
    for name in ("c" * 255, "ä" * 127, "/".join("d" * 200), long):
        assert scan(tmp_path / "a.tar", [tar(entry(name))], msgspec.structs.replace(LIMITS, files=300))
    for name in ("c" * 256, "ä" * 128, "/".join("d" * 201), long + "f"):
        with pytest.raises(BadImage, match="too long"):
            scan(tmp_path / "b.tar", [tar(entry(name))], msgspec.structs.replace(LIMITS, files=300))
    assert scan(tmp_path / "c.tar", [tar(entry("l", kind=b"2", link="t" * 4000))])
    with pytest.raises(BadImage, match="oversized target"):
        scan(tmp_path / "d.tar", [tar(entry("l", kind=b"2", link="t" * 4001))])


def test_removals_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    below = tar(entry("d/f"), entry("g"))
    for names, why in (
        ((".wh.g", ".wh.g"), "'g' twice"),
        ((".wh.g", "g"), "'g' twice"),
        (("d/.wh..wh..opq", "d/.wh..wh..opq"), "empties 'd' twice"),
        (("d/.wh...",), "storage drivers"),
        (("d/.wh..wh.x",), "storage drivers"),
        (("d/.wh.x/f",), "storage drivers"),
    ):
        with pytest.raises(BadImage, match=why):
            scan(tmp_path / "a.tar", [below, tar(*(entry(name) for name in names))])
    below = tar(entry("d/f"), entry("d/g"))
    above = tar(entry("d/.wh..wh..opq"), entry("d/n"))
    kinds = [(e.path, e.kind) for e in scan(tmp_path / "b.tar", [below, above, tar(entry("d/.wh.f"), entry("d/.wh.n"))])]
    assert ("d/n", b"w") in kinds
    assert ("d/f", b"w") not in kinds, "the layer between has emptied the folder"


# --- archives ---------------------------------------------------------------------------------------------------------------------


def outer(path: Path, *more: tuple[tarfile.TarInfo, bytes]) -> None:
    docker_archive(path, [GOOD], extra=more)


def test_an_archive_is_as_long_as_its_limit_and_no_longer(tmp_path: Path) -> None:
    outer(tmp_path / "a.tar")
    size = (tmp_path / "a.tar").stat().st_size
    scan_archive(tmp_path / "a.tar", msgspec.structs.replace(LIMITS, archive_bytes=size))
    with pytest.raises(BadImage, match=f"the limit is {size - 1}"):
        scan_archive(tmp_path / "a.tar", msgspec.structs.replace(LIMITS, archive_bytes=size - 1))


def test_an_archives_own_entries_are_bounded_and_plain(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    outer(path, *(entry(f"x{number}") for number in range(1021)))
    scan_archive(path, LIMITS)
    outer(path, *(entry(f"x{number}") for number in range(1022)))
    with pytest.raises(BadImage, match="more than 1024 entries"):
        scan_archive(path, LIMITS)
    path.write_bytes(pax((b"comment", b"c" * 60_000), kind=b"g") * 75 + bytes(1024))
    with pytest.raises(BadImage, match="headers of more than"):
        scan_archive(path, msgspec.structs.replace(LIMITS, archive_bytes=64 * MIB))
    for kind, why in ((b"3", "a device"), (b"4", "a device"), (b"6", "a pipe")):
        outer(path, entry("x", kind=kind))
        with pytest.raises(BadImage, match=f"the archive holds {why}"):
            scan_archive(path, LIMITS)
    for link in ("..", "../x", "/x", "a/../../x"):
        outer(path, entry("x", kind=b"2", link=link))
        with pytest.raises(BadImage, match="leads out"):
            scan_archive(path, LIMITS)


def test_a_layer_that_is_there_twice_may_be_a_link_to_the_first_and_no_link_goes_on(tmp_path: Path) -> None:
    """As engines write it; a chain of links could be a circle."""
    path = tmp_path / "a.tar"
    docker_archive(path, [GOOD, GOOD])
    with tarfile.open(path) as archive:
        files = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
    wanted = scan_archive(path, LIMITS).image_id
    del files["1/layer.tar"]
    plain = [entry(name, content) for name, content in files.items()]
    path.write_bytes(tar(*plain, entry("1/layer.tar", kind=b"2", link="../0/layer.tar")))
    image = scan_archive(path, LIMITS)
    assert image.image_id == wanted
    assert b"".join(clean_archive(path, image, "t:1"))
    for links in (
        {"1/layer.tar": "layer.tar"},
        {"1/layer.tar": "b", "1/b": "../0/layer.tar"},
        {"1/layer.tar": "b", "1/b": "layer.tar"},
    ):
        path.write_bytes(tar(*plain, *(entry(name, kind=b"2", link=target) for name, target in links.items())))
        with pytest.raises(BadImage, match=r"lacks '1/layer\.tar'"):
            scan_archive(path, LIMITS)


@pytest.mark.parametrize("change", ["cut", "damaged", "gone", "longer"])
def test_an_archive_that_changes_after_the_scan_is_told_as_changed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.tar"
    docker_archive(path, [tar(entry("f", b"x" * 4000))])
    image = scan_archive(path, LIMITS)
    data = path.read_bytes()
    where = image.layers[0].piece.offset
    if change == "cut":
        path.write_bytes(data[: where + 1024])
    elif change == "damaged":
        path.write_bytes(data[:where] + b"\xff" * 512 + data[where + 512 :])
    elif change == "gone":
        path.unlink()
    else:
        image = msgspec.structs.replace(image, layers=(msgspec.structs.replace(image.layers[0], written_size=99_999),))
    # One that is gone says nothing of the image: it is this machine's trouble.
    with pytest.raises(FileNotFoundError if change == "gone" else BadImage, match=r"No such file|changed while it was read"):
        b"".join(clean_archive(path, image, "t:1"))


def test_an_environment_is_bounded_as_a_whole(tmp_path: Path) -> None:
    assert len(parse_config(document(config={"Env": ["A=" + "x" * 126] * 1000}), "amd64").env) == 1000
    for env in (["A=x"] * 1001, ["A=" + "x" * 998] * 132, ["A=a\0b"], ["=x"]):
        with pytest.raises(BadImage, match="environment is damaged"):
            parse_config(document(config={"Env": env}), "amd64")
    for made_for, machine in (("arm64", "amd64"), ("AMD64", "amd64"), (None, None), (5, None)):
        with pytest.raises(BadImage, match="the image is made for"):
            parse_config(document(architecture=made_for), machine)


def test_what_linker_init_and_runtime_would_obey_is_not_taken_of_an_image() -> None:
    dropped = ["LD_PRELOAD=/x.so", "LD_AUDIT=/x.so", "NVIDIA_VISIBLE_DEVICES=all", "TINI_VERBOSITY=3", "LD_PRELOAD=/y.so"]
    kept = ["PATH=/bin", "LD_LIBRARY_PATH=/opt/lib", "ld_preload=/x.so", "MY_NVIDIA_X=1"]
    config = parse_config(document(config={"Env": [*dropped, *kept]}), "amd64")
    assert config.env == tuple(kept)
    assert config.dropped == ("LD_AUDIT", "LD_PRELOAD", "NVIDIA_VISIBLE_DEVICES", "TINI_VERBOSITY")


# --- what a job says --------------------------------------------------------------------------------------------------------------


def test_progress_at_its_bounds() -> None:
    line = b'LC {"step":1,"pad":"%s"}'
    assert parse_progress(line % (b"x" * (511 - len(line % b"")))) == Progress(1)
    assert parse_progress(line % (b"x" * (512 - len(line % b"")))) is None
    assert parse_progress(b'LC {"step":9007199254740991,"of":9007199254740992}') == Progress((1 << 53) - 1)
    assert parse_progress(b'LC {"step":9007199254740992}') is None
    assert parse_progress(b'LC {"step":0,"of":-1,"loss":1e18}') == Progress(0)


# --- isolation and limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rootless", "least", "most"), [(True, 20_000, 60_000), (False, 1 << 30, (1 << 30) + (1 << 29))])
def test_users_of_runs_lie_where_nobody_on_the_host_has_one(rootless: bool, least: int, most: int) -> None:
    found = {isolation.new_uid(rootless=rootless) for _ in range(200)}
    assert least <= min(found)
    assert max(found) < most
    assert len(found) > 150, "no two runs share one"


def test_volumes_are_their_users_alone_and_have_room_for_two_models_and_two_checkpoints() -> None:
    locked = "nosuid,nodev,noexec"
    assert isolation.in_options(5, 7) == f"size=5,nr_inodes=16,uid=7,gid=7,mode=0755,{locked}"
    assert isolation.out_options(PHASES["train"].out_bytes(MIB), 7) == f"size={9 * MIB},nr_inodes=64,uid=7,gid=7,mode=0700,{locked}"
    spec = RunSpec(run_id="r", image_id="sha256:" + "a" * 64, phase="train", seed=0, budget_s=1, limits=ContainerLimits(tmp_mb=900))
    assert PHASES["evaluate"].out_bytes(MIB) == 2 * 24 * MIB + MIB
    shm = isolation.job_config(spec, runtime="runc", uid=1, labels={}, mounts=[])["HostConfig"]["Tmpfs"]["/dev/shm"]
    assert "size=64m," in shm


@pytest.mark.parametrize(
    ("field", "most", "over"),
    [
        *(("cpus", 1024, 1024.1), ("mem_mb", 1 << 24, (1 << 24) + 1), ("pids", 1 << 20, (1 << 20) + 1)),
        *(("tmp_mb", 1 << 24, (1 << 24) + 1), ("tmp_inodes", 1 << 24, (1 << 24) + 1), ("log_cap", 1 << 30, (1 << 30) + 1)),
        *(
            ("file_cap", 1 << 41, (1 << 41) + 1),
            ("nofile", 1 << 20, (1 << 20) + 1),
            ("wall_s", 2592000, 2592000.1),
            ("processors", 1024, 1025),
            ("processors", 0, -1),
        ),
        *(
            ("cpus", 0.01, 0.009),
            ("mem_mb", 16, 15),
            ("pids", 8, 7),
            ("model_cap", 1, 0),
            ("tmp_inodes", 16, 15),
            ("nofile", 16, 15),
        ),
        *(("log_cap", 1024, 1023), ("file_cap", 16 * MIB, 16 * MIB - 1)),
    ],
)
def test_limits_reach_to_their_bounds(field: str, most: float, over: float) -> None:
    assert ContainerLimits(**{field: most})
    with pytest.raises(ValueError, match=field):
        ContainerLimits(**{field: over})
    with pytest.raises(ValueError, match="model_cap"):
        ContainerLimits(model_cap=(1 << 40) + 1, file_cap=1 << 41)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        *(("run_id", "a" * 80, "a" * 81), ("run_id", "0-", "-0"), ("seed", 1, None)),
        *(("seed", (1 << 64) - 1, 1 << 64), ("seed", 0, -1), ("budget_s", 2592000, 2592001), ("threads", 1024, 1025)),
        *(("params", "x" * 65536, "x" * 65537), ("inputs", {"model": Path("m")}, {"eval": Path("m")})),
    ],
)
def test_runs_reach_to_their_bounds(field: str, good: Any, bad: Any) -> None:
    plain: dict[str, Any] = {
        "run_id": "r",
        "image_id": "sha256:" + "a" * 64,
        "phase": "train",
        "seed": 0,
        "budget_s": 1,
    }
    assert RunSpec(**{**plain, field: good})
    with pytest.raises(ValueError, match=field):
        RunSpec(**{**plain, field: bad})
    with pytest.raises(ValueError, match="needs the input 'model'"):
        RunSpec(**{**plain, "phase": "evaluate", "seed": None})
    with pytest.raises(ValueError, match="phase 'evaluate' has no seed"):
        RunSpec(**{**plain, "phase": "evaluate", "inputs": {"model": Path("m")}})


# --- the self-test's verdict ------------------------------------------------------------------------------------------------------


def test_a_self_test_that_proved_nothing_or_not_all_is_not_passed(tmp_path: Path) -> None:
    assert not SelfTestReport("runc", ()).ok
    assert not SelfTestReport("runc", (Check("a", True, ""), Check("b", False, ""))).ok
    model = tmp_path / "m"
    model.write_bytes(msgspec.json.encode({name: (True, "") for name in selftest._EXPECTED if name != "uid"}))
    reported = RunResult(status=RunStatus.OK, reason="done", outputs={"model": OutputFile(model, 1, b"")})
    checks = selftest._judge_report(reported, selftest._EXPECTED)
    assert [check.name for check in checks if not check.ok] == ["uid"]
    assert not model.exists()
    assert not any(check.ok for check in selftest._judge_report(RunResult(status=RunStatus.FAILED, reason="x"), selftest._EXPECTED))
    ends = ((RunStatus.FAILED, "bytes of output"),)
    assert selftest._judge_end("log", ends, RunResult(status=RunStatus.FAILED, reason="wrote more than 9 bytes of output")).ok
    for status, reason in ((RunStatus.FAILED, "exit 1"), (RunStatus.OK, "bytes of output")):
        assert not selftest._judge_end("log", ends, RunResult(status=status, reason=reason)).ok


# --- connections ------------------------------------------------------------------------------------------------------------------


class OneSocket:
    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def call(self, what: str, action: Any) -> Any:
        return action(self)

    def attach_socket(self, name: str, params: dict[str, int]) -> socket.socket:
        return self.end


def test_a_connection_bears_silence_for_its_time_and_ends_for_both(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(20)
    attached = Attached(OneSocket(ours), "n", timeout_s=0.01)  # type: ignore[arg-type]
    assert attached.receive() is None
    theirs.sendall(b"x")
    assert attached.receive() == b"x"
    held = socket.socket(fileno=socket.dup(ours.fileno()))
    attached.close()
    assert theirs.recv(1) == b"", "the other side sees the end, whoever still holds the connection"
    assert attached.receive() == b""
    held.close()
    theirs.close()


def test_a_line_and_complaints_have_bounds() -> None:
    def talk(*data: bytes) -> Dialogue:
        ours, theirs = socket.socketpair()
        theirs.sendall(b"".join(data))
        theirs.close()
        return Dialogue(Attached(OneSocket(ours), "n", timeout_s=5), "it")  # type: ignore[arg-type]

    talks = [talk(frame(1, b"x" * 256 + b"\n")), talk(frame(1, b"x" * 257 + b"\n")), talk(frame(2, b"a" + b"b" * 400))]
    assert talks[0].line(256) == "x" * 256
    with pytest.raises(EngineError, match="a line of more than 256 bytes"):
        talks[1].line(256)
    with pytest.raises(EngineError, match=r"it has ended b{400}$"):
        talks[2].line(256)
    for one in talks:
        one.close()


def test_an_engine_that_has_gone_is_tried_as_often_as_one_that_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def gone(**_: Any) -> Any:
        tried.append(1)
        raise requests.ConnectionError("gone")

    monkeypatch.setattr(engine_module, "_PAUSE_S", 0)
    monkeypatch.setattr(engine_module, "_make_client", gone)
    with pytest.raises(EngineError, match="no Docker Engine answers"):
        Engine("unix:///x.sock").call("x", lambda api: api)
    assert len(tried) == 3
    with pytest.raises(SandboxUnavailable):
        Engine("unix:///x.sock").info()


# --- files of ours ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 60 * MIB, 64 * MIB])
def test_a_sidecar_has_room_for_all_inputs_and_is_the_same_for_runs_of_one_job(total: int) -> None:
    size = SidecarSize.for_inputs(total, 5)
    assert size.in_bytes >= total + MIB, "the posting's parameters, and what the file system itself takes"
    assert SidecarSize.for_inputs(total - total // 1000, 5).in_bytes in (size.in_bytes, size.in_bytes // 2)
