"""Vectors of the base: encodings, identities, signatures, transactions, the two trees."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

import coincurve
import msgspec

from learningchain.chain import host as base
from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import RoundState
from learningchain.chain.contracts import credits, governance, host_of, keys, membership
from learningchain.chain.contracts.job import Image, JobParams, Limits
from learningchain.chain.contracts.job import messages as job
from learningchain.chain.contracts.job import records as jobs
from learningchain.chain.contracts.membership import records as membership_records
from learningchain.chain.crypto import account_id, address
from learningchain.chain.host.terms import Capacity, DataRef, DeviceAsk, Earlier, HiddenSet
from learningchain.chain.ledger import receipt_file, snapshot, state_diff
from learningchain.chain.ledger.base import Base
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, RestartedGenesis, Section
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.ledger.state_diff import Record
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.losses import LossNode, Measurement, Opening
from learningchain.chain.merkle import list_root, prove_item
from learningchain.chain.node import messages as node
from learningchain.chain.params import MAX_PEER_MESSAGE, MAX_TX_BYTES, Params
from learningchain.chain.types import (
    PRECOMMIT,
    PREVOTE,
    Block,
    Certificate,
    Header,
    LogEvent,
    Proposal,
    ProposalEvidence,
    Receipt,
    SignedTx,
    TransferEvent,
    TxBody,
    Validator,
    Vote,
    VoteEvidence,
    format_credits,
    format_loss,
    net_of,
    parse_credits,
    parse_loss,
    tx_digest,
    tx_id,
)
from learningchain.chain.verification import standing
from learningchain.p2p import tls, wire
from learningchain.p2p.content import messages as content
from tests.hashes import tagged
from tests.unit.plain_tree import prove_key, root_of, update
from tests.vectors.asked_records import asked
from tests.vectors.kit import id_of, key_of, plain, shown, wider
from tests.vectors.records import name_of, packed, wrong_fields
from tests.vectors.trained_records import trained

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
H = [bytes([n]) * 32 for n in range(16)]
SIG = b"\x11" * 64
A, B = b"\xaa" * 20, b"\xbb" * 20
CHAIN = hashlib.sha256(b"vector chain").digest()


def records() -> list[tuple[str, Any]]:
    """One or more of every record that is hashed, signed, stored or sent."""
    transfer = credits.Transfer(B, 1_500_000, b"rent")
    body = TxBody(0x01020304, A, 3, 300, 70_000, [msgspec.Raw(encode(transfer))])
    vote, nil = Vote(PREVOTE, 5, 0, H[1], A, SIG), Vote(PREVOTE, 5, 0, b"", A, SIG)
    proposal = Proposal(5, 2, -1, H[1], A, SIG)
    again = Proposal(5, 2, 1, H[2], A, SIG)
    header = Header(1, CHAIN, 5, 0, A, 1_700_000_000_000, *H[2:10])
    key, key2 = key_of("a").public, key_of("b").public
    validators = [Validator(A, key), Validator(B, key2)]
    receipt = Receipt(H[3], 0, [TransferEvent("transfer", A, B, 2**63 - 1, b""), LogEvent("approve", A, [B, 0, -1, "ö", True])])
    account = base.Account(key, 0, 10**12, 0, [0, 127, 128, 65_536], 1_700_000_000_000)
    case = membership.Case(2, 90, 99, [membership.CaseRef(H[1], 3, B, A)], [A], [])
    capacity = Capacity(2, 1_024_000, 65_535, 2**36, 2**34, 86_400)
    strikes, draws = [standing.Strike(B, 65_535)], [standing.Draw(A, True, False), standing.Draw(B, False, True)]
    member = membership.Member(A, True, 256, 300, [capacity], 257, strikes, draws)
    genesis = Genesis(1, "größe", 1, Params(), [GenesisAccount(key, 5, True, False)], b"cert", b"")
    origin = Base(CHAIN, 2**48, H[1], H[2], 1_700_000_000_000, validators, [Record(b"gs/", encode([5, 0]))])
    actions: list[governance.Action] = [
        *(governance.AddValidator(A), governance.RemoveValidator(B)),
        *(governance.Admit(key), governance.Remove(A), governance.SetVerifier(B, True), governance.Ban(A), governance.LiftBan(B)),
        *(governance.SetParameters(3, [governance.ParamValue("job_reveal", 60_000)]), governance.Upgrade(2, 2**48)),
    ]
    found: list[tuple[str, Any]] = [
        ("TxBody", body),
        ("SignedTx", SignedTx(body, SIG)),
        ("Validator", validators[0]),
        ("ValidatorSet", validators),
        ("Vote", vote),
        ("Vote", nil),
        ("Vote", Vote(PRECOMMIT, 2**48, 2**31 - 1, H[1], A, SIG)),
        ("Proposal", proposal),
        ("Proposal", again),
        ("VoteEvidence", VoteEvidence(vote, nil)),
        ("ProposalEvidence", ProposalEvidence(proposal, again)),
        ("Certificate", Certificate(5, 0, H[1], [0, 2, 3], [SIG, SIG, SIG])),
        ("Header", header),
        ("Block", Block(header, [encode(SignedTx(body, SIG)), b""])),
        ("TransferEvent", TransferEvent("mint", b"", A, 0, b"x")),
        ("TransferEvent", TransferEvent("\U0001d11e" * 32, b"", A, 0, b"")),
        ("LogEvent", LogEvent("", b"", [])),
        ("Receipt", Receipt(bytes(32), 101, [])),
        ("Receipt", receipt),
        ("ListProof", prove_item([b"a", b"b", b"c"], 1)),
        ("StateProof", prove_key(None, b"a/x")),
        ("Measurement", Measurement(H[1], -(2**63 - 1), 360)),
        ("LossNode", LossNode(H[1], 2**63 - 1, -(10**18))),
        ("Opening", Opening([0, 70_000], [-1, 10**18], [LossNode(H[2], 500, 300)])),
        ("Opening", Opening([], [0], [])),
        ("Params", Params()),
        ("Section", Section(3, [1, 2**63 - 1])),
        ("MemberParams", membership.MemberParams()),
        ("JobParams", JobParams()),
        ("KeyParams", keys.KeyParams()),
        ("GenesisAccount", genesis.accounts[0]),
        ("Genesis", genesis),
        ("Base", origin),
        ("RestartedGenesis", RestartedGenesis(1, "zwei", 1, Params(), [], b"", b"", base=origin)),
        ("Transfer", transfer),
        ("Approve", credits.Approve(B, 0, 2**63 - 1)),
        ("TransferFrom", credits.TransferFrom(A, B, 1)),
        ("JudgeCase", membership.JudgeCase(A, True)),
        ("Release", membership.Release(3, H[1], True)),
        ("SetCapacity", membership.SetCapacity(Capacity(1, 4_000, 2_048, 10**9, 10**8, 600))),
        ("Invite", membership.Invite(key, 2**40, 1_000_000)),
        ("RevokeInvite", membership.RevokeInvite(H[1])),
        ("Join", membership.Join(A, key, key2, SIG, SIG)),
        ("Leave", membership.Leave()),
        ("SetBoxKey", membership.SetBoxKey(H[1])),
        ("SetTraining", membership.SetTraining(1, 2_592_000)),
        ("Training", membership.Training(2, 0, 300)),
        ("RotateKey", keys.RotateKey(key, SIG)),
        ("SetGuardians", keys.SetGuardians([A, B], 2, 86_400_000)),
        ("SetGuardians", keys.SetGuardians([], 0, 0)),
        ("Recover", keys.Recover(A, key, SIG)),
        ("ObjectRecovery", keys.ObjectRecovery()),
        ("ReportDouble", membership.ReportDouble(VoteEvidence(vote, nil))),
        ("Account", account),
        ("Escrow", base.Escrow(2**32)),
        ("Due", base.Due(3, H[1])),
        ("HeldDue", base.HeldDue(A, 7)),
        ("Parked", base.Parked(5, "KeyError", [base.HeldDue(A, 7)], [A], [B])),
        ("ChainRecord", base.ChainRecord(CHAIN, 5, 6, 7, H[1])),
        ("Supply", base.Supply(10, 3)),
        ("Validators", base.Validators(6, validators)),
        ("BeaconCommitment", base.BeaconCommitment(5, H[1])),
        ("PendingParams", base.PendingParams([base.ParamValues(0, [1, 2**63 - 1])])),
        ("ParamValues", base.ParamValues(3, [70_000])),
        ("ParamHistory", base.ParamHistory([256, 65_536])),
        ("Protocol", base.Protocol(1, [base.NextProtocol(2, 70_000)])),
        ("Protocol", base.Protocol(2, [])),
        ("GovernanceParams", governance.GovernanceParams()),
        *((type(action).__name__, action) for action in actions),
        ("Propose", governance.Propose(actions[7], 1_700_000_000_000)),
        ("VoteProposal", governance.VoteProposal(H[1], True)),
        ("Withdraw", governance.Withdraw(H[1])),
        ("OpenProposal", governance.OpenProposal(A, actions[0], 256, 65_536, [A, B], [], 0)),
        ("OpenCount", governance.OpenCount(8)),
        ("KeyOwner", base.KeyOwner(A, 5)),
        ("BurnedSince", base.BurnedSince(2**40)),
        ("History", base.History([base.Validators(1, validators)])),
        ("ClockMarks", base.ClockMarks([base.ClockMark(0, 256), base.ClockMark(70_000, 2**40)])),
        ("Allowance", credits.Allowance(255)),
        ("Member", member),
        ("Member", membership.Member(A, False, 0, 0, [], 0, [], [])),
        ("Member", membership.Member(A, False, 0, 0, [], 0, [], [], B, 5, 65_536, H[1], 300)),
        ("Invitation", membership.Invitation(key, A, 2**40, 0)),
        ("Inviting", membership.Inviting([membership.Slot(H[1], 0, 2**40), membership.Slot(H[2], 3, 0)])),
        ("BanRecord", membership.BanRecord(2**40)),
        ("Branch", membership.Branch(1_024, b"\x07" * 20)),
        ("Judged", membership_records.Judged([membership_records.PastVerdict(A, 2, 256, 1, False)], 3)),
        ("VotesFor", membership_records.VotesFor([standing.CountedVote(70_000, True)])),
        ("Cases", membership_records.Cases(2)),
        ("CaseRef", case.refs[0]),
        ("Case", case),
        ("Ejection", membership.Ejection(5)),
        ("GuardianSet", keys.GuardianSet([A, B], 2, 86_400_000, [])),
        ("GuardianSet", keys.GuardianSet([A, B], 2, 86_400_000, [keys.ComingGuardians(300, [], 0, 0)])),
        ("ComingGuardians", keys.ComingGuardians(300, [A], 1, 86_400_000)),
        ("GuardianWord", keys.GuardianWord(A, key)),
        ("Recovery", keys.Recovery(256, 300, [keys.GuardianWord(A, key)], b"", 300, False)),
        ("Recovery", keys.Recovery(256, 300, [keys.GuardianWord(A, key), keys.GuardianWord(B, key)], key, 299, True)),
        ("KeyChanges", keys.KeyChanges(1, 256, 300)),
    ]
    found += job_messages() + job_records() + other_records(header, vote, proposal, validators)
    found += asked()
    found += trained()
    return found + receipt_records(header, validators)


def receipt_records(header: Header, validators: list[Validator]) -> list[tuple[str, Any]]:
    """A receipt file, and what stands in it."""
    certificate = Certificate(5, 0, H[1], [0, 2, 3], [SIG, SIG, SIG])
    step, trusted = receipt_file.PathStep(True, H[1]), receipt_file.TrustedBlock(header, validators)
    shown = receipt_file.ProvenReceipt(b"\x01", [step], b"\x02", [receipt_file.PathStep(False, H[2])])
    record = receipt_file.ProvenRecord(b"a/" + A, [b"\x01"], prove_key(None, b"a/x"))
    change = snapshot.ValidatorSetChange(header, certificate, validators)
    whole = receipt_file.ReceiptFile("learningchain receipt", 1, [trusted], [change], header, certificate, [shown], [record])
    return [(type(value).__name__, value) for value in (step, trusted, shown, record, whole)]


def other_records(header: Header, vote: Vote, proposal: Proposal, validators: list[Validator]) -> list[tuple[str, Any]]:
    """What nodes tell each other, and what stands in it."""
    certificate = Certificate(5, 0, H[1], [0, 2, 3], [SIG, SIG, SIG])
    cid = b"\x01\x55\x12\x20" + H[1]
    state = RoundState(5, 1, 3, 0, H[1], -1, b"", [vote], True, b"\x07", b"")
    block = encode(Block(header, [b"\x00"]))
    changes = state_diff.StateDiff([state_diff.Record(b"a/" + A, b"\x01")], [b"e/" + H[2]])
    change, offer = (
        snapshot.ValidatorSetChange(header, certificate, validators),
        snapshot.Offer(header, certificate, b"\x00\x01\x02" + H[3]),
    )
    sync, told = node.SyncBlock(block, certificate), node.ExecutedBlock(block, certificate, [b"\x01", b"\x02"], changes)
    peer = wire.PeerAddresses(A, ["192.0.2.7:4000"])
    found = [
        *(state, change, changes.put[0], changes, sync, told, offer, tls.Binding(A, key_of("a").public, SIG), peer),
        *(node.Txs([b"\x01", b"\x02"]), node.TxIds([b"12345678"]), node.GetTxs([b"12345678"])),
        *(node.CompactProposal(proposal, header, [b"12345678"]), node.VoteMessage(vote), node.CertificateMessage(certificate)),
        *(node.StateMessage(state), node.Status(5, 1), node.GetBlock(5, H[1], [0, 3]), node.BlockTxs(H[1], [3], [b"\x01"])),
        *(node.FullBlock(block), node.GetBlocks(1, 64), node.Blocks([sync]), node.Links([A, B]), node.GetExecutedBlocks(7, 1)),
        *(
            node.ExecutedBlocks([told]),
            node.GetSnapshot(),
            node.Snapshot(False, [offer]),
            node.Snapshot(True, []),
            node.GetValidatorChanges(9),
        ),
        *(node.ValidatorChanges([change]), node.GetBuckets(8, [0, 65_535]), node.Buckets(8, [7], [b"\x90"])),
        *(node.GetHeaders(8, 512), node.Headers([header])),
        *(
            wire.Hello(1, CHAIN, 4_000, ["[2001:db8::1]:4000"], 9),
            wire.GetPeers(),
            wire.Peers([peer]),
            wire.Ping(0),
            wire.Pong(2**63 - 1),
        ),
        *(
            content.WhoHas(cid),
            content.Has(cid),
            content.HasBulk(cid, 7_402, H[2]),
            content.DontHave(cid),
            content.Later(cid, 86_400),
            content.WantBlocks(cid, [cid]),
            content.ContentBlock(cid, cid, b"x"),
        ),
    ]
    return [(name_of(type(value)), value) for value in found]


def job_messages() -> list[tuple[str, Any]]:
    """The messages of jobs, each in the forms that it has."""
    cid = b"\x01\x55\x12\x20" + H[1]
    by_name, archive = job_terms()
    opening = Opening([], [5, 6], [LossNode(H[2], 500, 300)])
    return [
        ("PostJob", by_name),
        ("PostJob", archive),
        ("Claim", job.Claim(H[1], -123_456_789, H[2], True)),
        ("Reveal", job.Reveal(H[1], 2, cid, 1_000_000, H[3])),
        ("RevealKey", job.RevealKey(H[1], H[2])),
        ("CommitVote", job.CommitVote(H[1], 0, 1, H[2])),
        ("OpenVote", job.OpenVote(H[1], 1, 2, some_ballots(), H[3], 0, True, [opening])),
        ("OpenVote", job.OpenVote(H[1], 1, 2, [], b"", 1, False, [opening])),
        ("OpenVote", job.OpenVote(H[1], 1, 2, some_ballots()[2:], H[3], 0, False, [])),
        ("CancelJob", job.CancelJob(H[1])),
        ("ExtendJob", job.ExtendJob(H[1], 1_700_000_060_000)),
    ]


def some_ballots() -> list[job.Ballot]:
    public, hidden = Measurement(H[5], -5, 3), Measurement(H[6], 2**63 - 1, 2**20)
    return [job.Ballot(1, [public], [hidden], False), job.Ballot(3, [public], [], True), job.Ballot(4, [], [], False)]


def job_terms() -> tuple[job.PostJob, job.PostJob]:
    """A posting by an image's name, and one of an archive with hidden data."""
    cid = b"\x01\x55\x12\x20" + H[1]
    limits = Limits(2_000, 1_024, 600, 60, 10_000_000, 64, 1)
    by_name = Image(1, "registry.example/digits@sha256:" + "0" * 64, b"", b"", 5_000_000)
    archive = Image(2, "", cid, H[2], 5_000_000)
    terms = (5_000_000, 1_000, 3, 1_700_000_060_000, 1, 0, -5, 0, limits)
    hidden = HiddenSet(cid, H[3], H[4], 77)
    return (
        job.PostJob(by_name, 1, '{"epochs":3}', *terms, [], [], [], []),
        job.PostJob(
            archive,
            2,
            "",
            *terms,
            [hidden],
            [DeviceAsk(2, 8, 2**20)],
            [DataRef(cid, 2**40, 10_000, "digits_2-a", 3)],
            [Earlier(H[5], cid, 9, -7)],
        ),
    )


