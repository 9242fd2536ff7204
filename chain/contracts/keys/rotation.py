"""A key's change by its owner, and what every new key has to show."""

from __future__ import annotations

from learningchain.chain.contracts.keys.messages import KeyCode, RotateKey, is_proven
from learningchain.chain.contracts.keys.params import KeyParams
from learningchain.chain.contracts.keys.records import KeyChanges, changes_key, changes_of
from learningchain.chain.contracts.keys.recovery_end import count_objection
from learningchain.chain.crypto import address, is_public_key
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host
from learningchain.chain.types import format_span


def check_new_key(host: Host, account: bytes, key: bytes, signature: bytes) -> None:
    """LC-KEY-1"""
    if not is_public_key(key):
        raise Reject(KeyCode.BAD_KEY, "not a compressed secp256k1 public key")
    if host.key_owner(key) is not None:
        raise Reject(KeyCode.KEY_TAKEN, "this key is or was an account's key: a key belongs to one account for ever")
    if not is_proven(host.chain_id, account, key, signature):
        raise Reject(KeyCode.BAD_PROOF, f"the new key did not sign that it shall be the key of {address(account)}")


def rotate_key(host: Host, sender: bytes, m: RotateKey) -> None:
    """LC-KEY-2: who is suspended may. It is an objection to a recovery that is open, which goes on."""
    check_new_key(host, sender, m.key, m.signature)
    known, rest = changes_of(host.store, sender), host.params_of(KeyParams).key_rest
    if known.rotated and host.clock < known.rotated + rest:
        left = format_span(known.rotated + rest - host.clock)
        raise Reject(KeyCode.TOO_SOON, f"an account rotates its key once every {format_span(rest)}: this one again in {left}")
    host.check_share_of_sets(sender)
    host.change_key(sender, m.key)
    host.put(changes_key(sender), KeyChanges(known.count + 1, host.clock, known.barred_until))
    host.emit("key.rotated", sender, m.key, known.count + 1)
    count_objection(host, sender)
