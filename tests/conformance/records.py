"""The records of `protocol_spec/records.md`, written from the chapters: every field with its type and bounds."""

from __future__ import annotations

from tests.conformance import federation_records as federations
from tests.conformance import prediction_records as predictions
from tests.conformance.shapes import HIDDEN_SET, IMAGE, LIMITS, LOSS, LOSS_NODE, MEASUREMENT, OPENING
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

CAPACITY = Inline(("arch", SMALL), ("cpus_milli", UINT), ("mem_mb", UINT), ("image", UINT), ("model_cap", UINT), ("eval_s", UINT))
BALLOT = Inline(("code", SMALL), ("public", items(MEASUREMENT, 0, 1)), ("hidden", items(MEASUREMENT, 0, 1)), ("badkey", BOOL))
BALLOTS = items(BALLOT, 0, 8)
DATA_SET = Inline(("cid", REF), ("size", UINT), ("files", UINT), ("name", text(0, 32)), ("use", SMALL))
DEVICES = Inline(("kind", SMALL), ("count", UINT), ("mem_mb", UINT))
EARLIER = Inline(("job", HASH), ("cid", REF), ("size", UINT), ("loss", INT))
VALUE = Inline(("name", text(1, 64)), ("value", UINT))
ACTIONS = (
    Record("Admit", ("key", KEY), tag=1),
    Record("Remove", ("account", ID), tag=2),
    Record("SetVerifier", ("account", ID), ("on", BOOL), tag=3),
    Record("Ban", ("account", ID), tag=4),
    Record("LiftBan", ("account", ID), tag=5),
    Record("AddValidator", ("account", ID), tag=6),
    Record("RemoveValidator", ("account", ID), tag=7),
    Record("SetParameters", ("contract", SMALL), ("values", items(VALUE, 1, 16)), tag=8),
    Record("Upgrade", ("version", integer(1, 2**32 - 1, "1..2^32-1")), ("height", HEIGHT), tag=9),
)
ACTION = OneOf(*ACTIONS)
POST_JOB = Record(
    "PostJob",
    ("image", IMAGE),
    ("arch", SMALL),
    ("params", text(0, 16_384)),
    *((name, UINT) for name in ("bounty", "fee", "finalists", "expiry", "float_kind", "tol")),
    ("floor", INT),
    ("on_cheat", UINT),
    ("limits", LIMITS),
    ("hidden", items(HIDDEN_SET, 0, 1)),
    ("devices", items(DEVICES, 0, 1)),
    ("data", items(DATA_SET, 0, 8)),
    ("earlier", items(EARLIER, 0, 1)),
    tag=96,
)
MESSAGES = (
    Record("Transfer", ("target", ID), ("amount", UINT), ("memo", REF), tag=32),
    Record("Approve", ("spender", ID), ("expected", UINT), ("amount", UINT), tag=33),
    Record("TransferFrom", ("owner", ID), ("target", ID), ("amount", UINT), tag=34),
    Record("JudgeCase", ("account", ID), ("confirm", BOOL), tag=64),
    Record("ReportDouble", ("evidence", OneOf(VOTE_EVIDENCE, PROPOSAL_EVIDENCE)), tag=65),
    Record("Release", ("contract", SMALL), ("ref", REF), ("give_back", BOOL), tag=66),
    Record("SetCapacity", ("capacity", CAPACITY), tag=67),
    Record("Invite", ("key", KEY), ("expires", UINT), ("credits", UINT), tag=68),
    Record("RevokeInvite", ("invitation", HASH), tag=69),
    Record("Join", ("inviter", ID), ("invitation", KEY), ("key", KEY), ("signature", SIGNATURE), ("token", SIGNATURE), tag=70),
    Record("Leave", tag=71),
    Record("SetBoxKey", ("key", HASH), tag=72),
    Record("SetTraining", ("arch", SMALL), ("train_s", UINT), tag=73),
    Record("RotateKey", ("key", KEY), ("signature", SIGNATURE), tag=224),
    Record("SetGuardians", ("guardians", items(ID, 0, 16)), ("threshold", SMALL), ("delay", UINT), tag=225),
    Record("Recover", ("account", ID), ("key", KEY), ("signature", SIGNATURE), tag=226),
    Record("ObjectRecovery", tag=227),
    POST_JOB,
    Record("Claim", ("job", HASH), ("loss", INT), ("commitment", HASH), ("stake", BOOL), tag=97),
    Record("Reveal", ("job", HASH), ("claim", UINT), ("model", REF), ("size", UINT), ("salt", HASH), tag=98),
    Record("RevealKey", ("job", HASH), ("key", HASH), tag=99),
    Record("CommitVote", ("job", HASH), ("audit", SMALL), ("round", SMALL), ("commitment", HASH), tag=100),
    Record(
        "OpenVote",
        *(("job", HASH), ("audit", SMALL), ("round", SMALL), ("ballots", BALLOTS), ("salt", BLOCK_ID), ("candidate", SMALL)),
        *(("hidden", BOOL), ("opening", items(OPENING, 0, 1))),
        tag=101,
    ),
    Record("CancelJob", ("job", HASH), tag=102),
    Record("ExtendJob", ("job", HASH), ("expiry", UINT), tag=103),
    *predictions.MESSAGES,
    *federations.MESSAGES,
    Record("Propose", ("action", ACTION), ("expires", UINT), tag=192),
    Record("VoteProposal", ("proposal", HASH), ("yes", BOOL), tag=193),
    Record("Withdraw", ("proposal", HASH), tag=194),
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
_PARAMS = (
    *("block_bytes", "block_txs", "block_work", "quota", "max_due", "max_due_work", "block_reward", "heartbeat", "max_step"),
    *("drift", "timeout_propose", "timeout_vote", "timeout_step", "timeout_max", "evidence_age"),
    *("bandwidth_base", "bandwidth_per_credit", "bandwidth_window"),
)
_JOB = ("job_min_bounty", "job_rate", "job_min_open", "job_max_open", "job_reveal", "job_key", "job_vote_base", "job_open_votes")
PARAMS = Record("Params", *((name, UINT if name == "block_reward" else POSITIVE) for name in _PARAMS))
MEMBER_PARAMS = Record(
    "MemberParams",
    *(("appeal", POSITIVE), ("standing_life", POSITIVE), ("join_policy", integer(1, 3))),
    *(("invite_longest", POSITIVE), ("invite_rest", POSITIVE), ("invite_branch", POSITIVE)),
)
_JOB_BOUNDS = ("job_max_claimants", "job_max_live", "job_max_live_bytes", "job_keep")
JOB_PARAMS = Record("JobParams", *((name, POSITIVE) for name in (*_JOB, *_JOB_BOUNDS)))
GOVERNANCE_PARAMS = Record("GovernanceParams", ("proposal_life", POSITIVE))
_KEYS = ("key_rest", "recovery_delay_min", "recovery_delay_max", "recovery_gather")
KEY_PARAMS = Record("KeyParams", *((name, POSITIVE) for name in _KEYS))
GUARDIAN_WORD = Record("GuardianWord", ("guardian", ID), ("key", KEY))
COMING_GUARDIANS = Record(
    "ComingGuardians", ("since", UINT), ("guardians", items(ID, 0, 16)), ("threshold", SMALL), ("delay", UINT)
)
OF_CONTRACTS: dict[int, tuple[str, Record | None]] = {
    1: ("credits", None),
    2: ("membership", MEMBER_PARAMS),
    3: ("job", JOB_PARAMS),
    4: ("prediction", predictions.PARAMS),
    5: ("federation", federations.PARAMS),
    6: ("governance", GOVERNANCE_PARAMS),
    7: ("keys", KEY_PARAMS),
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
    ("accounts", items(GENESIS_ACCOUNT, 0, 65_536)),
    ("ca_cert", binary(0, 8_192)),
    ("ca_key", binary(0, 8_192)),
    ("contracts", items(SECTION, 0, 255)),
)
KEY_BYTES = binary(1, 255)
STATE_RECORD = Record("Record", ("key", KEY_BYTES), ("value", binary(0, 1_000_000)))
BASE = Record(
    "Base",
    ("chain_id", HASH),
    ("height", POSITIVE),
    ("block_id", HASH),
    ("state_root", HASH),
    ("clock", UINT),
    ("validators", VALIDATOR_SET),
    ("records", items(STATE_RECORD, 0, 262_144)),
)
RESTARTED_GENESIS = Record("RestartedGenesis", *GENESIS.fields, ("base", BASE))
SET_CHANGE = Record("ValidatorSetChange", ("header", HEADER), ("certificate", CERTIFICATE), ("validators", VALIDATOR_SET))
PATH_STEP = Record("PathStep", ("left", BOOL), ("sibling", HASH))
TRUSTED_BLOCK = Record("TrustedBlock", ("header", HEADER), ("validators", VALIDATOR_SET))
PROVEN_RECEIPT = Record(
    "ProvenReceipt",
    *(("receipt", binary(0, 1_000_000)), ("path", items(PATH_STEP, 0, 16))),
    *(("tx", binary(0, 65_536)), ("tx_path", items(PATH_STEP, 0, 16))),
)
PROVEN_RECORD = Record("ProvenRecord", ("key", KEY_BYTES), ("record", items(ANY_BYTES, 0, 1)), ("proof", STATE_PROOF))
RECEIPT_FILE = Record(
    "ReceiptFile",
    *(("kind", text(0, 32)), ("version", SMALL), ("trusted", items(TRUSTED_BLOCK, 0, 1))),
    *(("handovers", items(SET_CHANGE, 0, 1_024)), ("header", HEADER), ("certificate", CERTIFICATE)),
    *(("receipts", items(PROVEN_RECEIPT, 0, 1)), ("records", items(PROVEN_RECORD, 0, 16))),
)
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
CASE_REF = Record("CaseRef", ("ref", REF), ("contract", UINT), ("owner", ID), ("origin", ID))
CHAIN_RECORD = Record("ChainRecord", ("chain_id", HASH), ("height", HEIGHT), ("time", UINT), ("clock", UINT), ("beacon", HASH))
DUE = Record("Due", ("contract", UINT), ("ref", REF))
SUPPLY = Record("Supply", ("minted", UINT), ("burned", UINT))
BEACON_COMMITMENT = Record("BeaconCommitment", ("height", HEIGHT), ("commitment", HASH))
HISTORY = Record("History", ("sets", items(VALIDATORS, 0, 64)))
ALLOWANCE = Record("Allowance", ("amount", UINT))
MEMBER = Record(
    "Member",
    ("root", ID),
    *(("verifier", BOOL), ("verifier_since", UINT), ("rests_until", UINT)),
    *(("capacity", items(CAPACITY, 0, 1)), ("capacity_since", UINT)),
    ("strikes", items(Inline(("origin", ID), ("end", UINT)), 0, 16)),
    ("draws", items(Inline(("origin", ID), ("bad", BOOL), ("silent", BOOL)), 0, 10)),
    *(("inviter", binary(0, 20)), ("since", UINT), ("left", UINT)),
    *(("box_key", BLOCK_ID), ("box_since", UINT)),
)
SLOT = Inline(("invitation", HASH), ("state", SMALL), ("until", UINT))
PAST_VERDICT = Inline(("origin", ID), ("verdict", SMALL), ("time", UINT), ("case", UINT), ("lifted", BOOL))
JUDGED = Record("Judged", ("last", items(PAST_VERDICT, 0, 64)), ("older", UINT))
VOTES_FOR = Record("VotesFor", ("votes", items(Inline(("time", UINT), ("bad", BOOL)), 0, 10)))
CASE = Record(
    "Case",
    *(("number", UINT), ("since", UINT), ("until", UINT)),
    ("refs", items(CASE_REF, 0, 64)),
    ("confirm", items(ID)),
    ("lift", items(ID)),
)
HELD_DUE = Record("HeldDue", ("account", ID), ("time", UINT))
WORDS = items(ID, 0, 128)

# --- the state of jobs: job.md ------------------------------------------------------------------------------------------------

INDEX = integer(0, 2**32 - 1, "0..2^32-1")
INDICES = items(INDEX, 0, 8)
JOB = Record(
    "Job",
    *(("state", SMALL), ("deadline", UINT), ("draw_height", UINT), ("claimants", INDEX), ("revealed", INDEX)),
    *(("closing", BLOCK_ID), ("must", INDICES), ("finalists", INDICES), ("hidden", SMALL), ("key", BLOCK_ID)),
    *(("audit", SMALL), ("round", SMALL), ("again", INDICES), ("committed", INDEX), ("opened", INDEX)),
    ("cases", items(Inline(("account", ID), ("state", SMALL)), 0, 8)),
    ("winner", items(INDEX, 0, 1)),
    *(("fees_paid", UINT), ("fees_burned", UINT), ("burned", UINT), ("bond_burned", UINT), ("released", INDEX), ("ended", UINT)),
)
CLAIM = Record(
    "ClaimRecord",
    *(("claimant", ID), ("count", SMALL), ("loss", LOSS), ("height", UINT), ("tx", HASH), ("op", SMALL), ("commitment", HASH)),
    *(("claimed", UINT), ("full", BOOL), ("stake", UINT), ("model", REF), ("size", UINT), ("result", SMALL), ("line", SMALL)),
    ("hidden_loss", items(LOSS, 0, 1)),
)
AUDIT_ROUND = Record(
    "AuditRound",
    *(("beacon", HASH), ("probe", BLOCK_ID), ("started", UINT), ("deadline", UINT), ("hidden", BOOL)),
    *(("batch", INDICES), ("pools", INDICES), ("seats", INDICES), ("voters", items(ID, 0, 72))),
)
SHOWN = Inline(("candidate", SMALL), ("hidden", BOOL), ("losses", items(LOSS, 16, 16)))
SEAT = Record(
    "Seat",
    *(("candidates", INDICES), ("commitment", BLOCK_ID), ("ballots", BALLOTS), ("shown", items(SHOWN, 0, 16))),
    *(("complete", BOOL), ("struck", text(0, 32)), ("fee", UINT)),
)
CONTRACTOR = Record(
    "ContractorRecord",
    *((name, UINT) for name in ("posted", "live", "live_bytes", "paid", "refunded", "undecided", "unrepeatable")),
    *(("winners", items(ID, 0, 64)), ("older_winners", UINT)),
)
LEAVING = Record("Leaving", ("poster", ID), ("claimants", INDEX), ("audit", SMALL), ("round", SMALL), ("given_back", BOOL))
PARAM_VALUES = Record("ParamValues", ("contract", SMALL), ("values", items(UINT, 0, 64)))
STATE: dict[bytes, Record] = {
    b"g/": CHAIN_RECORD,
    b"gs/": SUPPLY,
    b"gv/": VALIDATORS,
    b"gn/": VALIDATORS,
    b"gh/": HISTORY,
    b"gt/": Record("ClockMarks", ("marks", items(Inline(("height", UINT), ("clock", UINT)), 0, 32))),
    b"gp/": PARAMS,
    b"gp2/": MEMBER_PARAMS,
    b"gp3/": JOB_PARAMS,
    b"gp4/": predictions.PARAMS,
    b"gp5/": federations.PARAMS,
    b"gp6/": GOVERNANCE_PARAMS,
    b"gq/": Record("PendingParams", ("sections", items(PARAM_VALUES, 0, 256))),
    b"gw/": Record("ParamHistory", ("ends", items(UINT, 0, 256))),
    b"gx/": PARAM_VALUES,
    b"gu/": Record("Protocol", ("version", UINT), ("following", items(Inline(("version", UINT), ("height", HEIGHT)), 0, 1))),
    b"op/": Record(
        "OpenProposal",
        *(("proposer", ID), ("action", ACTION), ("since", UINT), ("expires", UINT), ("yes", WORDS), ("no", WORDS), ("turn", UINT)),
    ),
    b"oc/": Record("OpenCount", ("count", integer(1, 8))),
    b"gp7/": KEY_PARAMS,
    b"gb/": BEACON_COMMITMENT,
    b"gk/": Record("KeyOwner", ("account", ID), ("since", HEIGHT)),
    b"gz/": Record("BurnedSince", ("amount", UINT)),
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
    b"mb/": Record("BanRecord", ("burned", UINT)),
    b"mc/": CASE,
    b"me/": Record("Ejection", ("height", HEIGHT)),
    b"mj/": JUDGED,
    b"mk/": Record("Invitation", ("key", KEY), ("inviter", ID), ("expires", UINT), ("credits", UINT)),
    b"mn/": Record("Cases", ("opened", UINT)),
    b"mq/": Record("Inviting", ("slots", items(SLOT, 0, 16))),
    b"mt/": Record("Branch", ("below", UINT), ("above", binary(0, 20))),
    b"mv/": VOTES_FOR,
    b"mw/": Record("Training", ("arch", SMALL), ("train_s", UINT), ("since", UINT)),
    b"kg/": Record(
        "GuardianSet",
        ("guardians", items(ID, 1, 16)),
        ("threshold", SMALL),
        ("delay", UINT),
        ("coming", items(COMING_GUARDIANS, 0, 1)),
    ),
    b"kr/": Record(
        "Recovery",
        ("since", UINT),
        ("until", UINT),
        ("words", items(GUARDIAN_WORD, 1, 16)),
        ("key", binary(0, 33)),
        ("gather", UINT),
        ("objected", BOOL),
    ),
    b"kc/": Record("KeyChanges", ("count", UINT), ("rotated", UINT), ("barred_until", UINT)),
    b"j/": Record("Live", ("number", UINT), ("expiry", UINT)),
    b"ja/": CONTRACTOR,
    b"jb/": JOB,
    b"jc/": CLAIM,
    b"jl/": LEAVING,
    b"jm/": Record("ClaimantIndex", ("index", INDEX)),
    b"jn/": Record("Numbered", ("job", HASH)),
    b"jp/": Record("Posting", ("poster", ID), ("number", UINT), ("posted", UINT), ("terms", POST_JOB)),
    b"jr/": AUDIT_ROUND,
    b"js/": SEAT,
    b"jt/": Record("Totals", ("posted", UINT)),
    **predictions.STATE,
    **federations.STATE,
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
    Record("Status", ("height", HEIGHT), ("first", HEIGHT), tag=8),
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
    Record("GetHeaders", ("height", HEIGHT), ("count", integer(1, 512)), tag=76),
    Record("Headers", ("headers", items(HEADER, 0, 512)), tag=77),
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
    Record("HasBulk", ("root", CID), ("port", integer(1, 65_535)), ("ticket", HASH), tag=6),
    Record("Later", ("root", CID), ("after_s", integer(1, 86_400)), tag=7),
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
        BASE,
        RESTARTED_GENESIS,
        SET_CHANGE,
        STATE_RECORD,
        CHANGES,
        ROUND_STATE,
        CASE_REF,
        HELD_DUE,
        GUARDIAN_WORD,
        COMING_GUARDIANS,
    ),
    *(PATH_STEP, TRUSTED_BLOCK, PROVEN_RECEIPT, PROVEN_RECORD, RECEIPT_FILE),
    *(SYNC_BLOCK, OUTCOME, OFFER, PEER_ADDRESSES, Record("Binding", ("id", ID), ("key", KEY), ("signature", SIGNATURE))),
)
RECORDS: dict[str, Record] = {r.name: r for r in (*_ALONE, *ACTIONS, *STATE.values(), *MESSAGES, *NODE, *PEERS, *CONTENT)}
VALIDATOR_SET.bind("ValidatorSet")
SCHEMAS: dict[str, Schema] = {**RECORDS, "ValidatorSet": VALIDATOR_SET}