def job_records() -> list[tuple[str, Any]]:
    """What the state keeps of jobs."""
    cid = b"\x01\x55\x12\x20" + H[1]
    shown_ = jobs.ShownColumn(1, True, [-(10**18), *range(14), 10**18])
    record = jobs.Job(
        *(5, 99, 40, 3, 2, H[1], [2, 0], [0], 1, H[2], 1, 2, [0], 3, 1),
        *([jobs.JobCase(A, 1)], [2], 70_000, 4_000, 500_000, 500_000, 128, 65_536),
    )
    claim = jobs.ClaimRecord(A, 2, 5_000, 40, H[3], 1, H[4], 99, True, 500_000, cid, 1_000_000, 1, 6, [-5])
    return [
        ("Totals", jobs.Totals(256)),
        ("Numbered", jobs.Numbered(H[1])),
        ("Live", jobs.Live(3, 1_700_000_060_000)),
        *(("Posting", jobs.Posting(A, 3, 99, terms)) for terms in job_terms()),
        ("Job", record),
        ("ClaimRecord", claim),
        ("ClaimantIndex", jobs.ClaimantIndex(2**32 - 1)),
        ("AuditRound", jobs.AuditRound(H[1], H[2], 5, 9, True, [0, 1], [3, 12], [3, 7], [A, B])),
        ("Seat", jobs.Seat([0, 1], H[1], some_ballots(), [shown_], True, "vote.leaves", 1_000)),
        ("Seat", jobs.Seat([0], b"", [], [], False, "", 0)),
        ("Leaving", jobs.Leaving(A, 130, 1, 2, True)),
        ("ContractorRecord", jobs.ContractorRecord(9, 1, 300, 5_000_000, 70_000, 1, 2, [A, B], 65)),
    ]


