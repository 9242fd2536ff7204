"""What ties one node to one signer: a file with both certificates, which `signer pair` writes and `signer use` installs. LC-SIG-1.

Each side trusts exactly one certificate, the other's. Whoever holds the file can ask the signer for signatures (never for two that
contradict each other): it is a secret, and its place is the node's data folder.
"""

from __future__ import annotations

import datetime as dt
import os
import ssl
import tempfile
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Meta

from learningchain.chain.crypto import is_public_key, parse_address
from learningchain.chain.errors import Malformed
from learningchain.client import reading
from learningchain.p2p.address_book import parse_endpoint

VERSION: Final = 1
FILE: Final = "signer.pair"
"""In the node's data folder. Where it is, the node has no keystore of its own."""
SERVER_FILE: Final = "signer.tls"
"""In the signer's: its certificate and key, and the certificate that it trusts."""
MAX_FILE: Final = 65_536
_YEARS: Final = dt.timedelta(days=3_650)
_Pem = Annotated[str, Meta(max_length=16_384)]


F = TypeVar("F", "Pairing", "ServerSecrets")


class PairingError(Exception):
    """Node and signer cannot be tied together. The text says why and what to do."""


class Pairing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For the node: where the signer is, whose key it holds, and how both prove who they are."""

    version: int
    place: Annotated[str, Meta(max_length=1_024)]
    account: str
    public_key: Annotated[str, Meta(min_length=66, max_length=66)]
    signer_cert: _Pem
    node_cert: _Pem
    node_key: _Pem

    @property
    def id(self) -> bytes:
        return parse_address(self.account)

    @property
    def address(self) -> str:
        return self.account

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.public_key)


class ServerSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For the signer. `listen`: where it waits for the node."""

    version: int
    listen: Annotated[str, Meta(max_length=1_024)]
    signer_cert: _Pem
    signer_key: _Pem
    node_cert: _Pem


Endpoint = tuple[Literal["unix"], str] | tuple[Literal["tcp"], tuple[str, int]]


def parse_place(text: str) -> Endpoint:
    """`unix:/run/signer.sock` or `tcp:host:port`. Raises `PairingError`."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/") and len(os.fsencode(rest)) < 100:
        return "unix", rest
    if kind == "tcp":
        try:
            return "tcp", parse_endpoint(rest)
        except ValueError as problem:
            raise PairingError(f"{text!r} is no address: {problem}. Write tcp:HOST:PORT") from None
    raise PairingError(f"{text[:200]!r} is no place for a signer. Write unix:/absolute/path (under 100 bytes) or tcp:HOST:PORT")


def make(listen: str, place: str, account: str, public_key: bytes, now: float) -> tuple[ServerSecrets, Pairing]:
    """New certificates for both sides. The node reaches at `place` what listens at `listen`. `now`: Unix time in seconds."""
    for text in (listen, place):
        parse_place(text)
    signer, node = _certificate("signer", now), _certificate("node", now)
    return (
        ServerSecrets(VERSION, listen, signer[0], signer[1], node[0]),
        Pairing(VERSION, place, account, public_key.hex(), signer[0], node[0], node[1]),
    )


def _certificate(name: str, now: float) -> tuple[str, str]:
    """Self-signed: the other side trusts this one and no other."""
    key = ec.generate_private_key(ec.SECP256R1())
    start = dt.datetime.fromtimestamp(now, dt.UTC) - dt.timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"learningchain {name}")])
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return cert.public_bytes(pem).decode(), secret.decode()


def server_context(found: ServerSecrets) -> ssl.SSLContext:
    return _context(ssl.PROTOCOL_TLS_SERVER, found.signer_cert, found.signer_key, found.node_cert)


def client_context(found: Pairing) -> ssl.SSLContext:
    return _context(ssl.PROTOCOL_TLS_CLIENT, found.node_cert, found.node_key, found.signer_cert)


def _context(side: ssl._SSLMethod, cert: str, key: str, trusted: str) -> ssl.SSLContext:
    """TLS 1.3, certificates from both sides, exactly one trusted."""
    context = ssl.SSLContext(side)
    context.check_hostname = False  # one certificate is trusted, whatever its name
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET
    try:
        context.load_verify_locations(cadata=trusted)
        with tempfile.TemporaryDirectory() as folder:  # mode 0700: the TLS library reads files only
            path = os.path.join(folder, "chain.pem")
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(key + cert)
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError, TypeError) as problem:  # TypeError: letters beyond ASCII
        raise PairingError(
            f"The pairing's certificates cannot be used ({problem}). Make it anew: learningchain signer pair"
        ) from None
    return context


def read_pairing(path: Path) -> Pairing:
    """Raises `PairingError`, FileNotFoundError."""
    found = _read(path, Pairing)
    try:
        parse_place(found.place)
        if not is_public_key(found.key):
            raise Malformed("its public key is none")
        parse_address(found.account)
    except (ValueError, Malformed) as problem:
        raise PairingError(f"{path} is no pairing: {problem}. Make it anew: learningchain signer pair") from None
    return found


def read_server(path: Path) -> ServerSecrets:
    """Raises `PairingError`, FileNotFoundError."""
    return _read(path, ServerSecrets)


def _read(path: Path, kind: type[F]) -> F:
    try:
        raw = reading.file(path, MAX_FILE, own=True)
    except FileNotFoundError:
        raise
    except OSError as fault:
        raise PairingError(f"{path} cannot be read: {fault.strerror}. Check its owner and mode") from None
    try:
        if len(raw) > MAX_FILE:
            raise ValueError(f"it has more than {MAX_FILE} bytes")
        found = msgspec.json.decode(raw, type=kind)
        if found.version != VERSION:
            raise ValueError(f"it is of another version than {VERSION}")
    except (ValueError, RecursionError) as problem:  # msgspec's errors are ValueErrors
        raise PairingError(f"{path} is no pairing: {problem}. Make it anew: learningchain signer pair") from None
    return found


def encoded(found: Pairing | ServerSecrets) -> bytes:
    return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
