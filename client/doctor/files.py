"""What lies on the disk: the data folder, who may read it, the keystore, the network's file, the settings, the room left."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from learningchain.chain.storage.datadir import MIN_FREE
from learningchain.client.doctor.findings import DoctorFinding, failure, fine, warning

MAX_ENTRIES: Final = 1_000
PUBLIC: Final = frozenset({"genesis.json", "lock", "peers.book"})
"""Of no use to whoever reads them. Everything else in the folder is its owner's alone."""
FEW_BYTES: Final = 4 * MIN_FREE
FEW_FILES: Final = 10_000


def look_at_folder(folder: Path) -> list[DoctorFinding]:
    """Owner and mode of the folder and of each file directly in it."""
    found = os.stat(folder)
    if not stat.S_ISDIR(found.st_mode):
        return [failure("permissions", f"{folder} is no folder", "Name the node's data folder with --data")]
    findings = []
    own = os.geteuid()
    if own not in (0, found.st_uid):
        text = f"{folder} belongs to user {found.st_uid}, and this is user {own}"
        findings.append(failure("permissions", text, f"Run node and doctor as that user, or: chown -R {own} {folder}"))
    is_open = bool(found.st_mode & 0o077)
    if is_open:
        text = f"others may look into {folder} (mode {stat.S_IMODE(found.st_mode):o})"
        findings.append(warning("permissions", text, f"chmod 700 {folder}; a node that starts does so itself"))
    for entry in _entries(folder):
        findings += _of_entry(entry, found.st_uid, is_open)
    return findings or [fine("permissions", "the data folder and its files are their owner's alone")]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listed:
        return [entry for _, entry in zip(range(MAX_ENTRIES), listed, strict=False)]


def _of_entry(entry: os.DirEntry[str], owner: int, is_open: bool) -> list[DoctorFinding]:
    """A folder may be a link, where the operator put it on another disk; a file may not."""
    path = entry.path
    if entry.is_symlink() and not entry.is_dir():
        return [failure("permissions", f"{path} is a link, and the node opens none", "Put the file itself there")]
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return []  # it went meanwhile
    if entry.is_dir() or entry.name in PUBLIC:
        readable = 0o022
    else:
        readable = 0o077
    if not stat.S_ISLNK(found.st_mode) and found.st_uid != owner:
        text = f"{path} belongs to user {found.st_uid}, and its folder to user {owner}"
        return [failure("permissions", text, f"chown {owner} {path}")]
    if not stat.S_ISLNK(found.st_mode) and found.st_mode & readable:
        text = f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):o})"
        made = failure if is_open or found.st_mode & 0o022 else warning
        return [made("permissions", text, f"chmod {'700' if entry.is_dir() else '600'} {path}")]
    return []


def look_at_keystore(folder: Path) -> list[DoctorFinding]:
    """Whole and readable, or lying with a signer; the passphrase is not asked for."""
    from learningchain.client.keys.keyring import CURRENT
    from learningchain.client.keys.keystore import Keystore, KeystoreError
    from learningchain.client.signer.pairing import PairingError, read_pairing

    check, path, pair = "keystore", folder / CURRENT, folder / "signer.pair"
    if os.path.lexists(pair):
        if os.path.lexists(path) or os.path.lexists(folder / "guard"):
            text = "it names a signer, and has a keystore or a guard of its own: who signs in two places signs twice"
            return [failure(check, text, "Move keystore.json and guard to the signer, or remove signer.pair")]
        try:
            paired = read_pairing(pair)
        except PairingError as fault:
            return [failure(check, str(fault), "learningchain signer use node.pair")]
        return [fine(check, f"the key of {paired.address} lies with a signer")]
    try:
        public = Keystore.public(path)
    except KeystoreError as fault:
        return [
            failure(check, str(fault), "learningchain restore FILE brings a backup back, learningchain init makes a new identity")
        ]
    return [fine(check, f"the keystore of {public.address} is whole")]


def look_at_genesis(folder: Path) -> list[DoctorFinding]:
    from learningchain.client.daemon.faults import OfAnotherVersion, StartError
    from learningchain.client.daemon.opening import load_genesis

    try:
        genesis = load_genesis(folder)
    except OfAnotherVersion as fault:
        return [failure("network-file", str(fault), "the version that wrote it, or learningchain init with --data NEW_FOLDER")]
    except StartError as fault:
        return [failure("network-file", str(fault), "learningchain genesis install FILE")]
    return [fine("network-file", f"the network is {genesis.name}, {genesis.chain_id.hex()[:16]}")]


def chain_id(folder: Path) -> bytes | None:
    """Of the network's file; None where it cannot be used, which is a finding of its own."""
    from learningchain.client.daemon.faults import StartError
    from learningchain.client.daemon.opening import load_genesis

    try:
        return load_genesis(folder).chain_id
    except StartError:
        return None


def look_at_guard(folder: Path) -> list[DoctorFinding]:
    """A chain that has begun needs the record of what this key signed last, unless a signer has it."""
    if os.path.lexists(folder / "signer.pair") or not (folder / "wal").exists():
        return []
    if os.path.lexists(folder / "guard"):
        return [fine("guard", "the record of what this key signed last is there")]
    text = "the record of what this key signed last (guard) is gone, so the node does not start"
    todo = "Only if no copy of this node runs anywhere: start it once with learningchain node --accept-new-guard"
    return [failure("guard", text, todo)]


def look_at_disk(folder: Path) -> list[DoctorFinding]:
    """Room for bytes and for files, on each disk that the folder uses."""
    findings, seen = [], set()
    for place in (folder, folder / "blobs", folder / "sandbox", folder / "work", folder / "machine"):
        if not place.exists() or (device := os.stat(place).st_dev) in seen:
            continue
        seen.add(device)
        findings += judge_room(place, shutil.disk_usage(place).free, _files_left(place))
    return findings


def _files_left(place: Path) -> int | None:
    """None where the file system does not count them."""
    found = os.statvfs(place)
    return found.f_favail if found.f_files else None


def judge_room(place: Path, free: int, files: int | None) -> list[DoctorFinding]:
    """`free` bytes and `files` more files."""
    remedy = "Free some space there; storage.quota_mb and storage.keep_blocks bound what the node keeps"
    text = f"{free // 2**20:,} MiB are free at {place}"
    if free < MIN_FREE:
        return [failure("disk", f"{text}, and a node needs {MIN_FREE // 2**20}", remedy)]
    if free < FEW_BYTES:
        return [warning("disk", f"{text}, and a node needs {MIN_FREE // 2**20}", remedy)]
    if files is not None and files < FEW_FILES:
        return [warning("disk", f"only {files:,} more files can be made at {place}", "Remove small files there")]
    return [fine("disk", text)]


def look_at_settings(folder: Path) -> list[DoctorFinding]:
    from learningchain.client import config

    try:
        loaded = config.load(folder)
    except config.ConfigError as fault:
        return [failure("settings", str(fault), f"Correct {folder / config.FILE}; learningchain config shows what there is")]
    changed = sum(source != "default" for source in loaded.sources.values())
    findings = [fine("settings", f"they can be used; {changed} differ from the defaults")]
    if not loaded.config.api.listen.startswith(("127.", "localhost", "[::1]")):
        text = f"the API listens on {loaded.config.api.listen}: its token crosses the network in clear"
        findings.append(warning("settings", text, "learningchain config set api.listen 127.0.0.1:7401, or put TLS in front of it"))
    return findings