def _wrong_fields() -> list[dict[str, Any]]:
    """One for each type and bound of each field of every record: LC-ENC-4, 6."""
    found, seen = [], set[str]()
    for name, value in records():
        if name == "ValidatorSet":
            continue
        for why, wrong in wrong_fields(value):
            raw = encode(wrong)
            if f"{name} {why}" not in seen:
                seen.add(f"{name} {why}")
                found.append({"rule": "LC-ENC-4", "type": name, "why": why, "bytes": packed(raw)})
    return found


def _refused() -> list[dict[str, Any]]:
    return [{"rule": "LC-ENC-3", **case} for case in _not_canonical()] + _wrong_fields()


def _not_canonical() -> list[dict[str, Any]]:
    transfer = encode(credits.Transfer(A, 100, b"x"))
    found = [{"type": "Transfer", "why": why, "bytes": raw.hex()} for why, raw in wider(transfer).items()]
    target, memo = b"\xc4\x14" + A, b"\xc4\x01x"
    bodies = {
        "amount in two bytes": b"\x94\x20" + target + b"\xcc\x64" + memo,
        "amount in nine bytes": b"\x94\x20" + target + b"\xcf" + (100).to_bytes(8, "big") + memo,
        "amount as a signed integer": b"\x94\x20" + target + b"\xd0\x64" + memo,
        "amount as a float": b"\x94\x20" + target + b"\xcb\x40\x59" + bytes(6) + memo,
        "amount as a boolean": b"\x94\x20" + target + b"\xc3" + memo,
        "amount as text": b"\x94\x20" + target + b"\xa3100" + memo,
        "amount negative": b"\x94\x20" + target + b"\xff" + memo,
        "amount 2^63": b"\x94\x20" + target + b"\xcf" + (2**63).to_bytes(8, "big") + memo,
        "another tag": b"\x94\x1f" + target + b"\x64" + memo,
        "tag in two bytes": b"\x94\xcc\x20" + target + b"\x64" + memo,
        "target of 19 bytes": b"\x94\x20\xc4\x13" + A[1:] + b"\x64" + memo,
        "target as text": b"\x94\x20\xb4" + b"a" * 20 + b"\x64" + memo,
        "target with a length of two bytes": b"\x94\x20\xc5\x00\x14" + A + b"\x64" + memo,
        "memo of 65 bytes": b"\x94\x20" + target + b"\x64\xc4\x41" + bytes(65),
        "memo missing, nil": b"\x94\x20" + target + b"\x64\xc0",
    }
    found += [{"type": "Transfer", "why": why, "bytes": raw.hex()} for why, raw in bodies.items()]
    vote = [PREVOTE, 5, 0, H[1], A, SIG]
    for why, place, value in (
        ("type 3", 0, 3),
        ("type 0", 0, 0),
        ("height 2^48 + 1", 1, 2**48 + 1),
        ("round 2^31", 2, 2**31),
        ("block id of 33 bytes", 3, bytes(33)),
        ("signature of 63 bytes", 5, SIG[1:]),
    ):
        found.append({"type": "Vote", "why": why, "bytes": encode([*vote[:place], value, *vote[place + 1 :]]).hex()})
    event = [H[1], 0, [[2, "t", b"", [1.5]]]]
    found.append({"type": "Receipt", "why": "a float among an event's data", "bytes": encode(event).hex()})
    found.append(
        {"type": "Receipt", "why": "a list among an event's data", "bytes": encode([H[1], 0, [[2, "t", b"", [[1]]]]]).hex()}
    )
    found.append({"type": "Receipt", "why": "an unknown event", "bytes": encode([H[1], 0, [[3, "t", b"", []]]]).hex()})
    found.append({"type": "ValidatorSet", "why": "an empty set", "bytes": encode([]).hex()})
    many = encode([[A, key_of("a").public]] * 129)
    found.append({"type": "ValidatorSet", "why": "129 validators", "bytes": packed(many)})
    for why, value in (("an integer", 0), ("a validator that is none", [[A]]), ("a validator that is an integer", [1])):
        found.append({"type": "ValidatorSet", "why": why, "bytes": encode(value).hex()})
    text = encode([H[1], 0, [[2, "tt", b"", []]]]).replace(b"tt", b"\xc3\x28")
    found.append({"type": "Receipt", "why": "a text that is not UTF-8", "bytes": text.hex()})
    return found


