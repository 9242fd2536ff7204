"""Valid inputs of each target to start from: the vectors of the spec, and small documents made here.

`of` also returns what was found to break something once (`found/NAME/*`): those inputs stay tried for ever.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import RoundState
from learningchain.chain.consensus.wal import Polka, SignIntent
from learningchain.chain.contracts import decode_message
from learningchain.chain.crypto import address
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.genesis import GenesisAccount, from_json, to_json
from learningchain.chain.ledger.snapshot import Offer, ValidatorSetChange
from learningchain.chain.ledger.state_diff import Record, StateDiff
from learningchain.chain.node import messages as node
from learningchain.chain.types import Certificate, Header, Proposal, Validator, Vote
from learningchain.p2p import mdns, wire
from learningchain.p2p.content import cid, dag
from learningchain.p2p.content import messages as content
from tests.fuzz.of_chain import RECORDS, join
from tests.fuzz.of_p2p import CHAIN, NOW
from tests.unit import consensus_kit as kit

VECTORS = Path(__file__).parents[2] / "protocol_spec" / "vectors"
FOUND = Path(__file__).parent / "found"


@cache
def _vector(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


@cache
def _encodings() -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for entry in _vector("encodings")["canonical"]:
        found.setdefault(entry["type"], []).append(bytes.fromhex(entry["bytes"]))
    return found


def _first(kind: type) -> Any:
    return msgspec.msgpack.decode(_encodings()[kind.__name__][0], type=kind)


def first_header() -> Header:
    return _first(Header)  # type: ignore[no-any-return]


def _records() -> list[bytes]:
    named = {getattr(kind, "__name__", "Evidence"): i for i, kind in enumerate(RECORDS)}
    return [bytes([named[name]]) + raw for name, raws in _encodings().items() if name in named for raw in raws]


def _operations() -> list[bytes]:
    found = []
    for raws in _encodings().values():
        for raw in raws:
            try:
                decode_message(raw)
            except Malformed:
                continue
            found.append(raw)
    return found


def _offer() -> Offer:
    return Offer(_first(Header), _first(Certificate), b"\0\7\2" + bytes(32))


def _node_messages() -> list[bytes]:
    vote, proposal, header, certificate = _first(Vote), _first(Proposal), _first(Header), _first(Certificate)
    state = RoundState(kit.HEIGHT, 0, 1, -1, b"", -1, b"", [vote], False, b"\1", b"\0")
    block = _encodings()["Block"][0]
    local = kit.make_vote(1, kit.HEIGHT, 0, kit.block("A"), kit.ident(0))
    mine = kit.make_proposal(kit.HEIGHT, 0, -1, kit.block("A"), kit.ident(0))
    made: list[Any] = [
        node.Txs(_encodings()["SignedTx"]), node.TxIds([bytes(8)]), node.GetTxs([bytes(8)]),
        node.CompactProposal(proposal, header, [bytes(8)]), node.CompactProposal(mine, header, []),
        node.VoteMessage(vote), node.VoteMessage(local), node.CertificateMessage(certificate), node.StateMessage(state),
        node.CertificateMessage(kit.certificate([0, 1, 2], 0, "A")), node.Status(7, 1), node.GetBlock(3, bytes(32), [1]),
        node.BlockTxs(bytes(32), [0], _encodings()["SignedTx"]), node.FullBlock(block), node.GetBlocks(1, 64),
        node.Blocks([node.SyncBlock(block, certificate)]), node.Links([bytes(20)]),
        node.GetSnapshot(), node.Snapshot(True, []), node.Snapshot(False, [_offer()]), node.GetValidatorChanges(1),
        node.ValidatorChanges([ValidatorSetChange(_offer().header, certificate, [Validator(bytes(20), b"\x02" + bytes(32))])]),
        node.GetBuckets(9, [0, 7, 65_535]), node.Buckets(9, [7], [encode([b"a/", b"v"])]),
        node.GetHeaders(9, 512), node.Headers([_offer().header]), node.Headers([]),
        node.GetExecutedBlocks(1, 64), node.ExecutedBlocks([node.ExecutedBlock(block, certificate, [b"r"], StateDiff([Record(b"a/",
        b"v")], [b"b/"]))]),
    ]  # fmt: skip
    return [encode(message) for message in made]


def _consensus_records() -> list[bytes]:
    vote, proposal = _first(Vote), _first(Proposal)
    return [bytes(SignIntent(4, 1, 1, -1, b"", [vote], [proposal])), bytes(Polka(4, 1, bytes(32), True, [vote], [], []))]


def _node_log() -> list[bytes]:
    return [
        join([b"B" + _encodings()["Block"][0], *(b"C" + r for r in _consensus_records()), b"D" + _encodings()["Certificate"][0]])
    ]


def _genesis() -> list[bytes]:
    from learningchain.chain.ledger.genesis import Genesis
    from tests.vectors.kit import key_of

    found = msgspec.msgpack.decode(bytes.fromhex(_vector("genesis")["bytes"]), type=Genesis)
    small = msgspec.structs.replace(found, accounts=[GenesisAccount(key_of("alice").public, 5, True, True)])
    return [to_json(from_json(to_json(found))), to_json(small), _restarted()]


def _restarted() -> bytes:
    """A genesis with a base, small: one account, which validates."""
    document = json.loads(_vector("restarts")["cases"][0]["file"])
    base = document["base"]
    ((identity, key), *_) = base["validators"].items()
    account = b"a/" + bytes.fromhex(identity)
    kept = {k: v for k, v in base["records"].items() if k.startswith(b"gp".hex()) or k == account.hex()}
    balance = msgspec.msgpack.decode(bytes.fromhex(kept[account.hex()]))[2]
    kept[b"gs/".hex()] = encode([balance, 0]).hex()
    document["base"] = base | {"validators": {identity: key}, "records": dict(sorted(kept.items()))}
    return to_json(from_json(json.dumps(document).encode()))


def _transactions() -> list[bytes]:
    return [bytes.fromhex(case["bytes"]) for case in _vector("transactions")["cases"]]


def _list_proofs() -> list[bytes]:
    return [bytes(64) + raw for raw in _encodings()["ListProof"]]


def _state_proofs() -> list[bytes]:
    return [bytes(64) + raw for raw in _encodings()["StateProof"]]


def _signatures() -> list[bytes]:
    return [bytes.fromhex(c["key"] + c["digest"] + c["signature"]) for c in _vector("signatures")["cases"] if "digest" in c]


def _addresses() -> list[bytes]:
    return [address(bytes(range(20))).encode(), *(case["address"].encode() for case in _vector("identities")["good"])]


def _peers_messages() -> list[bytes]:
    made: list[Any] = [
        wire.Hello(1, CHAIN, 7400, ["example.org:7400", "[2001:db8::1]:7400"], 5), wire.GetPeers(), wire.Ping(7), wire.Pong(7),
        wire.Peers([wire.PeerAddresses(bytes(20), ["10.0.0.1:7400"])]),
    ]  # fmt: skip
    return [encode(message) for message in made]


def _hellos() -> list[bytes]:
    return [bytes([wire.PEERS]) + raw for raw in _peers_messages()]


def _lan_packets() -> list[bytes]:
    said = mdns.Announcement(CHAIN, bytes(20), 7_400)
    return [mdns.question(), mdns.announcement(said, ipaddress.IPv4Address("192.168.1.5"))]


def _frames() -> list[bytes]:
    small, large = wire.message(wire.PEERS, b"abc"), wire.message(wire.NODE, bytes(70_000))
    first, at = wire.part_frame(0, large, 0)
    return [join([small, wire.batch_frame([small, small])]), join([first[:40_000], wire.part_frame(0, large, at)[0]])]


@cache
def _certificates() -> list[bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from learningchain.chain.crypto import SigningKey, account_id
    from learningchain.p2p.tls import issue_leaf, make_ca

    key = SigningKey(b"\5" * 32)
    leaf = issue_leaf(key, account_id(key.public), CHAIN, make_ca(NOW), NOW)
    return [x509.load_pem_x509_certificate(leaf.cert_pem).public_bytes(Encoding.DER)]


def _endpoints() -> list[bytes]:
    return [b"example.org:7400", b"10.0.0.1:1", b"[2001:db8::1]:65535", b"[::ffff:1.2.3.4]:80"]


def _seeds() -> list[bytes]:
    return [*_endpoints(), _addresses()[0] + b"@example.org:7400"]


def _peer_books() -> list[bytes]:
    return [b'{"version":1,"members":{"%s":[["example.org:7400",1700000000.5,2]]}}' % _addresses()[0]]


_LEAF = cid.cid_of(cid.Codec.RAW, b"leaf")


def _content_nodes() -> list[bytes]:
    node_cid = cid.cid_of(cid.Codec.DAG_PB, b"node")
    return [
        dag.encode_node(dag.CHUNK + 5, 1, [_LEAF, _LEAF]),
        dag.encode_node(dag.CHUNK * 10, 1, [_LEAF] * 10),
        dag.encode_node(dag.CHUNK * 200, 2, [node_cid] * 2),  # larger than is wanted
    ]


def _content_messages() -> list[bytes]:
    raw = _LEAF.to_bytes()
    made: list[Any] = [
        content.WhoHas(raw),
        content.HasBulk(raw, 7_402, bytes(32)),
        content.DontHave(raw),
        content.Later(raw, 3_600),
        content.WantBlocks(raw, [raw]),
        content.ContentBlock(raw, raw, b"leaf"),
    ]
    return [encode(message) for message in made]


MAKERS: dict[str, Callable[[], list[bytes]]] = {
    "record": _records,
    "transaction": _transactions,
    "operation": _operations,
    "node-message": _node_messages,
    "block": lambda: _encodings()["Block"],
    "certificate": lambda: _encodings()["Certificate"],
    "consensus-record": _consensus_records,
    "node-log": _node_log,
    "genesis-file": _genesis,
    "list-proof": _list_proofs,
    "state-proof": _state_proofs,
    "signature": _signatures,
    "address": _addresses,
    "loss": lambda: [b"0", b"-0.1", b"123456789.123456789012345678", b"0.000000001"],
    "credits": lambda: [b"0", b"12", b"0.5", b"9223372036854.775807"],
    "reference": lambda: [b"registry.example:5000/a/b:1@sha256:" + b"0" * 64, b"job@sha256:" + b"f" * 64],
    "peers-message": _peers_messages,
    "hello": _hellos,
    "frames": _frames,
    "lan-packet": _lan_packets,
    "tls-certificate": _certificates,
    "endpoint": _endpoints,
    "seed": _seeds,
    "peer-book-file": _peer_books,
    "cid-bytes": lambda: [_LEAF.to_bytes()],
    "cid-text": lambda: [str(_LEAF).encode()],
    "content-message": _content_messages,
    "content-node": _content_nodes,
}


def of(name: str) -> list[bytes]:
    """Valid examples of a target."""
    from tests.fuzz import (
        of_answers,
        of_asking,
        of_cluster,
        of_data,
        of_federation,
        of_ledger,
        of_losses,
        of_machines,
        of_people,
        of_snapshots,
    )
    from tests.fuzz.documents import DOCUMENTS

    parts = (of_cluster, of_machines, of_ledger, of_losses, of_answers, of_snapshots, of_people, of_asking, of_data, of_federation)
    made = (MAKERS, DOCUMENTS, *(module.EXAMPLES for module in parts))
    return next(makers[name] for makers in made if name in makers)()


def found(name: str) -> list[Path]:
    """Inputs that broke something once."""
    return sorted((FOUND / name).glob("*")) if (FOUND / name).is_dir() else []
