"""A backup brings back what only that machine had, whole or not at all, and no signing state."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.ledger.genesis import GenesisAccount, to_json
from learningchain.chain.storage import private
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.client import config
from learningchain.client.callbacks.database import CallbackDatabase, CallbackTarget, NewRow
from learningchain.client.contracts.prediction.http.day_budget import DayBudget
from learningchain.client.keys import keystore
from learningchain.client.keys.keystore import Keystore, KeystoreError
from learningchain.client.node import backup
from learningchain.client.node.backup import BackupError
from learningchain.client.signer import certificate, pairing
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.events import Secret
from tests.network import NetworkParams
from tests.network import genesis as network_genesis
from tests.unit.storage_blocks import chain_of

pytest_plugins = ["tests.unit.client_cli_kit"]

WORD = "correct horse battery"
MODEL = b"the model " * 50_000
"""More than one piece."""


def quiet(_: str) -> None:
    pass


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's folder with an open claim: its salt in the database, its model beside it."""
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**14)
    folder = tmp_path / "node"
    folder.mkdir(mode=0o700)
    own = Keystore.create(folder / "keystore.json", WORD)
    genesis = network_genesis("test", 1_000, NetworkParams(), [GenesisAccount(own.key.public, 10**6, True, True)])
    (folder / "genesis.json").write_bytes(to_json(genesis))
    (folder / "config.toml").write_text('name = "alice"\n')
    (folder / "names.json").write_text('{"version": 1, "names": {}}')
    (folder / "api.token").write_text("t" * 43)
    model = folder / "work" / "models" / "ab" / "model"
    model.parent.mkdir(parents=True)
    model.write_bytes(MODEL)
    work = WorkDatabase(folder / "work" / "work.db", genesis.chain_id, own.id)
    work.save(Secret("job.claim", b"c" * 32, b"j" * 32, b"the salt", model), 1)
    work.save(Secret("job.key", b"k" * 32, b"", b"a hidden key", None), 1)
    work.close()
    Guard.create(str(folder / "guard"), chain_id=genesis.chain_id).close()
    return folder


def saved(data: Path, word: str = WORD) -> bytes:
    out = io.BytesIO()
    backup.make(data, out, word, quiet)
    return out.getvalue()


def restored(raw: bytes, to: Path, word: str = WORD, *, never_signed: bool = False) -> backup.Restored:
    return backup.restore(io.BytesIO(raw), to, word, never_signed=never_signed, progress=quiet)


def genesis_id(data: Path) -> bytes:
    from learningchain.chain.ledger.genesis import from_json

    return from_json((data / "genesis.json").read_bytes()).chain_id


def test_everything_that_only_this_machine_had_comes_back_elsewhere(data: Path, tmp_path: Path) -> None:
    there = tmp_path / "elsewhere" / "node"
    done = restored(saved(data), there)
    assert done.manifest.kept == {"job.claim": 1, "job.key": 1}
    for name in ("keystore.json", "config.toml", "genesis.json", "names.json"):
        assert (there / name).read_bytes() == (data / name).read_bytes()
    own = Keystore.open(there / "keystore.json", WORD)
    work = WorkDatabase(there / "work" / "work.db", genesis_id(there), own.id)
    claim, key = work.secrets()
    work.close()
    assert (claim.blob, key.blob) == (b"the salt", b"a hidden key")
    assert claim.path == there / "work" / "models" / "ab" / "model" and claim.path.read_bytes() == MODEL
    assert not (there / "api.token").exists(), "whoever held the old machine's token holds nothing"
    assert there.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in there.rglob("*") if path.is_file())