def encodings() -> dict[str, Any]:
    good = [
        {"rule": "LC-ENC-2", "type": kind, "value": shown(plain(value)), "bytes": encode(value).hex()} for kind, value in records()
    ]
    return {"canonical": good, "refused": _refused(), "too_long": _too_long()}


def _too_long() -> list[dict[str, Any]]:
    """LC-ENC-9: as long as may be, and a byte more, with nothing else wrong."""

    def filled(last: int) -> bytes:
        terms = job_terms()[0]
        ops = [msgspec.Raw(encode(msgspec.structs.replace(terms, params="a" * n))) for n in (16_200, 16_200, 16_200, last)]
        return encode(SignedTx(TxBody(1, A, 0, 0, 1, ops), SIG))

    def peers(last: int) -> bytes:
        """Of members with three addresses of 260 characters, and one with one of so many."""
        longest = wire.PeerAddresses(A, ["a" * 260] * 3)
        return encode(wire.Peers([*[longest] * 40, wire.PeerAddresses(A, ["a" * last])]))

    def pages(size: int) -> bytes:
        return encode(node.Buckets(1, [0, 1], [bytes(2_250_000), bytes(size)]))

    makers: list[tuple[str, Callable[[int], bytes], int, int]] = [
        ("SignedTx", filled, MAX_TX_BYTES, 16_000),
        ("Buckets", pages, MAX_PEER_MESSAGE, 2_200_000),
        ("Peers", peers, wire.CHANNEL_LIMITS[wire.PEERS], 100),
    ]
    found = []
    for name, make, limit, sample in makers:
        left = limit - len(make(sample)) + sample
        for more in (0, 1):
            raw = make(left + more)
            if len(raw) != limit + more:
                raise ValueError(f"{name} has {len(raw)} bytes")
            found.append({"rule": "LC-ENC-9", "type": name, "limit": limit, "bytes": packed(raw), "good": not more})
    return found


