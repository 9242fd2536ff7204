"""`signer pair`, `signer use`, `signer run`, and the start of a node with a signer: no key is in two places, no guard is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.crypto import SigningKey
from learningchain.chain.storage import private
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.client.daemon import start
from learningchain.client.keys.keystore import Keystore
from learningchain.client.node import logs, process
from learningchain.client.signer import pairing
from learningchain.client.signer.server import SignerServer

pytest_plugins = ["tests.unit.client_cli_kit"]
WORD = "correct horse battery"
PLACE = "unix:/run/lc/signer.sock"


class Desk:
    """A signer's folder with an identity and a network."""

    def __init__(self, run: Any, folder: Path) -> None:
        self.folder, self._run = folder, run
        folder.mkdir()
        self.own = Keystore.create(folder / "keystore.json", WORD)
        key = SigningKey(b"\3" * 32).public.hex()
        assert run("genesis", "new", "--name", "demo", "--validator", f"{key}=1", "--out", folder / "genesis.json").code == 0
        self.chain_id = bytes.fromhex(run("genesis", "show", "--data", folder, "--json").json["chain_id"])

    def pair(self, out: Path, *more: str | Path, listen: str = PLACE) -> Any:
        return self._run("signer", "pair", out, "--listen", listen, "--data", self.folder, *more)

    def guard(self) -> Guard:
        return Guard.open(str(self.folder / "guard"), chain_id=self.chain_id)


