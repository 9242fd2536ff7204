"""A contract from elsewhere brings a machine of its own: its folder is all that it takes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.host import account_key
from learningchain.client import contracts
from learningchain.client.work.machine import WorkPart, find_slices, knows_no_ref, ledger_statuses_of
from tests.unit.test_work_graph import Graph, tmp_path
from tests.unit.work_kit import GRANT, blocks, run_virtual, working

__all__ = ["tmp_path"]

TOY = '''
"""A toy: it fetches an image, runs it, seals what came out with a secret, says so, and later opens it. Pure."""

from learningchain.chain.host import account_key
from learningchain.chain.contracts.credits import Transfer
from learningchain.client.work.events import Attempt, BringImage, Chain, Forget, ImageReady, Pin, RunEnded, Secret
from learningchain.client.work.events import SecretStored, Settled, StartRun, Submit, WantedImage
from learningchain.client.work.machine import LedgerStatus, Machine, WorkPart
from learningchain.sandbox import RunSpec

ME, TO, START, REF = {me!r}, {to!r}, {start}, b"toy" + bytes(29)
SEAL, OPEN = 7, 11


class Toy(Machine):
    name = "toy"

    def __init__(self, known):
        self.known, self.said = known, set()
        self.secret = next((s for s in known.secrets if s.kind == "toy.answer"), None)
        self.used = known.attempts.get("toy", {{}}).get(REF, set())
        self.image, self.sealed, self.over = "", False, False

    def handle(self, given):
        match given:
            case ImageReady(ref=ref) if ref == REF:
                self.image = given.image_id
            case RunEnded(model=model) if model is not None:
                blob = self.known.rng(32) + model.cid
                self.secret = Secret("toy.answer", b"1", REF, blob, model.path)
                return [Submit("toy", "seal", REF, Transfer(TO, SEAL, b"seal"), self.secret)]
            case SecretStored():
                self.secret = given.secret
            case Settled(kind="toy", key="open"):
                self.over = True
            case Chain() if self.known.me == ME:
                return list(self.look(given.reader))
        return []

    def look(self, reader):
        balance = reader.get(account_key(TO)).balance
        if self.secret is None and self.once("bring"):
            yield BringImage(REF, WantedImage("jobs/toy@sha256:" + "ab" * 32, "", "", 1, 1, 1))
        if self.secret is None and self.image and self.once("run"):
            spec = RunSpec(run_id="toy-1", image_id=self.image, phase="train", seed=3, budget_s=5)
            yield StartRun("toy-1", REF, spec, ("toy", 1), Attempt("toy", 1, first=True), keep=True)
        if self.secret is not None and balance >= START + SEAL and self.once("open"):
            yield Pin(REF, "bafytoy", "toy")
            yield Submit("toy", "open", REF, Transfer(TO, OPEN, b"open"), needs=self.secret.path)
        if self.over and self.once("forget"):
            yield Forget(REF)

    def once(self, what):
        return what not in self.said and not self.said.add(what)


def status_of(reader, me, clock, op):
    stands = reader.get(account_key(TO)).balance >= START + (SEAL if op.amount == SEAL else SEAL + OPEN)
    return (LedgerStatus.STANDS if stands else LedgerStatus.OPEN), None


PART = WorkPart(
    name="toy",
    knows=lambda reader, ref: ref == REF,
    machines=lambda known: [Toy(known)],
    ledger_statuses={{Transfer: status_of}},
    runs=lambda config, drawn: True,
)
'''


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder in which contracts are looked for too."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    contracts.__path__.append(str(folder))
    yield folder
    contracts.__path__.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith("learningchain.client.contracts.toy")]:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("")
    (folder / name / "work.py").write_text(text)


@pytest.mark.parametrize("stage", ["nothing", "running", "sealed", "open"])
def test_a_foreign_machine_works_beside_the_others_and_goes_on_after_a_kill(tmp_path: Path, elsewhere: Path, stage: str) -> None:
    async def main() -> None:
        graph = Graph(tmp_path / "graph", config=working(attempts=1))
        chain, node = graph.chain, graph.nodes["a"]
        target = chain.ids["cheat"]
        write(elsewhere, "toy", TOY.format(me=chain.ids["a"], to=target, start=GRANT))
        await graph.start()
        job = chain.post("boss")

        def got() -> int:
            account: Any = chain.state.get(account_key(target))
            return int(account.balance) - GRANT

        reached = {
            "nothing": lambda: True,
            "running": lambda: any(spec.run_id == "toy-1" for spec in node.engine.specs),
            "sealed": lambda: got() >= 7,
            "open": lambda: any(op == Transfer(target, 11, b"open") for _, op in chain.sent),
        }[stage]
        await blocks(chain, reached, every_s=0.25)
        await node.kill()
        await asyncio.sleep(1)
        work = await node.start()
        if stage in ("sealed", "open"):
            (secret,) = (s for s in work._stores.database.secrets() if s.kind == "toy.answer")
            assert secret.path is not None and secret.path.is_file(), "it is not swept: a secret names it"
        await blocks(chain, lambda: got() == 18)
        sent = {op.memo: op.amount for name, op in chain.sent if isinstance(op, Transfer)}
        assert sent == {b"seal": 7, b"open": 11}
        (found,) = await graph.finish(job)
        assert found["state"] == "PAID"
        toys = [run for run in work.run_log.list() if run["phase"] == "toy"]
        assert len(toys) == (1 if stage in ("nothing", "running") else 0)
        await blocks(chain, lambda: not [s for s in work._stores.database.secrets() if s.kind.startswith("toy")], 60)
        await blocks(chain, lambda: not list((node.folder / "work" / "models").glob("toy*")), 60)
        assert "toy" not in work._stores.database.attempts(1) and not node.files.pins.get("bafytoy")
        assert work.failing() == []
        graph.honest()
        await graph.stop()

    run_virtual(main())


def test_slices_are_found_by_their_folders(elsewhere: Path) -> None:
    assert [part.name for part in find_slices()] == ["federation", "governance", "job", "keys", "membership", "prediction"]
    write(
        elsewhere,
        "toy",
        "from learningchain.client.work.machine import WorkPart, knows_no_ref\nPART = WorkPart(name='toy', knows=knows_no_ref)\n",
    )
    contracts._here.cache_clear()
    assert [part.name for part in find_slices()] == ["federation", "governance", "job", "keys", "membership", "prediction", "toy"]


def test_two_contracts_cannot_both_say_what_becomes_of_a_message() -> None:
    statuses: Any = {Transfer: lambda *_: None}
    parts = [WorkPart(name=name, knows=knows_no_ref, ledger_statuses=statuses) for name in ("one", "two")]
    with pytest.raises(ValueError, match="two and of another contract both say what becomes of Transfer"):
        ledger_statuses_of(parts)


def test_a_kind_belongs_to_one_contract() -> None:
    toy = WorkPart(name="toy", knows=knows_no_ref)
    assert toy.owns("toy") and toy.owns("toy.answer")
    assert not toy.owns("toys.answer") and not toy.owns("job.toy")