def texts() -> dict[str, Any]:
    """Losses and credits as text (LC-ENC-7, 8), names of images (LC-JOB-15), CIDs (LC-CONTENT-1)."""
    losses = [
        "0",
        "-0",
        "0.1",
        "-0.0000000001",
        "0.0000000001",
        "0.000000001",
        "1.5",
        "-1.5000000001",
        "999999999.999999999999999999",
    ]
    losses += ["-999999999.999999999999999999", "0.000000000000000001", "12.3456789012", "-12.3456789012"]
    bad_losses = [
        "",
        "-",
        "+1",
        "01",
        "1.",
        ".5",
        "1e3",
        "nan",
        "inf",
        "1234567890",
        "0.1234567890123456789",
        " 1",
        "1 ",
        "1\n",
        "--1",
    ]
    bad_losses += ["1,5", "\u0661", "0x1", "1_0"]
    credits_ = ["0", "1", "0.5", "0.000001", "12.340000", "9223372036854.775807", "1000000"]
    bad_credits = [
        "",
        "-1",
        "+1",
        "01",
        "1.",
        ".5",
        "0.0000001",
        "9223372036854.775808",
        "9999999999999",
        "12345678901234",
        "1e3",
        " 1",
    ]
    bad_credits += ["1\n", "\u0661", "1,5"]
    digest = "@sha256:" + "0" * 63 + "f"
    names = ["a", "a_b", "a..b", "a:5000/b:tag", "registry.example:5000/group/name:1.0-rc.1", "0", "a" * (512 - len(digest))]
    bad_names = [
        "",
        "A",
        "-a",
        "/a",
        "a/",
        "a+b",
        "a%b",
        "a@b",
        "\u00f6",
        "a b",
        "a\n",
        ".a",
        "a.",
        "a:",
        "_a",
        "a" * (513 - len(digest)),
    ]
    bad_digests = [
        "a",
        "a@sha256:" + "0" * 63,
        "a@sha256:" + "0" * 65,
        "a@sha256:" + "F" * 64,
        "a@sha512:" + "0" * 64,
        "a" + digest + "\n",
    ]
    cids = ["01551220" + H[1].hex(), "01701220" + H[2].hex()]
    bad_cids = [
        "",
        "1220" + H[1].hex(),
        "02551220" + H[1].hex(),
        "01711220" + H[1].hex(),
        "01551320" + H[1].hex(),
        "0155121f" + H[1].hex(),
    ]
    bad_cids += ["01551220" + H[1].hex() + "00", "01551220" + H[1].hex()[:-2]]
    return {
        "losses": {
            "rule": "LC-ENC-7",
            "good": [{"text": t, "value": str(parse_loss(t)), "written": format_loss(parse_loss(t))} for t in losses],
            "bad": bad_losses,
        },
        "credits": {
            "rule": "LC-ENC-8",
            "good": [{"text": t, "value": str(parse_credits(t)), "written": format_credits(parse_credits(t))} for t in credits_],
            "bad": bad_credits,
        },
        "images": {
            "rule": "LC-JOB-42",
            "good": [n + digest for n in names],
            "bad": [*(n + digest for n in bad_names), *bad_digests],
        },
        "cids": {"rule": "LC-CONTENT-1", "good": cids, "bad": bad_cids},
    }


