"""Who is who between a node and its machines: an authority of the node's own, one certificate a machine, and tokens.

    machine add NAME   ->  token: the node's address, the SHA-256 of its certificate, a secret for one use within an hour
    machine join TOKEN ->  TLS to exactly that certificate, the secret and a public key  ->  a certificate for NAME

After that each side trusts what the authority signed, and the node exactly the certificates that its list names: taking a name off
the list ends it. None of it is a key of the identity: what a machine holds signs nothing on the ledger. The private keys are P-256,
and none leaves the machine that made it.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ssl
from typing import Annotated, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.errors import Malformed
from learningchain.client import reading
from learningchain.client.machines.frames import Digest, Name
from learningchain.p2p.address_book import parse_endpoint
from learningchain.p2p.tls import CA, Leaf, make_contexts

MAX_TOKEN: Final = 1_024
_PREFIX: Final = "lcm_"
_YEARS: Final = dt.timedelta(days=3_650)
_PEM: Final = serialization.Encoding.PEM
_DER: Final = serialization.Encoding.DER
MAX_FILE: Final = 65_536
_Pem = Annotated[str, Meta(max_length=4_096)]


class BadToken(ValueError):
    """The text is no token of `machine add`. It says what to do."""


class MachineJoinToken(Wire, frozen=True):
    """`certificate`: the SHA-256 of the one that the node shows at `address`."""

    address: Annotated[str, Meta(max_length=256)]
    certificate: Digest
    secret: Digest

    def text(self) -> str:
        return _PREFIX + base64.urlsafe_b64encode(encode(self)).decode().rstrip("=")


def parse_token(text: str) -> MachineJoinToken:
    """Raises `BadToken`."""
    text = reading.one_word(text)
    try:
        if not text.startswith(_PREFIX) or len(text) > MAX_TOKEN or not text.isascii():
            raise ValueError("it does not begin with lcm_")
        body = text[len(_PREFIX) :]
        found = decode(MachineJoinToken, base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), MAX_TOKEN)
        parse_endpoint(found.address)
    except (ValueError, Malformed) as problem:
        raise BadToken(
            f"The token cannot be read: {problem}. Copy the whole of what learningchain machine add printed on the node's machine"
        ) from None
    return found


class NodeSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the node keeps in a private file: the authority with its key, and the certificate that it shows to machines."""

    authority: _Pem
    authority_key: _Pem
    certificate: _Pem
    key: _Pem

    @property
    def fingerprint(self) -> bytes:
        return fingerprint(self.certificate)


class MachineSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a machine keeps in a private file once it has joined."""

    name: Name
    address: Annotated[str, Meta(max_length=256)]
    authority: _Pem
    certificate: _Pem
    key: _Pem


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def public_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def make_node_secrets(now: float) -> NodeSecrets:
    """`now`: Unix time in seconds."""
    key, own = new_key(), new_key()
    authority = _issue("machines", key.public_key(), None, key, now)
    return NodeSecrets(_text(authority), key_pem(key), _text(_issue("node", own.public_key(), authority, key, now)), key_pem(own))


def issue(secrets: NodeSecrets, name: str, public: bytes, now: float) -> str:
    """A certificate (PEM) for a machine's public key. Raises `Malformed` for what is no P-256 key."""
    try:
        key = serialization.load_der_public_key(public)
    except Exception as problem:  # a parser of another library on a stranger's bytes
        raise Malformed(f"the machine's key cannot be read ({type(problem).__name__})") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Malformed("the machine's key is not of the curve P-256")
    authority = x509.load_pem_x509_certificate(secrets.authority.encode())
    signing = serialization.load_pem_private_key(secrets.authority_key.encode(), None)
    if not isinstance(signing, ec.EllipticCurvePrivateKey):
        raise ValueError("the key of the machines' authority is of another kind")
    return _text(_issue(name, key, authority, signing, now))


def _issue(
    name: str, key: ec.EllipticCurvePublicKey, issuer: x509.Certificate | None, signing: ec.EllipticCurvePrivateKey, now: float
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime.fromtimestamp(now, dt.UTC) - dt.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _YEARS)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=0 if issuer is None else None), critical=True)
        .sign(signing, hashes.SHA256())
    )


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(_PEM).decode()


def fingerprint(pem: str) -> bytes:
    """The SHA-256 of a certificate."""
    return hashlib.sha256(x509.load_pem_x509_certificate(pem.encode()).public_bytes(_DER)).digest()


def name_in(der: bytes) -> str:
    """Whom a certificate of the authority is for. Raises `Malformed`."""
    try:
        (found,) = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except Exception as problem:
        raise Malformed(f"the machine's certificate cannot be read ({type(problem).__name__})") from None
    return str(found.value)


def node_context(secrets: NodeSecrets) -> ssl.SSLContext:
    """A machine that joins has no certificate yet; one that has some has it from this authority."""
    leaf, authority = Leaf(secrets.certificate.encode(), secrets.key.encode()), CA(secrets.authority.encode(), b"")
    context = make_contexts(leaf, authority).server
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def machine_context(secrets: MachineSecrets) -> ssl.SSLContext:
    leaf, authority = Leaf(secrets.certificate.encode(), secrets.key.encode()), CA(secrets.authority.encode(), b"")
    return make_contexts(leaf, authority).client


def joining_context() -> ssl.SSLContext:
    """Takes any certificate: whoever uses it compares what was shown with the token before it says a word."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
