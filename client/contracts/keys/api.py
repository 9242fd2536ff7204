"""Keys: replacing this node's own, its guardians, and its word as a guardian of others."""

from __future__ import annotations

from learningchain.chain.contracts.keys import ObjectRecovery, Recover, RotateKey, SetGuardians
from learningchain.chain.crypto import address, is_public_key
from learningchain.client.api.errors import usage
from learningchain.client.api.route import ApiPart, Call, Reply, Route, parse_account, parse_field
from learningchain.client.api.submit import answer, sends, submit
from learningchain.client.contracts.keys.http.request import check_request, parse_request
from learningchain.client.contracts.keys.http.schema import GuardiansRequest, RecoveryRequest, RotationRequest
from learningchain.client.keys.keystore import KeystoreError


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if not is_public_key(key):
        raise ValueError("not a compressed secp256k1 key of 66 hex digits")
    return key


def _signature(text: str) -> bytes:
    raw = bytes.fromhex(text)
    if len(raw) != 64:
        raise ValueError("a signature has 128 hex digits")
    return raw


async def post_key(call: Call) -> Reply:
    """The new key is here before it is asked for: a rotation that is final finds its node able to sign."""
    body: RotationRequest = call.body
    op = RotateKey(parse_field("key", _key, body.key), parse_field("signature", _signature, body.signature))
    try:
        call.node.take_key(op.key, parse_field("sealed", bytes.fromhex, body.sealed))
    except KeystoreError as fault:
        raise usage(str(fault)) from None
    what = "The rotation of this node's key"
    return await answer(call, what, await submit(call, what, op))


async def post_guardians(call: Call) -> Reply:
    body: GuardiansRequest = call.body
    ids = sorted(parse_account("guardians", one) for one in body.guardians)
    what = "Naming this node's guardians"
    return await answer(call, what, await submit(call, what, SetGuardians(ids, body.threshold, body.delay)))


async def post_recovery(call: Call) -> Reply:
    body: RecoveryRequest = call.body
    op: Recover = parse_field("request", parse_request, body.request)
    parse_field("request", lambda _: check_request(op, call.node.ledger.chain_id), body.request)
    what = f"This guardian's word on {address(op.account)}"
    return await answer(call, what, await submit(call, what, op))


async def post_objection(call: Call) -> Reply:
    what = "The objection to the recovery of this node's account"
    return await answer(call, what, await submit(call, what, ObjectRecovery()))


def _post(path: str, text: str, handler: object, request: type | None = None) -> Route:
    return sends(path, text, handler, request, owner=True)  # type: ignore[arg-type]


_ROUTES = (
    _post("/v1/key", "Give this node's account another key", post_key, RotationRequest),
    _post("/v1/guardians", "Name the guardians of this node's account", post_guardians, GuardiansRequest),
    _post("/v1/recoveries", "A guardian's word on the recovery of an account", post_recovery, RecoveryRequest),
    _post("/v1/objections", "Speak against a recovery of this node's own account", post_objection),
)
PART = ApiPart(__doc__, _ROUTES)