# --- identities ---------------------------------------------------------------------------------------------------------------


def identities() -> dict[str, Any]:
    good = []
    for name in ("a", "b", "c"):
        key = key_of(name)
        identity = account_id(key.public)
        good.append(
            {
                "rule": "LC-ID-3",
                "secret": key.secret.hex(),
                "key": key.public.hex(),
                "id": identity.hex(),
                "address": address(identity),
            }
        )
    point = coincurve.PublicKey(key_of("a").public)
    uncompressed = point.format(compressed=False)
    bad_keys = {
        "uncompressed": uncompressed,
        "hybrid": bytes([6 + (uncompressed[-1] & 1)]) + uncompressed[1:],
        "without its head": uncompressed[1:],
        "x alone": uncompressed[1:33],
        "head 4 with 33 bytes": b"\x04" + uncompressed[1:33],
        "head 6 with 33 bytes": b"\x06" + uncompressed[1:33],
        "head 0, the point at infinity": bytes(33),
        "x not on the curve": b"\x02" + (5).to_bytes(32, "big"),
        "x not below the field's prime": b"\x02" + b"\xff" * 32,
        "a byte behind the end": key_of("a").public + b"\x00",
        "empty": b"",
    }
    text = address(id_of("a"))
    swapped = text[:10] + text[11] + text[10] + text[12:]
    bad_addresses = {
        "upper case": text.upper(),
        "mixed case": text[:-1] + text[-1].upper(),
        "one character changed": text[:-1] + ("q" if text[-1] != "q" else "p"),
        "two characters swapped": swapped,
        "one character less": text[:-1],
        "one character more": text + "q",
        "bech32, not bech32m": _bech32(id_of("a")),
        "another prefix": "bc1" + text[3:],
        "a character outside the set": text[:-1] + "b",
        "a space behind": text + " ",
        "empty": "",
        "of an id of 15 bytes": _bech32m(b"\x01" * 15),
        "of an id of 25 bytes": _bech32m(b"\x01" * 25),
    }
    return {
        "good": good,
        "bad_keys": [{"rule": "LC-ID-2", "why": why, "key": key.hex()} for why, key in bad_keys.items()],
        "bad_addresses": [{"rule": "LC-ID-6", "why": why, "address": value} for why, value in bad_addresses.items()],
        "tagged": [
            {"rule": "LC-ID-1", "tag": tag, "parts": [p.hex() for p in parts], "hash": tagged(tag.encode(), *parts).hex()}
            for tag, parts in (("lc/id", [b""]), ("lc/tx", [CHAIN, b"body"]), ("x" * 255, [b"1", b"2"]))
        ],
    }


