"""The floor plan: what lies in which room. The lists of `scripts/` hold the rest."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from learningchain.chain.contracts import CONTRACTS
from learningchain.client import contracts
from learningchain.client.schema.explain import TEXTS
from scripts import ledger_words

ROOT = Path(__file__).parents[2]

WORDS = {
    "a route": 'TODO = "Read it: GET /v1/jobs/{id}"',
    "a path alone": 'PATH = "/v1/jobs"',
    "a command": 'TODO = "Run: learningchain job list"',
    "a command in a docstring": '"""Read for `learningchain doctor`."""',
}


@pytest.mark.parametrize("line", WORDS.values(), ids=WORDS)
def test_no_file_of_the_ledger_names_a_route_or_a_command(tmp_path: Path, line: str) -> None:
    assert ledger_words.main(ROOT / "chain") == 0
    (tmp_path / "texts.py").write_text(f"import learningchain\n{line}\n")
    assert ledger_words.main(tmp_path) == 1


def test_every_code_of_a_contract_has_words_for_people_and_no_words_are_without_a_code() -> None:
    texts = contracts.parts(TEXTS)
    for contract in CONTRACTS:
        assert {int(code) for code in contract.codes} == set(texts[contract.name].refusals), contract.name


# --- the rooms of a contract ----------------------------------------------------------------------------------------------------

LEDGER = {"messages", "records", "events", "params", "duties"}
"""What each contract has in `chain/contracts`, beside modules of its own rules."""
CLIENT = {"http", "cli", "roles", "api", "commands", "sdk", "texts"}
"""What each has in `client/contracts`: three rooms, and modules that are found by their names."""
FOUND = CLIENT | {
    *("web", "templates", "work", "pages", "settings", "account", "people", "references", "outsiders", "callbacks", "notify"),
    *("objects", "figures", "proven", "offering", "schemas", "statements"),
}
"""What may lie there."""
LACKING = {
    "chain/contracts/credits": {"params": "the network's own parameters hold", "duties": "it asks nothing of anybody"},
    "client/contracts/credits": {"roles": "a node moves no credits by itself"},
}
_SHARED = "the command, Python and the pages share it"
_ROLES = "what the roles of federated training are driven by: see docs/architecture.md"
MORE = {
    "client/contracts/federation": {
        "arithmetic": "tensors, masks and sums: needs numpy alone, and can be read alone",
        "audit": "the second look at a whole federation, from its blocks",
        **dict.fromkeys(("consent", "directions", "offer", "rule_warnings", "small_words", "without_numpy"), _SHARED),
        **dict.fromkeys(("desk", "tasks", "small_tasks", "wishes"), _ROLES),
    },
    "client/contracts/job": {
        "skeleton": "the files that `job new` writes",
        **dict.fromkeys(("earned", "sealing", "terms"), _SHARED),
    },
    "client/contracts/prediction": {"rows": _SHARED},
}


def lying_in(folder: Path) -> set[str]:
    """The rooms and modules of a folder."""
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    rooms = {path.name for path in folder.iterdir() if any(one.suffix != ".pyc" for one in path.rglob("*.*"))}
    return modules | rooms


def misplaced(where: str, there: set[str]) -> list[str]:
    """What a contract's folder lacks, and on the client's side what lies there and belongs into a room."""
    expected = LEDGER if where.startswith("chain/") else CLIENT
    lacking, more = LACKING.get(where, {}), MORE.get(where, {})
    found = [f"{where} lacks {one}" for one in sorted(expected - there - lacking.keys())]
    found += [f"{where} has {one} now: it is no exception" for one in sorted(there & lacking.keys())]
    found += [f"{where} has no {one} any more: it is no exception" for one in sorted(more.keys() - there)]
    if expected is CLIENT:
        found += [f"{where}/{one}: put it into a room, or say in MORE why not" for one in sorted(there - FOUND - more.keys())]
    return found


@pytest.mark.parametrize("side", ["chain", "client"])
@pytest.mark.parametrize("contract", [contract.name for contract in CONTRACTS])
def test_every_contract_has_the_same_rooms(side: str, contract: str) -> None:
    where = f"{side}/contracts/{contract}"
    assert misplaced(where, lying_in(ROOT / where)) == []


def test_a_contract_without_a_room_and_a_module_without_one_are_seen() -> None:
    assert misplaced("chain/contracts/job", LEDGER - {"duties"}) == ["chain/contracts/job lacks duties"]
    assert misplaced("client/contracts/governance", CLIENT | {"looking"})[0].startswith(
        "client/contracts/governance/looking: put it"
    )
    assert misplaced("client/contracts/credits", CLIENT) == ["client/contracts/credits has roles now: it is no exception"]


# --- the walks ------------------------------------------------------------------------------------------------------------------

WALKS = (ROOT / "docs" / "architecture.md").read_text("utf-8")
STATION = re.compile(r"^\| \d+ \| `([\w/]+\.py)`(?: `(\w+)`)? \|", re.MULTILINE)
MOST_RETURNS = 2


def legs() -> dict[str, list[tuple[str, str]]]:
    """By its heading, the files of each leg of a walk and what is to be found in each."""
    parts = re.split(r"^##+ (.+)$", WALKS, flags=re.MULTILINE)[1:]
    found = {heading: STATION.findall(text) for heading, text in zip(parts[::2], parts[1::2], strict=True)}
    return {heading: stations for heading, stations in found.items() if stations}


def room_of(file: str) -> str:
    """A folder of a room's own; of a contract in the client, each of its rooms."""
    parts = file.split("/")[:-1]
    return "/".join(parts[: 4 if parts[:2] == ["client", "contracts"] else 3 if parts[1:2] == ["contracts"] else 2])


def returns(files: list[str]) -> Counter[str]:
    """How often a walk comes back into each room that it left."""
    rooms = [room_of(file) for file in files]
    entered = [room for place, room in enumerate(rooms) if not place or rooms[place - 1] != room]
    return Counter({room: times - 1 for room, times in Counter(entered).items() if times > 1})


def defined_in(path: Path) -> set[str]:
    """Names of functions, methods, classes and constants."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_the_page_has_the_three_walks_and_the_way_to_the_disk() -> None:
    assert list(legs()) == [
        *("From a signed message to the disk", "A claim", "A prediction's input"),
        *("The wish", "The training", "The update"),
    ]


@pytest.mark.parametrize("leg", legs())
def test_every_station_of_a_walk_is_there(leg: str) -> None:
    for file, name in legs()[leg]:
        assert (ROOT / file).is_file(), file
        assert not name or name in defined_in(ROOT / file), f"{file} has no {name}"


@pytest.mark.parametrize("leg", legs())
def test_no_leg_of_a_walk_comes_back_into_a_room_more_than_twice(leg: str) -> None:
    assert not {room: times for room, times in returns([file for file, _ in legs()[leg]]).items() if times > MOST_RETURNS}


def test_a_room_that_a_walk_enters_four_times_is_seen() -> None:
    there, away = "client/contracts/job/http/a.py", "client/api/b.py"
    assert returns([there, away, there, away, there, there, away, there]) == {"client/contracts/job/http": 3, "client/api": 2}


def test_every_file_that_the_page_names_is_there() -> None:
    for path in re.findall(r"`((?:client|chain|p2p|sandbox|scripts|tests)/[\w/]+(?:\.\w+)?)`", WALKS):
        assert (ROOT / path).exists(), path
