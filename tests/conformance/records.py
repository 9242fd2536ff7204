"""The records of `protocol_spec/records.md`, written from the chapters: every field with its type and bounds."""

from __future__ import annotations

from tests.conformance.wire import (
    ANY_BYTES,
    ANY_INTEGER,
    BLOCK_ID,
    BOOL,
    HASH,
    HEIGHT,
    ID,
    INT,
    KEY,
    POL,
    POSITIVE,
    REF,
    ROUND,
    SCALAR,
    SIGNATURE,
    SMALL,
    U32,
    UINT,
    Inline,
    OneOf,
    Record,
    Schema,
    binary,
    integer,
    items,
    text,
)

# --- messages of contracts: LC-CRD-2 to LC-CRD-4, LC-MEM-6, 10, LC-TX-10 ------------------------------------------------------

VALIDATOR = Record("Validator", ("id", ID), ("key", KEY))
VALIDATOR_SET = items(VALIDATOR, 1, 128)
VOTE = Record(
    "Vote",
    ("type", integer(1, 2)),
    ("height", HEIGHT),
    ("round", ROUND),
    ("block_id", BLOCK_ID),
    ("validator", ID),
    ("signature", SIGNATURE),
)
PROPOSAL = Record(
    "Proposal",
    ("height", HEIGHT),
    ("round", ROUND),
    ("pol_round", POL),
    ("block_id", HASH),
    ("proposer", ID),
    ("signature", SIGNATURE),
)
VOTE_EVIDENCE = Record("VoteEvidence", ("a", VOTE), ("b", VOTE), tag=1)
PROPOSAL_EVIDENCE = Record("ProposalEvidence", ("a", PROPOSAL), ("b", PROPOSAL), tag=2)

LOSS = integer(-(10**18), 10**18, "-10^18..10^18")
IMAGE = Inline(("kind", SMALL), ("reference", text(0, 512)), ("cid", REF), ("image_id", BLOCK_ID), ("size", UINT))
LIMITS = Inline(*((name, UINT) for name in ("cpus_milli", "mem_mb", "train_s", "eval_s", "model_cap", "tmp_mb", "threads")))
HIDDEN_SET = Inline(("cid", REF), ("plain_hash", HASH), ("key_hash", HASH), ("size", UINT))
BALLOT = Inline(("code", SMALL), ("measured", LOSS), ("probe", LOSS), ("hidden", SMALL), ("hidden_loss", LOSS))
MESSAGES = (
    Record("Transfer", ("target", ID), ("amount", UINT), ("memo", REF), tag=32),
    Record("Approve", ("spender", ID), ("expected", UINT), ("amount", UINT), tag=33),
    Record("TransferFrom", ("owner", ID), ("target", ID), ("amount", UINT), tag=34),
    Record("JudgeCase", ("account", ID), ("confirm", BOOL), tag=64),
    Record("ReportDouble", ("evidence", OneOf(VOTE_EVIDENCE, PROPOSAL_EVIDENCE)), tag=65),
    Record("Release", ("contract", SMALL), ("ref", REF), ("give_back", BOOL), tag=66),
    Record(
        "PostJob",
        ("image", IMAGE),
        ("params", text(0, 16_384)),
        ("bounty", UINT),
        ("fee", UINT),
        ("finalists", UINT),
        ("expiry", UINT),
        ("float_kind", UINT),
        ("tol", UINT),
        ("floor", INT),
        ("on_cheat", UINT),
        ("limits", LIMITS),
        ("hidden", items(HIDDEN_SET, 0, 1)),
        tag=96,
    ),
    Record("Claim", ("job", HASH), ("loss", INT), ("commitment", HASH), tag=97),
    Record("Reveal", ("job", HASH), ("claim", UINT), ("model", REF), ("size", UINT), ("salt", HASH), tag=98),
    Record("RevealKey", ("job", HASH), ("key", HASH), tag=99),
    Record("CommitVote", ("job", HASH), ("audit", SMALL), ("round", SMALL), ("commitment", HASH), tag=100),
    Record(
        "OpenVote", ("job", HASH), ("audit", SMALL), ("round", SMALL), ("ballots", items(BALLOT, 1, 8)), ("salt", HASH), tag=101
    ),
)

# --- blocks, transactions, consensus: LC-BLK-1 to LC-BLK-6, 9, LC-TX-1, LC-CON-1, 10 ------------------------------------------

