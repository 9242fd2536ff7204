"""What people are told of this contract: why a message is refused and what to do."""

from __future__ import annotations

from learningchain.chain.contracts.keys.messages import KeyCode
from learningchain.client.schema.explain import TextsPart

TEXTS: dict[int, tuple[str, str]] = {
    KeyCode.BAD_KEY: ("this is no public key", "Send a compressed secp256k1 key of 33 bytes"),
    KeyCode.KEY_TAKEN: ("this key is or was an account's key", "Make a new key: learningchain key rotate does"),
    KeyCode.BAD_PROOF: ("the new key did not sign for this account and network", "Let the new key's owner make the request again"),
    KeyCode.TOO_SOON: ("this account rotated its key a moment ago", "Wait as long as the text says; guardians can act meanwhile"),
    KeyCode.BAD_GUARDIANS: (
        "guardians are other members that are not banned, each once",
        "learningchain accounts shows who has one",
    ),
    KeyCode.BAD_THRESHOLD: ("not as many guardians as are to agree", "Ask for one to all of them"),
    KeyCode.BAD_DELAY: (
        "this delay is not within the network's bounds",
        "GET /v1/parameters shows recovery_delay_min and _max",
    ),
    KeyCode.OBJECTED: (
        "this account objected to the recovery already",
        "More than two thirds of the guardians decide now: speak with them",
    ),
    KeyCode.NOT_A_GUARDIAN: ("the sender is no guardian of this account", "Ask those whom its owner named"),
    KeyCode.ACCOUNT_BANNED: ("the account is banned", "A ban can be lifted by the validators alone"),
    KeyCode.RECOVERY_BARRED: ("the owner objected to a recovery a while ago", "Speak with the owner; wait until the delay is over"),
    KeyCode.SAME_WORD: ("this word is recorded already", "Nothing to do; a word for another key would replace it"),
    KeyCode.NO_RECOVERY: ("no recovery of this account is open", "Nothing to do"),
}
PART = TextsPart(TEXTS)
