"""What the engine for machines without Docker makes of a description and of an archive, without any container."""

from __future__ import annotations

import io
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learningchain.sandbox import ContainerLimits, RunSpec, SandboxUnavailable
from learningchain.sandbox.data import scan_folder
from learningchain.sandbox.docker.devices import DeviceParts
from learningchain.sandbox.docker.isolation import MASKED_PATHS, job_config, volume_mount
from learningchain.sandbox.docker.volumes import packed
from learningchain.sandbox.oci.api import Handler
from learningchain.sandbox.oci.bundle import environment, runtime_config
from learningchain.sandbox.oci.containers import Container, code_of
from learningchain.sandbox.oci.host import OciEngine
from learningchain.sandbox.oci.trees import TreeError, UnpackedImage, apply_layer, unpack_files
from learningchain.sandbox.oci.volumes import Volumes
from learningchain.sandbox.targuard import FILE, FOLDER, HARD_LINK, SYMBOLIC_LINK
from learningchain.sandbox.tarwriter import END, header, padding

UID = 1 << 30
SPEC = RunSpec(
    run_id="r", image_id="sha256:" + "0" * 64, phase="train", seed=1, budget_s=5, limits=ContainerLimits(pids=64, nofile=128)
)


def described() -> dict[str, Any]:
    mounts = [volume_mount("lc-1-in", "/lc/in", "o", {}, read_only=True), volume_mount("lc-1-out", "/lc/out", "o", {})]
    return job_config(SPEC, runtime="crun", uid=UID, labels={}, mounts=mounts, without=["LD_AUDIT"])


def made(asked: dict[str, Any], **more: Any) -> dict[str, Any]:
    places = {"lc-1-in": "/run/in", "lc-1-out": "/run/out"}
    return runtime_config(asked, image_env=["LD_AUDIT=x", "A=1"], rootfs="/root", dev="/run/dev", places=places, **more)


def test_a_jobs_container_has_every_limit_of_its_description() -> None:
    config = made(described())
    process, linux = config["process"], config["linux"]
    assert (process["user"], process["args"]) == ({"uid": UID, "gid": UID}, ["/lc/job", "train"])
    assert process["noNewPrivileges"] and not any(process["capabilities"].values()) and config["root"]["readonly"]
    assert process["env"][0] == "A=1" and "LC_PHASE=train" in process["env"] and process["oomScoreAdj"] == 1000
    rlimits = {one["type"]: (one["soft"], one["hard"]) for one in process["rlimits"]}
    assert (rlimits["RLIMIT_NOFILE"], rlimits["RLIMIT_CORE"]) == ((128, 128), (1, 1))
    assert {one["type"] for one in linux["namespaces"]} == {"pid", "mount", "ipc", "uts", "network", "cgroup", "user"}
    assert linux["uidMappings"] == linux["gidMappings"] == [{"containerID": UID, "hostID": 0, "size": 1}]
    assert linux["maskedPaths"] == list(MASKED_PATHS) and linux["readonlyPaths"][0] == "/proc/sys"
    assert "/proc/sys/fs/quota" in linux["readonlyPaths"], "a masked folder below it is mounted anew"
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO" and "SCMP_ARCH_X86_64" in linux["seccomp"]["architectures"]
    assert not config.keys() & {"hooks", "annotations"}
    mounts = {one["destination"]: one for one in config["mounts"]}
    for place in ("/lc/in", "/lc/out", "/tmp", "/dev/shm", "/proc", "/sys"):
        assert {"nosuid", "nodev", "noexec"} <= set(mounts[place]["options"]), place
    assert "ro" in mounts["/lc/in"]["options"] and "ro" not in mounts["/lc/out"]["options"] and "ro" in mounts["/dev"]["options"]


def test_a_container_with_a_device_has_its_nodes_and_files_read_only_and_no_others() -> None:
    parts = DeviceParts((("/dev/gpu0", "/dev/zero"),), (("/usr/lib/x.so", "/opt/x.so"),), ("GPU=1", "A=2"))
    plain, config = made(described()), made(described(), devices=[parts])
    more = [one for one in config["mounts"] if one not in plain["mounts"]]
    node = {"destination": "/dev/gpu0", "type": "bind", "source": "/dev/zero", "options": ["bind", "ro", "nosuid", "noexec"]}
    file = {"destination": "/usr/lib/x.so", "type": "bind", "source": "/opt/x.so", "options": ["bind", "ro", "nosuid", "nodev"]}
    assert more == [node, file]
    assert set(config["process"]["env"]) ^ set(plain["process"]["env"]) == {"GPU=1", "A=1", "A=2"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("CapDrop", []), ("ReadonlyRootfs", False), ("SecurityOpt", ["seccomp={}"]), ("SecurityOpt", ["no-new-privileges:true"])],
)
def test_a_container_without_our_isolation_is_none_of_this_engines(key: str, value: object) -> None:
    asked = described()
    asked["HostConfig"][key] = value
    with pytest.raises(ValueError, match="our own isolation"):
        made(asked)


def test_an_images_environment_gives_way() -> None:
    assert environment(["A=1", "B=2", "C=3"], ["B=4", "C"]) == ["A=1", "B=4"]


def test_a_container_says_of_itself_what_its_next_node_looks_at() -> None:
    """By its image and whether it runs a training of an earlier start is known again."""
    image = UnpackedImage(SPEC.image_id, "amd64", [], {}, [], 0, [])
    container = Container("lc-1", described(), image, Path())
    told = container.described()
    assert (told["Image"], told["State"]["Running"]) == (SPEC.image_id, False)
    container.state = "running"
    assert container.described()["State"]["Running"] is True


