"""TLS 1.3 with both sides tied to their ledger identity.

Genesis publishes a certificate authority together with its key. It gives no security: it makes both sides send a certificate that
any TLS library checks. What authenticates a node is an extension in the certificate that it issues to itself: its identity, that
identity's current key, and that key's signature over the network and the TLS key. Spec: LC-P2P-1 to LC-P2P-6.

The TLS key is made at every start and never written down but for the moment in which the TLS library loads it.
"""

from __future__ import annotations

import datetime as dt
import os
import ssl
import tempfile
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.crypto import SigningKey, address, is_public_key, verify
from learningchain.chain.errors import Malformed
from learningchain.chain.tags import Tag
from learningchain.chain.types import AccountId, PublicKey, Signature

_TLS: Final = Tag("lc/tls", "TLS keys")
BINDING_OID: Final = x509.ObjectIdentifier("2.25.187243990176317524716650326812274690457")
"""LC-P2P-2: an arc under 2.25 needs no registry: the number is a random UUID."""
AUTHORITY: Final = "LearningChain"
MAX_BINDING: Final = 256
MAX_CERTIFICATE: Final = 4_096
_DAY: Final = dt.timedelta(days=1)
_FOREVER: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
"""RFC 5280, 4.1.2.5: no well-defined expiration date."""
_LEAF_DAYS: Final = 3_650
_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: we check validity ourselves, so that the other side is told the reason."""


class NotAuthenticated(Exception):
    """The other side did not prove an identity; the text says why and goes to both logs."""


class WrongPeer(NotAuthenticated):
    """Another identity than the expected one answered: the address is not that peer's."""


class OtherKey(NotAuthenticated):
    """A member by its id, under another key than on this ledger: a stolen name, or a ledger that is older than a rotation."""


class OwnAddress(WrongPeer):
    """The node itself answered."""


class CA(NamedTuple):
    """The network's authority, certificate and key both public: PEM as genesis holds them."""

    cert_pem: bytes
    key_pem: bytes


class PeerIdentity(NamedTuple):
    id: bytes
    key: bytes


class Contexts(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext


class Binding(Wire, frozen=True):
    """LC-P2P-3: content of the extension."""

    id: AccountId
    key: PublicKey
    signature: Signature


def binding_digest(chain_id: bytes, spki: bytes) -> bytes:
    """LC-P2P-4: what the identity's key signs."""
    return _TLS.hash(chain_id, spki)


@dataclass(frozen=True)
class Leaf:
    """A node's own certificate and TLS key, PEM."""

    cert_pem: bytes
    key_pem: bytes


def spki(key: ec.EllipticCurvePublicKey) -> bytes:
    """DER of a public key as certificates hold it."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def make_ca(now: float) -> CA:
    """A network's authority (LC-P2P-1). `now` is Unix time in seconds; valid from a day before it, without end."""
    key = ec.generate_private_key(ec.SECP256R1())
    start = dt.datetime.fromtimestamp(now, dt.UTC)
    name = _name(AUTHORITY)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _DAY)
        .not_valid_after(_FOREVER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return CA(cert.public_bytes(serialization.Encoding.PEM), _pem(key))


def ca_secret(ca: CA) -> bytes:
    """The authority's private key as 32 bytes: with them alone `ca_of` makes certificates under it. Raises ValueError.

    LC-P2P-38: an invitation carries them. They protect nothing: genesis publishes them.
    """
    cert, key = _load_ca(ca)
    if cert is None or cert.subject != _name(AUTHORITY) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the network's authority is not one that genesis new makes: no invitation can carry it")
    return key.private_numbers().private_value.to_bytes(32, "big")


def ca_of(secret: bytes) -> CA:
    """The authority for who has no genesis yet: nothing is checked against it, and the other side takes what it signs."""
    return CA(b"", _pem(ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())))


def _load_ca(ca: CA) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey]:
    try:
        cert = x509.load_pem_x509_certificate(ca.cert_pem) if ca.cert_pem else None
        key = serialization.load_pem_private_key(ca.key_pem, None)
    except (ValueError, TypeError) as e:
        raise ValueError(f"the network's certificate authority cannot be read ({e}): genesis is damaged") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the network's certificate authority has no elliptic-curve key: genesis is damaged")
    return cert, key


def issue_leaf(key: SigningKey, own_id: bytes, chain_id: bytes, ca: CA, now: float) -> Leaf:
    """A certificate that binds a fresh TLS key to `own_id` (LC-P2P-2). `key` signs as the identity's current key."""
    tls_key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(binding_digest(chain_id, spki(tls_key.public_key())))
    return issue_bound(tls_key, Binding(own_id, key.public, signature), ca, now)


