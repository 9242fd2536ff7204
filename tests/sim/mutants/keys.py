"""Broken rules of keys: rotations and recoveries. All show where many keys change."""

from __future__ import annotations

from tests.sim.mutants.patch import Mutant, mutant

_KEYS, _POWERS = "contracts.keys", "host.powers"


def rule(name: str, module: str, old: str, new: str) -> Mutant:
    return mutant(name, module, old, new, "keys")


MUTANTS = (
    rule("the old key goes on", _POWERS, "Account(key, *kept)", "Account(account.key, *kept)"),
    rule(
        "any key signs for an account",
        "ledger.tx",
        "if not verify(account.key, tx_digest",
        "if False and not verify(account.key, tx_digest",
    ),
    rule("a validator keeps its key in the set", _POWERS, "Validator(v.id, key) if v.id == identity", "v if v.id == identity"),
    rule("a key is nobody's after a while", _POWERS, "self.put(key_owner_key(key), KeyOwner(identity, self.height))", "pass"),
    rule("a new key need not agree", f"{_KEYS}.rotation", "if not is_proven(", "if False and not is_proven("),
    rule("a key that is taken is taken again", f"{_KEYS}.rotation", "if host.key_owner(key) is not None:", "if False:"),
    rule("a key need not rest", f"{_KEYS}.rotation", "if known.rotated and host.clock", "if False and host.clock"),
    rule("a guardian too few is enough", f"{_KEYS}.agreement", "count[word.key] >= needed", "count[word.key] >= needed - 1"),
    rule(
        "who agreed first has the last word",
        f"{_KEYS}.agreement",
        "key=lambda key: (count[key], key == before)",
        "key=before.__eq__",
    ),
    rule(
        "an objection asks for no more guardians",
        f"{_KEYS}.agreement",
        "if objected else of.threshold",
        "if False else of.threshold",
    ),
    rule("a recovery has no delay", f"{_KEYS}.recovery", "until = host.clock + of.delay if key", "until = host.clock + 1 if key"),
    rule("anybody is a guardian", f"{_KEYS}.recovery", "if of is None or sender not in of.guardians:", "if of is None:"),
    rule("a rotation is no objection", f"{_KEYS}.rotation", "count_objection(host, sender)", "pass"),
    rule("an objection bars nothing", f"{_KEYS}.recovery_end", "    if known.objected:\n        of", "    if False:\n        of"),
    rule(
        "a thief objects again and again", f"{_KEYS}.recovery_end", "if known.objected:\n        raise", "if False:\n        raise"
    ),
    rule(
        "an objection counts twice",
        f"{_KEYS}.recovery_end",
        "if known is None or of is None or known.objected:",
        "if known is None or of is None:",
    ),
    rule("other guardians are in force at once", f"{_KEYS}.guardians", "since = host.clock + present.delay", "since = host.clock"),
    rule(
        "guardians change while a recovery is open",
        f"{_KEYS}.records",
        "clock < found.coming[0].since or recovery_of(reader, identity) is not None",
        "clock < found.coming[0].since",
    ),
    rule("a thief's guardians come after a recovery", f"{_KEYS}.recovery", "    keep_only(host, account, of)\n", ""),
)
