"""Keys: an account gets another one, by its owner or by guardians that it named. Balance, history, cases and duties stay.

An account's id never changes, and everything that is kept of it is kept under its id; its key is one field of its account. So a
change of key ends no case, strike, stake or frozen sum, and a message that the old key signed is not valid from then on.

    state      event           guard                                            effect
    any        RotateKey       signed by the old and the new key, the new one   key replaced; an objection to an open recovery
                               nobody's ever; key_rest since the last one
    any        SetGuardians    1..16 other accounts, 1..n, delay in bounds      named, at once where there were none; else they
                                                                                wait for the delay of those in force
    none open  Recover         by a guardian, the new key's signature; not      gathering, until now + recovery_gather
                               within the delay after one with an objection,
                               unless a change of guardians waits
    gathering  Recover         likewise; its last word counts                   enough words for one key: agreed, until now + delay
    agreed     Recover         likewise                                         too few left for that key: gathering again;
                                                                                another key has more: agreed on that, anew
    open       ObjectRecovery  by whoever has the key; once                     more than two thirds have to agree; they have
                                                                                recovery_gather for it
    gathering  until                                                            ends (expired)
    agreed     until           enough guardians of it are not banned, the key   key replaced; guardians stay, and none wait
                               is nobody's, the account is not banned
    agreed     until           otherwise                                        ends (void)

Guardians that wait are in force when their time has come, and not while a recovery is open. Who wins against whom, and why:
docs/keys.md.

A validator's key changes in the set of the next height; where the set changes in this block already, rotation is refused with
NOT_ALLOWED, and a recovery tries again after RETRY_MS.

    messages, params, records, events   what it takes, keeps and says      rotation   by the owner
    guardians                          who they are                       recovery   their words, and the new key
    agreement                          how many, on which key             recovery_end   objections, and other ends
    duties                             what an owner has to look at
"""

from __future__ import annotations

from learningchain.chain.contracts.keys.agreement import words_needed
from learningchain.chain.contracts.keys.events import EVENTS, FORMS
from learningchain.chain.contracts.keys.guardians import set_guardians
from learningchain.chain.contracts.keys.messages import (
    MAX_GUARDIANS,
    KeyCode,
    ObjectRecovery,
    Recover,
    RotateKey,
    SetGuardians,
    is_proven,
    new_key_digest,
)
from learningchain.chain.contracts.keys.params import KeyParams
from learningchain.chain.contracts.keys.records import (
    NUMBER,
    ComingGuardians,
    GuardianSet,
    GuardianWord,
    KeyChanges,
    Recovery,
    changes_key,
    changes_of,
    guardians_key,
    guardians_of,
    recovery_key,
    recovery_of,
)
from learningchain.chain.contracts.keys.recovery import RETRY_MS, due_work, end_parked, on_due, recover
from learningchain.chain.contracts.keys.recovery_end import object_recovery
from learningchain.chain.contracts.keys.rotation import rotate_key
from learningchain.chain.host import ALL, DUE_WORK, Contract, MessageSpec, Power

ROTATE_WORK = 4
"""A signature is checked and a validator set may be written."""
GUARDIANS_WORK = 8
"""A look at each of them."""

CONTRACT = Contract(
    name="keys",
    number=NUMBER,
    messages={
        RotateKey: MessageSpec(rotate_key, urgent=True, work=ROTATE_WORK, for_good=True),
        SetGuardians: MessageSpec(set_guardians, work=GUARDIANS_WORK, for_good=True),
        Recover: MessageSpec(recover, urgent=True, work=DUE_WORK, subject=lambda m: m.account),
        ObjectRecovery: MessageSpec(object_recovery, urgent=True, work=ROTATE_WORK),
    },
    codes=KeyCode,
    params=KeyParams,
    state={b"kg/": GuardianSet, b"kr/": Recovery, b"kc/": KeyChanges},
    listed={b"kr/": ALL},
    events=EVENTS,
    forms=FORMS,
    admission=frozenset({"key.rotated", "key.recovered"}),
    powers=frozenset({Power.KEYS}),
    on_due=on_due,
    on_give_back=end_parked,
    due_work=due_work,
)

__all__ = [
    "CONTRACT",
    "MAX_GUARDIANS",
    "NUMBER",
    "RETRY_MS",
    "ComingGuardians",
    "GuardianSet",
    "GuardianWord",
    "KeyChanges",
    "KeyCode",
    "KeyParams",
    "ObjectRecovery",
    "Recover",
    "Recovery",
    "RotateKey",
    "SetGuardians",
    "changes_key",
    "changes_of",
    "guardians_key",
    "guardians_of",
    "is_proven",
    "new_key_digest",
    "recovery_key",
    "recovery_of",
    "words_needed",
]
