"""A graph that grows by tokens: `invite`, `join` and `leave` in real processes, and every token that must be refused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.membership import SetCapacity
from learningchain.chain.crypto import SigningKey
from learningchain.chain.host.terms import Arch, Capacity
from learningchain.client.contracts.membership.http.token import JoinToken, parse_token, to_text, token_digest
from learningchain.client.keys.keystore import Keystore
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.http import read_token
from learningchain.client.sdk.types import RejectedError
from tests.network import NetworkParams
from tests.processes import scripted
from tests.processes.clocked import HOUR_MS, WINDOWS, ClockedGraph
from tests.processes.harness import (
    PASSPHRASE,
    PATIENCE_S,
    ROOT,
    Graph,
    NodeProcess,
    Role,
    command,
    eventually,
    free_port,
    validators,
)
from tests.slow import SLOW

SMALL = Capacity(Arch.AMD64, 1_000, 512, 10**6, 10**6, 60)


class Newcomer:
    """A machine that has nothing but a token."""

    def __init__(self, folder: Path, name: str) -> None:
        self.data, self.log = folder / name, folder / f"{name}.log"
        self.listen, self.api_listen = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen[bytes] | None = None

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "learningchain", *words, "--data", str(self.data)]

    def _join(self, token: str, *more: str) -> list[str]:
        return self._command("join", token, "--listen", self.listen, "--api-listen", self.api_listen, *more)

    @property
    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
        return kept | {"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE, "PYTHONUNBUFFERED": "1"}

    async def says(self, token: str, *more: str) -> tuple[int, str]:
        """Run `join` to its end; the exit code and all that it printed."""
        done = await asyncio.create_subprocess_exec(
            *self._join(token, "--no-run", *more),
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(done.communicate(), PATIENCE_S * SLOW)
        return int(done.returncode or 0), out.decode()

    def start(self, token: str, *, anew: bool = False) -> None:
        """`anew`: the log tells of this life alone."""
        if anew:
            self.log.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._join(token), cwd=ROOT, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    async def reaches(self, text: str) -> None:
        """Wait until this life has printed that."""

        async def look() -> bool:
            assert self.process is not None and (text in self.said or self.process.poll() is None), self.said
            return text in self.said

        await eventually(f"the newcomer says {text!r}", look)

    async def running(self) -> Client:
        async def look() -> bool:
            assert self.process is not None and self.process.poll() is None, self.said
            return "running with" in self.said

        await eventually("the newcomer runs", look)
        return Client(f"http://{self.api_listen}", read_token(self.data / "api.token"))

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


async def token_of(node: Any, **how: Any) -> str:
    done = await node.api.invite(wait=PATIENCE_S, **how)
    return str(done["token"])


@pytest.mark.asyncio
async def test_one_command_takes_an_empty_machine_into_the_graph(tmp_path: Path) -> None:
    """Invited, joined, admitted, synced, running; the newcomer has its inviter's credits and root, and may act at once."""
    newcomer = Newcomer(tmp_path, "newcomer")
    async with Graph(tmp_path, validators(4)) as graph:
        await graph.start()
        token = await token_of(graph["v0"], credits="3")
        began = time.monotonic()
        newcomer.start(token)
        try:
            api = await newcomer.running()
            print(f"from the command to a synced node: {time.monotonic() - began:.1f} s")
            for stage in ("Invitation of", "Identity lc1", "Genesis of test", "Admitted: lc1", "Synced to block"):
                assert stage in newcomer.said
            async with api:
                own = await api.account()
                assert (own["balance"], own["inviter"], own["root"]) == ("3", graph["v0"].address, graph["v0"].address)
                assert await api.balance(own["id"]) == (await graph["v3"].api.account(own["id"]))["balance"]
                paid = await api.transfer(graph["v1"].address, "1", wait=PATIENCE_S)
                assert paid["code"] == 0
                await eventually("it has peers", lambda: _several(api))
                await eventually("its box key is on the ledger", lambda: _boxed(api))
        finally:
            newcomer.kill()
        # The same command again: it goes on from what is there.
        again, said = await newcomer.says(token)
        assert again == 0 and "which is here already" in said
        # The token is used: nobody else comes in by it.
        code, said = await Newcomer(tmp_path, "another").says(token)
        assert code == 1 and "INVITATION_USED" in said
        await graph.no_fork()


