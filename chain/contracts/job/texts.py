"""What people are told of this contract: why a message is refused, what an event's data are, how fields are shown."""

from __future__ import annotations

from chain.contracts.job.messages import JobCode
from chain.contracts.job.records import Holdback, JobState
from chain.contracts.job.rules import HiddenVote, OnCheat, Result, Rule, VoteCode
from chain.host import Data, Datum, Form, OneOf
from chain.host.terms import ImageKind
from chain.verification.scale import FloatKind

_READ_JOB = "Read the job (GET /v1/jobs/{id}) and send what fits its present state"
TEXTS: dict[int, tuple[str, str]] = {
    JobCode.NO_SUCH_JOB: (
        "there is no such job, or it ended and its records have left the state",
        "GET /v1/jobs/{id} tells of a job that ended",
    ),
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
}

_AUDIT = (Datum("audit"), Datum("round"))
_CLAIMANT, _VOTER = Datum("claimant", Form.ID), Datum("voter", Form.ID)
_LOSS, _DEADLINE = Datum("loss", Form.LOSS), Datum("deadline", Form.TIME)
_BOUNTY = Datum("bounty", Form.CREDITS)
EVENTS: dict[str, Data] = {
    "job.posted": (Datum("poster", Form.ID), _BOUNTY, Datum("fee", Form.CREDITS), Datum("expiry", Form.TIME)),
    "claim": (_CLAIMANT, _LOSS, Datum("claim")),
    "reveal.open": (_DEADLINE, Datum("must", Form.ID, many=True)),
    "reveal": (_CLAIMANT, _LOSS, Datum("model", Form.ID), Datum("size")),
    "silent": (_CLAIMANT,),
    "key.open": (_DEADLINE,),
    "key": (Datum("key", Form.HASH),),
    "key.missing": (),
    "key.bad": (),
    "audit": (*_AUDIT, _DEADLINE, Datum("models", Form.ID, many=True)),
    "dropped": (_CLAIMANT,),
    "commit": (*_AUDIT, _VOTER),
    "count": (*_AUDIT, _DEADLINE),
    "second.round": (Datum("audit"), Datum("candidates", many=True)),
    "vote": (*_AUDIT, _VOTER, Datum("candidate"), Datum("vote", OneOf(VoteCode, upper=True)), Datum("measured", Form.LOSS)),
    "verdict": (
        *_AUDIT,
        _CLAIMANT,
        Datum("result", OneOf(Result, upper=True)),
        Datum("rule", OneOf(Rule, upper=True)),
        Datum("opened"),
    ),
    "paid": (Datum("winner", Form.ID), _BOUNTY, Datum("model", Form.ID), _LOSS),
    "refunded": (Datum("poster", Form.ID), Datum("amount", Form.CREDITS)),
    "empty": (Datum("poster", Form.ID),),
    "tenth": (Datum("amount", Form.CREDITS), Datum("state", OneOf(Holdback))),
    "job.left": (Datum("state", OneOf(JobState, upper=True)), Datum("ended", Form.TIME)),
}
FORMS: dict[str, Form | OneOf] = {
    "job": Form.HASH,
    "bounty": Form.CREDITS,
    "fee": Form.CREDITS,
    "loss": Form.LOSS,
    "tol": Form.LOSS,
    "floor": Form.LOSS,
    "measured": Form.LOSS,
    "probe": Form.LOSS,
    "hidden_loss": Form.LOSS,
    "float_kind": OneOf(FloatKind),
    "on_cheat": OneOf(OnCheat),
    "Image.kind": OneOf(ImageKind),
    "Ballot.code": OneOf(VoteCode, upper=True),
    "Ballot.hidden": OneOf(HiddenVote, upper=True),
}
