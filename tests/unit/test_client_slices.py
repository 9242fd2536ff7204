"""A contract of another distribution: its folder alone gives the ledger a message and the client a route, a call and a command.

The distribution is a folder on the path with its entry points, as an installer leaves it; a program of its own looks at it.
"""

from __future__ import annotations

import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from learningchain import client
from learningchain.client import contracts

ROOT = Path(__file__).parents[2]

FILES = {
    "toy-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy\nVersion: 1\n",
    "toy-1.dist-info/entry_points.txt": (
        "[learningchain.contracts]\ntoy = toy_chain\n\n[learningchain.client]\ntoy = toy_client\n"
    ),
    "toy_chain.py": """
from enum import IntEnum

from learningchain.chain.codec import Wire
from learningchain.chain.host import Contract, Datum, Form, MessageSpec
from learningchain.chain.errors import Reject


class ToyCode(IntEnum):
    RUDE = 9900


class Greet(Wire, frozen=True, array_like=True, tag=99 * 32):
    name: str
    price: int


def greet(host, sender, message):
    if message.name == "nobody":
        raise Reject(ToyCode.RUDE, "say a name")
    host.emit("toy.greeted", sender, message.name, message.price)


CONTRACT = Contract(
    name="toy",
    number=99,
    messages={Greet: MessageSpec(greet)},
    codes=ToyCode,
    state={},
    events={"toy.greeted": (Datum("name", Form.TEXT), Datum("price", Form.CREDITS))},
    forms={"price": Form.CREDITS},
)
""",
    "toy_client/__init__.py": "",
    "toy_client/texts.py": """
from learningchain.client.schema.explain import TextsPart
from toy_chain import ToyCode

PART = TextsPart({ToyCode.RUDE: ("nobody is greeted", "Greet somebody")})
""",
    "toy_client/commands.py": """
from learningchain.client.cli.entries import Command, CommandsPart, Family

TOYS = {"Toys": (Family("toy", "Greet people.", (Command("greet", "cli:greet", "Greet somebody.", "toy greet alice"),)),)}
PART = CommandsPart(TOYS, says={"POST /v1/toy/{name}": "learningchain toy greet"})
""",
    "toy_client/cli.py": '''
from learningchain.client.cli.common import HERE, Common


def greet(name: str, /, *, common: Common = HERE) -> int:
    """Greet somebody."""
    done = common.ask(lambda node: node.toy.greet(name))
    common.out.show(done, lambda console: console.print(f"Greeted {name}."))
    return 0
''',
    "toy_client/sdk.py": """
from learningchain.client.sdk.calls import Calls, SdkPart, call
from learningchain.client.sdk.http import path_id


class ToyCalls(Calls):
    @call
    async def greet(self, name, *, wait=30):
        return await self.api.submit(f"/v1/toy/{path_id(name)}", {"price": "0.5"}, wait)


PART = SdkPart(ToyCalls)
""",
    "toy_client/api.py": '''
"""Toys: greetings."""

from learningchain.chain.types import parse_credits
from learningchain.client.api.route import ApiPart, Route, parse_field
from learningchain.client.schema.bodies import (
    Strict,
    TxAnswer,
    WaitQuery,
)
from learningchain.client.schema.texts import (
    Amount,
)
from learningchain.client.api.submit import answer, submit
from toy_chain import Greet


class GreetRequest(Strict, frozen=True, kw_only=True):
    price: Amount


async def post_greeting(call):
    op = Greet(call.path("name"), parse_field("price", parse_credits, call.body.price))
    return await answer(call, "The greeting", await submit(call, "The greeting", op))


ROUTES = (Route("POST", "/v1/toy/{name}", "Greet", post_greeting, TxAnswer, GreetRequest, WaitQuery, failures=(409,)),)
PART = ApiPart(__doc__, ROUTES, path={"name": {"type": "string", "description": "whom to greet"}})
''',
}

