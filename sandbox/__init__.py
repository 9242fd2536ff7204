"""Runs strangers' job images in containers that can do nothing but compute.

`Sandbox` is a `Backend` on a Docker Engine, for others to call; all else here is data that goes in or comes out of it. This package
imports nothing of the node but the base types. See docs/sandbox.md for the contract with job images.
"""

from sandbox.backend import AsyncBackend, Backend, WarmRun
from sandbox.backends import BackendSettings, UnknownBackend, make_backend
from sandbox.data import DataSet
from sandbox.docker.service import Sandbox
from sandbox.errors import BadImage, EngineError, ImageNotFound, SandboxError, SandboxUnavailable
from sandbox.results import EvaluationResult, Progress
from sandbox.spec import (
    Check,
    CleanupReport,
    ContainerLimits,
    EngineInfo,
    ImageLimits,
    OutputFile,
    RunResult,
    RunSpec,
    RunStatus,
    SelfTestReport,
)

__all__ = [
    "AsyncBackend",
    "Backend",
    "BackendSettings",
    "BadImage",
    "Check",
    "CleanupReport",
    "ContainerLimits",
    "DataSet",
    "EngineError",
    "EngineInfo",
    "EvaluationResult",
    "ImageLimits",
    "ImageNotFound",
    "OutputFile",
    "Progress",
    "RunResult",
    "RunSpec",
    "RunStatus",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailable",
    "SelfTestReport",
    "UnknownBackend",
    "WarmRun",
    "make_backend",
]