TX_BODY = Record(
    "TxBody",
    ("net", U32),
    ("sender", ID),
    ("lane", integer(0, 3)),
    ("sequence", UINT),
    ("valid_until", HEIGHT),
    ("ops", items(OneOf(*MESSAGES, notation="message"), 1, 100)),
)
SIGNED_TX = Record("SignedTx", ("body", TX_BODY), ("signature", SIGNATURE))
CERTIFICATE = Record(
    "Certificate",
    ("height", HEIGHT),
    ("round", ROUND),
    ("block_id", HASH),
    ("signers", items(integer(0, 127), 1, 128)),
    ("signatures", items(SIGNATURE, 1, 128)),
)
_ROOTS = ("parent", "tx_root", "receipt_root", "state_root", "validators_hash", "next_validators_hash", "reveal", "commitment")
HEADER = Record(
    "Header",
    ("version", UINT),
    ("chain_id", HASH),
    ("height", HEIGHT),
    ("round", ROUND),
    ("proposer", ID),
    ("time", UINT),
    *((name, HASH) for name in _ROOTS),
)
BLOCK = Record("Block", ("header", HEADER), ("txs", items(binary(0, 65_536), 0, 8_192)))
MOVED = Record("TransferEvent", ("reason", text(0, 32)), ("source", REF), ("target", REF), ("amount", UINT), ("ref", REF), tag=1)
NOTED = Record("LogEvent", ("topic", text(0, 32)), ("ref", REF), ("data", items(SCALAR, 0, 32)), tag=2)
RECEIPT = Record("Receipt", ("tx", HASH), ("code", UINT), ("events", items(OneOf(MOVED, NOTED))))
LIST_PROOF = Record("ListProof", ("index", ANY_INTEGER), ("count", ANY_INTEGER), ("path", items(ANY_BYTES)))
STATE_PROOF = Record("StateProof", ("siblings", items(ANY_BYTES)), ("other", ANY_BYTES))
TOTAL = integer(-(2**63 - 1), 2**63 - 1, "-(2^63-1)..2^63-1")
MEASUREMENT = Record("Measurement", ("root", HASH), ("total", TOTAL), ("count", integer(1, 2**20)))
LOSS_NODE = Record("LossNode", ("hash", HASH), ("total", TOTAL), ("greatest", LOSS))
OPENING = Record(
    "Opening",
    ("greatest", items(integer(0, 2**20 - 1), 0, 8)),
    ("leaves", items(LOSS, 1, 48)),
    ("siblings", items(LOSS_NODE, 0, 240)),
)
_PARAMS = (
    *("block_bytes", "block_txs", "block_work", "quota", "max_due", "max_due_work", "block_reward", "heartbeat", "max_step"),
    *("drift", "timeout_propose", "timeout_vote", "timeout_step", "timeout_max", "evidence_age"),
    *("bandwidth_base", "bandwidth_per_credit", "bandwidth_window"),
)
_JOB = ("job_min_open", "job_max_open", "job_reveal", "job_key", "job_vote_base", "job_open_votes")
PARAMS = Record("Params", *((name, UINT if name == "block_reward" else POSITIVE) for name in _PARAMS))
MEMBER_PARAMS = Record("MemberParams", ("appeal", POSITIVE), ("strike_life", POSITIVE))
_JOB_BOUNDS = ("job_max_claimants", "job_max_live", "job_max_live_bytes", "job_keep")
JOB_PARAMS = Record("JobParams", *((name, POSITIVE) for name in (*_JOB, *_JOB_BOUNDS)))
OF_CONTRACTS: dict[int, tuple[str, Record | None]] = {
    1: ("credits", None),
    2: ("membership", MEMBER_PARAMS),
    3: ("job", JOB_PARAMS),
}
"""LC-BLK-32: the contracts of a network, and the record of each one's parameters."""
SECTION = Record("Section", ("number", integer(1, 255)), ("values", items(UINT, 0, 64)))
GENESIS_ACCOUNT = Record("GenesisAccount", ("key", KEY), ("credits", UINT), ("validator", BOOL), ("verifier", BOOL))
GENESIS = Record(
    "Genesis",
    ("version", UINT),
    ("name", text(1, 64)),
    ("time", UINT),
    ("params", PARAMS),
    ("accounts", items(GENESIS_ACCOUNT, 1, 65_536)),
    ("ca_cert", binary(0, 8_192)),
    ("ca_key", binary(0, 8_192)),
    ("contracts", items(SECTION, 0, 255)),
)
SET_CHANGE = Record("ValidatorSetChange", ("header", HEADER), ("certificate", CERTIFICATE), ("validators", VALIDATOR_SET))
KEY_BYTES = binary(1, 255)
STATE_RECORD = Record("Record", ("key", KEY_BYTES), ("value", binary(0, 1_000_000)))
CHANGES = Record("StateDiff", ("put", items(STATE_RECORD, 0, 65_536)), ("gone", items(KEY_BYTES, 0, 65_536)))
ROUND_STATE = Record(
    "RoundState",
    ("height", HEIGHT),
    ("round", ROUND),
    ("step", integer(0, 4)),
    ("locked_round", POL),
    ("locked_id", BLOCK_ID),
    ("valid_round", POL),
    ("valid_id", BLOCK_ID),
    ("own_votes", items(VOTE, 0, 4)),
    ("has_proposal", BOOL),
    ("prevotes", binary(0, 16)),
    ("precommits", binary(0, 16)),
)