@pytest.mark.parametrize(
    ("code", "log", "told"),
    [
        (0, "", 0),
        (9, "", 9),
        (-9, "", 137),
        (1, "open executable: No such file or directory", 127),
        (1, "exec container process: Exec format error", 126),
        (1, "something else", 1),
    ],
)
def test_an_end_is_told_as_engines_tell_it(code: int, log: str, told: int) -> None:
    assert code_of(code, log) == told


def layer(*entries: tuple[str, bytes, object]) -> io.BytesIO:
    data = b""
    for name, kind, more in entries:
        content = more if isinstance(more, bytes) else b""
        mode = more if isinstance(more, int) else 0o755
        link = more if isinstance(more, str) else ""
        data += header(name, kind, size=len(content), link=link, mode=mode, mtime=0) + content + padding(len(content))
    return io.BytesIO(data + END)


def test_layers_lie_over_each_other(tmp_path: Path) -> None:
    first = layer(
        ("a", FOLDER, 0o755),
        ("a/old", FILE, b"old"),
        ("a/both", FILE, b"first"),
        ("gone", FOLDER, 0o700),
        ("gone/x", FILE, b"x"),
        ("emptied", FOLDER, 0o755),
        ("emptied/below", FOLDER, 0o755),
        ("emptied/below/x", FILE, b"x"),
        ("link", SYMBOLIC_LINK, "a/old"),
        ("again", HARD_LINK, "a/both"),
    )
    second = layer(
        ("a", FOLDER, 0o755),
        ("a/.wh.old", FILE, b""),
        ("a/both", FILE, b"second"),
        (".wh.gone", FILE, b""),
        ("emptied", FOLDER, 0o755),
        ("emptied/below", FOLDER, 0o755),
        ("emptied/below/y", FILE, b"y"),
        ("emptied/.wh..wh..opq", FILE, b""),
        ("link", FILE, b"a file now"),
    )
    assert (apply_layer(first, tmp_path), apply_layer(second, tmp_path)) == (3 + 5 + 1 + 1, 6 + 1 + 10)
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"a/both": b"second", "emptied/below/y": b"y", "link": b"a file now", "again": b"first"}
    assert not (tmp_path / "link").is_symlink()


def test_what_only_an_owner_might_do_nobody_may(tmp_path: Path) -> None:
    """The job is the owner of its image's files on the host; where the files have users of their own it is nobody."""
    apply_layer(layer(("secret", FILE, 0o700), ("open", FILE, 0o745), ("folder", FOLDER, 0o700)), tmp_path)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in tmp_path.iterdir()}
    assert modes == {"secret": 0, "open": 0o555, "folder": 0o200}


def test_an_engine_that_may_not_set_what_every_container_has_says_what_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OciEngine(tmp_path, "/bin/true")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 0))
    try:
        with pytest.raises(SandboxUnavailable, match=r"is 0, and 1 is needed.*LimitCORE=1"):
            engine.info()
    finally:
        shutil.rmtree(engine.folder)


def test_a_data_set_lies_in_its_volume_as_it_was_sent_and_nothing_leads_out(tmp_path: Path) -> None:
    (tmp_path / "mine" / "a").mkdir(parents=True)
    (tmp_path / "mine" / "a" / "rows.csv").write_bytes(b"1,2\n" * 1_000)
    (tmp_path / "mine" / "empty").write_bytes(b"")
    volume = tmp_path / "volume"
    (volume / "files").mkdir(parents=True)
    (volume / "out").symlink_to(tmp_path)
    sent = b"".join(packed(scan_folder(tmp_path / "mine")))
    unpack_files(io.BytesIO(sent), volume, "files")
    assert (volume / "files/a/rows.csv").read_bytes() == b"1,2\n" * 1_000 and (volume / "files/empty").read_bytes() == b""
    assert {path.stat().st_mode & 0o222 for path in (volume / "files").rglob("*") if path.is_file()} == {0}
    link = header("x", SYMBOLIC_LINK, link="/etc/passwd") + END
    for archive, below, why in ((link, "files", "is no file"), (sent, "out", "is no folder"), (sent, "files", "exists")):
        with pytest.raises((TreeError, OSError), match=why):
            unpack_files(io.BytesIO(archive), volume, below)


@pytest.mark.parametrize(
    ("below", "name", "status"), [("", "a", 200), ("/../..", "a", 400), ("", "../a", 400), ("", ".", 400), ("/no", "a", 400)]
)
def test_whatever_is_sent_has_an_answer(tmp_path: Path, below: str, name: str, status: int) -> None:
    volumes, body = Volumes(tmp_path / "kept", tmp_path / "mounted"), header(name, FILE) + END
    volumes.create("lc-1", {}, {})
    (tmp_path / "kept/lc-1/_data/files").mkdir()
    handler: Any = Handler.__new__(Handler)
    handler.server = SimpleNamespace(containers=containers_with("lc-1", "/lc/data"), volumes=volumes)
    handler.path, handler.headers = f"/v1.41/containers/x/archive?path=/lc/data/files{below}", {"Content-Length": len(body)}
    answers: list[int] = []
    handler.rfile, handler.wfile, handler.request_version = io.BytesIO(body), io.BytesIO(), "HTTP/1.1"
    handler.send_response = answers.append
    handler.send_header, handler.end_headers = lambda *_: None, lambda: None
    handler.do_PUT()
    assert answers == [status]


def containers_with(volume: str, target: str) -> Any:
    return SimpleNamespace(find=lambda _: SimpleNamespace(mounts=[{"Source": volume, "Target": target}]))
