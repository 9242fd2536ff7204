"""A data folder that an older version wrote is opened by this one: nothing in it is lost, and the chain goes on where it ended. One
of a network whose rules this version does not know is refused, by what is unknown, and stays as it is.

tests/upgrade has the folders, and says how they were made; `told.json` in the one is what that version said of its own chain.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.ledger.genesis import Genesis, from_json
from learningchain.client.keys.keystore import Keystore
from learningchain.client.receipts.files import check_receipt
from learningchain.client.sdk.client import Client
from tests.processes.harness import PASSPHRASE, ROOT, NodeProcess, command, free_port, micro

FOLDER = ROOT / "tests" / "upgrade" / "folder-e4f7734.tar.xz"
"""Of the version that had neither a dashboard nor PostgreSQL."""
OTHER_RULES = ROOT / "tests" / "upgrade" / "rules-9eec9ae.tar.xz"
"""Of the last version before the job contract's second edition: a validator alone, with a payment."""
OTHER_COMMANDS = [
    pytest.param(words, marks=pytest.mark.full("the node itself is started; all open the folder by one function"))
    for words in (("db", "check"), ("audit", "chain"), ("backup", "BACKUP"))
]


async def test_a_folder_of_the_version_before_the_dashboard_goes_on(tmp_path: Path) -> None:
    with tarfile.open(FOLDER) as archive:
        archive.extractall(tmp_path)
    data = tmp_path / "folder"
    told = json.loads((data / "told.json").read_text())
    node = NodeProcess("old", data, Keystore.open(data / "keystore.json", PASSPHRASE))
    assert node.address == told["address"]
    for name in ("network.listen", "api.listen"):  # nothing else of the folder is changed: these ports may be taken here
        code, _, said = await command(node, "config", "set", name, f"127.0.0.1:{free_port()}")
        assert code == 0, said
    stood = await _checked(node)
    assert told["height"] <= stood["height"] <= told["height"] + 3, "the old node made a block or two while it was asked"
    try:
        await node.start()
        await _tells_the_same(node, told)
        await _ends_what_was_open(node, told)
        await _goes_on(node, stood["height"])
        await _knows_its_people(node, told)
        assert await node.stop() == 0
    finally:
        await node.close()
    assert (await _checked(node))["height"] > stood["height"]


@pytest.mark.parametrize("words", [("node",), *OTHER_COMMANDS])
async def test_a_folder_of_other_rules_is_refused_by_what_is_unknown_and_stays_as_it_is(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Of a version before the job contract's second edition: no program can go on with a chain whose rules it does not know."""
    node, before = _of_other_rules(tmp_path)
    given = [str(tmp_path / "out") if word == "BACKUP" else word for word in words]
    code, out, said = await command(node, *given, environment={"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE})
    assert code != 0 and "strike_life" in said and "Traceback" not in out + said, said
    assert "genesis install" not in said, "no file that somebody could give would help"
    assert _files(node.data) == before


async def test_the_doctor_says_that_a_folder_is_of_other_rules(tmp_path: Path) -> None:
    node, before = _of_other_rules(tmp_path)
    code, out, _ = await command(node, "doctor", "--json")
    [found] = [one for one in json.loads(out)["findings"] if one["check"] == "network-file"]
    assert (code, found["level"]) == (2, "failure") and "the version that wrote it" in found["remedy"]
    assert _files(node.data) == before


def _of_other_rules(folder: Path) -> tuple[NodeProcess, dict[str, bytes]]:
    with tarfile.open(OTHER_RULES) as archive:
        archive.extractall(folder)
    data = folder / "folder"
    return NodeProcess("old", data, Keystore.open(data / "keystore.json", PASSPHRASE)), _files(data)


def _files(folder: Path) -> dict[str, bytes]:
    """But for the lock, which is empty."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"
    }


async def _checked(node: NodeProcess) -> Any:
    """`db check` looks at every block, index and hash of the state."""
    code, out, said = await command(node, "db", "check", "--json")
    assert code == 0, said
    document = json.loads(out)
    assert document["holds"]
    return document


async def _tells_the_same(node: NodeProcess, told: Any) -> None:
    """Blocks, the receipt of a payment to the byte, every line of the history, jobs that ended."""
    assert (await node.api.status())["chain_id"] == told["chain_id"]
    for height, block in told["blocks"].items():
        assert (await node.api.block(int(height)))["block_id"] == block
    assert (await node.api.block(told["height"]))["state_root"] == told["root"]
    history = [dict(line) for line in await node.api.history(before=told["history"][0]["cursor"] + 1, limit=100)]
    assert history == told["history"]
    expected = told["jobs"] | await _now(node, told)
    assert {job: (await node.api.job(job))["state"] for job in told["jobs"]} == expected
    old, new = (check_receipt(bytes.fromhex(raw), _genesis(node)) for raw in (told["receipt"], await _receipt(node, told)))
    assert old.document == new.document and old.document["code"] == 0


async def _now(node: NodeProcess, told: Any) -> dict[str, Any]:
    """The one job that was open is over since: its end came while nobody ran the chain."""
    (job,) = [job for job, state in told["jobs"].items() if state == "OPEN"]
    ended = await node.job_in(job, "EMPTY")
    return {job: ended["state"]}


async def _receipt(node: NodeProcess, told: Any) -> str:
    return str((await node.api.receipt_file(told["paid"]))["file"])


def _genesis(node: NodeProcess) -> Genesis:
    return from_json((node.data / "genesis.json").read_bytes())


async def _ends_what_was_open(node: NodeProcess, told: Any) -> None:
    """What the job of the old version held comes back under the rules of this one; nobody else's credits move."""
    expected = {account: micro(balance) for account, balance in told["accounts"].items()}
    expected[node.address] += micro(told["supply"]["escrows"])
    found = {one["id"]: micro(one["balance"]) for one in await node.api.accounts()}
    assert found == expected
    supply = await node.api.supply()
    assert (micro(supply["supply"]), micro(supply["escrows"])) == (micro(told["supply"]["supply"]), 0)


async def _goes_on(node: NodeProcess, height: int) -> None:
    """Blocks on top of the old ones, and a payment in one of them."""
    (ana,) = json.loads((node.data / "names.json").read_text())["names"]
    done = await node.api.transfer(ana, "1.5", wait=60)
    assert done["status"] == "final"
    await node.reaches(height + 2)
    assert (await node.api.block(height + 1))["height"] == height + 1


async def _knows_its_people(node: NodeProcess, told: Any) -> None:
    """Names and tokens are files of their own."""
    code, out, said = await command(node, "name", "list", "--json")
    assert code == 0 and "ana" in out, said
    program = Client(node.api.url, told["token"]["token"])
    try:
        assert (await program.status())["chain_id"] == told["chain_id"]
    finally:
        await program.close()