def _bech32m(identity: bytes) -> str:
    """With a right checksum, of any multiple of five bytes (BIP-350)."""
    number = int.from_bytes(identity, "big")
    data = [number >> shift & 31 for shift in range(8 * len(identity) - 5, -1, -5)]
    check = 1
    for value in (*(ord(c) >> 5 for c in "lc"), 0, *(ord(c) & 31 for c in "lc"), *data, *[0] * 6):
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    check ^= 0x2BC830A3
    return "lc1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[d] for d in [*data, *(check >> 5 * n & 31 for n in range(5, -1, -1))])


def _bech32(identity: bytes) -> str:
    """The address with the older checksum (final constant 1)."""
    text = address(identity)
    last = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    difference = 0x2BC830A3 ^ 1
    digits = [last.index(c) ^ (difference >> shift & 31) for c, shift in zip(text[-6:], (25, 20, 15, 10, 5, 0), strict=True)]
    return text[:-6] + "".join(last[d] for d in digits)


def signatures() -> dict[str, Any]:
    key, digest = key_of("a"), hashlib.sha256(b"message").digest()
    good = key.sign(digest)
    r, s = good[:32], int.from_bytes(good[32:], "big")
    high = r + (ORDER - s).to_bytes(32, "big")
    cases: list[tuple[str, bytes, bytes, bytes, bool]] = [
        ("good", key.public, digest, good, True),
        ("good, another digest", key.public, H[5], key.sign(H[5]), True),
        ("high s", key.public, digest, high, False),
        ("wrong digest", key.public, H[5], good, False),
        ("another key", key_of("b").public, digest, good, False),
        ("r = 0", key.public, digest, bytes(32) + good[32:], False),
        ("s = 0", key.public, digest, r + bytes(32), False),
        ("r = order", key.public, digest, ORDER.to_bytes(32, "big") + good[32:], False),
        ("s = order", key.public, digest, r + ORDER.to_bytes(32, "big"), False),
        ("all zero", key.public, digest, bytes(64), False),
        ("63 bytes", key.public, digest, good[:-1], False),
        ("65 bytes, with a recovery byte", key.public, digest, good + b"\x00", False),
        ("a digest of 31 bytes", key.public, digest[:-1], good, False),
        ("uncompressed key", coincurve.PublicKey(key.public).format(compressed=False), digest, good, False),
    ]
    bit = bytearray(good)
    bit[40] ^= 1
    cases.append(("one bit changed", key.public, digest, bytes(bit), False))
    names = ("rule", "why", "key", "digest", "signature", "good")
    rule = "LC-ID-5"
    return {"cases": [dict(zip(names, (rule, w, k.hex(), d.hex(), s_.hex(), ok), strict=True)) for w, k, d, s_, ok in cases]}


def transactions() -> dict[str, Any]:
    key = key_of("a")
    ops = [msgspec.Raw(encode(credits.Transfer(id_of("b"), 1_000_000, b"hello")))]
    cases = []
    for why, body in (
        ("one transfer", TxBody(net_of(CHAIN), id_of("a"), 0, 0, 10, ops)),
        ("two messages, lane 3", TxBody(net_of(CHAIN), id_of("a"), 3, 70_000, 500, ops * 2)),
    ):
        raw = sign_tx(key, CHAIN, body)
        signed = {"digest": tx_digest(CHAIN, encode(body)).hex(), "bytes": raw.hex(), "id": tx_id(raw).hex()}
        cases.append({"rule": "LC-TX-1", "why": why, "body": encode(body).hex(), **signed})
    return {"chain_id": CHAIN.hex(), "net": net_of(CHAIN), "key": key.public.hex(), "cases": cases, "positions": _positions()}


def _positions() -> list[dict[str, Any]]:
    """LC-TX-8: in the order of the chain."""
    found = []
    for height, parent_beacon, tx, index in ((1, H[1], H[2], 0), (1, H[1], H[2], 99), (1, H[1], H[3], 0), (2**48, H[4], H[2], 1)):
        parent = base.ChainRecord(CHAIN, height - 1, 0, 0, parent_beacon)
        host = host_of(Overlay(State()), Params(), parent, height, 0, 0, H[5])
        host.tx_id, host.op_index = tx, index
        given = {"height": height, "parent_beacon": parent_beacon.hex(), "tx": tx.hex(), "index": index}
        found.append({"rule": "LC-TX-8"} | given | {"position": host.position.hex()})
    return found


# --- trees --------------------------------------------------------------------------------------------------------------------


