"""What people are told of this contract: why a message is refused and what to do, and for what rule credits move."""

from __future__ import annotations

from learningchain.chain.contracts.job.messages import JobCode
from learningchain.client.schema.explain import TextsPart

_READ_JOB = "Read the job (GET /v1/jobs/{id}) and send what fits its present state"
TEXTS: dict[int, tuple[str, str]] = {
    JobCode.NO_SUCH_JOB: (
        "there is no such job, or it ended and its records have left the state",
        "GET /v1/jobs/{id} tells of a job that ended",
    ),
    JobCode.BAD_EXPIRY: (
        "the expiry is too near or too far away on the chain clock, or not later than before",
        "Choose another expires_in_s, with a second to spare",
    ),
    JobCode.IMPOSSIBLE_LIMIT: ("a limit is more than any machine offers, or less than a container needs", "Correct that limit"),
    JobCode.BAD_IMAGE: (
        "the image is not named by its content, or its size is impossible",
        "Use name@sha256:<64 hex> for a registry image, or cid, image_id and size for an archive",
    ),
    JobCode.BAD_TERMS: ("a term of the job is out of bounds", "Correct arch, finalists, float_kind, tol, floor or on_cheat"),
    JobCode.BAD_HIDDEN: ("the hidden data is not named by a CID with a possible size", "Correct the hidden data"),
    JobCode.BAD_PARAMS: ("params are larger than 8192 bytes", "Keep settings in params and put data into the image"),
    JobCode.SUSPENDED: (
        "a case against the sender is open: it may not post, nor claim on jobs of the posters in the case",
        "GET /v1/accounts/{id} shows the case and its end; seats, reveals and other posters' jobs go on",
    ),
    JobCode.NO_STANDING: (
        "the sender has live strikes from the jobs of three posters",
        "Wait until one ends: GET /v1/accounts/{id} shows when",
    ),
    JobCode.WRONG_STATE: ("the job is not yet in the state for this", _READ_JOB),
    JobCode.TOO_LATE: ("the deadline has passed on the chain clock", "Nothing to do: the window does not open again"),
    JobCode.OWN_JOB: ("a poster may not claim on its own job", "Let other nodes work on it"),
    JobCode.BAD_LOSS: ("the loss lies outside of what the job allows", "Check the loss against the job's floor"),
    JobCode.NOT_BETTER: (
        "the loss is no sufficient improvement on the own last claim, or on the model that trainings may begin with",
        "Claim only at or below next_at_most of the own claim, or of the earlier model",
    ),
    JobCode.TOO_MANY_CLAIMS: ("the claims of this account on this job are used up", "The last claim stands"),
    JobCode.JOB_FULL: ("the job has as many claimants as the network allows", "Choose another job"),
    JobCode.NO_CLAIM: ("the sender has no claim on this job", _READ_JOB),
    JobCode.CLAIM_REPLACED: ("that claim was replaced by a later one", "Reveal the last claim"),
    JobCode.ALREADY_REVEALED: ("the claim is revealed already", "Nothing to do"),
    JobCode.REVEAL_MISMATCH: ("model and salt do not open the claim's commitment", "Reveal exactly the model that was claimed"),
    JobCode.BAD_MODEL: ("the model is not named by a CID, or is larger than the job allows", "Check it against model_cap"),
    JobCode.NOT_POSTER: ("only the poster of the job may do this", "Send it from the poster's node"),
    JobCode.WRONG_KEY: ("the key is not the one committed to at posting", "Reveal the key that belongs to the posted hash"),
    JobCode.NOT_IN_COMMITTEE: ("the sender has no seat in this committee", "Nothing to do"),
    JobCode.WRONG_ROUND: ("the job is in another audit or round", _READ_JOB),
    JobCode.ALREADY_COMMITTED: ("the vote of this round is committed already", "Nothing to do"),
    JobCode.NOT_COMMITTED: ("no vote was committed in this round", "Nothing to do: the window to commit is over"),
    JobCode.ALREADY_OPENED: (
        "the ballots of this round are open already",
        "Open the columns that are left, without ballots and salt",
    ),
    JobCode.VOTE_MISMATCH: ("ballots and salt do not open the commitment", "Open exactly the ballots that were committed"),
    JobCode.BAD_VOTE: ("a ballot contradicts itself or the seat", "Check the ballots against the job"),
    JobCode.TOO_MANY_LIVE: (
        "this account has as many live jobs, or as many bytes of live postings, as the network allows",
        "Wait until one of its jobs ends: GET /v1/jobs lists them",
    ),
    JobCode.LOW_BOUNTY: ("the bounty is below what this network accepts", "Offer more: GET /v1/parameters shows job_min_bounty"),
    JobCode.LOW_FEE: (
        "the fee of a vote does not cover the evaluation that it asks for, and what a verifier does beside it",
        "Raise the fee to what the refusal says, or lower eval_s, cpus_milli or model_cap",
    ),
    JobCode.FEW_VERIFIERS: (
        "too few verifiers have declared that their machines can run these limits",
        "Wait until verifiers' sandboxes are ready, lower memory, processors, eval_s or sizes, or choose the architecture "
        "that others have",
    ),
    JobCode.NO_COLUMN: ("the ballots have no such column, or it is open already", "Open the columns that are left"),
    JobCode.BAD_OPENING: (
        "the opening does not show the losses that the probe asks for",
        "Open from the losses that were committed, with the probe of this round",
    ),
    JobCode.BAD_DATA: (
        "a data set is not named by the CID of a manifest, or its name, size, files or use are out of bounds",
        "Use what learningchain data publish says: cid, size and files; and a name for each set",
    ),
    JobCode.BAD_DEVICES: (
        "devices are of an unknown kind, none or too many, or with more memory than any has",
        "Ask for 1 to 8 of cuda or rocm: learningchain job submit --gpus 1 --gpu-mem-mb 8000",
    ),
    JobCode.BAD_EARLIER: (
        "the model that trainings may begin with has no CID, an impossible size, or a loss that no claim could improve on",
        "Take one of a job that was paid: learningchain job submit --from JOB",
    ),
    JobCode.HAS_CLAIMS: ("somebody has claimed on the job", "Nothing to do: it runs to its end"),
}
REASONS: dict[str, str] = {
    "bounty.locked": "the poster posted the job: the bounty is set aside until the job ends (LC-JOB-14)",
    "fees.locked": "the poster posted the job: the verifiers' fees are set aside (LC-JOB-14)",
    "bond.locked": "the poster posted the job: its bond is set aside, of which false verdicts burn some (LC-JOB-40)",
    "deposit.locked": "the poster posted hidden data: what it loses if it does not open it is set aside (LC-JOB-33)",
    "stake.locked": "the claimant announced a loss: its stake is set aside until that was judged",
    "bounty": "this model was the first in rank that a committee judged OK: its claimant won the bounty (LC-JOB-39)",
    "fee": "the verifier's vote agreed with the verdict, and each such vote is paid (LC-JOB-11)",
    "stake": "the claim was not judged false: its claimant has its stake again (LC-JOB-37)",
    "bounty.returned": "nobody won: the bounty goes back to the poster (LC-JOB-39)",
    "bond.returned": "the job ended: what is left of the poster's bond goes back (LC-JOB-40)",
    "fees.returned": "the job ended: fees that no vote earned go back to the poster (LC-JOB-39)",
    "deposit.returned": "the hidden data was opened in time: its deposit goes back to the poster (LC-JOB-39)",
    "stake.burned": "the claim was judged false, or its model was never shown: its stake is burned (LC-JOB-37)",
    "fees.burned": "no verdict came about: fees of its votes are burned (LC-JOB-11)",
    "bond.burned": "a claim on this job was judged false, which costs its poster as much as the claimant (LC-JOB-40)",
    "deposit.burned": "the hidden data was not opened in time, or its key opened something else (LC-JOB-33)",
}
PART = TextsPart(TEXTS, REASONS)
