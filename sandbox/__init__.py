"""Runs strangers' job images in containers that can do nothing but compute.

`Sandbox` is the door, a `Backend` on a Docker Engine; everything else here is data that goes in or comes out of it. This package
imports nothing of the node but the base types. See docs/sandbox.md for the contract with job images.
"""

from sandbox.backend import AsyncBackend, Backend, WarmRun
from sandbox.data import DataSet
from sandbox.docker.service import Sandbox
from sandbox.errors import BadImage, EngineError, ImageNotFound, SandboxError, SandboxUnavailable
from sandbox.results import Progress, Result
from sandbox.spec import (
    Check,
    CleanupReport,
    EngineInfo,
    ImageLimits,
    Limits,
    OutputFile,
    RunOutcome,
    RunSpec,
    SelfTestReport,
    Status,
)

__all__ = [
    "AsyncBackend",
    "Backend",
    "BadImage",
    "Check",
    "CleanupReport",
    "DataSet",
    "EngineError",
    "EngineInfo",
    "ImageLimits",
    "ImageNotFound",
    "Limits",
    "OutputFile",
    "Progress",
    "Result",
    "RunOutcome",
    "RunSpec",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailable",
    "SelfTestReport",
    "Status",
    "WarmRun",
]
