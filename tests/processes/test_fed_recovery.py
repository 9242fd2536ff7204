"""A hospital loses its machine after the fifth round, the sponsor its own after the end: nothing is left of either but the
account's key. The one opens its vault and trains on in the same federation, the other has the final model from the members.

A sponsor that is killed in the middle of a round and stays away: the round is finished and paid without it, the pace ends the
federation, what nobody earned is the sponsor's again, and a member that lost its files has the final model from the others."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.records import (
    EndReason,
    FederationMember,
    FederationRecord,
    FederationState,
    RoundRecord,
)
from learningchain.chain.types import cid_text
from learningchain.client.contracts.federation.arithmetic import vault
from learningchain.client.keys import hidden
from tests.processes.clocked import DAY_MS, HOUR_MS, ClockedGraph
from tests.processes.harness import PASSPHRASE, Graph, NodeProcess, command, eventually, with_params
from tests.processes.test_federation import (
    BOUNTY,
    OWNERS,
    PARAMS,
    SLOW_S,
    SMALL,
    Federation,
    add_data,
    begin,
    ended,
    made,
    record,
    standing,
)

__all__ = ["made"]  # the fixture
ACCOUNT = ("keystore.json", "genesis.json", "config.toml")
"""What an owner kept elsewhere: the key, the network's file, the settings."""
PACE_MS = HOUR_MS // 2
"""By the chain clock, which the test moves."""
PASS = {"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE}


def lose(node: NodeProcess, folder: Path) -> None:
    """The machine is gone, and another has the account."""
    folder.mkdir()
    for name in ACCOUNT:
        shutil.copy2(node.data / name, folder / name)
    shutil.rmtree(node.data)
    folder.rename(node.data)
    node._api = None  # its token is another one


async def own(node: NodeProcess, federation: Federation) -> dict[str, Any]:
    return dict(await node.api.own_part(federation.id.hex()))


async def member_of(graph: Graph, federation: Federation, name: str, asked: NodeProcess | None = None) -> FederationMember:
    found: FederationMember = await record(
        asked or graph["v0"], records.member_key(federation.id, graph[name].id), FederationMember
    )
    return found


@pytest.mark.full("nodes with containers, eight rounds, two machines that are lost: minutes")
@pytest.mark.timeout(900)
async def test_lost_machines_come_back_with_the_account_alone(tmp_path: Path, made: tuple[Path, str, list[bytes]]) -> None:
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", SMALL, params=PARAMS) as graph:
        federation = await begin(graph, made, tmp_path, OWNERS, [0.0] * 31, rounds=8, target=1_000_000)
        ref = federation.id.hex()
        sponsor, lost = graph["v0"], graph["o3"]
        for name in OWNERS:
            await graph[name].api.keep_vault(ref)

        async def fifth() -> FederationRecord | None:
            now = await standing(sponsor, federation)
            return now if now is not None and now.r >= 5 and now.state != FederationState.IDLE else None

        await eventually("the fifth round began", fifth, SLOW_S)
        await sponsor.api.look_after_federation(ref, auto=False)

        async def resting() -> bool:
            now = await standing(sponsor, federation)
            return now is not None and now.r >= 6 and now.state == FederationState.IDLE

        async def kept() -> bool:
            return all([(await own(graph[name], federation))["vault"]["keeps"] == 2 for name in OWNERS])

        await eventually("the round is over", resting, SLOW_S)
        await eventually("everybody's vault is kept by the two others", kept, SLOW_S)
        named = (await member_of(graph, federation, "o3")).vault
        secret, me = lost.identity.key.secret, lost.id
        file = (graph["o1"].data / "blobs" / "files" / cid_text(named)).read_bytes()
        place = vault.place_of(file, federation.id, me)
        head = vault.read_vault(file[: vault.HEAD], place)
        model = hidden.unseal(file[head.size :], vault.own_key(head, place, vault.of_secret(secret)))
        assert place.r == 5 and len(model) == federation.terms.size

        await lost.kill()
        lose(lost, tmp_path / "account-o3")
        await add_data(lost, made[2][2::3], tmp_path / "data-again")
        await lost.start()
        await lost.reaches(await sponsor.height())
        assert not (await own(lost, federation))["trains"]
        code, out, err = await command(lost, "fed", "recover", ref, "rows", environment=PASS)
        assert code == 0, out + err

        async def opened() -> str:
            found = (await own(lost, federation))["vault"]
            assert found["state"] != "failed", found["why"]
            return str(found["path"]) if found["state"] == "opened" else ""

        path = await eventually("its vault is opened", opened, SLOW_S)
        assert Path(path).read_bytes() == model
        code, out, _ = await command(lost, "fed", "mine", ref, "--json", environment=PASS)
        assert code == 0 and json.loads(out)["vault"]["recovered"] == 5

        await sponsor.api.look_after_federation(ref, auto=True)
        now = (await ended(federation))["v0"]
        assert now.r == 8 and now.starts == now.r + 1, "no attempt came to nothing"
        after = (await own(lost, federation))["attempts"]
        assert [one["round"] for one in after if one["sent"]] == [6, 7, 8]
        assert any(one["code"] == "USED" for one in after), after

        await sponsor.kill()
        lose(sponsor, tmp_path / "account-v0")
        await sponsor.start()
        await sponsor.reaches(await graph["o1"].height())
        target = tmp_path / "final.safetensors"
        code, out, err = await command(sponsor, "fed", "fetch", ref, "--out", str(target), environment=PASS)
        assert code == 0, out + err
        best = graph["o1"].data / "blobs" / "files" / cid_text(now.best_model)
        assert sha256(target.read_bytes()).digest() == sha256(best.read_bytes()).digest()
        await graph.agree()
        await graph.conserved()


@pytest.mark.full("test_federation_beside.py plays absent sponsors; nodes with containers, two rounds: a minute")
@pytest.mark.timeout(900)
async def test_a_sponsor_that_is_killed_in_a_round_and_stays_away_owes_nobody_anything(
    tmp_path: Path, made: tuple[Path, str, list[bytes]]
) -> None:
    (tmp_path / "graph").mkdir()
    params = with_params(fed_base=60_000, fed_ready=30_000, fed_open=30_000, fed_least=1_000, max_step=DAY_MS)
    async with ClockedGraph(tmp_path / "graph", SMALL, params=params) as graph:
        federation = await begin(graph, made, tmp_path, OWNERS, [0.0] * 31, rounds=8, target=1_000_000, pace_ms=PACE_MS)
        sponsor, witness, terms = graph["v0"], graph["o2"], federation.terms
        before = (await graph.balances(witness))[sponsor.address]

        async def stands(r: int, state: FederationState) -> bool:
            now = await standing(witness, federation)
            return now is not None and (now.r, now.state) == (r, state)

        await eventually("the second round is trained", lambda: stands(2, FederationState.TRAIN), SLOW_S)
        await sponsor.kill()
        await eventually("it is summed, measured and paid all the same", lambda: stands(3, FederationState.IDLE), SLOW_S)
        await graph.clock.advance(PACE_MS)
        now = (await ended(federation, *OWNERS))["o1"]
        assert EndReason(now.end) is EndReason.ABANDONED and (now.best_r, now.starts) == (2, 3)

        # Each loss is worth what it is, to the micro-credit; everything else of both escrows is the sponsor's again.
        assert now.paid == BOUNTY * (now.initial - now.best) // (now.initial - terms.target)
        shares = [(await member_of(graph, federation, name, witness)).paid for name in OWNERS]
        assert sum(shares) == now.paid and min(shares) > 0
        fees = terms.fee * (3 * 2 + 3 * (2 + 1))  # three aggregators a sum, three seats a measurement
        back = (await graph.balances(witness))[sponsor.address] - before
        assert back == BOUNTY - now.paid + formulas.fees_locked(terms.fee, terms.rounds) - fees
        await graph.conserved()

        # A member that lost its files has the final model, and what it was made of, from the others alone.
        best = await record(witness, records.round_key(federation.id, now.best_r), RoundRecord)
        loser = graph["o1"]
        await loser.kill()
        shutil.rmtree(loser.data / "blobs")
        await loser.start()

        async def whole() -> bool:
            files = loser.data / "blobs" / "files"
            return all((files / cid_text(cid)).is_file() for cid in (now.best_model, best.base, best.delta))

        await eventually("the member has the final model again", whole, SLOW_S)
        code, out, err = await command(loser, "fed", "audit", federation.id.hex(), "--models", "--json", environment=PASS)
        assert code == 0, out + err
        audit = json.loads(out)
        models = {one["round"]: one["verdict"] for one in audit["findings"] if one["item"] == "model"}
        assert audit["holds"] and models == {1: "UNCHECKED", 2: "OK"}

        await sponsor.start()
        await sponsor.reaches(await witness.height())
        assert (await graph.balances(sponsor))[sponsor.address] == before + back, "and it learns so when it comes back"
        await graph.agree()
