"""The secret of a callback and the headers that it signs, as Standard Webhooks says: any library of that name checks them.

webhook-id         what happened to what: the same at every attempt, so that a receiver does it once
webhook-timestamp  seconds of the attempt, so that an old one cannot be played again
webhook-signature  v1,base64(HMAC-SHA256(secret, id "." timestamp "." body))
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

from learningchain.client import reading

PREFIX: Final = "whsec_"
LEAST, MOST = 24, 64
"""Bytes of a secret."""
NEW: Final = 32


def new_secret() -> bytes:
    return secrets.token_bytes(NEW)


def secret_text(secret: bytes) -> str:
    return PREFIX + base64.b64encode(secret).decode()


def parse_secret(text: str) -> bytes:
    """Raises ValueError."""
    try:
        secret = base64.b64decode(reading.one_word(text).removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a callback's secret is {PREFIX} and base64") from None
    if not LEAST <= len(secret) <= MOST:
        raise ValueError(f"a callback's secret has {LEAST} to {MOST} bytes, this one has {len(secret)}")
    return secret


def signature(secret: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def signed_headers(secret: bytes, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """`timestamp` in seconds."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, webhook_id, timestamp, body),
    }