@pytest.fixture
def desk(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    monkeypatch.setattr(process, "guard", lambda *_: None)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    return Desk(run, tmp_path / "signer")


def a_guard(path: Path, chain_id: bytes) -> Path:
    """One that has signed at height 7."""
    with_seven = Guard.create(str(path), chain_id=chain_id)
    assert with_seven.sign(Kind.PREVOTE, 7, 0, b"d" * 32, lambda _: b"s" * 64) is not None
    with_seven.close()
    return path


# --- pair ---------------------------------------------------------------------------------------------------------------------


def test_both_files_are_secrets_that_fit_together(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "node.pair"
    ran = desk.pair(out, "--connect", "tcp:signer.example:7411", "--never-signed", "--json")
    assert ran.code == 0, ran.err
    node, server = pairing.read_pairing(out), pairing.read_server(desk.folder / "signer.tls")
    assert (node.account, node.key) == (desk.own.address, desk.own.key.public)
    assert (node.place, server.listen) == ("tcp:signer.example:7411", PLACE)
    assert (node.signer_cert, node.node_cert) == (server.signer_cert, server.node_cert)
    assert out.stat().st_mode & 0o777 == (desk.folder / "signer.tls").stat().st_mode & 0o777 == 0o600
    assert ran.json == {
        "file": str(out),
        "address": desk.own.address,
        "listen": PLACE,
        "connect": "tcp:signer.example:7411",
        "guard": "new",
    }
    ran = desk.pair(out, "--json")
    assert ran.code == 2 and "exists" in ran.err and pairing.read_pairing(out) == node, "nothing is overwritten"
    ran = desk.pair(tmp_path / "second.pair")
    assert f"signer use second.pair; here: learningchain signer run --data {desk.folder}" in ran.err
    assert pairing.read_pairing(tmp_path / "second.pair").node_cert != node.node_cert, "the earlier one is good no more"


def test_the_node_s_file_is_never_there_for_others_to_read(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a moment, and not where the command is killed in that moment: it holds the key that signatures are asked for with."""
    modes: list[int] = []
    replace = os.replace

    def named(source: str, to: str | Path) -> None:
        if Path(to).name == "node.pair":
            modes.append(os.stat(source).st_mode & 0o777)
            replace(source, to)
            raise KeyboardInterrupt
        replace(source, to)

    monkeypatch.setattr(os, "replace", named)
    before = os.umask(0)
    try:
        desk.pair(tmp_path / "node.pair", "--never-signed")
    except (KeyboardInterrupt, FileNotFoundError):
        pass
    finally:
        os.umask(before)
    assert modes == [0o600] and (tmp_path / "node.pair").stat().st_mode & 0o777 == 0o600


def test_what_the_key_signed_is_taken_over_and_never_forgotten_again(desk: Desk, tmp_path: Path) -> None:
    source = a_guard(tmp_path / "guard", desk.chain_id)
    assert desk.pair(tmp_path / "1.pair", "--guard", source, "--json").json["guard"] == "copied"
    assert (desk.folder / "guard").stat().st_mode & 0o777 == 0o600 and source.exists()
    assert not (desk.folder / "guard.copy").exists()
    guard = desk.guard()
    assert guard.signed[0] == 7
    guard.close()
    assert desk.pair(tmp_path / "2.pair", "--json").json["guard"] == "kept"
    assert desk.pair(tmp_path / "3.pair", "--never-signed", "--json").json["guard"] == "kept", "it knows better"
    assert desk.pair(tmp_path / "4.pair", "--guard", desk.folder / "guard", "--json").json["guard"] == "kept"
    ran = desk.pair(tmp_path / "5.pair", "--guard", source)
    assert ran.code == 2 and "It is not replaced" in ran.err and not (tmp_path / "5.pair").exists()
    guard = desk.guard()
    assert guard.signed[0] == 7
    guard.close()


def test_a_guard_that_is_here_and_cannot_be_used_is_told_before_anything_is_made(desk: Desk, tmp_path: Path) -> None:
    a_guard(desk.folder / "guard", b"o" * 32)
    ran = desk.pair(tmp_path / "1.pair")
    assert ran.code != 0 and not (tmp_path / "1.pair").exists() and not (desk.folder / "signer.tls").exists()


def test_without_a_guard_the_signer_waits_for_a_node_s_word(desk: Desk, tmp_path: Path) -> None:
    ran = desk.pair(tmp_path / "1.pair")
    assert ran.code == 0 and "does not know what its key signed" in ran.err
    guard = desk.guard()
    assert guard.sign(Kind.PREVOTE, 1, 0, b"d" * 32, lambda _: b"s" * 64) is None
    guard.close()


def test_a_guard_that_was_copied_is_on_the_disk_before_the_command_says_so(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever moved it removes the other one then: a power cut must not leave neither."""
    steps: list[str] = []

    def seen(name: str, real: Any, of: Any = None) -> Any:
        def step(*given: Any, **more: Any) -> Any:
            if of is None or of(*given):
                steps.append(name)
            return real(*given, **more)

        return step

    source = a_guard(tmp_path / "guard", desk.chain_id)
    held = source.stat().st_size
    monkeypatch.setattr(os, "fsync", seen("its bytes", os.fsync, lambda fd: os.fstat(fd).st_size == held))
    monkeypatch.setattr(os, "replace", seen("its name", os.replace, lambda _, to: Path(to).name == "guard"))
    monkeypatch.setattr(private, "sync_folder", seen("the folder", private.sync_folder))
    assert desk.pair(tmp_path / "1.pair", "--guard", source).code == 0
    name = steps.index("its name")
    assert "its bytes" in steps[:name] and steps[name + 1] == "the folder"


def test_a_guard_of_another_network_is_not_taken(desk: Desk, tmp_path: Path) -> None:
    ran = desk.pair(tmp_path / "1.pair", "--guard", a_guard(tmp_path / "guard", b"o" * 32))
    assert ran.code != 0 and not (desk.folder / "guard").exists() and not (tmp_path / "1.pair").exists()


@pytest.mark.parametrize(
    ("more", "listen", "said"),
    [
        (["--guard", "x", "--never-signed"], PLACE, "not both"),
        ([], "unix:relative", "no place for a signer"),
        (["--connect", "nowhere"], PLACE, "no place for a signer"),
    ],
)
def test_a_pairing_that_cannot_be_changes_nothing(desk: Desk, tmp_path: Path, more: list[str], listen: str, said: str) -> None:
    ran = desk.pair(tmp_path / "1.pair", *more, listen=listen)
    assert ran.code == 2 and said in ran.err
    assert sorted(path.name for path in desk.folder.iterdir()) == ["genesis.json", "keystore.json"]
    assert not (tmp_path / "1.pair").exists()


# --- use ----------------------------------------------------------------------------------------------------------------------


def test_a_node_gets_its_signer_and_has_no_key_beside_it(desk: Desk, run: Any, tmp_path: Path) -> None:
    out, data = tmp_path / "node.pair", tmp_path / "deep" / "node"
    assert desk.pair(out, "--never-signed").code == 0
    ran = run("signer", "use", out, "--data", data, "--json")
    assert ran.code == 0 and ran.json == {"address": desk.own.address, "signer": PLACE, "data": str(data)}
    assert pairing.read_pairing(data / "signer.pair") == pairing.read_pairing(out)
    assert (data / "signer.pair").stat().st_mode & 0o777 == 0o600 and data.stat().st_mode & 0o777 == 0o700
    assert (data / "config.toml").exists()
    (data / "config.toml").write_text('name = "lab"\n')
    assert run("signer", "use", out, "--data", data).code == 0
    assert (data / "config.toml").read_text() == 'name = "lab"\n', "settings stay"


@pytest.mark.parametrize("name", ["keystore.json", "guard"])
def test_a_folder_with_a_key_or_a_guard_gets_no_signer(desk: Desk, run: Any, tmp_path: Path, name: str) -> None:
    out, data = tmp_path / "node.pair", tmp_path / "node"
    assert desk.pair(out, "--never-signed").code == 0
    data.mkdir()
    (data / name).symlink_to("/nonexistent")
    ran = run("signer", "use", out, "--data", data)
    assert ran.code == 2 and "signs twice" in ran.err and not (data / "signer.pair").exists()


# --- run, and node ------------------------------------------------------------------------------------------------------------


def test_a_signer_runs_once_and_tells_of_a_missing_key_before_anything_else(desk: Desk, run: Any, tmp_path: Path) -> None:
    assert desk.pair(tmp_path / "1.pair", "--never-signed").code == 0
    held = DataDir.open(str(desk.folder), create=False)
    ran = run("signer", "run", "--data", desk.folder)
    held.close()
    assert ran.code == 1 and "The signer does not start" in ran.err and "in use" in ran.err
    (desk.folder / "keystore.json").unlink()
    ran = run("signer", "run", "--data", desk.folder)
    assert ran.code == 1 and "keystore.json" in ran.err


@pytest.mark.parametrize("more", [[], ["--no-transactions"], ["--for-good"]])
def test_a_signer_signs_transactions_unless_it_is_told_not_to(
    desk: Desk, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    seen: list[tuple[bytes, bool, bool, Any]] = []

    async def listens(self: SignerServer, place: Any, _context: Any) -> None:
        seen.append((self._identity.id, self._transactions, self._for_good, place))
        self.failed.set_result(None)

    monkeypatch.setattr(SignerServer, "start", listens)
    assert desk.pair(tmp_path / "1.pair", "--never-signed").code == 0
    assert run("signer", "run", "--data", desk.folder, *more).code == 1, "one that failed ends with one"
    assert seen == [(desk.own.id, "--no-transactions" not in more, "--for-good" in more, ("unix", "/run/lc/signer.sock"))]
    desk.guard().close()  # and leaves nothing locked


@pytest.mark.parametrize("beside", [None, "keystore.json", "guard"])
def test_a_node_with_a_signer_starts_without_a_passphrase_and_never_beside_a_key(
    desk: Desk, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: str | None
) -> None:
    ran_with: list[Any] = []
    monkeypatch.setattr(start, "run", lambda data, word, **more: (ran_with.append((data, word, more["accept_new_guard"])), 0)[1])
    monkeypatch.delenv("LEARNINGCHAIN_PASSPHRASE")
    data = tmp_path / "node"
    assert desk.pair(tmp_path / "1.pair", "--never-signed").code == 0
    assert run("signer", "use", tmp_path / "1.pair", "--data", data).code == 0
    if beside is not None:
        (data / beside).touch()
        ran = run("node", "--data", data)
        assert ran.code == 1 and "signs in two places signs twice" in ran.err and ran_with == []
        return
    assert run("node", "--data", data).code == 0 and ran_with == [(data, None, False)]
    ran = run("node", "--data", data, "--accept-new-guard")
    assert ran.code == 1 and "its guard is the signer's" in ran.err and len(ran_with) == 1
