"""Runs strangers' job images in containers that can do nothing but compute.

`Sandbox` is a `Backend` on a Docker Engine, for others to call; all else here is data that goes in or comes out of it. This package
imports nothing of the node but the base types. See docs/sandbox.md for the contract with job images.
"""

from typing import TYPE_CHECKING, Any

from learningchain.sandbox.answers import AnswerForm, ParsedAnswer
from learningchain.sandbox.backend import AsyncBackend, AsyncWarmRun, Backend, WarmRun
from learningchain.sandbox.backends import BackendSettings, UnknownBackend, make_backend
from learningchain.sandbox.data import DataSet, OwnData
from learningchain.sandbox.errors import (
    BadImage,
    DataRefused,
    DeviceRefused,
    EngineError,
    ImageNotFound,
    SandboxError,
    SandboxUnavailable,
)
from learningchain.sandbox.progress import Progress
from learningchain.sandbox.results import Evaluated, EvaluatedModels, UnfitRow
from learningchain.sandbox.spec import (
    AnswerOutcome,
    Check,
    CleanupReport,
    ContainerLimits,
    EngineInfo,
    ImageLimits,
    Outcome,
    OutputFile,
    RunResult,
    RunSpec,
    RunStatus,
    SelfTestReport,
)

if TYPE_CHECKING:
    from learningchain.sandbox.docker.service import Sandbox

__all__ = [
    "AnswerForm",
    "AnswerOutcome",
    "AsyncBackend",
    "AsyncWarmRun",
    "Backend",
    "BackendSettings",
    "BadImage",
    "Check",
    "CleanupReport",
    "ContainerLimits",
    "DataRefused",
    "DataSet",
    "DeviceRefused",
    "EngineError",
    "EngineInfo",
    "Evaluated",
    "EvaluatedModels",
    "ImageLimits",
    "ImageNotFound",
    "Outcome",
    "OutputFile",
    "OwnData",
    "ParsedAnswer",
    "Progress",
    "RunResult",
    "RunSpec",
    "RunStatus",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailable",
    "SelfTestReport",
    "UnfitRow",
    "UnknownBackend",
    "WarmRun",
    "make_backend",
]


def __getattr__(name: str) -> Any:
    """The engine's side is imported where it is used: it needs what Windows has not, and programs need the rest alone."""
    if name != "Sandbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from learningchain.sandbox.docker.service import Sandbox

    return Sandbox
