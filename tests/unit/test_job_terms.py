"""A job's terms in `job.toml` beside its program: what is typed or said goes before it, `--dry-run` says what came from where; and
the name that a job has on its owner's machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import learningchain
from learningchain.client import config
from learningchain.client.contracts.job.terms import terms_of
from learningchain.client.keys import names
from tests.unit.client_fake_api import FINISHED, JOB, MODEL, TOKEN, Fake, cid_of

pytest_plugins = ["tests.unit.client_cli_kit"]
CID = str(cid_of(b"manifest")[0])
SET = {"cid": CID, "size": 10, "files": 2}
FILE = f"""
[post]
name = "digits"
bounty = 12.5
expires = "20m"
eval_time = 30
mem_mb = 512
hidden = "hidden.csv"
params = {{ epochs = 5 }}
sets = {{ more = "{CID}:train" }}
from = "{JOB[:8]}"
gpus = 1
"""
SAID = {
    "bounty": "12.5",
    "expires_in_s": 1_200,
    "params": {"epochs": 5},
    "limits": {"mem_mb": 512, "eval_s": 30},
    "devices": {"kind": "cuda", "count": 1, "mem_mb": 0},
    "earlier": {"job": JOB, "cid": cid_of(MODEL)[0], "size": len(MODEL), "loss": FINISHED["claims"][0]["loss"]},
    "data": [{"name": "more", "cid": CID, "use": "train", "size": 10, "files": 2}],
}


@pytest.fixture
def folder(api: Fake, run: Any, tmp_path: Path) -> Path:
    made = tmp_path / "My Job"
    assert run("job", "new", made).code == 0
    api.answers[f"GET /v1/sets/{CID}"] = SET
    return made


def posted(api: Fake) -> dict[str, Any]:
    (body,) = api.bodies("POST", "/v1/jobs")
    assert body.pop("hidden")["size"] > 0 and body.pop("image") and body.pop("arch")
    return dict(body)


def test_what_job_new_writes_is_read_as_it_stands(run: Any, folder: Path, api: Fake) -> None:
    assert terms_of(folder) == {"name": "my-job", "bounty": "20", "expires": "30m"}
    assert run("job", "submit", folder).code == 0
    (body,) = api.bodies("POST", "/v1/jobs")
    assert (body["bounty"], body["expires_in_s"]) == ("20", 1_800)


def test_the_command_and_python_post_what_the_file_says(run: Any, folder: Path, api: Fake) -> None:
    (folder / "job.toml").write_text(FILE)
    assert run("job", "submit", folder).code == 0
    assert posted(api) == SAID
    api.seen.clear()
    with learningchain.connect(url=api.url, token=TOKEN) as node:
        node.jobs.post(folder)
    assert posted(api) == SAID


def test_what_is_said_goes_before_and_a_dry_run_says_what_came_from_where(run: Any, folder: Path, api: Fake) -> None:
    (folder / "job.toml").write_text(FILE)
    words = ("--bounty", "99", "--cpus", "2", "--dry-run")
    told = {one["name"]: (one["value"], one["from"]) for one in run("job", "submit", folder, *words, "--json").json["terms"]}
    assert told["bounty"] == ("99", "the command line") and told["cpus"] == (2, "the command line")
    assert told["expires"] == ("20m", "job.toml") and told["params"] == ({"epochs": 5}, "job.toml")
    shown = [" ".join(line.split()) for line in run("job", "submit", folder, *words).out.splitlines()]
    assert {"bounty 99 the command line", 'params {"epochs": 5} job.toml'} <= set(shown)
    assert api.bodies("POST", "/v1/jobs") == []
    with learningchain.connect(url=api.url, token=TOKEN) as node:
        node.jobs.post(folder, bounty=99, limits={"cpus": 2})
    assert posted(api) == SAID | {"bounty": "99", "limits": {"mem_mb": 512, "eval_s": 30, "cpus": 2}}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[post]\nbonty = 3", "unknown field `bonty`.*It may say name, bounty"),
        ("[post]\nmem_mb = 'much'", "mem_mb"),
        ("[post]\nbounty = 3", "needs --expires, or under .post."),
        ("[post]\nbounty = 0.00000001\nexpires = '1h'", "bounty"),
        ("[post]\nbounty = 3\nexpires = 'soon'", "--expires is a length of time"),
        ("[post]\nbounty = 3\nexpires = '1h'\nhidden = 'no-such'", "no file"),
        ("[post]\nbounty = 3\nexpires = '1h'\nsets = { M = 'x' }", "is not NAME=CID"),
        ("[post]\nbounty = 3\nexpires = '1h'\nname = '12'", "no letter"),
        ("[post", "job.toml"),
    ],
)
def test_what_a_file_cannot_say_is_refused_with_what_to_do(run: Any, folder: Path, api: Fake, text: str, why: str) -> None:
    (folder / "job.toml").write_text(text)
    ran = run("job", "submit", folder, "--json")
    assert ran.code == 2 and api.bodies("POST", "/v1/jobs") == []
    assert re.search(why, ran.error["message"])


def test_a_job_has_its_name_beside_its_id_on_this_machine(run: Any, folder: Path) -> None:
    assert run("job", "submit", folder, "--name", "second try").code == 0
    assert f"second try ({JOB[:12]})" in run("job", "list").out
    assert f"{JOB} (second try)" in " ".join(run("job", "show", JOB).out.split())
    assert run("job", "show", JOB, "--json").json["name"] == "second try"


def test_python_keeps_the_name_in_the_nodes_folder(folder: Path, api: Fake, tmp_path: Path) -> None:
    config.change(tmp_path / "node", {"api.listen": urlsplit(api.url).netloc})
    with learningchain.connect(tmp_path / "node") as node:
        job = node.jobs.post(folder, name="mine")
        assert (job.name, node.jobs["latest"].name) == ("mine", "mine") and "name=mine" in repr(job)
        with pytest.raises(learningchain.UsageError, match="no letter"):
            node.jobs.post(folder, name="12")
    with learningchain.connect(url=api.url, token=TOKEN) as node:
        assert node.jobs["latest"].name is None, "the folder of a node elsewhere is not here"


def test_names_of_ids_are_bounded_and_leave_those_of_people_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_NAMES", 2)
    with names.changing(tmp_path) as known:
        known["lc1" + "q" * 38] = "alice"
    for number in range(3):
        names.label(tmp_path, f"{number}" * 64, "line")
    found = names.load(tmp_path)
    assert found.by_id == {"1" * 64: "line", "2" * 64: "line"}, "the oldest makes room"
    assert found.address("alice") == "lc1" + "q" * 38
    for wrong in ("", "1", "a" * 33):
        with pytest.raises(names.NamesError):
            names.label(tmp_path, "3" * 64, wrong)
