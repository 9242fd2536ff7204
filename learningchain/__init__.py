"""LearningChain: the public face. Users import this module alone; `python -m learningchain` is the command.

    import learningchain

    with learningchain.connect() as node:
        job = node.jobs.post("my-job", bounty=20, expires="30m")
        job.wait(progress=True)
        print(node.model("line").predict([[2.5]]))

Everything is loaded when it is first used, so that importing this, and `learningchain --help`, stay quick.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    # The names of this face, for type checkers.
    from learningchain.chain.contracts.credits import Approve as Approve
    from learningchain.chain.contracts.credits import Transfer as Transfer
    from learningchain.chain.contracts.credits import TransferFrom as TransferFrom
    from learningchain.chain.contracts.job.messages import Claim as Claim
    from learningchain.chain.contracts.job.messages import CommitVote as CommitVote
    from learningchain.chain.contracts.job.messages import OpenVote as OpenVote
    from learningchain.chain.contracts.job.messages import PostJob as PostJob
    from learningchain.chain.contracts.job.messages import Reveal as Reveal
    from learningchain.chain.contracts.job.messages import RevealKey as RevealKey
    from learningchain.chain.crypto import SigningKey as SigningKey
    from learningchain.chain.crypto import account_id as account_id
    from learningchain.chain.crypto import address as address
    from learningchain.chain.crypto import parse_address as parse_address
    from learningchain.chain.types import format_credits as format_credits
    from learningchain.chain.types import format_loss as format_loss
    from learningchain.chain.types import parse_credits as parse_credits
    from learningchain.chain.types import parse_loss as parse_loss
    from learningchain.client.config import Config as Config
    from learningchain.client.contracts.federation.http.schema import FederationPosted as FederationPosted
    from learningchain.client.contracts.federation.http.schema import FederationSummary as FederationSummary
    from learningchain.client.contracts.federation.http.schema import FederationView as FederationView
    from learningchain.client.contracts.federation.http.schema import OwnPartView as OwnPartView
    from learningchain.client.contracts.federation.objects import AsyncFederation as AsyncFederation
    from learningchain.client.contracts.federation.objects import Federation as Federation
    from learningchain.client.contracts.job.http.schema import ImageRequest as ImageRequest
    from learningchain.client.contracts.job.http.schema import JobPosted as JobPosted
    from learningchain.client.contracts.job.http.schema import JobQuote as JobQuote
    from learningchain.client.contracts.job.http.schema import JobRequest as JobRequest
    from learningchain.client.contracts.job.http.schema import JobSummary as JobSummary
    from learningchain.client.contracts.job.http.schema import JobView as JobView
    from learningchain.client.contracts.job.http.schema import LimitsRequest as LimitsRequest
    from learningchain.client.contracts.job.objects import AsyncJob as AsyncJob
    from learningchain.client.contracts.job.objects import Job as Job
    from learningchain.client.contracts.prediction.http.schema import PredictionPosted as PredictionPosted
    from learningchain.client.contracts.prediction.http.schema import PredictionView as PredictionView
    from learningchain.client.contracts.prediction.http.schema import RegisteredModelView as RegisteredModelView
    from learningchain.client.contracts.prediction.objects import AsyncModel as AsyncModel
    from learningchain.client.contracts.prediction.objects import Model as Model
    from learningchain.client.keys.keystore import Identity as Identity
    from learningchain.client.keys.keystore import Keystore as Keystore
    from learningchain.client.keys.keystore import KeystoreError as KeystoreError
    from learningchain.client.receipts.files import CheckedReceipt as CheckedReceipt
    from learningchain.client.receipts.files import check_receipt as check_receipt
    from learningchain.client.schema.bodies import OwnDataView as OwnDataView
    from learningchain.client.schema.bodies import StatusView as StatusView
    from learningchain.client.schema.bodies import TxAnswer as TxAnswer
    from learningchain.client.sdk.client import Client as Client
    from learningchain.client.sdk.connecting import AsyncNode as AsyncNode
    from learningchain.client.sdk.connecting import Node as Node
    from learningchain.client.sdk.connecting import connect as connect
    from learningchain.client.sdk.connecting import connect_async as connect_async
    from learningchain.client.sdk.types import ApiError as ApiError
    from learningchain.client.sdk.types import BadContentError as BadContentError
    from learningchain.client.sdk.types import Event as Event
    from learningchain.client.sdk.types import Fetched as Fetched
    from learningchain.client.sdk.types import InvalidError as InvalidError
    from learningchain.client.sdk.types import NotFoundError as NotFoundError
    from learningchain.client.sdk.types import RejectedError as RejectedError
    from learningchain.client.sdk.types import UnauthorizedError as UnauthorizedError
    from learningchain.client.sdk.types import UnavailableError as UnavailableError
    from learningchain.client.sdk.types import UnreachableError as UnreachableError
    from learningchain.client.sdk.types import UsageError as UsageError
    from learningchain.sandbox.building.function import Task as Task
    from learningchain.sandbox.building.function import job as job

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from learningchain.client.cli.app import own_version

            return own_version()
        if name == "__all__":
            return sorted([*_where(), "main"])
        if name.startswith("_") or name not in _where():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_where()[name]), name)
        globals()[name] = value
        return value


_NAMES: Final = {
    "chain.contracts.credits": "Approve Transfer TransferFrom",
    "chain.contracts.job.messages": "Claim CommitVote OpenVote PostJob Reveal RevealKey",
    "chain.crypto": "SigningKey account_id address parse_address",
    "chain.types": "format_credits format_loss parse_credits parse_loss",
    "client.schema.bodies": "OwnDataView StatusView TxAnswer",
    "client.config": "Config",
    "client.contracts.federation.http.schema": "FederationPosted FederationSummary FederationView OwnPartView",
    "client.contracts.federation.objects": "AsyncFederation Federation",
    "client.contracts.job.http.schema": "ImageRequest JobPosted JobQuote JobRequest JobSummary JobView LimitsRequest",
    "client.contracts.job.objects": "AsyncJob Job",
    "client.contracts.prediction.http.schema": "PredictionPosted PredictionView RegisteredModelView",
    "client.contracts.prediction.objects": "AsyncModel Model",
    "client.keys.keystore": "Identity Keystore KeystoreError",
    "client.receipts.files": "CheckedReceipt check_receipt",
    "client.sdk.client": "Client",
    "client.sdk.connecting": "AsyncNode Node connect connect_async",
    "client.sdk.types": "ApiError BadContentError Event Fetched InvalidError NotFoundError RejectedError UnauthorizedError "
    "UnavailableError UnreachableError UsageError",
    "sandbox.building.function": "Task job",
}
"""The same once more, as it is found when the program runs: a program that was packed has no text of this file."""

_NOT_ON_WINDOWS = (
    "This command needs Linux, or macOS for all but running a node. On Windows use it in WSL 2 (wsl --install). "
    "Programs on Windows can ask a node elsewhere: import learningchain"
)


@cache
def _where() -> dict[str, str]:
    """The module behind each name."""
    return {name: f"learningchain.{module}" for module, names in _NAMES.items() for name in names.split()}


def __dir__() -> list[str]:
    return sorted([*_where(), "main", "__version__"])


def main() -> int:
    """The command `learningchain`; the exit code."""
    if sys.platform == "win32":  # before anything is imported that Windows has not
        sys.stderr.write(f"learningchain: {_NOT_ON_WINDOWS}\n")
        return 2
    from learningchain.client.contracts import BadSlice

    try:
        from learningchain.client.cli.app import main as run
    except BadSlice as fault:  # of another distribution; without all commands there is no page that lists them
        sys.stderr.write(f"learningchain: {fault}\n")
        return 2
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
