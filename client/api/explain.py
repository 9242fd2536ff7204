"""What every receipt code means and what to do about it, for people. The ledger knows numbers only.

A contract that is not listed here still answers with its code's name: nothing breaks when one is added.
"""

from __future__ import annotations

from chain.contracts.credits import CreditCode
from chain.contracts.job import JobCode
from chain.contracts.membership import MemberCode
from chain.errors import Code, TxCode
from chain.params import MAX_VALID_FOR

_READ_JOB = "Read the job (GET /v1/jobs/{id}) and send what fits its present state"
_TEXTS: dict[int, tuple[str, str]] = {
    Code.INSUFFICIENT_CREDITS: ("the sender has too few free credits", "Use a smaller amount, or wait until credits arrive"),
    Code.UNKNOWN_ACCOUNT: ("this network has no such account", "Check the address: GET /v1/accounts lists every account"),
    Code.BAD_AMOUNT: ("the amount must be at least one micro-credit (0.000001)", "Use a positive amount"),
    Code.OVERFLOW: ("a number would exceed the largest that the ledger holds", "Use a smaller amount"),
    Code.NOT_ALLOWED: ("the rules do not allow this now", "Try again in a later block"),
    Code.PARKED: (
        "a program failed at this job or account, and nothing happens to it until the validators release it",
        "Wait; GET /v1/status lists what is parked. Its credits are kept",
    ),
    CreditCode.SELF_TRANSFER: ("source and target are the same account", "Name another account"),
    CreditCode.ALLOWANCE_CHANGED: ("the allowance is no longer what the message expected", "Read it again, then repeat"),
    CreditCode.ALLOWANCE_TOO_SMALL: ("the owner's allowance is smaller than the amount", "Ask the owner for a larger allowance"),
    CreditCode.OWNER_NOT_ACTIVE: ("the owner of the credits is suspended or banned", "Nothing can be taken from this account now"),
    MemberCode.NOT_A_VALIDATOR: ("only validators judge and release", "Send this from a validator's node"),
    MemberCode.NO_CASE: ("there is no open case against this account", "GET /v1/accounts/{id} shows whether a case is open"),
    MemberCode.ALREADY_VOTED: ("this word is recorded already", "Nothing to do; the opposite word would replace it"),
    MemberCode.BAD_EVIDENCE: ("the evidence shows no double signing", "Send two conflicting signatures of one validator"),
    MemberCode.OLD_EVIDENCE: ("the evidence is too old, or of a height that is not decided", "Nothing to do"),
    MemberCode.KNOWN_EVIDENCE: ("this double signing was dealt with", "Nothing to do"),
    MemberCode.LAST_VALIDATOR: ("the last validator cannot be removed", "Nothing to do"),
    MemberCode.NOT_PARKED: ("this is not parked", "GET /v1/status lists what is parked"),
    MemberCode.NOTHING_TO_GIVE_BACK: ("this contract holds nothing that could be given back", "Release it to run again"),
    JobCode.NO_SUCH_JOB: ("there is no such job", "GET /v1/jobs lists the jobs"),
    JobCode.BAD_EXPIRY: (
        "the expiry is too near or too far away on the chain clock",
        "Choose another expires_in_s, with a second to spare",
    ),
    JobCode.IMPOSSIBLE_LIMIT: ("a limit is more than any machine offers, or less than a container needs", "Correct that limit"),
    JobCode.BAD_IMAGE: (
        "the image is not named by its content, or its size is impossible",
        "Use name@sha256:<64 hex> for a registry image, or cid, image_id and size for an archive",
    ),
    JobCode.BAD_TERMS: ("a term of the job is out of bounds", "Correct bounty, fee, finalists, tol, floor or on_cheat"),
    JobCode.BAD_HIDDEN: ("the hidden data is not named by a CID with a possible size", "Correct the hidden data"),
    JobCode.BAD_PARAMS: ("params are larger than 8192 bytes", "Keep settings in params and put data into the image"),
    JobCode.NOT_ACTIVE: ("the sender is suspended or banned", "GET /v1/accounts/{id} shows the case and its end"),
    JobCode.TOO_MANY_STRIKES: ("the sender has three live strikes", "Wait until one ends: GET /v1/accounts/{id} shows when"),
    JobCode.WRONG_STATE: ("the job is in another state", _READ_JOB),
    JobCode.TOO_LATE: ("the deadline has passed on the chain clock", "Nothing to do: the window does not open again"),
    JobCode.OWN_JOB: ("a contractor may not claim on its own job", "Let other nodes work on it"),
    JobCode.BAD_LOSS: ("the loss lies outside of what the job allows", "Check the loss against the job's floor"),
    JobCode.NOT_BETTER: ("the loss is no sufficient improvement on the own last claim", "Claim only at or below next_at_most"),
    JobCode.TOO_MANY_CLAIMS: ("the claims of this account on this job are used up", "The last claim stands"),
    JobCode.JOB_FULL: ("the job has as many claimants as the network allows", "Choose another job"),
    JobCode.NO_CLAIM: ("the sender has no claim on this job", _READ_JOB),
    JobCode.CLAIM_REPLACED: ("that claim was replaced by a later one", "Reveal the last claim"),
    JobCode.ALREADY_REVEALED: ("the claim is revealed already", "Nothing to do"),
    JobCode.REVEAL_MISMATCH: ("model and salt do not open the claim's commitment", "Reveal exactly the model that was claimed"),
    JobCode.BAD_MODEL: ("the model is not named by a CID, or is larger than the job allows", "Check it against model_cap"),
    JobCode.NOT_POSTER: ("only the contractor of the job may do this", "Send it from the contractor's node"),
    JobCode.WRONG_KEY: ("the key is not the one committed to at posting", "Reveal the key that belongs to the posted hash"),
    JobCode.NOT_IN_COMMITTEE: ("the sender has no seat in this committee", "Nothing to do"),
    JobCode.WRONG_ROUND: ("the job is in another audit or round", _READ_JOB),
    JobCode.ALREADY_COMMITTED: ("the vote of this round is committed already", "Nothing to do"),
    JobCode.NOT_COMMITTED: ("no vote was committed in this round", "Nothing to do: the window to commit is over"),
    JobCode.ALREADY_OPENED: ("the vote of this round is open already", "Nothing to do"),
    JobCode.VOTE_MISMATCH: ("ballots and salt do not open the commitment", "Open exactly the ballots that were committed"),
    JobCode.BAD_VOTE: ("a ballot contradicts itself or the seat", "Check the ballots against the job"),
    JobCode.TOO_MANY_LIVE: (
        "this account has as many live jobs, or as many bytes of live postings, as the network allows",
        "Wait until one of its jobs ends: GET /v1/jobs lists them",
    ),
    TxCode.MALFORMED: ("the bytes are no transaction", "Encode and sign the transaction again"),
    TxCode.FOREIGN_NETWORK: ("it was signed for another network", "Sign it with this network's chain id (GET /v1/status)"),
    TxCode.BAD_SIGNATURE: ("the signature does not fit", "Sign with the sender's current key"),
    TxCode.UNKNOWN_SENDER: ("the sender is no member of this network", "Check the sender, or have it admitted"),
    TxCode.NOT_ACTIVE: ("the sender is suspended or banned", "GET /v1/accounts/{id} shows the case and its end"),
    TxCode.SEQUENCE_USED: ("the sequence was used", "Sign again with the account's next sequence"),
    TxCode.SEQUENCE_GAP: ("an earlier sequence is missing", "Send the earlier transaction first"),
    TxCode.EXPIRED: ("its last height has passed", "Sign it again with a later valid_until"),
    TxCode.TOO_FAR_AHEAD: ("valid_until lies too far ahead", f"Use a valid_until within {MAX_VALID_FOR:,} blocks"),
    TxCode.QUOTA: ("the sender's quota for a block is used up", "Wait a block, then send it again"),
    TxCode.MEMPOOL_FULL: (
        "there is no room for it in this node's mempool",
        "GET /v1/status shows what is full; blocks take what waits",
    ),
    TxCode.REFUSED: (
        "it is refused, like many before it of the same sender in one block",
        "Mend what the code in this text says, and sign it again with the next sequence",
    ),
    TxCode.QUARANTINED: ("the transaction was set aside because it breaks an invariant", "Report it with the transaction's id"),
}


def explain(code: int) -> tuple[str, str]:
    """(why, what to do) behind a code."""
    return _TEXTS.get(
        int(code), (f"refused with code {int(code)}", "The contract's chapter of the specification says what it means")
    )
