"""The TLS certificate of a node whose key lies with a signer: bound to the identity by the signer once, then kept.

So a node that comes back while its signer is away still reaches its peers, as an observer. What is kept signs nothing on the
ledger.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from learningchain.chain.storage import private
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.signer.remote import RemoteSigner
from learningchain.p2p.tls import CA, Binding, Leaf, NotAuthenticated, PeerIdentity, certificate_identity, issue_bound, spki

FILE: Final = "peer.leaf"
MAX_FILE: Final = 32_768


class _KeptCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cert: str
    key: str


async def certificate(data: Path, signer: RemoteSigner, chain_id: bytes, ca: CA, now: float) -> Leaf:
    """A new one where the signer is there, else the one that was kept. Raises `SignerUnavailable` where there is neither."""
    path = data / FILE
    tls_key = ec.generate_private_key(ec.SECP256R1())
    try:
        signature = await signer.binding(spki(tls_key.public_key()))
    except SignerUnavailable:
        kept = _kept(path, chain_id, PeerIdentity(signer.pairing.id, signer.pairing.key), now)
        if kept is None:
            raise
        return kept
    leaf = issue_bound(tls_key, Binding(signer.pairing.id, signer.pairing.key, signature), ca, now)
    private.replace(path, msgspec.json.encode(_KeptCertificate(leaf.cert_pem.decode(), leaf.key_pem.decode())))
    return leaf


def _kept(path: Path, chain_id: bytes, own: PeerIdentity, now: float) -> Leaf | None:
    try:
        with private.reading(path) as file:
            found = msgspec.json.decode(file.read(MAX_FILE), type=_KeptCertificate)
        leaf = Leaf(found.cert.encode(), found.key.encode())
        der = x509.load_pem_x509_certificate(leaf.cert_pem).public_bytes(serialization.Encoding.DER)
        return leaf if certificate_identity(der, chain_id, now) == own else None
    except (OSError, ValueError, NotAuthenticated):
        return None
