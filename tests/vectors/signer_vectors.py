"""Vectors of the remote signer: whole conversations, message by message, with a signer whose key, beacon key and chain are told."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.keys import RotateKey, SetGuardians
from learningchain.chain.contracts.membership import Leave
from learningchain.chain.storage.guard import Guard
from learningchain.chain.types import NO_ROUND, PRECOMMIT, PREVOTE, TxBody, net_of
from learningchain.client.contracts.membership.http.token import Contact, JoinToken
from learningchain.client.contracts.membership.statements import join_body, token_body
from learningchain.client.keys.keystore import Identity
from learningchain.client.signer import messages as m
from learningchain.client.signer.server import SignerServer
from tests.vectors.base_vectors import CHAIN
from tests.vectors.kit import id_of, key_of

NAME = "signer"
BEACON = bytes(range(32))
A, B = b"\xaa" * 32, b"\xbb" * 32
HELLO = m.SignerHello(m.PROTOCOL, CHAIN, 0)


def _body(sender: bytes, *ops: Any) -> bytes:
    messages = [msgspec.Raw(encode(op)) for op in ops or (Transfer(bytes(20), 1, b""),)]
    return encode(TxBody(net_of(CHAIN), sender, 0, 3, 9, messages))


def _stated(domain: str, body: bytes) -> m.StatementWanted:
    return m.StatementWanted(domain, body)


def _tokens() -> list[JoinToken]:
    """The signer's own; of another network; of another inviter; with another key."""
    own, key = id_of(NAME), key_of(NAME).public
    fields = ("test", CHAIN, [Contact(own, "127.0.0.1:7400")], bytes(31) + b"\x01", b"\x02" * 32, 99, 7, A)
    token = JoinToken(1, *fields, own, key, bytes(64))
    other = replace(token, inviter_key=key_of("alice").public)
    return [token, replace(token, chain_id=bytes(32)), replace(token, inviter=id_of("alice")), other]


def _conversations() -> list[tuple[str, str, dict[str, Any], list[m.Request]]]:
    """(rule, what it shows, how the signer stands, requests)"""
    vote, nil = m.VoteWanted(PREVOTE, 5, 1, A), m.VoteWanted(PRECOMMIT, 5, 1, b"")
    nine, later = m.VoteWanted(PREVOTE, 9, 0, A), m.VoteWanted(PREVOTE, 61, 0, A)
    own, other = _body(id_of(NAME)), _body(bytes(20))
    moves = Transfer(bytes(20), 1, b"")
    for_good = [
        _body(id_of(NAME), *ops)
        for ops in ((RotateKey(key_of("alice").public, bytes(64)),), (moves, SetGuardians([], 0, 0)), (Leave(),), (moves,))
    ]
    own_key, invitation = key_of(NAME).public, key_of("invitation").public
    return [
        ("LC-SIG-3", "a round, asked for once", {}, [HELLO, m.ProposalWanted(5, 1, NO_ROUND, A), vote, nil, m.SignerPing()]),
        ("LC-SIG-7", "the same again", {}, [HELLO, vote, vote, HELLO, vote]),
        ("LC-SIG-7", "another block in the same place", {}, [HELLO, vote, m.VoteWanted(PREVOTE, 5, 1, B), nil]),
        ("LC-SIG-7", "a proposal behind its prevote", {}, [HELLO, vote, m.ProposalWanted(5, 1, NO_ROUND, A)]),
        ("LC-SIG-7", "an earlier round and an earlier height", {},
         [HELLO, vote, m.VoteWanted(PREVOTE, 5, 0, A), m.VoteWanted(PRECOMMIT, 4, 7, A), m.VoteWanted(PREVOTE, 5, 2, B)]),
        ("LC-SIG-7", "abstaining", {}, [HELLO, m.AbstainWanted(9), nine, m.VoteWanted(PREVOTE, 10, 0, A)]),
        ("LC-SIG-7", "a lower height takes nothing back", {}, [HELLO, m.AbstainWanted(9), m.AbstainWanted(2), nine]),
        ("LC-SIG-8", "a guard that forgot", {"forgot": True}, [HELLO, vote, m.AbstainWanted(60), vote, later, HELLO]),
        ("LC-SIG-8", "a guard that forgot, told by the hello", {"forgot": True},
         [m.SignerHello(m.PROTOCOL, CHAIN, 60), vote, later]),
        ("LC-SIG-4", "transactions", {}, [HELLO, m.TxWanted(own), m.TxWanted(other), m.TxWanted(own[:-1]), m.TxWanted(A)]),
        ("LC-SIG-5", "what cannot be taken back", {}, [HELLO, *map(m.TxWanted, for_good)]),
        ("LC-SIG-5", "what cannot be taken back, where it is wanted", {"for_good": True}, [HELLO, *map(m.TxWanted, for_good)]),
        ("LC-SIG-5", "no transactions", {"transactions": False}, [HELLO, m.TxWanted(own), vote]),
        ("LC-SIG-4", "the TLS key", {}, [HELLO, m.BindingWanted(b"spki")]),
        ("LC-SIG-12", "the token of an invitation", {},
         [HELLO, *(_stated("lc/token", token_body(token)) for token in _tokens()), _stated("lc/token", encode(_tokens()[0])[:-1])]),
        ("LC-SIG-12", "a signed token", {}, [HELLO, _stated("lc/token", encode(replace(_tokens()[0], signature=b"\x01" * 64)))]),
        ("LC-SIG-12", "joining", {},
         [HELLO, *(_stated("lc/join", join_body(*one)) for one in (
             (CHAIN, invitation, own_key), (bytes(32), invitation, own_key), (CHAIN, invitation, invitation),
             (CHAIN, b"\x05" * 33, own_key)))]),
        ("LC-SIG-12", "a domain that no contract has, and one of another kind", {},
         [HELLO, _stated("lc/vote", A), _stated("lc/tx", own), _stated("lc/token", join_body(CHAIN, invitation, own_key)),
          _stated("lc/join", token_body(_tokens()[0]))]),
        ("LC-SIG-5", "no statements", {"transactions": False}, [HELLO, _stated("lc/join", join_body(CHAIN, invitation, own_key))]),
        ("LC-SIG-3", "secrets", {}, [HELLO, m.SecretsWanted(7, 1), m.SecretsWanted(7, 3)]),
        ("LC-SIG-5", "another chain", {}, [m.SignerHello(m.PROTOCOL, bytes(32), 0)]),
        ("LC-SIG-5", "another version", {}, [m.SignerHello(2, CHAIN, 0)]),
        ("LC-SIG-5", "no hello", {}, [vote]),
        ("LC-SIG-5", "a block id of 31 bytes", {}, [HELLO, m.VoteWanted(PREVOTE, 5, 1, A[:31])]),
    ]  # fmt: skip


