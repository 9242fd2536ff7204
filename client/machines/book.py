"""The machines that a node knows by name, and the tokens that wait for one: a private file, written by the node alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets as random
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, structs

from learningchain.chain.storage import private
from learningchain.client.machines.frames import Name
from learningchain.client.machines.trust import MAX_FILE, MachineJoinToken, NodeSecrets, fingerprint, issue, make_node_secrets

MAX_MACHINES: Final = 64
TOKEN_MS: Final = 3_600_000
"""A token is good for an hour."""
FOLDER: Final = "machines"
"""Of the data folder."""


T = TypeVar("T")


class MachineError(Exception):
    """A machine cannot be added, joined or removed. The text says what, why and what to do."""


class KnownMachine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`certificate`: SHA-256 in hex of the one that it shows. `joined`: wall clock, ms. `drains`: it takes no further run."""

    name: Name
    certificate: Annotated[str, Meta(min_length=64, max_length=64)]
    joined: int
    drains: bool = False


class Invited(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`secret`: the SHA-256, in hex, of the one in the token. `until`: wall clock, ms."""

    name: Name
    secret: Annotated[str, Meta(min_length=64, max_length=64)]
    until: int


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    machines: Annotated[list[KnownMachine], Meta(max_length=MAX_MACHINES)] = []
    invited: Annotated[list[Invited], Meta(max_length=MAX_MACHINES)] = []


class MachineBook:
    """`folder` is its own. Reading and writing take a moment: both files are small. Raises `MachineError`."""

    def __init__(self, folder: Path, now_ms: int) -> None:
        self._path, path = folder / "machines.json", folder / "authority.json"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as fault:
            raise MachineError(f"{folder} cannot be made: {fault.strerror}. Check the data folder, its owner and mode") from None
        found = _read(path, NodeSecrets)
        if found is None:
            found = make_node_secrets(now_ms / 1_000)
            _write(path, found)
        self.secrets: NodeSecrets = found
        self._lists = _read(self._path, _Lists) or _Lists()

    @property
    def machines(self) -> list[KnownMachine]:
        return sorted(self._lists.machines, key=lambda machine: machine.name)

    def invited(self, now_ms: int) -> list[Invited]:
        return sorted((one for one in self._lists.invited if one.until > now_ms), key=lambda one: one.name)

    def add(self, name: str, address: str, now_ms: int, good_ms: int = TOKEN_MS) -> tuple[MachineJoinToken, int]:
        """A token for one machine, and until when it is good. An earlier one for the name is good no more."""
        if any(machine.name == name for machine in self._lists.machines):
            raise MachineError(
                f"There is a machine {name} already. Choose another name, or remove that one: learningchain machine remove {name}"
            )
        invited = [one for one in self.invited(now_ms) if one.name != name]
        if len(invited) + len(self._lists.machines) >= MAX_MACHINES:
            raise MachineError(f"A node has at most {MAX_MACHINES} machines. Remove one first: learningchain machine remove NAME")
        secret, until = random.token_bytes(32), now_ms + good_ms
        self._write(self._lists.machines, [*invited, Invited(name, hashlib.sha256(secret).hexdigest(), until)])
        return MachineJoinToken(address, self.secrets.fingerprint, secret), until

    def join(self, secret: bytes, key: bytes, now_ms: int) -> tuple[str, str]:
        """Name and certificate of who comes with a token's secret, which is used up by it. Raises `Malformed` for the key."""
        digest = hashlib.sha256(secret).hexdigest()
        found = next((one for one in self._lists.invited if hmac.compare_digest(one.secret, digest)), None)
        if found is None:
            raise MachineError("This token is not known here, or was used. Make another one: learningchain machine add NAME")
        if found.until <= now_ms:
            raise MachineError(f"This token's hour is over. Make another one: learningchain machine add {found.name}")
        certificate = issue(self.secrets, found.name, key, now_ms / 1_000)
        known = KnownMachine(found.name, fingerprint(certificate).hex(), now_ms)
        self._write([*self._lists.machines, known], [one for one in self._lists.invited if one is not found])
        return found.name, certificate

    def knows(self, name: str, certificate: bytes) -> bool:
        """Whether this is the certificate (DER) of the machine of this name."""
        digest = hashlib.sha256(certificate).hexdigest()
        return any(machine.name == name and machine.certificate == digest for machine in self._lists.machines)

    def drains(self, name: str) -> bool:
        return any(machine.name == name and machine.drains for machine in self._lists.machines)

    def drain(self, name: str, on: bool) -> bool:
        """False where there is no such machine."""
        if not any(machine.name == name for machine in self._lists.machines):
            return False
        changed = [structs.replace(one, drains=on) if one.name == name else one for one in self._lists.machines]
        self._write(changed, self._lists.invited)
        return True

    def remove(self, name: str) -> bool:
        """False where there is none, nor a token for one."""
        machines = [machine for machine in self._lists.machines if machine.name != name]
        invited = [one for one in self._lists.invited if one.name != name]
        if len(machines) + len(invited) == len(self._lists.machines) + len(self._lists.invited):
            return False
        self._write(machines, invited)
        return True

    def _write(self, machines: list[KnownMachine], invited: list[Invited]) -> None:
        lists = _Lists(machines, invited)
        _write(self._path, lists)
        self._lists = lists


def _write(path: Path, content: NodeSecrets | _Lists) -> None:
    try:
        private.replace(path, msgspec.json.encode(content))
    except OSError as fault:
        raise MachineError(
            f"{path} cannot be written: {fault.strerror}. Nothing was changed. Check the disk and the folder"
        ) from None


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        with private.reading(path) as file:
            return msgspec.json.decode(file.read(MAX_FILE), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise MachineError(
            f"{path} cannot be used: {problem}. Move it away, start the node again, and let every machine join anew"
        ) from None
