"""docs/contracts.md as an author of a contract follows it: its blocks are the files that are installed, its commands are typed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from learningchain.client import contracts
from tests.toy.installed import TOY, run
from tests.unit.readme_kit import ROOT

GUIDE = (ROOT / "docs" / "contracts.md").read_text()
FILES = dict(re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE))
MODULES = re.compile(r"^\| `(\w+)` \|.*\| (.*) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's files, and the record that an installer makes of its pyproject.toml."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    record = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in named.items()) for group, named in project["entry-points"].items()
    ]
    (record / "entry_points.txt").write_text("\n".join(groups))
    return folder


def program(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = run(site, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_contract_of_the_guide_does_what_the_guide_tries(site: Path) -> None:
    assert program(site, str(site / "try_it.py")).stdout == "kept\n"


def test_the_commands_of_the_guide_do_what_they_say_on_a_node_that_has_the_contract(site: Path) -> None:
    words = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    assert program(site, "-m", "tests.toy.guided", *words).stdout == "all of it\n"


def test_the_guide_lists_every_module_that_a_slice_may_have_and_where_one_is_to_be_seen() -> None:
    said = dict(MODULES.findall(GUIDE))
    assert list(said) == re.findall(r"^    (\w+) +[A-Za-z]", contracts.__doc__ or "", re.MULTILINE)
    for module, where in said.items():
        if where == "here":
            assert f"pledges/client/{module}.py" in FILES
        else:
            folder = TOY / "weather" / "client" if where == "weather" else ROOT / where.strip("`")
            assert (folder / f"{module}.py").is_file(), module


def test_no_block_of_the_guide_is_left_out() -> None:
    blocks = re.findall(r"^```(\w+)$", GUIDE, re.MULTILINE)
    assert len(FILES) == len(blocks) - blocks.count("sh")