def lists() -> dict[str, Any]:
    cases = []
    for count in (0, 1, 2, 3, 4, 5, 8, 13):
        items = [hashlib.sha256(bytes([n])).digest()[: n + 1] for n in range(count)]
        proofs = [encode(prove_item(items, i)).hex() for i in range(count)]
        cases.append({"rule": "LC-MRK-2", "items": [i.hex() for i in items], "root": list_root(items).hex(), "proofs": proofs})
    items = [b"a", b"b", b"c"]
    right = prove_item(items, 1)
    inner = hashlib.sha256(b"\x00a").digest() + hashlib.sha256(b"\x00b").digest()
    wrong = {
        "another item": (b"x", right),
        "another index": (b"b", type(right)(0, 3, right.path)),
        "index outside": (b"b", type(right)(3, 3, right.path)),
        "negative index": (b"b", type(right)(-1, 3, right.path)),
        "count zero": (b"b", type(right)(0, 0, right.path)),
        "a sibling too few": (b"b", type(right)(1, 3, right.path[:-1])),
        "a sibling too many": (b"b", type(right)(1, 3, [*right.path, bytes(32)])),
        "an inner node as an item": (inner, type(right)(0, 2, right.path[1:])),
    }
    root = list_root(items)
    made = [(why, root, item, proof) for why, (item, proof) in wrong.items()]
    alone = list_root([b"a"])
    made += [
        ("the second of one item", alone, b"a", type(right)(1, 1, [])),
        ("before the only item", alone, b"a", type(right)(-1, 1, [])),
    ]
    told = [(why, {"root": r.hex(), "item": i.hex(), "proof": encode(p).hex()}) for why, r, i, p in made]
    return {"cases": cases, "wrong": [{"rule": "LC-MRK-3", "why": why} | case for why, case in told]}


def states() -> dict[str, Any]:
    """Records and proofs; the proofs of absence end at another leaf or at an empty place."""
    rng = random.Random(7)
    cases = []
    for count in (0, 1, 2, 3, 7, 40):
        content = {b"a/" + rng.randbytes(20): rng.randbytes(rng.randint(0, 40)) for _ in range(count)}
        changes = sorted((hashlib.sha256(k).digest(), hashlib.sha256(v).digest()) for k, v in content.items())
        tree = update(None, changes)
        present = [{"key": k.hex(), "proof": encode(prove_key(tree, k)).hex()} for k in sorted(content)[:5]]
        absent = [b"a/" + rng.randbytes(20) for _ in range(4)]
        absent_ = [{"key": k.hex(), "proof": encode(prove_key(tree, k)).hex()} for k in absent]
        record = {k.hex(): v.hex() for k, v in sorted(content.items())}
        cases.append({"rule": "LC-MRK-4", "records": record, "root": root_of(tree).hex(), "present": present, "absent": absent_})
    return {"cases": cases, "wrong": _wrong_proofs()}


def _wrong_proofs() -> list[dict[str, Any]]:
    content = {b"k/%d" % n: b"v%d" % n for n in range(9)}
    leaves = sorted((hashlib.sha256(k).digest(), hashlib.sha256(v).digest()) for k, v in content.items())
    tree = update(None, leaves)
    key, value = b"k/4", b"v4"
    path = hashlib.sha256(key).digest()
    good = prove_key(tree, key)
    kind = type(good)
    absent = prove_key(tree, b"k/none")
    foreign = next(prove_key(tree, k) for k in (b"k/none%d" % n for n in range(99)) if prove_key(tree, k).other)
    wrong: list[tuple[str, bytes, bytes | None, Any]] = [
        ("another value", key, b"v5", good),
        ("a present key shown as absent", key, None, good),
        ("absent by its own leaf", key, None, kind(good.siblings, path + hashlib.sha256(value).digest())),
        ("absent by a leaf from elsewhere", key, None, foreign),
        ("an absent key shown as present", b"k/none", b"", absent),
        ("presence with another leaf", key, value, kind(good.siblings, foreign.other)),
        ("a sibling changed", key, value, kind([bytes(32), *good.siblings[1:]], b"")),
        ("a sibling too few", key, value, kind(good.siblings[1:], b"")),
        ("siblings in reverse", key, value, kind(good.siblings[::-1], b"")),
        ("another leaf of 63 bytes", b"k/none", None, kind(absent.siblings, bytes(63))),
        ("257 siblings", key, value, kind([bytes(32)] * 257, b"")),
    ]
    root = root_of(tree)
    told = [(w, root, k, v, p) for w, k, v, p in wrong]
    # Roots that no state has: what is wrong is the proof's form alone.
    long = bytes(65)
    told.append(("another leaf of 65 bytes", hashlib.sha256(b"\x02" + long).digest(), b"k/none", None, kind([], long)))
    stray = next(n for n in range(99) if hashlib.sha256(b"k/none%d" % n).digest()[0] >> 7 != path[0] >> 7)
    other = hashlib.sha256(b"k/none%d" % stray).digest() + hashlib.sha256(value).digest()
    moved = _folded(path, hashlib.sha256(b"\x02" + other).digest(), good.siblings)
    told.append(("absent by a leaf that is not on the key's way", moved, key, None, kind(good.siblings, other)))
    return [
        {
            "rule": "LC-MRK-5",
            "why": why,
            "root": shown_root.hex(),
            "key": k.hex(),
            "value": None if v is None else v.hex(),
            "proof": encode(p).hex(),
        }
        for why, shown_root, k, v, p in told
    ]


def _folded(path: bytes, node: bytes, siblings: list[bytes]) -> bytes:
    """The root to which a node and its siblings lead."""
    for depth in reversed(range(len(siblings))):
        on_the_left = path[depth // 8] >> (7 - depth % 8) & 1
        pair = siblings[depth] + node if on_the_left else node + siblings[depth]
        node = hashlib.sha256(b"\x03" + pair).digest()
    return node
