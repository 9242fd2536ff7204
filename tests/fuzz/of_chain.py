"""Targets: messages, transactions, blocks, votes, proofs, the genesis file, numbers and addresses as text."""

from __future__ import annotations

from typing import Any

from learningchain.chain.codec import decode, encode
from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.consensus.messages import (
    CertificateReceived,
    ProposalReceived,
    RoundState,
    StartHeight,
    StateReceived,
    VoteReceived,
)
from learningchain.chain.consensus.wal import decode_record
from learningchain.chain.contracts import STATE_TYPES
from learningchain.chain.contracts import decode_message as decode_op
from learningchain.chain.crypto import address, parse_address, verify
from learningchain.chain.errors import InvalidTx, Malformed
from learningchain.chain.host.terms import is_reference
from learningchain.chain.ledger.genesis import from_json, to_json
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.merkle import ListProof, StateProof, check_key
from learningchain.chain.node import messages as node
from learningchain.chain.node.recovery import read_log
from learningchain.chain.types import (
    Block,
    Certificate,
    Evidence,
    Header,
    Proposal,
    Receipt,
    SignedTx,
    TxBody,
    Validator,
    Vote,
    check_certificate,
    decode_block,
    format_credits,
    format_loss,
    parse_credits,
    parse_loss,
)
from learningchain.client.schema.render import render_event, render_header, render_op
from tests.fuzz.targets import Target, check, text_of
from tests.unit import consensus_kit as kit

RECORDS: list[Any] = [
    TxBody, SignedTx, Validator, Vote, Proposal, Certificate, Header, Block, Receipt, Evidence, RoundState, ListProof, StateProof,
    *sorted(set(STATE_TYPES.values()), key=lambda kind: kind.__name__),
]  # fmt: skip
MAX_RECORD = 65_536


def record(data: bytes) -> None:
    """The first byte says which type is read: a record of any kind, also of the state."""
    if not data:
        return
    kind, raw = RECORDS[data[0] % len(RECORDS)], data[1:]
    value: Any = decode(kind, raw, MAX_RECORD)
    check(encode(value) == raw, "not canonical")
    check(repr(value), "cannot be shown")
    if isinstance(value, Receipt):
        check(len([render_event(event) for event in value.events]) == len(value.events), "events")


def transaction(data: bytes) -> None:
    tx = parse_tx(data)
    check(encode(SignedTx(tx.body, tx.signature)) == data, "not canonical")
    check(all(render_op(op) for op in tx.ops), "cannot be shown")


def operation(data: bytes) -> None:
    op = decode_op(data)
    check(encode(op) == data, "not canonical")
    check(render_op(op)["type"] == type(op).__name__, "cannot be shown")


def node_message(data: bytes) -> None:
    message = node.decode_message(data)
    check(encode(message) == data, "not canonical")
    _hear(message)


def _hear(message: node.Message) -> None:
    """Votes, proposals, states and certificates go into a machine that is at work; it never raises."""
    machine = kit.machine(kit.ME)
    machine.handle(StartHeight(kit.HEIGHT, kit.validators(4), 0, "fuzz"))
    match message:
        case node.VoteMessage(vote):
            machine.classify(vote)
            machine.handle(VoteReceived(vote, b"peer"))
        case node.CompactProposal(proposal, header, _):
            check(render_header(header), "cannot be shown")
            machine.handle(ProposalReceived(proposal, True, b"peer"))
        case node.CertificateMessage(certificate):
            machine.handle(CertificateReceived(certificate))
        case node.StateMessage(state):
            machine.handle(StateReceived(state, b"peer"))


def block(data: bytes) -> None:
    found = decode_block(data)
    check(encode(found) == data, "not canonical")
    check(render_header(found.header), "cannot be shown")


def certificate(data: bytes) -> None:
    found = node.decode_certificate(data)
    check(encode(found) == data, "not canonical")
    check_certificate(b"\0" * 32, found, kit.validators(4))
    check(False, "a certificate that nobody signed was taken")


def consensus_record(data: bytes) -> None:
    found = decode_record(data)
    check(bytes(found) == data, "not canonical")
    machine = Consensus(kit.CHAIN, kit.ident(0), kit.PARAMS, verify=kit.verify, check=kit.check_certificate)
    machine.handle(StartHeight(found.height if found.height >= 0 else 0, kit.validators(4), 0, "fuzz"))


def node_log(data: bytes) -> None:
    """Records behind their lengths (two bytes)."""
    read_log(split(data))


def split(data: bytes) -> list[bytes]:
    """Pieces behind their lengths: how one input carries several."""
    pieces, at = [], 0
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        pieces.append(data[at + 2 : end])
        at = end
    return pieces


def join(pieces: list[bytes]) -> bytes:
    return b"".join(len(piece).to_bytes(2, "big") + piece for piece in pieces)


def genesis(data: bytes) -> None:
    found = from_json(data)
    check(from_json(to_json(found)) == found, "the file does not say the same when it is written again")
    check(len(found.chain_id) == 32, "no chain id")


def list_proof(data: bytes) -> None:
    proof = decode(ListProof, data[64:], MAX_RECORD)
    check(encode(proof) == data[64:], "another proof when it is written again")


def state_proof(data: bytes) -> None:
    proof = decode(StateProof, data[64:], MAX_RECORD)
    check_key(data[:32], data[32:64], data[:4], proof)
    check_key(data[:32], data[32:64], None, proof)


def signature(data: bytes) -> None:
    verify(data[:33], data[33:65], data[65:129])


def address_text(data: bytes) -> None:
    text = text_of(data)
    check(address(parse_address(text)) == text, "a second text of the same address")


def loss_text(data: bytes) -> None:
    loss = parse_loss(text_of(data))
    check(parse_loss(format_loss(loss)) == loss, "shown as another loss")


def credits_text(data: bytes) -> None:
    amount = parse_credits(text_of(data))
    check(parse_credits(format_credits(amount)) == amount, "shown as another amount")


def reference(data: bytes) -> None:
    if is_reference(text_of(data)):
        check(data.isascii(), "a reference that is not ASCII")


TARGETS = {
    "record": Target(record, (Malformed,)),
    "transaction": Target(transaction, (InvalidTx,)),
    "operation": Target(operation, (Malformed,)),
    "node-message": Target(node_message, (Malformed,)),
    "block": Target(block, (Malformed,)),
    "certificate": Target(certificate, (Malformed,)),
    "consensus-record": Target(consensus_record, (Malformed,)),
    "node-log": Target(node_log, (Malformed,)),
    "genesis-file": Target(genesis, (Malformed,), 16_384),
    "list-proof": Target(list_proof, (Malformed,)),
    "state-proof": Target(state_proof, (Malformed,)),
    "signature": Target(signature, (), 160),
    "address": Target(address_text, (Malformed,), 64),
    "loss": Target(loss_text, (ValueError,), 64),
    "credits": Target(credits_text, (ValueError,), 64),
    "reference": Target(reference, (), 600),
}