# --- the state: LC-MRK-7 ------------------------------------------------------------------------------------------------------

ACCOUNT = Record(
    "Account",
    ("key", KEY),
    ("status", integer(0, 2)),
    ("balance", UINT),
    ("frozen", UINT),
    ("sequences", items(UINT, 4, 4)),
    ("arrival", UINT),
)
VALIDATORS = Record("Validators", ("since", HEIGHT), ("members", VALIDATOR_SET))
CASE_REF = Record("CaseRef", ("ref", REF), ("contract", UINT), ("accuser", ID))
CHAIN_RECORD = Record("ChainRecord", ("chain_id", HASH), ("height", HEIGHT), ("time", UINT), ("clock", UINT), ("beacon", HASH))
DUE = Record("Due", ("contract", UINT), ("ref", REF))
SUPPLY = Record("Supply", ("minted", UINT), ("burned", UINT))
BEACON_COMMITMENT = Record("BeaconCommitment", ("height", HEIGHT), ("commitment", HASH))
HISTORY = Record("History", ("sets", items(VALIDATORS, 0, 64)))
ALLOWANCE = Record("Allowance", ("amount", UINT))
MEMBER = Record(
    "Member", ("verifier", BOOL), ("verifier_since", UINT), ("strikes", items(UINT, 0, 16)), ("draws", items(BOOL, 0, 10))
)
CASE = Record(
    "Case",
    ("until", UINT),
    ("refs", items(CASE_REF, 0, 64)),
    ("corroborated", BOOL),
    ("confirm", items(ID)),
    ("lift", items(ID)),
)
HELD_DUE = Record("HeldDue", ("account", ID), ("time", UINT))
WORDS = items(ID, 0, 128)
STATE: dict[bytes, Record] = {
    b"g/": CHAIN_RECORD,
    b"gs/": SUPPLY,
    b"gv/": VALIDATORS,
    b"gn/": VALIDATORS,
    b"gh/": HISTORY,
    b"gp/": PARAMS,
    b"gp2/": MEMBER_PARAMS,
    b"gp3/": JOB_PARAMS,
    b"gb/": BEACON_COMMITMENT,
    b"a/": ACCOUNT,
    b"e/": Record("Escrow", ("amount", UINT)),
    b"d/": DUE,
    b"p/": Record(
        "Parked",
        ("height", HEIGHT),
        ("reason", text(0, 32)),
        ("held", items(HELD_DUE, 0, 64)),
        ("retry", WORDS),
        ("give_back", WORDS),
    ),
    b"ca/": ALLOWANCE,
    b"m/": MEMBER,
    b"mc/": CASE,
    b"me/": Record("Ejection", ("height", HEIGHT)),
}

# --- peers: the table of node.md, LC-P2P-3, 15, 21, 30, LC-CONTENT-8 ----------------------------------------------------------

