"""What a proposal asks for: whether it can be done as things stand, and doing it.

Each action has a test, made when it is proposed and again when it is decided, and a deed. Neither looks at votes.
"""

from __future__ import annotations

from learningchain.chain.contracts.governance.messages import (
    Action,
    AddValidator,
    Admit,
    Ban,
    GovernanceCode,
    LiftBan,
    Remove,
    RemoveValidator,
    SetParameters,
    SetVerifier,
    Upgrade,
)
from learningchain.chain.crypto import address
from learningchain.chain.errors import Reject
from learningchain.chain.host import MEMBERS, Host, ParamFault, ParamsRefused
from learningchain.chain.params import MAX_VALIDATORS
from learningchain.chain.types import Validator

_FAULTS = {
    ParamFault.UNKNOWN: GovernanceCode.UNKNOWN_PARAMETER,
    ParamFault.FIXED: GovernanceCode.FIXED_PARAMETER,
    ParamFault.BOUNDS: GovernanceCode.OUT_OF_BOUNDS,
    ParamFault.CLASH: GovernanceCode.PARAMETERS_CLASH,
}
MOST_AHEAD = 10_000_000
"""Blocks that an upgrade may lie ahead at most."""


def changes_the_set(action: Action) -> bool:
    """LC-GOV-4: of such there is one a block."""
    return isinstance(action, AddValidator | RemoveValidator)


def check(host: Host, proposal: bytes, action: Action) -> None:
    """Raises `Reject` with why it cannot be done as things stand."""
    match action:
        case AddValidator(account):
            _check_added(host, account)
        case RemoveValidator(account):
            _check_removed(host, account)
        case SetParameters():
            _check_parameters(host, action)
        case Upgrade():
            _check_upgrade(host, action)
        case _:
            _try(host, proposal, action)


def _try(host: Host, proposal: bytes, action: Action) -> None:
    """LC-GOV-10: membership refuses it as it would refuse a message. Nothing of it stays."""
    signers = (*host.validators(), *host.following_validators())
    if isinstance(action, Ban) and any(v.id == action.account for v in signers):
        text = f"{address(action.account)} is a validator: it has to leave the set before it is banned"
        raise Reject(GovernanceCode.IS_A_VALIDATOR, text)
    before = len(host.events)
    host.store.begin()
    try:
        perform(host, proposal, action)
    finally:
        host.store.drop()
        del host.events[before:]


def perform(host: Host, proposal: bytes, action: Action) -> None:
    """Do it: `check` has passed, and the set was not changed in this block where the action does that."""
    members = host.service(MEMBERS)
    match action:
        case Admit(key):
            members.admit(key, None)
        case Remove(account):
            members.remove(account)
        case SetVerifier(account, on):
            members.set_verifier(account, on)
        case Ban(account):
            members.ban(account, proposal)
        case LiftBan(account):
            members.lift_ban(account, members.burned(account) or 0, proposal)
        case AddValidator(account):
            host.change_validators([*host.validators(), Validator(account, host.known_account(account).key)])
            host.emit("validator.added", account)
        case RemoveValidator(account):
            host.change_validators([v for v in host.validators() if v.id != account])
            host.emit("validator.removed", account)
        case SetParameters(contract, values):
            wanted = {entry.name: entry.value for entry in values}
            for name, old, new in host.param_changes(contract, wanted):
                host.emit("parameter.changed", b"", contract, name, old, new)
            host.change_params(contract, wanted)
        case Upgrade(version, height):
            host.change_protocol(version, height)
            host.emit("upgrade.set", b"", version, height)


def _check_added(host: Host, account: bytes) -> None:
    """LC-GOV-6"""
    validators = host.validators()
    if any(v.id == account for v in validators):
        raise Reject(GovernanceCode.NOTHING_TO_CHANGE, f"{address(account)} is a validator already")
    if not host.is_active(account) or not host.service(MEMBERS).exists(account):
        raise Reject(GovernanceCode.NOT_ELIGIBLE, f"{address(account)} is no member that is neither suspended nor banned")
    if len(validators) >= MAX_VALIDATORS:
        raise Reject(GovernanceCode.TOO_MANY_VALIDATORS, f"a network has {MAX_VALIDATORS} validators at most")


def _check_removed(host: Host, account: bytes) -> None:
    """LC-GOV-7"""
    validators = host.validators()
    if all(v.id != account for v in validators):
        raise Reject(GovernanceCode.NOTHING_TO_CHANGE, f"{address(account)} is no validator")
    if len(validators) == 1:
        raise Reject(GovernanceCode.LAST_VALIDATOR, "the last validator cannot be removed")


def _check_parameters(host: Host, action: SetParameters) -> None:
    """LC-GOV-8"""
    names = [entry.name for entry in action.values]
    if names != sorted(set(names)):
        raise Reject(GovernanceCode.UNKNOWN_PARAMETER, "the names of the parameters have to ascend, each once")
    try:
        changes = host.param_changes(action.contract, {entry.name: entry.value for entry in action.values})
    except ParamsRefused as refused:
        raise Reject(_FAULTS[refused.fault], refused.text) from None
    if not changes:
        raise Reject(GovernanceCode.NOTHING_TO_CHANGE, "these parameters have these values already")


def _check_upgrade(host: Host, action: Upgrade) -> None:
    """LC-GOV-9"""
    protocol = host.protocol()
    if action.version < protocol.version:
        raise Reject(GovernanceCode.BAD_UPGRADE, f"the protocol has version {protocol.version}: it does not go back")
    if action.version == protocol.version and not protocol.following:
        raise Reject(GovernanceCode.NOTHING_TO_CHANGE, f"the protocol has version {protocol.version}, and no other one is decided")
    if not host.height < action.height <= host.height + MOST_AHEAD:
        text = f"an upgrade begins after block {host.height}, at most {MOST_AHEAD} blocks ahead, not at {action.height}"
        raise Reject(GovernanceCode.BAD_UPGRADE, text)
