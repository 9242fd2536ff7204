"""What people install: what is in it is what git tracks, what is said of it is true, and two builds are the same."""

from __future__ import annotations

import compileall
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from hashlib import sha256
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from learningchain.client.cli.app import build as command_tree
from scripts.packages import manpage, software, tree
from scripts.packages.__main__ import make
from tests.slow import SLOW

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
EPOCH = 1_700_000_000
INFO = f"learningchain-{VERSION}.dist-info"
DATA = f"learningchain-{VERSION}.data/data"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages, made once for all of these tests."""
    out = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
        make(out)
    return out


@pytest.fixture
def wheel(dist: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(dist.glob("*.whl")))


def test_the_wheel_holds_what_git_tracks_of_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    ours = {tree.place_of(name): name for name in tree.files() if name not in tree.BESIDE}
    some = ("client/dashboard/static/htmx.min.js", "client/dashboard/templates/base.html", "py.typed", "examples/minimal/job.sh")
    assert {f"learningchain/{name}" for name in some} < ours.keys()
    assert {name.partition("/")[0] for name in ours} == {"learningchain"}, "nothing else is importable after an installation"
    written = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt")}
    licences = {f"{INFO}/licenses/LICENSE", f"{INFO}/licenses/learningchain/client/dashboard/static/LICENSES.txt"}
    assert set(wheel.namelist()) == ours.keys() | written | licences | {f"{DATA}/share/man/man1/learningchain.1"}
    for place, name in sorted(ours.items()):
        assert wheel.read(place) == (ROOT / name).read_bytes(), name


BESIDE_OWN_FILES = """
import chain, client
import learningchain
assert (chain.MINE, client.MINE) == (True, True), "files of the user's own stay what they are"
import learningchain.client.daemon.main, learningchain.client.sdk.client, learningchain.examples.demo
assert learningchain.Client is learningchain.client.sdk.client.Client
from learningchain.chain.contracts import CONTRACTS
assert len(CONTRACTS) > 6
print(learningchain.__file__)
"""


def test_the_wheel_is_imported_beside_files_named_as_our_rooms(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """Every tutorial of federated learning has a file client.py."""
    site, folder = tmp_path / "site", tmp_path / "mine"
    wheel.extractall(site)
    folder.mkdir()
    for room in tree.ROOMS:
        (folder / f"{room}.py").write_text("MINE = True\n")
    run = subprocess.run(
        [sys.executable, "-c", BESIDE_OWN_FILES],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60 * SLOW,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert Path(run.stdout.strip()) == site / "learningchain" / "__init__.py"


BYTE_CODE_ALONE = """
import learningchain
assert all(getattr(learningchain, name) is not None for name in learningchain.__all__)
from learningchain.sandbox.image_writer import ImageBuildError, own_text
try:
    print(own_text("learningchain.sandbox.docker.probe_job"))
except ImageBuildError as refusal:
    print(refusal)
