"""Functions as jobs: the text of their module goes into the image, `/lc/job` there calls them as the container contract says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.sandbox import building
from learningchain.sandbox.building import OpenBase, function
from learningchain.sandbox.building.module import open_module
from learningchain.sandbox.image_writer import ImageBuildError
from tests.unit.building_kit import LINE


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBase]:
    with building.open_base(building.own_base(tmp_path_factory.mktemp("base"))) as opened:
        yield opened


def module(folder: Path, text: str = LINE) -> Path:
    (folder / "points.csv").write_text("0,1\n1,4\n")
    (folder / "secret.csv").write_text("2,7\n")
    path = folder / "drawn.py"
    path.write_text(text)
    return path


def unpacked(archive: Path, into: Path) -> Path:
    """What lies in /lc of an image, as a program finds it that looks for it in `into`."""
    with tarfile.open(archive) as whole:
        layer = json.load(whole.extractfile("manifest.json"))[0]["Layers"][-1]  # type: ignore[arg-type]
        with tarfile.open(fileobj=io.BytesIO(whole.extractfile(layer).read())) as tar:  # type: ignore[union-attr]
            for member in tar:
                if member.isreg():
                    target = into / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
    lc = into / "lc"
    own = lc / "learningchain.py"
    own.write_text(own.read_text().replace('Path("/lc")', f"Path({str(lc)!r})"))
    (lc / "in").mkdir()
    (lc / "out").mkdir()
    job = {"v": 2, "seed": 3, "budget_s": 5, "threads": 1, "mem_mb": 64, "params": {"b": 1}}
    (lc / "in/job.json").write_text(json.dumps(job))
    return lc


def ends(lc: Path, phase: str, said: str = "") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-S", str(lc / "job"), phase]
    return subprocess.run(words, input=said, capture_output=True, text=True, check=False, timeout=60, env={})


def test_a_job_of_functions_keeps_the_container_contract(tmp_path: Path, own: OpenBase) -> None:
    built = building.build_folder(module(tmp_path), tmp_path / "image.tar", own)
    assert built.files == ("/lc/drawn.py", "/lc/job", "/lc/learningchain.py", "/lc/points.csv")
    lc = unpacked(tmp_path / "image.tar", tmp_path / "root")
    trained = ends(lc, "train")
    assert trained.returncode == 0 and json.loads(trained.stdout.removeprefix("LC ")) == {"step": 1, "of": 1, "loss": 0.0}
    model = (lc / "out/model").read_bytes()
    assert json.loads(model) == [3, 1]
    (lc / "in/model").write_bytes(b"[3, 1.5]")
    assert ends(lc, "evaluate").returncode == 0
    assert (lc / "out/losses").read_text() == "0.250000000\n0.250000000\n"
    (lc / "in/eval").write_text("0,2.5\n")
    assert ends(lc, "evaluate").returncode == 0 and (lc / "out/losses").read_text() == "1.000000000\n"
    for bad in (b"", b"hello", b"[1]", b"[[], 1]", b"[" * 9000, bytes(range(256))):
        (lc / "in/model").write_bytes(bad)
        assert ends(lc, "evaluate").returncode == ends(lc, "predict").returncode == 65, bad
    assert ends(lc, "local").returncode == 64


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("[2]\n", ["7.000000000", "check 7.024000000"]),
        ("[2]\n[0]\n", ["7.000000000", "1.000000000", "check 8.024000000"]),
        ("[2]\nhello\n", ["unfit 1"]),
        ("[1e9]\n", ["unfit 0"]),
        ("[NaN]\n", ["unfit 0"]),
        ("[]\n", ["unfit 0"]),
    ],
)
def test_its_model_can_be_asked(tmp_path: Path, own: OpenBase, rows: str, says: list[str]) -> None:
    building.build_folder(module(tmp_path), tmp_path / "image.tar", own)
    lc = unpacked(tmp_path / "image.tar", tmp_path / "root")
    (lc / "in/model").write_text("[3, 1]")
    (lc / "in/request.json").write_text(json.dumps({"v": 1, "rows": rows.count("\n"), "seed": 1, "challenge": 400}))
    (lc / "in/input").write_text(rows)
    assert ends(lc, "predict").stdout == 'LC {"ready":1}\n' and not (lc / "out/answer").exists(), "nobody asked"
    assert ends(lc, "predict", "go\n").returncode == 0
    assert (lc / "out/answer").read_text().splitlines() == says


def test_a_class_has_its_score_beside_it() -> None:
    assert function._parts((2, 0.5)) == ("2 ", 0.5) and function._parts(0.5) == ("", 0.5)


def test_the_module_builds_itself_and_the_command_executes_nothing_of_it(tmp_path: Path, own: OpenBase) -> None:
    mark, archive = tmp_path / "executed", own.layers[0].archive
    path = module(tmp_path, f"{LINE}\nopen({str(mark)!r}, 'w').close()\n")
    built = building.build_folder(path, tmp_path / "image.tar", own)
    assert not mark.exists()
    program = f"import sys; from pathlib import Path; import drawn; print(drawn.line.build('own.tar', base=Path({str(archive)!r})))"
    environment = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert mark.exists() and done.stdout.strip() == built.image_id


SECOND = "\n@learningchain.job()\ndef other(task): ...\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import learningchain\n", "has 0 functions with @learningchain.job"),
        (LINE + SECOND, "has 2 functions with @learningchain.job"),
        (LINE.replace("@learningchain.job(", "@other.job("), "has 0 functions"),
        (LINE.replace("@line.evaluate", ""), r"write a function with @line\.evaluate"),
        (LINE.replace('["points.csv"]', "FILES"), "line 7: write lock and files out"),
        (LINE.replace('files=["points.csv"]', '"points.csv"'), "write lock and files out"),
        (LINE.replace("files=", "data="), "write lock and files out"),
        (LINE.replace('["points.csv"]', '"points.csv"'), "write lock and files out"),
        (LINE.replace("files=", 'lock="nowhere.lock", files='), "there is no .*nowhere.lock"),
        ("def line(:\n", "is no Python"),
    ],
)
def test_what_is_no_job_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ImageBuildError, match=said):
        open_module(module(tmp_path, text))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ('["nothing.csv"]', r"there is no 'nothing\.csv'"),
        ('["../other.csv"]', "leads out of the folder"),
        ('["learningchain.py"]', "would lie at /lc/learningchain.py, where this job has a file of its own"),
    ],
)
def test_files_that_cannot_go_in_are_refused_by_name(tmp_path: Path, own: OpenBase, files: str, said: str) -> None:
    (tmp_path / "learningchain.py").write_text("")
    path = module(tmp_path, LINE.replace('["points.csv"]', files))
    with pytest.raises(ImageBuildError, match=said):
        building.build_folder(path, tmp_path / "image.tar", own)


def test_a_name_that_no_module_has_is_refused(tmp_path: Path) -> None:
    for name in ("my-job.py", "learningchain.py"):
        (tmp_path / name).write_text(LINE)
        with pytest.raises(ImageBuildError, match="cannot be imported in the image under that name"):
            open_module(tmp_path / name)