PROGRAM = """
import asyncio, contextlib, io, json, sys, tempfile
from pathlib import Path

import structlog

from learningchain.chain.contracts import MESSAGES
from learningchain.client.schema.explain import explain
from learningchain.client.api.openapi import build
from learningchain.client.schema.render import code_name
from learningchain.client.cli.app import main
from learningchain.client.sdk.client import Client, SyncClient
from learningchain.client.sdk.types import RejectedError
from tests.unit.api_kit import TOKEN, serving

out = {}
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def said(*words):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = main(list(words))
    return [code, text.getvalue()]


def blocking(url):
    with SyncClient(url, TOKEN) as node:
        return node.toy.greet("bob")["events"]


async def run(folder):
    async with serving(folder) as api:
        async with Client(api.url, TOKEN) as node:
            out["awaited"] = (await node.toy.greet("alice"))["events"]
            tx = (await node.toy.greet("carol"))["tx"]
            out["op"] = (await node.tx(tx))["ops"]
            try:
                await node.toy.greet("nobody")
            except RejectedError as e:
                out["refused"] = [e.code, e.name, e.message]
        out["blocking"] = await asyncio.to_thread(blocking, api.url)
        token = folder / "token"
        token.write_text(TOKEN)
        options = ("--api", api.url, "--token-file", str(token))
        out["typed"] = await asyncio.to_thread(said, "toy", "greet", "dave", *options)


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(run(Path(folder)))
document = build()
out["openapi"] = [document["paths"]["/v1/toy/{name}"]["post"]["tags"], "GreetRequest" in document["components"]["schemas"]]
out["help"] = said("--help")[1]
out["family"] = said("toy", "--help")[1]
json.dump(out, sys.stdout)
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a program says of a folder with the distribution in it."""
    folder = tmp_path_factory.mktemp("toy")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("how", "name"), [("awaited", "alice"), ("blocking", "bob")])
def test_its_call_goes_through_its_route_and_its_event_is_shown_as_it_declares(seen: Any, how: str, name: str) -> None:
    assert [(e["topic"], e["data"]) for e in seen[how]] == [("toy.greeted", {"name": name, "price": "0.5"})]


def test_the_rule_that_common_code_names_no_contract_is_for_every_module() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rule,) = (rule for rule in rules if rule["name"].startswith("What is common to all contracts in the client"))
    here = {f"learningchain.client.{info.name}" for info in pkgutil.iter_modules(client.__path__)}
    assert set(rule["source_modules"]) == here - {"learningchain.client.contracts"}


class Greeting(NamedTuple):
    text: str


PARTS = {
    "missing": ("", "toy_parts.greets.PART is missing, and has to be a {type}"),
    "of another type": ("PART = ('hello',)", "toy_parts.greets.PART is a tuple, and has to be a {type}"),
    "no Python": (
        "def (",
        "toy_parts.greets cannot be imported (SyntaxError: invalid syntax (greets.py, line 1)). Mend or remove its package",
    ),
    "needs what is not there": (
        "import nothing_here",
        "toy_parts.greets cannot be imported (ModuleNotFoundError: No module named 'nothing_here'). Mend or remove its package",
    ),
    "typed": ("from tests.unit.test_client_slices import Greeting\nPART = Greeting('hello')", None),
}


@pytest.mark.parametrize(("text", "why"), PARTS.values(), ids=PARTS)
def test_a_part_that_is_not_of_its_kind_is_refused_by_the_name_of_its_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str | None
) -> None:
    record = tmp_path / "toy_parts-1.dist-info"
    for folder in (record, tmp_path / "toy_parts"):
        folder.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-parts\nVersion: 1\n")
    (record / "entry_points.txt").write_text("[learningchain.client]\ntoy = toy_parts\n")
    (tmp_path / "toy_parts" / "__init__.py").write_text("")
    (tmp_path / "toy_parts" / "greets.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("toy_parts", "toy_parts.greets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    kind = contracts.PartKind("greets", Greeting)
    if why is None:
        assert contracts.parts(kind)["toy"].text == "hello"
        return
    with pytest.raises(contracts.BadSlice) as refused:
        contracts.parts(kind)
    assert str(refused.value) == f"The slice toy cannot be used: {why.format(type=f'{__name__}.Greeting')}"


def test_a_command_beside_a_slice_that_is_broken_names_it_and_ends(tmp_path: Path) -> None:
    record = tmp_path / "toy_parts-1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-parts\nVersion: 1\n")
    (record / "entry_points.txt").write_text("[learningchain.client]\ntoy = toy_parts\n")
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-m", "learningchain", "--help"], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == (
        "learningchain: The slice toy cannot be used: toy_parts.commands cannot be imported (ModuleNotFoundError: "
        "No module named 'toy_parts'). Mend or remove its package\n"
    )


def test_the_list_of_parts_names_each_kind_with_its_type_and_where_that_is_declared() -> None:
    listed = re.findall(r"^    (\w+) +(\w+): .* {2,}(client[\w.]+)$", contracts.__doc__ or "", re.MULTILINE)
    declared = [
        (kind, type_, ".".join(path.relative_to(ROOT).with_suffix("").parts))
        for path in (ROOT / "client").rglob("*.py")
        for kind, type_ in re.findall(r'^[A-Z]+: Final = PartKind\("(\w+)", (\w+)\)$', path.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(listed) == sorted(declared)