async def _answers(
    requests: Sequence[m.Request], *, forgot: bool = False, transactions: bool = True, for_good: bool = False
) -> list[m.Answer]:
    key = key_of(NAME)
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard.create(f"{folder}/guard", chain_id=CHAIN, after_height=1 if forgot else 0)
        server = SignerServer(Identity(key, id_of(NAME), BEACON), guard, transactions=transactions, for_good=for_good)
        try:
            first = server.refused(requests[0])
            return [first] if first is not None else [server.answer(request) for request in requests]
        finally:
            guard.close()


def signer() -> dict[str, Any]:
    made = []
    for rule, why, how, requests in _conversations():
        answers = asyncio.run(_answers(requests, **how))
        said = [[encode(request).hex(), encode(answer).hex()] for request, answer in zip(requests, answers, strict=True)]
        made.append({"rule": rule, "why": why} | {"forgot": False, "transactions": True, "for_good": False} | how | {"said": said})
    head = {
        "rule": "LC-SIG-3",
        "chain_id": CHAIN.hex(),
        "key": key_of(NAME).public.hex(),
        "id": id_of(NAME).hex(),
        "beacon_key": BEACON.hex(),
    }
    return {"signer": head, "conversations": made, "bad_requests": _bad()}


def _bad() -> list[dict[str, str]]:
    """What ends the connection (LC-SIG-2)."""
    vote = encode(m.VoteWanted(PREVOTE, 5, 1, A))
    cases = {
        "nothing": b"",
        "no array": b"\xc0",
        "a tag that no request has": b"\x91\x09",
        "a domain of 33 bytes": b"\x93\x08\xd9\x21" + b"a" * 33 + b"\xc4\x01\x00",
        "a statement without a body": b"\x93\x08\xa1a\xc4\x00",
        "a domain that is no text": b"\x93\x08\xa1\xff\xc4\x01\x00",
        "an answer's tag": encode(m.Silence()),
        "a field more": bytes([vote[0] + 1]) + vote[1:] + b"\x00",
        "a byte behind the end": vote + b"\x00",
        "a byte missing": vote[:-1],
        "a tag that is not in its shortest form": b"\x95\xcc\x01" + vote[2:],
        "a type of vote that does not exist": vote[:2] + b"\x03" + vote[3:],
        "no secret at all": b"\x93\x05\x07\x00",
        "65 secrets": b"\x93\x05\x07\x41",
        "a TLS key of 513 bytes": b"\x92\x04\xc5\x02\x01" + bytes(513),
    }
    return [{"rule": "LC-SIG-2", "why": why, "bytes": raw.hex()} for why, raw in cases.items()]
