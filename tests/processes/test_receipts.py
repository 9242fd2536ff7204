"""A stranger with `verify.py` and the genesis file alone checks a payment on a real graph, and takes no byte of it for another."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import sys
import venv
from pathlib import Path

from learningchain.chain.codec import decode
from learningchain.chain.contracts.membership import ReportDouble
from learningchain.chain.ledger.genesis import to_json
from learningchain.chain.ledger.snapshot import ValidatorSetChange
from learningchain.chain.types import PREVOTE, Vote, VoteEvidence, vote_digest
from tests.processes.harness import ROOT, Graph, NodeProcess, Person, Role, eventually, validators

PACKAGES = ("ecdsa", "msgpack", "six")
"""The two that `verify.py` imports, and the one that the first of them needs."""
FLIP_ALL = """
import sys
sys.path.insert(0, ".")
import verify
raw, genesis = (open(name, "rb").read() for name in ("payment.lcr", "genesis.json"))
taken = []
for at in range(len(raw)):
    try:
        verify.check(raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1:], genesis)
        taken.append(at)
    except Exception:
        pass
print(len(raw), taken)
"""


async def _ran(*words: str | Path, cwd: Path | None = None) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, words), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def _command(node: NodeProcess, *words: str | Path) -> tuple[int | None, str]:
    return await _ran(sys.executable, "-m", "learningchain", *words, "--data", node.data)


def _stranger(folder: Path, genesis: bytes) -> Path:
    """A machine that has Python, two packages, `verify.py` and the network's genesis file; the interpreter there."""
    home = folder / "stranger"
    venv.create(home, with_pip=False)
    (target,) = home.glob("lib/python*/site-packages")
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin)
        if source.name == "__init__.py":
            shutil.copytree(source.parent, target / name)
        else:
            shutil.copy(source, target)
    shutil.copy(ROOT / "protocol_spec" / "verify.py", home)
    (home / "genesis.json").write_bytes(genesis)
    return home


async def test_a_stranger_checks_a_payment(tmp_path: Path) -> None:
    async with Graph(tmp_path, [*validators(4), Role("payee")]) as graph:
        await graph.start()
        home = _stranger(tmp_path, to_json(graph.genesis))
        await _a_validator_leaves(graph)
        payment = home / "payment.lcr"
        code, said = await _command(graph["v0"], "transfer", graph["payee"].address, "12.5", "--receipt", payment)
        assert code == 0 and payment.exists(), said
        await _the_payee_knows_why(graph["payee"])
        await _the_node_checks_it(graph["payee"], payment)
        await _who_trusts_a_block_needs_no_genesis(graph["v1"], home)
        code, said = await _command(graph["v1"], "audit", "chain")
        assert code == 0 and " hold: " in said, said
    await _the_stranger_is_convinced(home, graph)


async def _a_validator_leaves(graph: Graph) -> None:
    """A validator signed twice: from then on three sign, and receipts lead over that handover."""
    liar, chain_id = graph["v3"], graph.genesis.chain_id
    votes = []
    for mark in (b"\x01", b"\x02"):
        block = mark * 32
        signature = Person.behind(liar).key.sign(vote_digest(chain_id, PREVOTE, 1, 0, block))
        votes.append(Vote(PREVOTE, 1, 0, block, liar.id, signature))
    await eventually("a block is final", lambda: graph["v0"].height())
    done = await Person.behind(graph["payee"]).send(graph["payee"], ReportDouble(VoteEvidence(*votes)))
    assert done["code"] == 0

    async def left() -> bool:
        return bool(await graph["v0"].api.handovers())

    await eventually("the set has changed", left)


async def _the_payee_knows_why(payee: NodeProcess) -> None:
    code, said = await _command(payee, "why", "latest", "--json")
    (line,) = json.loads(said.splitlines()[0])
    assert (code, line["proven"], line["line"]["amount"]) == (0, True, "+12.5"), said
    assert line["shows"]["handovers"] == 1 and "transferred its free credits" in line["rule"]
    code, said = await _command(payee, "receipt", "account", "--out", payee.data / "own.lcr")
    assert code == 0 and "1012.5 free" in said, said


async def _the_node_checks_it(payee: NodeProcess, payment: Path) -> None:
    code, said = await _command(payee, "receipt", "check", payment)
    assert code == 0 and "12.5 credits from" in said and "over 1 change of the validator set" in said, said


async def _who_trusts_a_block_needs_no_genesis(node: NodeProcess, home: Path) -> None:
    """From before the handover, and from behind it."""
    (change,) = await node.api.handovers()
    handed_over = decode(ValidatorSetChange, bytes.fromhex(change), 65_536).header.height
    height = await node.grows(1)
    for begin in (1, handed_over):
        target = home / f"from-{begin}.lcr"
        code, said = await _command(node, "receipt", "get", f"{height}-0", "--trusted", str(begin), "--out", target, "--json")
        assert code == 0, said
        known = json.loads(said.splitlines()[0])["trusted"]
        python = home / "bin" / "python"
        code, said = await _ran(python, "-I", "verify.py", target.name, "--trust", known, cwd=home)
        assert code == 0 and f"as they follow from block {known}" in said, said
        code, said = await _ran(python, "-I", "verify.py", target.name, "--trust", "00" * 32, cwd=home)
        assert code == 1 and "does not begin at the trusted block" in said, said


async def _the_stranger_is_convinced(home: Path, graph: Graph) -> None:
    python = home / "bin" / "python"
    code, said = await _ran(python, "-I", "-c", "import learningchain.chain", cwd=home)
    assert code != 0 and "No module named 'learningchain'" in said
    code, said = await _ran(python, "-I", "verify.py", "payment.lcr", "genesis.json", cwd=home)
    assert code == 0 and said.startswith("PROVEN"), said
    assert "3 of its 3 validators" in said
    assert f"12.5 credits from {graph['v0'].address} to {graph['payee'].address}" in said
    code, said = await _ran(python, "-I", "-c", FLIP_ALL, cwd=home)
    size = (home / "payment.lcr").stat().st_size
    assert (code, said.strip()) == (0, f"{size} []"), said
    other = json.loads((home / "genesis.json").read_bytes())
    other["accounts"][0]["credits"] = "1001"
    (home / "other.json").write_text(json.dumps(other))
    code, said = await _ran(python, "-I", "verify.py", "payment.lcr", "other.json", cwd=home)
    assert code == 1 and "REFUSED: the receipt is of chain" in said, said