def test_a_restored_folder_trusts_the_last_block_that_was_decided_here(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_chain", lambda _: (genesis_id(data).hex(), 7, "5a" * 32))
    restored(saved(data), there := tmp_path / "there")
    made = config.load(there).config
    assert (made.sync.trusted, made.name) == (f"7-{'5a' * 32}", "alice")
    assert all(path.stat().st_mode & 0o077 == 0 for path in there.rglob("*") if path.is_file())


def test_a_secret_s_path_that_leads_out_of_the_folder_is_not_moved_along(data: Path, tmp_path: Path) -> None:
    """Made by who knows the passphrase: it names the same place as before, and none that the restored folder would lead to."""
    out = f"{data}/work/../../../etc/passwd"
    with contextlib.closing(sqlite3.connect(data / "work" / "work.db", isolation_level=None)) as db:
        db.execute("UPDATE secrets SET path = ? WHERE kind = 'job.claim'", (out,))
    restored(saved(data), there := tmp_path / "there")
    with contextlib.closing(sqlite3.connect(there / "work" / "work.db")) as db:
        ((path,),) = db.execute("SELECT path FROM secrets WHERE kind = 'job.claim'").fetchall()
    assert path == out


def test_the_guard_of_a_restored_folder_knows_that_it_forgot(data: Path, tmp_path: Path) -> None:
    """Whatever guard the old folder had: none of it comes back."""
    old = Guard.open(str(data / "guard"), chain_id=genesis_id(data))
    old.sign(Kind.PREVOTE, 7, 0, b"d" * 32, lambda digest: bytes(64))
    old.close()
    done = restored(saved(data), tmp_path / "new")
    guard = Guard.open(str(tmp_path / "new" / "guard"), chain_id=genesis_id(data))
    assert done.silent and guard.signed[0] == -1
    assert guard.last(Kind.PREVOTE) is None
    guard.close()
    restored(saved(data), tmp_path / "fresh", never_signed=True)
    guard = Guard.open(str(tmp_path / "fresh" / "guard"), chain_id=genesis_id(data))
    assert guard.signed[0] == 0
    guard.close()


def test_a_backup_says_nothing_without_its_passphrase(data: Path, tmp_path: Path) -> None:
    raw = saved(data)
    for secret in (b"the salt", b"a hidden key", b"the model", b"alice", b"keystore"):
        assert secret not in raw
    with pytest.raises(BackupError, match="Wrong passphrase"):
        restored(raw, tmp_path / "new", "another passphrase")
    assert not (tmp_path / "new").exists()
    with pytest.raises(KeystoreError, match="Wrong passphrase"):
        saved(data, "another passphrase")


def test_every_changed_byte_and_every_cut_is_refused_and_leaves_nothing(data: Path, tmp_path: Path) -> None:
    """Of the header, of lengths and of pieces; and what follows the end."""
    raw = saved(data)
    spots = [*range(0, 260, 13), *range(260, len(raw), len(raw) // 20), len(raw) - 1]
    for at in spots:
        changed = bytearray(raw)
        changed[at] ^= 1
        with pytest.raises(BackupError):
            restored(bytes(changed), tmp_path / "new")
    piece = backup.PIECE + 20
    for cut in (0, 5, 100, len(raw) - 1, len(raw) - piece, len(raw) // 2):
        with pytest.raises(BackupError):
            restored(raw[:cut], tmp_path / "new")
    with pytest.raises(BackupError):
        restored(raw + b"x", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["node"], "nothing is left behind"


def test_pieces_that_change_places_are_refused(data: Path, tmp_path: Path) -> None:
    raw = saved(data)
    begin = raw.index(b"\n", len(backup.MAGIC)) + 1
    size = 4 + backup.PIECE + 16
    first, second = raw[begin : begin + size], raw[begin + size : begin + 2 * size]
    with pytest.raises(BackupError):
        restored(raw[:begin] + second + first + raw[begin + 2 * size :], tmp_path / "new")


def test_nothing_is_overwritten(data: Path, tmp_path: Path) -> None:
    raw = saved(data)
    with pytest.raises(BackupError, match="not overwritten"):
        restored(raw, data)
    (tmp_path / "file").write_text("x")
    with pytest.raises(BackupError, match="not overwritten"):
        restored(raw, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    restored(raw, tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "node"], "nothing half made is left"


def _crafted(data: Path, *entries: tuple[str, bytes, bytes]) -> bytes:
    """A backup by somebody who knows the passphrase: (name, kind, content) after a true manifest."""
    out = io.BytesIO()
    manifest = backup.Manifest(1, 1, "lc1x", "", 0, "", "/", {})
    sealing = backup._Sealing(out, keystore.new_passphrase(WORD))
    with tarfile.open(fileobj=sealing, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        backup._add_bytes(tar, backup.MANIFEST, msgspec.json.encode(manifest))
        for name, kind, content in entries:
            entry = backup._entry(name, len(content))
            entry.type = kind
            if kind != tarfile.REGTYPE:
                entry.linkname = "/etc/passwd"
            tar.addfile(entry, io.BytesIO(content))
    sealing.finish()
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil", tarfile.REGTYPE),
        ("/tmp/evil", tarfile.REGTYPE),
        ("work/models/../../evil", tarfile.REGTYPE),
        ("work/models/.hidden", tarfile.REGTYPE),
        ("guard", tarfile.REGTYPE),
        ("wal", tarfile.REGTYPE),
        ("api.token", tarfile.REGTYPE),
        ("tokens.db", tarfile.REGTYPE),
        ("keystore.json", tarfile.SYMTYPE),
        ("keystore.json", tarfile.LNKTYPE),
        ("work", tarfile.DIRTYPE),
        ("keystore.json", tarfile.FIFOTYPE),
    ],
)
def test_an_entry_that_no_backup_has_is_refused(data: Path, tmp_path: Path, name: str, kind: bytes) -> None:
    """An old guard among them, whoever put it in."""
    with pytest.raises(BackupError):
        restored(_crafted(data, (name, kind, b"")), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


def _raw(data: Path, *blocks: bytes) -> bytes:
    """A backup by somebody who knows the passphrase: what no tar program would write, after a true manifest."""
    out = io.BytesIO()
    sealing = backup._Sealing(out, keystore.new_passphrase(WORD))
    said = msgspec.json.encode(backup.Manifest(1, 1, "lc1x", "", 0, "", "/", {}))
    for block in (backup._entry(backup.MANIFEST, len(said)).tobuf(), said + bytes(-len(said) % 512), *blocks, bytes(1_024)):
        sealing.write(block)
    sealing.finish()
    return out.getvalue()


def _sparse(size: int) -> bytes:
    """GNU's old form: one byte block that is there, at the end of as many that are not."""
    head = bytearray(backup._entry("work/models/a", 512).tobuf(tarfile.GNU_FORMAT))
    head[156:157] = tarfile.GNUTYPE_SPARSE
    head[386:410] = b"%011o\0%011o\0" % (size - 512, 512)
    head[483:495] = b"%011o\0" % size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + bytes(512)


def test_a_few_bytes_fill_no_disk_and_no_memory(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 3 kB wrote as many bytes as the disk had free: tar knows holes. And tarfile reads the headers that say more of an
    entry whole, however long they are."""

    def written(*_: Any) -> None:
        raise AssertionError("bytes of it were written")

    monkeypatch.setattr(backup, "_write", written)
    holes = backup._entry("work/models/a", 1_024)
    holes.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**40)}
    pax = holes.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n512\n".ljust(1_024, b"\0")
    long = backup._entry("x", 2**20)
    long.type = tarfile.XHDTYPE
    named = backup._entry("x", 2**20)
    named.type = tarfile.GNUTYPE_LONGNAME
    for blocks in ([_sparse(2**31)], [pax], [long.tobuf(), bytes(2**20)], [named.tobuf(), bytes(2**20)]):
        with pytest.raises(BackupError, match="none of its own"):
            restored(_raw(data, *blocks), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


def test_what_a_small_file_may_hold_is_bounded(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, size = saved(data), (data / "genesis.json").stat().st_size
    monkeypatch.setattr(backup, "MAX_SMALL", size - 1)
    with pytest.raises(BackupError, match=f"genesis.json has {size} bytes, at most {size - 1}"):
        restored(raw, tmp_path / "new")
    monkeypatch.setattr(backup, "MAX_SMALL", size)
    restored(raw, tmp_path / "new")


def test_a_backup_without_an_identity_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no identity"):
        restored(_crafted(data), tmp_path / "new")
    (data / "keystore.json").unlink()
    with pytest.raises(BackupError, match="no identity"):
        saved(data)


def test_a_folder_with_a_genesis_gets_a_guard_that_forgot_whatever_the_manifest_says(data: Path, tmp_path: Path) -> None:
    """It joined between the manifest and the genesis: without a guard it would sign again what it signed since."""
    files = [(name, tarfile.REGTYPE, (data / name).read_bytes()) for name in ("keystore.json", "genesis.json")]
    assert restored(_crafted(data, *files), tmp_path / "new").silent
    guard = Guard.open(str(tmp_path / "new" / "guard"), chain_id=genesis_id(data))
    assert guard.signed[0] == -1
    guard.close()
    files[1] = ("genesis.json", tarfile.REGTYPE, b"{}")
    with pytest.raises(BackupError, match=r"genesis.json is damaged"):
        restored(_crafted(data, *files), tmp_path / "other")


@pytest.mark.parametrize(
    "said",
    [
        {"chain_id": "zz" * 32},
        {"chain_id": "00" * 31},
        {"version": 2},
        {"height": -1},
        {"kept": {"x" * 70_000: 1}},
    ],
    ids=str,
)
def test_a_manifest_that_says_nonsense_is_refused(data: Path, tmp_path: Path, said: dict[str, Any]) -> None:
    """Also one without an end, of which not more is read than a manifest has."""
    true = {"version": 1, "created": 1, "account": "lc1x", "chain_id": "", "height": 0, "data": "/", "kept": {}}
    raw = msgspec.json.encode(true | said)
    out = io.BytesIO()
    sealing = backup._Sealing(out, keystore.new_passphrase(WORD))
    with tarfile.open(fileobj=sealing, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        backup._add_bytes(tar, backup.MANIFEST, raw)
        backup._add_bytes(tar, "keystore.json", (data / "keystore.json").read_bytes())
    sealing.finish()
    with pytest.raises(BackupError, match="manifest cannot be used"):
        restored(out.getvalue(), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


def test_a_node_whose_key_lies_with_a_signer_is_saved_with_its_pairing_and_gets_no_guard(data: Path, tmp_path: Path) -> None:
    own = Keystore.public(data / "keystore.json")
    _, paired = pairing.make("unix:/s", "unix:/s", own.address, own.public_key, 1.7e9)
    (data / "keystore.json").unlink()
    (data / pairing.FILE).write_bytes(pairing.encoded(paired))
    (data / certificate.FILE).write_bytes(b"what peers know it by while the signer is away")
    done = restored(saved(data), tmp_path / "new")
    assert done.manifest.account == own.address and not done.silent
    assert pairing.read_pairing(tmp_path / "new" / pairing.FILE) == paired
    assert (tmp_path / "new" / certificate.FILE).read_bytes() == (data / certificate.FILE).read_bytes()
    assert not (tmp_path / "new" / "guard").exists(), "the guard is the signer's, and was never here"


def test_the_identity_of_a_node_whose_key_lies_with_a_signer_is_shown_and_its_key_is_not_rotated_there(
    run: Any, data: Path
) -> None:
    own = Keystore.public(data / "keystore.json")
    _, paired = pairing.make("unix:/s", "unix:/s", own.address, own.public_key, 1.7e9)
    (data / "signer.pair").write_bytes(pairing.encoded(paired))
    (data / "keystore.json").unlink()
    shown = run("id", "--data", data, "--json").json
    assert (shown["address"], shown["public_key"]) == (own.address, own.public_key.hex())
    ran = run("key", "rotate", "--data", data)
    assert ran.code == 2 and "lies with a remote signer" in ran.err and "learningchain init" not in ran.err


def test_a_signer_s_folder_keeps_the_guard_that_was_moved_there_and_no_node_may_run_on_it(
    run: Any, data: Path, tmp_path: Path
) -> None:
    (data / "signer.pair").unlink(missing_ok=True)
    words = ["signer", "pair", "--data", data, "--listen", "unix:/s"]
    assert run(*words, tmp_path / "first", "--never-signed").code == 0
    assert run(*words, tmp_path / "second", "--guard", data / "guard", "--json").json["guard"] == "kept", "the very same file"
    ran = run(*words, tmp_path / "third", "--guard", tmp_path / "first")
    assert ran.code == 2 and "leave --guard out" in ran.err, "another one never takes its place"
    (data / "lock").write_text(f"{os.getpid()}\n")
    ran = run(*words, tmp_path / "fourth")
    assert ran.code == 2 and "Stop it first" in ran.err and not (tmp_path / "fourth").exists()


def test_a_backup_knows_up_to_where_its_node_had_decided_and_its_guard_signs_nothing_before(data: Path, tmp_path: Path) -> None:
    chain_id = genesis_id(data)
    assert restored(saved(data), tmp_path / "first").manifest.height == 0, "it had no block"
    (data / "config.toml").write_text(f'[storage]\nurl = "{tmp_path / "elsewhere.db"}"\n')
    store = BlockStore.open(str(tmp_path / "elsewhere.db"), chain_id=chain_id, create=True)
    store.commit(CommitBatch(0, chain_id, b"", b"", [], [], [], []))
    for block in itertools.islice(chain_of(1), 3):
        store.commit(block)
    store.close()
    done = restored(saved(data), tmp_path / "new")
    assert (done.manifest.height, done.manifest.chain_id) == (3, chain_id.hex())
    guard = Guard.open(str(tmp_path / "new" / "guard"), chain_id=chain_id)
    assert guard.sign(Kind.PREVOTE, 3, 0, b"d" * 32, lambda digest: bytes(64)) is None
    assert guard.sign(Kind.PREVOTE, 4, 0, b"d" * 32, lambda digest: bytes(64)) is not None
    guard.close()


@pytest.mark.parametrize("size", [0, 1, backup.PIECE - 1, backup.PIECE, backup.PIECE + 1, 3 * backup.PIECE])
def test_pieces_of_every_length_come_back(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**14)
    plain, out = os.urandom(size), io.BytesIO()
    sealing = backup._Sealing(out, b"word" * 4)
    for at in range(0, size, 50_000):
        sealing.write(plain[at : at + 50_000])
    sealing.finish()
    assert io.BufferedReader(backup._Opening(io.BytesIO(out.getvalue()), b"word" * 4)).read() == plain


@pytest.mark.parametrize("left_out", [1, 2])
def test_a_backup_that_ends_where_a_piece_ends_is_not_whole(left_out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every piece that is there opens, and none says that it is the last."""
    monkeypatch.setattr(keystore, "SCRYPT_N", 2**14)
    out, ends = io.BytesIO(), []
    sealing = backup._Sealing(out, b"word" * 4)
    for _ in range(3):
        sealing.write(bytes(backup.PIECE))
        ends.append(out.tell())
    sealing.finish()
    cut = io.BytesIO(out.getvalue()[: ends[-left_out]])
    with pytest.raises(BackupError, match="damaged"):
        io.BufferedReader(backup._Opening(cut, b"word" * 4)).read()


def test_losses_come_back_and_what_another_name_leads_to_does_not(data: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(b"of somebody else")
    losses = data / "work" / "losses" / "run-1"
    losses.parent.mkdir()
    losses.write_bytes(b"losses")
    (data / "work" / "models" / "link").symlink_to(tmp_path / "foreign")
    (data / "work" / "models" / ".part").write_bytes(b"half")
    there = tmp_path / "new"
    restored(saved(data), there)
    assert (there / "work" / "losses" / "run-1").read_bytes() == b"losses"
    assert sorted(path.name for path in (there / "work" / "models").iterdir()) == ["ab"]
    assert [path.name for path in data.iterdir() if path.name.startswith(".backup")] == [], "no copy of the database is left"


def test_a_file_that_lay_elsewhere_is_named_as_before(data: Path, tmp_path: Path) -> None:
    own = Keystore.public(data / "keystore.json")
    outside = tmp_path / "node-of-another" / "model"
    work = WorkDatabase(data / "work" / "work.db", genesis_id(data), own.id)
    work.save(Secret("job.claim", b"o" * 32, b"j" * 32, b"salt", outside), 1)
    work.close()
    restored(saved(data), tmp_path / "new")
    with sqlite3.connect(tmp_path / "new" / "work" / "work.db") as db:
        paths = {str(path) for (path,) in db.execute("SELECT path FROM secrets WHERE path != ''")}
    assert paths == {str(outside), str(tmp_path / "new" / "work" / "models" / "ab" / "model")}


def test_a_database_that_is_being_written_is_copied_whole(data: Path, tmp_path: Path) -> None:
    own = Keystore.public(data / "keystore.json")
    work = WorkDatabase(data / "work" / "work.db", genesis_id(data), own.id)
    for number in range(50):
        work.save(Secret("job.vote", number.to_bytes(32, "big"), b"j" * 32, b"v" * 100, None), 1)
    done = restored(saved(data), tmp_path / "new")
    work.close()
    assert done.manifest.kept["job.vote"] == 50
    with sqlite3.connect(tmp_path / "new" / "work" / "work.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_callbacks_and_what_a_day_took_go_on_where_the_backup_was_made(data: Path, tmp_path: Path) -> None:
    """Also while the node writes. What was told since is told again under its id."""
    own, ref, day = Keystore.public(data / "keystore.json").id, b"r" * 32, DayBudget(data / "inferences.db")
    database = CallbackDatabase(data / "callbacks.db", genesis_id(data), own)
    assert database.add(CallbackTarget(ref, "prediction", "https://example.org/hook", b"s" * 32, "", 5), 7)
    database.note([NewRow(ref, "agreed", b"{}", False)], 9, 6)
    assert day.take(ref, 40, 1_000, 100) is None
    raw = saved(data)
    database.note([NewRow(ref, "final", b"{}", True)], 12, 8)
    database.close()
    day.close()
    restored(raw, tmp_path / "new")
    with closing(CallbackDatabase(tmp_path / "new" / "callbacks.db", genesis_id(data), own)) as there:
        target = there.target(ref)
        assert target is not None and (target.url, target.secret) == ("https://example.org/hook", b"s" * 32)
        assert ([row.event for row in there.rows(ref)], there.height) == (["agreed"], 9)
    with closing(DayBudget(tmp_path / "new" / "inferences.db")) as kept:
        assert kept.take(b"q" * 32, 61, 1_001, 100) == 40


def test_a_disk_that_is_full_leaves_nothing_behind(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = saved(data)
    monkeypatch.setattr(backup, "SPARE", 2**62)
    with pytest.raises(OSError, match="No space"):
        restored(raw, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["node"]


def test_a_restore_that_is_interrupted_leaves_nothing_behind(data: Path, tmp_path: Path) -> None:
    """Open secrets lie in clear in what it has written until then."""
    there = tmp_path / "away" / "node"

    def interrupted(told: str) -> None:
        if told.startswith("work/models/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup.restore(io.BytesIO(saved(data)), there, WORD, never_signed=False, progress=interrupted)
    assert list(there.parent.iterdir()) == []


def test_a_restored_folder_and_its_name_are_on_the_disk_when_it_is_said_to_be_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was not synced forgets the names in it in a power cut: first those of the new folder, then its own."""
    raw, there = saved(data), tmp_path / "elsewhere" / "node"
    steps: list[tuple[str, str]] = []

    def rename(source: Any, target: Any) -> None:
        steps.append(("renamed", Path(target).name))
        os_rename(source, target)

    def sync_folder(folder: Any) -> None:
        steps.append(("synced", Path(folder).name))
        real_sync(folder)

    os_rename, real_sync = os.rename, private.sync_folder
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(private, "sync_folder", sync_folder)
    restored(raw, there)
    at = steps.index(("renamed", "node"))
    assert {("synced", name) for name in ("work", "models", "ab")} <= set(steps[:at])
    assert steps[at + 1 :] == [("synced", "elsewhere")]


def test_the_commands(run: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", WORD)
    ran = run("backup", tmp_path / "b", "--data", data, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["kept"] == {"job.claim": 1, "job.key": 1} and (tmp_path / "b").stat().st_mode & 0o077 == 0
    assert run("backup", tmp_path / "b", "--data", data).code == 2
    ran = run("restore", tmp_path / "b", "--data", tmp_path / "new", "--json")
    assert ran.code == 0 and ran.json["silent"] is True
    assert f"learningchain node --data {tmp_path / 'again'}" in run("restore", tmp_path / "b", "--data", tmp_path / "again").err
    ran = run("restore", tmp_path / "b", "--data", tmp_path / "new")
    assert ran.code == 2 and "not overwritten" in ran.err
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", "another passphrase")
    assert run("restore", tmp_path / "b", "--data", tmp_path / "other").code == 2
    assert not (tmp_path / "other").exists()
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", "short")
    ran = run("restore", tmp_path / "b", "--data", tmp_path / "other")
    assert ran.code == 2 and "Wrong passphrase" in ran.err, "how long a new one has to be helps nobody who mistypes the old one"
    ran = run("backup", tmp_path / "c", "--data", data)
    assert ran.code == 2 and "Wrong passphrase" in ran.err