async def _boxed(api: Client) -> bool:
    found = await api.box_key()
    return found["here"] and found["key"] is not None


async def _several(api: Client) -> bool:
    return len(await api.peers()) >= 2


@pytest.mark.asyncio
async def test_bad_tokens_are_refused_with_their_reason(tmp_path: Path) -> None:
    """Replayed (above), revoked, expired, altered, foreign, unknown; and an outsider can do nothing else."""
    roles = [*validators(1), Role("member")]
    async with ClockedGraph(tmp_path, roles, params=NetworkParams(heartbeat=200, **WINDOWS)) as graph:
        await graph.start()
        member = graph["member"]
        good = await token_of(member)
        done = await member.api.invite(wait=PATIENCE_S)
        await member.api.revoke_invitation(done["invitation"], wait=PATIENCE_S)
        code, said = await Newcomer(tmp_path, "revoked").says(done["token"])
        assert code == 1 and "INVITATION_REVOKED" in said
        short = await member.api.invite(lasts_s=HOUR_MS / 1_000, wait=PATIENCE_S)

        await graph.clock.advance(HOUR_MS)

        async def expired() -> bool:
            found = await member.api.invitations()
            return any(one["invitation"] == short["invitation"] and one["state"] == "expired" for one in found)

        await eventually("the invitation expires", expired)
        code, said = await Newcomer(tmp_path, "expired").says(short["token"])
        assert code == 1 and "INVITATION_EXPIRED" in said
        token = parse_token(good)
        for at in (len(good) // 2, len(good) - 2):
            bad = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
            code, said = await Newcomer(tmp_path, "altered").says(bad)
            assert code == 2 and "altered" in said
        foreign = _signed(replace(token, chain_id=bytes(32)), member.identity.key)
        code, said = await Newcomer(tmp_path, "foreign").says(foreign)
        assert code != 0 and "No member of the network" in said
        unknown = _signed(replace(token, secret=b"\x05" * 32), member.identity.key)
        code, said = await Newcomer(tmp_path, "unknown").says(unknown)
        assert code == 1 and "NO_INVITATION" in said
        code, _ = await Newcomer(tmp_path, "good").says(good)
        assert code == 0


def _signed(token: JoinToken, key: SigningKey) -> str:
    return to_text(replace(token, signature=key.sign(token_digest(token))))


@pytest.mark.asyncio
async def test_who_leaves_is_no_peer_any_more(tmp_path: Path) -> None:
    roles = [*validators(2), Role("member")]
    async with Graph(tmp_path, roles) as graph:
        await graph.start()
        member = graph["member"]
        with pytest.raises(RejectedError) as refused:
            await graph["v0"].api.leave(wait=PATIENCE_S)
        assert refused.value.name == "STILL_A_VALIDATOR"
        assert "height" in await member.api.leave(wait=PATIENCE_S), "the node that left does not hear of it"

        async def alone() -> bool:
            return all(peer["id"] != member.address for peer in await graph["v0"].api.peers())

        await eventually("v0 has dropped the member", alone)
        assert (await graph["v0"].api.account(member.address))["left"] > 0
        with pytest.raises(RejectedError) as left:
            await graph["v0"].api.submit_tx([SetCapacity(SMALL)], member.identity.key, wait=PATIENCE_S)
        assert left.value.name == "LEFT"


@pytest.mark.asyncio
async def test_join_is_killed_at_each_stage_and_the_same_command_finishes(tmp_path: Path) -> None:
    """Identity made; genesis fetched; the Join sent; admitted; syncing. One key, one member, one used invitation."""
    newcomer = Newcomer(tmp_path, "newcomer")
    keystore, genesis = newcomer.data / "keystore.json", newcomer.data / "genesis.json"
    async with Graph(tmp_path, validators(2), params=NetworkParams(heartbeat=200)) as graph:
        await graph.start()
        v0, v1 = graph["v0"], graph["v1"]
        token = await token_of(v0, credits="3")
        try:
            v0.pause()  # the only contact is silent: no genesis comes
            newcomer.start(token)
            await newcomer.reaches("Identity lc1")
            newcomer.kill()
            own = Keystore.public(keystore)
            assert not genesis.exists()
            v1.pause()  # without a quorum the Join waits: whoever asks for the genesis is not admitted before it is killed
            v0.resume()
            newcomer.start(token, anew=True)
            await newcomer.reaches("Genesis of test")
            newcomer.kill()
            newcomer.start(token, anew=True)
            await newcomer.reaches("Join sent: it waits for its block")
            newcomer.kill()
            assert (await v0.api.invitations())[0]["state"] == "open"
            v1.resume()
            for stage in ("Admitted: lc1", "The node starts"):
                newcomer.start(token, anew=True)
                await newcomer.reaches(stage)
                newcomer.kill()
            newcomer.start(token, anew=True)
            async with await newcomer.running() as api:
                assert f"Identity {own.address}" in newcomer.said and ", which is here already" in newcomer.said
                account = await api.account()
                assert (account["id"], account["key"], account["inviter"]) == (own.address, own.public_key.hex(), v0.address)
                assert (await api.transfer(v1.address, "1", wait=PATIENCE_S))["code"] == 0
        finally:
            newcomer.kill()
        assert [(one["state"], one["credits"]) for one in await v0.api.invitations()] == [("used", "0")]
        assert len(await v0.api.accounts()) == 3 and [*newcomer.data.glob("keystore*")] == [keystore]
        await graph.conserved()


async def _says(node: NodeProcess, *words: str) -> dict[str, Any]:
    """What a command says in JSON: the document, or the refusal with its exit code."""
    code, out, err = await command(node, *words, "--json")
    found: dict[str, Any] = json.loads(out) if code == 0 and out else {}
    return {"exit": code} | found | (json.loads(err.splitlines()[-1])["error"] if code else {})


@pytest.mark.asyncio
async def test_inviting_and_leaving_on_the_command_line(tmp_path: Path) -> None:
    """Every answer and refusal as a script sees it; who leaves has a bounty, an invitation and a verifier's flag."""
    roles = [*validators(1), Role("member", verifier=True)]
    async with Graph(tmp_path, roles, people=[scripted.JUDGE], params=NetworkParams(heartbeat=200)) as graph:
        await graph.start()
        v0, member = graph["v0"], graph["member"]
        made = await _says(member, "invite", "--credits", "5", "--expires", "2h")
        assert parse_token(made["token"]).inviter == member.id and made["status"] == "final"
        second = await _says(member, "invite")
        assert (await _says(member, "invite", "--credits", "5000"))["exit"] == 1
        listed = json.loads((await command(member, "invite", "list", "--json"))[1])
        assert [(one["state"], one["credits"]) for one in listed] == [("open", "5"), ("open", "0")]
        assert (await _says(member, "invite", "revoke", second["invitation"][:12]))["code"] == 0
        again = await _says(member, "invite", "revoke", second["invitation"])
        assert (again["exit"], again["name"]) == (1, "INVITATION_REVOKED")
        unknown = await _says(member, "invite", "revoke", "00" * 32)
        assert unknown["exit"] == 2 and "no such invitation" in unknown["message"]
        await scripted.declare(v0, [scripted.JUDGE])
        clock = (await v0.api.status())["clock_now"]
        await member.api.submit_tx([scripted.terms(clock + 3_600_000)], member.identity.key, wait=PATIENCE_S)
        asked = await _says(member, "leave")
        assert (asked["exit"], asked["left"]) == (0, False)
        text = " ".join(asked["open"])
        for part in ("locked in stakes, bounties and invitations", "1 open invitation ends", "It verifies"):
            assert part in text
        refused = await _says(v0, "leave", "--yes")
        assert (refused["exit"], refused["name"]) == (1, "STILL_A_VALIDATOR")
        gone = await _says(member, "leave", "--yes")
        assert (gone["exit"], gone["left"], gone["code"]) == (0, True, 0)
        own = await v0.api.account(member.address)
        assert own["left"] > 0 and not own["verifier"] and own["locked"] != "0", "the bounty stays where it is"
        assert [one["state"] for one in await member.api.invitations()] == ["revoked", "revoked"]
        for words, name in ((("leave", "--yes"), "NOT_A_MEMBER"), (("invite",), "LEFT"), (("key", "box", "--renew"), "LEFT")):
            refused = await _says(member, *words)
            assert (refused["exit"], refused["name"]) == (1, name), words
        await graph.conserved(v0)
