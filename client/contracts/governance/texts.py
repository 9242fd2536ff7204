"""What people are told of this contract: why a message is refused and what to do."""

from __future__ import annotations

from learningchain.chain.contracts.governance.messages import MAX_OPEN, GovernanceCode
from learningchain.client.schema.explain import TextsPart

TEXTS: dict[int, tuple[str, str]] = {
    GovernanceCode.NOT_A_VALIDATOR: ("only validators of the present set propose and vote", "Send this from a validator's node"),
    GovernanceCode.NO_PROPOSAL: ("there is no open proposal with this id", "GET /v1/proposals lists those that are open"),
    GovernanceCode.TOO_MANY_PROPOSALS: (
        f"{MAX_OPEN} proposals of this validator are open",
        "Withdraw one, or wait until one is decided or expires",
    ),
    GovernanceCode.BAD_EXPIRY: (
        "a proposal expires after now, and no later than the network's proposal_life",
        "Choose another time",
    ),
    GovernanceCode.SAME_VOTE: ("this word is recorded already", "Nothing to do; the opposite word would replace it"),
    GovernanceCode.NOT_THE_PROPOSER: ("only its proposer withdraws a proposal", "Vote no instead"),
    GovernanceCode.DECIDED: ("the proposal is decided and waits for the next block", "Nothing to do"),
    GovernanceCode.NOTHING_TO_CHANGE: ("this is so already", "Nothing to do"),
    GovernanceCode.LAST_VALIDATOR: ("the last validator cannot be removed", "Add another validator first"),
    GovernanceCode.TOO_MANY_VALIDATORS: ("the set has as many validators as a network can have", "Remove one first"),
    GovernanceCode.NOT_ELIGIBLE: ("only members that are neither suspended nor banned become validators", "Name another account"),
    GovernanceCode.UNKNOWN_PARAMETER: (
        "there is no such parameter, or the names do not ascend",
        "GET /v1/parameters lists those of the network",
    ),
    GovernanceCode.FIXED_PARAMETER: ("this parameter stays as genesis fixed it", "GET /v1/parameters says which may change"),
    GovernanceCode.OUT_OF_BOUNDS: ("the value is outside the bounds of the parameter", "GET /v1/parameters says them"),
    GovernanceCode.PARAMETERS_CLASH: ("these parameters do not go together", "Change those that hang together in one proposal"),
    GovernanceCode.IS_A_VALIDATOR: ("a validator is not banned", "Remove it from the validator set first"),
    GovernanceCode.BAD_UPGRADE: (
        "an upgrade is to a higher version, at a height that is ahead",
        "GET /v1/status says the height and version of the network",
    ),
}
PART = TextsPart(TEXTS)