def issue_bound(tls_key: ec.EllipticCurvePrivateKey, binding: Binding | bytes | None, ca: CA, now: float) -> Leaf:
    """A certificate for `tls_key` that carries `binding` as it is. Nothing is checked: the other side does that."""
    ca_cert, ca_key = _load_ca(ca)
    authority = _name(AUTHORITY) if ca_cert is None else ca_cert.subject
    start = dt.datetime.fromtimestamp(now, dt.UTC)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(address(binding.id) if isinstance(binding, Binding) else "node"))
        .issuer_name(authority)
        .public_key(tls_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _DAY)
        .not_valid_after(start + dt.timedelta(days=_LEAF_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(tls_key.public_key()), critical=False)
        .add_extension(issuer, critical=False)
    )
    if binding is not None:
        value = binding if isinstance(binding, bytes) else encode(binding)
        builder = builder.add_extension(x509.UnrecognizedExtension(BINDING_OID, value), critical=False)
    cert = builder.sign(ca_key, hashes.SHA256())
    return Leaf(cert.public_bytes(serialization.Encoding.PEM), _pem(tls_key))


def make_contexts(leaf: Leaf, ca: CA) -> Contexts:
    """TLS for both directions (LC-P2P-5): 1.3 only, certificates from both sides, no compression, renegotiation or tickets.

    Without the authority's certificate (`ca_of`) nothing is checked against it: what the other side proves is its identity.
    """
    contexts = Contexts(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    contexts.client.check_hostname = False  # identities are checked instead of names
    contexts.server.num_tickets = 0
    for context in contexts:
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED if ca.cert_pem else ssl.CERT_NONE
        context.verify_flags |= _NO_CHECK_TIME
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        if ca.cert_pem:
            context.load_verify_locations(cadata=ca.cert_pem.decode("ascii"))
        _load_chain(context, leaf)
    return contexts


def _load_chain(context: ssl.SSLContext, leaf: Leaf) -> None:
    """The TLS library reads files only. In memory where the system can, else a private folder that is gone at once."""
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        fd = os.memfd_create("tls", os.MFD_CLOEXEC)
        try:
            os.write(fd, leaf.key_pem + leaf.cert_pem)
            context.load_cert_chain(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        return
    with tempfile.TemporaryDirectory() as folder:  # mode 0700
        path = os.path.join(folder, "leaf.pem")
        with open(path, "wb") as f:
            f.write(leaf.key_pem + leaf.cert_pem)
        context.load_cert_chain(path)


def peer_identity(connection: ssl.SSLObject | ssl.SSLSocket, chain_id: bytes, now: float) -> PeerIdentity:
    """Who is at the other end of a finished handshake at Unix time `now` (LC-P2P-6). Raises `NotAuthenticated` unless proven."""
    if connection.version() != "TLSv1.3":
        raise NotAuthenticated(f"{connection.version()} instead of TLS 1.3")
    der = connection.getpeercert(binary_form=True)
    if der is None:
        raise NotAuthenticated("no certificate")
    return certificate_identity(der, chain_id, now)


def certificate_identity(der: bytes, chain_id: bytes, now: float) -> PeerIdentity:
    """The identity that a certificate proves for this network. Raises `NotAuthenticated`. Hostile bytes come in here."""
    if len(der) > MAX_CERTIFICATE:
        raise NotAuthenticated(f"a certificate of {len(der)} bytes, at most {MAX_CERTIFICATE} allowed")
    try:
        cert = x509.load_der_x509_certificate(der)
        extension = cert.extensions.get_extension_for_oid(BINDING_OID).value
        key = cert.public_key()
        valid = cert.not_valid_before_utc.timestamp(), cert.not_valid_after_utc.timestamp()
    except x509.ExtensionNotFound:
        raise NotAuthenticated("the certificate names no identity") from None
    except Exception as e:  # a parser of another library on hostile bytes: whatever it raises, this peer is refused
        raise NotAuthenticated(f"the certificate cannot be read ({type(e).__name__})") from None
    if not valid[0] <= now <= valid[1]:
        problem = "not yet valid" if now < valid[0] else "expired"
        raise NotAuthenticated(f"the certificate is {problem}: check the clocks, or restart the node that sent it")
    if not isinstance(extension, x509.UnrecognizedExtension) or not isinstance(key, ec.EllipticCurvePublicKey):
        raise NotAuthenticated("the certificate is of another kind")
    try:
        binding = decode(Binding, extension.value, MAX_BINDING)
    except Malformed as e:
        raise NotAuthenticated(f"the certificate's identity cannot be read ({e})") from None
    if not is_public_key(binding.key):
        raise NotAuthenticated("the certificate's identity key is no key")
    if not verify(binding.key, binding_digest(chain_id, spki(key)), binding.signature):
        raise NotAuthenticated("the identity did not sign this TLS key for this network")
    return PeerIdentity(binding.id, binding.key)


def check_member(identity: PeerIdentity, current: bytes | None, expected: bytes | None) -> None:
    """Raises `NotAuthenticated` unless the identity is a member under its current key, and the one dialled if one was named."""
    if expected is not None and identity.id != expected:
        raise WrongPeer(f"dialled {address(expected)}, but {address(identity.id)} answered")
    if current is None:
        raise NotAuthenticated(f"{address(identity.id)} is not an active member (unknown, banned or removed)")
    if current != identity.key:
        raise OtherKey(f"{address(identity.id)} has another key on the ledger: stolen name or rotated key")