raise SystemExit(learningchain.main())
"""


def test_the_wheel_runs_as_byte_code_alone(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """As who hands it on without its text: `compileall -b`, then every source removed. An image has texts of ours, and says so."""
    site = tmp_path / "site"
    wheel.extractall(site)
    assert compileall.compile_dir(site, quiet=1, legacy=True)
    for source in [*site.rglob("*.py"), *site.rglob("__pycache__")]:
        shutil.rmtree(source) if source.is_dir() else source.unlink()
    run = subprocess.run(
        [sys.executable, "-c", BYTE_CODE_ALONE, "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60 * SLOW,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    refusal, version = run.stdout.splitlines()
    assert version == f"learningchain {VERSION}"
    assert refusal.startswith("the source of learningchain.sandbox.docker.probe_job goes into an image, and byte code alone is")


def test_the_sdist_holds_the_same_files(dist: Path, tmp_path: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        assert {(member.mtime, member.uid, member.uname) for member in archive} == {(EPOCH, 0, "")}
        archive.extractall(tmp_path)
    inside = tmp_path / f"learningchain-{VERSION}"
    lying = {path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file()}
    beside = {name for name in lying if not name.startswith("learningchain.egg-info/")}
    assert beside == {*map(tree.place_of, tree.files()), "man/learningchain.1", "PKG-INFO", "setup.cfg"}


def test_metadata(wheel: zipfile.ZipFile) -> None:
    said = email.message_from_bytes(wheel.read(f"{INFO}/METADATA"))
    assert (said["Name"], said["Version"]) == ("learningchain", VERSION)
    assert said["License-Expression"] == "Apache-2.0 AND 0BSD AND MIT"
    extras = {"demo", "dev", "federation", "fuzz", "postgresql"}
    assert set(said.get_all("Provides-Extra", [])) == extras
    needs = [Requirement(text) for text in said.get_all("Requires-Dist", [])]
    plain = {one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})}
    assert "psycopg" not in plain and "numpy" not in plain and "aiohttp" in plain
    only = {one.name for one in needs if one.marker is not None and one.marker.evaluate({"extra": "postgresql"})} - plain
    assert only == {"psycopg"}
    assert wheel.read(f"{INFO}/entry_points.txt").decode().split("\n")[:2] == [
        "[console_scripts]",
        "learningchain = learningchain:main",
    ]


@pytest.mark.full("it builds everything a second time; the tests above read the first build")
def test_two_builds_are_the_same_bytes(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another umask, another time zone and language, another folder for what is temporary, an hour later."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    for name, value in (("TZ", "Pacific/Auckland"), ("LC_ALL", "C"), ("PYTHONHASHSEED", "7"), ("TMPDIR", str(tmp_path))):
        monkeypatch.setenv(name, value)
    before = os.umask(0o077)
    try:
        again = make(tmp_path / "again")
    finally:
        os.umask(before)
    assert [path.name for path in again] == sorted(path.name for path in dist.iterdir())
    for path in again:
        assert path.read_bytes() == (dist / path.name).read_bytes(), path.name


def test_the_checksums_are_those_of_all_files(dist: Path) -> None:
    named = {line[66:]: line[:64] for line in (dist / "SHA256SUMS").read_text().splitlines()}
    others = {path.name: sha256(path.read_bytes()).hexdigest() for path in dist.iterdir() if path.name != "SHA256SUMS"}
    assert named == others and len(named) == 6


# --- the man page -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(dist: Path) -> str:
    return (dist / "learningchain.1").read_text()


def section(page: str, words: tuple[str, ...]) -> str:
    """What the page says of one command, as plain text."""
    _, heading, rest = page.partition(f"\n.SS {manpage.escape(' '.join(words))}\n")
    assert heading, f"the page has no command {' '.join(words)}"
    return re.split(r"\n\.S[SH] ", rest)[0].replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")


@pytest.mark.parametrize("words", [("job", "submit"), ("node",), ("init",), ("fed", "join"), ("db", "copy"), ("predict",)])
def test_the_page_is_true_with_help(page: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Each name in the command's own --help, as people see it, is in the page; its example, too."""
    command_tree()([*words, "--help"])
    shown = capsys.readouterr().out
    own = shown.partition("Options of every command")[0]
    said = section(page, words)
    names = set(re.findall(r"--[a-z][a-z-]+", own)) - {"--help"}
    assert names <= set(re.findall(r"--[a-z][a-z-]+", said)), words
    usage = next(line for line in own.splitlines() if line.startswith("Usage: "))
    assert " ".join(usage.removeprefix("Usage: ").split()) in said


# --- bill of materials and notices ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bill(dist: Path) -> Any:
    return json.loads((dist / f"learningchain-{VERSION}.cdx.json").read_text())


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", (ROOT / "requirements/3.11" / name).read_text(), re.M))


def test_the_bill_has_what_the_lock_has(bill: Any) -> None:
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    packages = [one for one in bill["components"] if one["purl"].startswith("pkg:pypi/")]
    required = {one["name"]: one["version"] for one in packages if one["scope"] == "required"}
    assert required == locked("run.txt")
    optional = {one["name"]: one["version"] for one in bill["components"] if one["scope"] == "optional"}
    assert {"numpy", "psycopg", "psycopg-binary"} <= set(optional) and optional.items() <= locked("dev.txt").items()
    for one in bill["components"]:
        assert one["licenses"][0]["expression"] and one["purl"].endswith("@" + one["version"])


def test_the_bill_has_the_dashboards_files_as_they_are(bill: Any, wheel: zipfile.ZipFile) -> None:
    files = {one["properties"][0]["value"]: one for one in bill["components"] if "properties" in one}
    assert {Path(name).name for name in files} == {"htmx.min.js", "sse.min.js", "uplot.min.js", "uplot.min.css"}
    for name, one in files.items():
        assert one["hashes"][0]["content"] == sha256(wheel.read(name)).hexdigest()
    htmx = files["learningchain/client/dashboard/static/htmx.min.js"]
    assert f'version:"{htmx["version"]}"' in wheel.read("learningchain/client/dashboard/static/htmx.min.js").decode()


def test_the_constraints_are_what_is_tested_here(dist: Path) -> None:
    lines = (dist / f"learningchain-{VERSION}-constraints.txt").read_text().splitlines()[1:]
    assert len(lines) > 30
    for line in lines:
        name, _, pinned = line.partition("==")
        assert installed_version(name) == pinned


def test_a_file_of_others_without_a_licence_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(software.STATIC, tmp_path / "static")
    (tmp_path / "static/jquery.min.js").write_text("//")
    monkeypatch.setattr(software, "STATIC", tmp_path / "static")
    monkeypatch.setattr(software, "ROOT", tmp_path)
    with pytest.raises(tree.PackageError, match=r"jquery\.min\.js"):
        software.in_the_wheel()