SHORT_ID = binary(8, 8)
RAW_TXS = items(binary(0, 65_536), 1, 512)
PLACES = items(integer(0, 8_191), 0, 8_192)
RAW_BLOCK = binary(0, 4_065_536)
SYNC_BLOCK = Record("SyncBlock", ("block", RAW_BLOCK), ("certificate", CERTIFICATE))
OUTCOME = Record(
    "ExecutedBlock",
    ("block", RAW_BLOCK),
    ("certificate", CERTIFICATE),
    ("receipts", items(binary(0, 1_000_000), 0, 8_193)),
    ("changes", CHANGES),
)
OFFER = Record("Offer", ("header", HEADER), ("certificate", CERTIFICATE), ("subroots", binary(0, 3_022_848)))
NODE = (
    Record("Txs", ("txs", RAW_TXS), tag=1),
    Record("TxIds", ("ids", items(SHORT_ID, 1, 512)), tag=2),
    Record("GetTxs", ("ids", items(SHORT_ID, 1, 512)), tag=3),
    Record("CompactProposal", ("proposal", PROPOSAL), ("header", HEADER), ("ids", items(SHORT_ID, 0, 8_192)), tag=4),
    Record("VoteMessage", ("vote", VOTE), tag=5),
    Record("CertificateMessage", ("certificate", CERTIFICATE), tag=6),
    Record("StateMessage", ("state", ROUND_STATE), tag=7),
    Record("Status", ("height", HEIGHT), tag=8),
    Record("GetBlock", ("height", HEIGHT), ("block_id", HASH), ("missing", PLACES), tag=9),
    Record("BlockTxs", ("block_id", HASH), ("missing", PLACES), ("txs", items(binary(0, 65_536), 0, 8_192)), tag=10),
    Record("FullBlock", ("block", RAW_BLOCK), tag=11),
    Record("GetBlocks", ("start", HEIGHT), ("count", integer(1, 64)), tag=12),
    Record("Blocks", ("blocks", items(SYNC_BLOCK, 0, 64)), tag=13),
    Record("Links", ("validators", items(ID, 0, 128)), tag=14),
    Record("GetExecutedBlocks", ("start", HEIGHT), ("count", integer(1, 64)), tag=32),
    Record("ExecutedBlocks", ("blocks", items(OUTCOME, 0, 64)), tag=33),
    Record("GetSnapshot", tag=34),
    Record("Snapshot", ("making", BOOL), ("offers", items(OFFER, 0, 1)), tag=35),
    Record("GetValidatorChanges", ("start", HEIGHT), tag=36),
    Record("ValidatorChanges", ("validator_changes", items(SET_CHANGE, 0, 64)), tag=37),
    Record("GetBuckets", ("height", HEIGHT), ("numbers", items(UINT, 1, 256)), tag=38),
    Record(
        "Buckets",
        ("height", HEIGHT),
        ("numbers", items(UINT, 0, 256)),
        ("buckets", items(binary(0, 4_200_000), 0, 256)),
        tag=39,
    ),
)
ADDRESS = text(3, 260)
PEER_ADDRESSES = Record("PeerAddresses", ("id", ID), ("addresses", items(ADDRESS, 1, 4)))
PEERS = (
    Record(
        "Hello",
        ("version", U32),
        ("chain_id", HASH),
        ("port", integer(0, 65_535)),
        ("addresses", items(ADDRESS, 0, 4)),
        ("height", HEIGHT),
        tag=1,
    ),
    Record("GetPeers", tag=2),
    Record("Peers", ("peers", items(PEER_ADDRESSES, 0, 64)), tag=3),
    Record("Ping", ("nonce", UINT), tag=4),
    Record("Pong", ("nonce", UINT), tag=5),
)
CID = binary(36, 36)
CONTENT = (
    Record("WhoHas", ("root", CID), tag=1),
    Record("Has", ("root", CID), tag=2),
    Record("DontHave", ("root", CID), tag=3),
    Record("WantBlocks", ("root", CID), ("blocks", items(CID, 1, 32)), tag=4),
    Record("ContentBlock", ("root", CID), ("cid", CID), ("data", binary(0, 262_144)), tag=5),
)

_ALONE = (
    *(TX_BODY, SIGNED_TX, VALIDATOR, VOTE, PROPOSAL, VOTE_EVIDENCE, PROPOSAL_EVIDENCE, CERTIFICATE, HEADER, BLOCK, MOVED, NOTED),
    *(
        RECEIPT,
        LIST_PROOF,
        STATE_PROOF,
        MEASUREMENT,
        LOSS_NODE,
        OPENING,
        GENESIS_ACCOUNT,
        SECTION,
        GENESIS,
        SET_CHANGE,
        STATE_RECORD,
        CHANGES,
        ROUND_STATE,
        CASE_REF,
        HELD_DUE,
    ),
    *(SYNC_BLOCK, OUTCOME, OFFER, PEER_ADDRESSES, Record("Binding", ("id", ID), ("key", KEY), ("signature", SIGNATURE))),
)
RECORDS: dict[str, Record] = {r.name: r for r in (*_ALONE, *STATE.values(), *MESSAGES, *NODE, *PEERS, *CONTENT)}
VALIDATOR_SET.bind("ValidatorSet")
SCHEMAS: dict[str, Schema] = {**RECORDS, "ValidatorSet": VALIDATOR_SET}
