"""What people are told of this contract: why a message is refused and what to do, and for what rule credits move."""

from __future__ import annotations

from learningchain.chain.contracts.membership.messages import MemberCode
from learningchain.client.schema.explain import TextsPart

REASONS: dict[str, str] = {
    "invitation.locked": "the inviter set credits aside for whoever joins with its invitation (LC-MEM-21)",
    "invitation.paid": "the newcomer joined with the invitation and has its credits (LC-MEM-23)",
    "invitation.returned": "nobody joined with the invitation: its credits go back to the inviter (LC-MEM-25)",
    "ban lifted": "the validators lifted a ban that was wrong: what it burned is minted again (LC-MEM-31)",
}
TEXTS: dict[int, tuple[str, str]] = {
    MemberCode.NOT_A_VALIDATOR: (
        "only validators judge and release, and none judges its own case",
        "Send this from another validator's node",
    ),
    MemberCode.NO_CASE: ("there is no open case against this account", "GET /v1/accounts/{id} shows whether a case is open"),
    MemberCode.ALREADY_VOTED: ("this word is recorded already", "Nothing to do; the opposite word would replace it"),
    MemberCode.BAD_EVIDENCE: ("the evidence shows no double signing", "Send two conflicting signatures of one validator"),
    MemberCode.OLD_EVIDENCE: ("the evidence is too old, or of a height that is not decided", "Nothing to do"),
    MemberCode.KNOWN_EVIDENCE: ("this double signing was dealt with", "Nothing to do"),
    MemberCode.LAST_VALIDATOR: ("the last validator cannot be removed", "Nothing to do"),
    MemberCode.NOT_PARKED: ("this is not parked", "GET /v1/status lists what is parked"),
    MemberCode.NOTHING_TO_GIVE_BACK: ("this contract holds nothing that could be given back", "Release it to run again"),
    MemberCode.PARTY: (
        "a suspended validator, a poster or a claimant of a job of the case confirms nothing",
        "It may lift the case; the other validators confirm",
    ),
    MemberCode.NOT_A_MEMBER: (
        "the account is no member of this network",
        "Members come by genesis, by invitation or by the validators' vote",
    ),
    MemberCode.BAD_CAPACITY: ("no machine has such a capacity", "Declare what one run may use on this machine"),
    MemberCode.SAME_CAPACITY: ("this capacity is declared already", "Nothing to do"),
    MemberCode.NO_INVITATIONS: (
        "this network admits members by the validators' vote only",
        "Ask a validator to propose the newcomer's public key",
    ),
    MemberCode.INVITATIONS_ONLY: ("this network admits members by invitation only", "Ask a member for an invitation"),
    MemberCode.MAY_NOT_INVITE: (
        "a suspended account, or one with live strikes of three, invites nobody",
        "Wait until the case or a strike ends",
    ),
    MemberCode.TOO_NEW: ("an invited member has to be one for a while before it invites", "Invite later"),
    MemberCode.BAD_EXPIRY: ("an invitation expires in the future, within the network's bound", "Give another time"),
    MemberCode.BAD_KEY: ("not a public key, or the key of another invitation", "Make a new key for each invitation"),
    MemberCode.TOO_MANY_INVITATIONS: (
        "three invitations of this member are open or were used lately",
        "Revoke one that is open, or wait",
    ),
    MemberCode.NO_INVITATION: ("there is no such invitation", "Ask the inviter for a new one"),
    MemberCode.INVITATION_USED: ("the invitation was used already", "Ask the inviter for a new one"),
    MemberCode.INVITATION_REVOKED: ("the invitation was revoked", "Ask the inviter for a new one"),
    MemberCode.INVITATION_EXPIRED: ("the invitation expired", "Ask the inviter for a new one"),
    MemberCode.BAD_PROOF: ("a signature of the Join is not good", "Join with the whole token, on the network it was made for"),
    MemberCode.KNOWN_KEY: ("the key is or was that of an identity of this network", "Make a new identity"),
    MemberCode.STILL_A_VALIDATOR: (
        "a validator cannot leave before it left the validator set",
        "Have the validators vote for its removal from the set first",
    ),
    MemberCode.SAME_FLAG: ("the flag stands so already, or the account is banned", "Nothing to do"),
    MemberCode.ALREADY_BANNED: ("the account is banned already", "Nothing to do"),
    MemberCode.NOT_BANNED: ("the account is not banned", "Nothing to do"),
    MemberCode.TOO_MUCH: ("a lifted ban gives back no more than it burned", "Propose at most what was burned"),
    MemberCode.BAD_BOX_KEY: ("the box key would keep no secret", "Make a new X25519 key"),
    MemberCode.SAME_BOX_KEY: ("this is the box key already", "Nothing to do"),
    MemberCode.BRANCH_FULL: (
        "as many identities were invited below this root, or this inviter, as may be (invite_branch)",
        "Ask a member nearer to the root or of another root for an invitation, or a validator to propose your admission",
    ),
}
PART = TextsPart(TEXTS, REASONS)
