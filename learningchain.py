"""LearningChain: the public face. Users import this module alone; `python -m learningchain` is the command.

    import learningchain

    with learningchain.SyncClient.of_folder(path) as node:
        print(node.status()["height"])

Everything is loaded when it is first used, so that importing this, and `learningchain --help`, stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chain.contracts.credits import Approve, Transfer, TransferFrom
    from chain.contracts.job.messages import Claim, CommitVote, OpenVote, PostJob, Reveal, RevealKey
    from chain.crypto import SigningKey, account_id, address, parse_address
    from chain.types import format_credits, format_loss, parse_credits, parse_loss
    from client.config import Config
    from client.keystore import Identity, Keystore, KeystoreError
    from client.sdk import Client
    from client.sdk_sync import SyncClient
    from client.sdk_types import (
        ApiError,
        BadContent,
        Event,
        Fetched,
        Invalid,
        NotFound,
        Rejected,
        Unauthorized,
        Unavailable,
        Unreachable,
        Usage,
    )

_WHERE = {
    "Approve": "chain.contracts.credits",
    "Transfer": "chain.contracts.credits",
    "TransferFrom": "chain.contracts.credits",
    "Claim": "chain.contracts.job.messages",
    "CommitVote": "chain.contracts.job.messages",
    "OpenVote": "chain.contracts.job.messages",
    "PostJob": "chain.contracts.job.messages",
    "Reveal": "chain.contracts.job.messages",
    "RevealKey": "chain.contracts.job.messages",
    "SigningKey": "chain.crypto",
    "account_id": "chain.crypto",
    "address": "chain.crypto",
    "parse_address": "chain.crypto",
    "format_credits": "chain.types",
    "format_loss": "chain.types",
    "parse_credits": "chain.types",
    "parse_loss": "chain.types",
    "Config": "client.config",
    "Identity": "client.keystore",
    "Keystore": "client.keystore",
    "KeystoreError": "client.keystore",
    "Client": "client.sdk",
    "SyncClient": "client.sdk_sync",
    "ApiError": "client.sdk_types",
    "BadContent": "client.sdk_types",
    "Event": "client.sdk_types",
    "Fetched": "client.sdk_types",
    "Invalid": "client.sdk_types",
    "NotFound": "client.sdk_types",
    "Rejected": "client.sdk_types",
    "Unauthorized": "client.sdk_types",
    "Unavailable": "client.sdk_types",
    "Unreachable": "client.sdk_types",
    "Usage": "client.sdk_types",
}

__all__ = [
    "ApiError",
    "Approve",
    "BadContent",
    "Claim",
    "Client",
    "CommitVote",
    "Config",
    "Event",
    "Fetched",
    "Identity",
    "Invalid",
    "Keystore",
    "KeystoreError",
    "NotFound",
    "OpenVote",
    "PostJob",
    "Rejected",
    "Reveal",
    "RevealKey",
    "SigningKey",
    "SyncClient",
    "Transfer",
    "TransferFrom",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Usage",
    "account_id",
    "address",
    "format_credits",
    "format_loss",
    "main",
    "parse_address",
    "parse_credits",
    "parse_loss",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from client.cli.app import own_version

        return own_version()
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def main() -> int:
    """The command `learningchain`; the exit code."""
    from client.cli.app import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
