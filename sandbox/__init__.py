"""Runs strangers' job images in containers that can do nothing but compute.

`Sandbox` is the door; everything else here is data that goes in or comes out of it. This package imports nothing of
the node but the base types. See docs/sandbox.md for the contract with job images.
"""

from sandbox.errors import BadImage, EngineError, ImageNotFound, SandboxError, SandboxUnavailable
from sandbox.service import Sandbox
from sandbox.spec import (
    Check,
    CleanupReport,
    EngineInfo,
    ImageLimits,
    Limits,
    Progress,
    RunOutcome,
    RunSpec,
    SelfTestReport,
    Status,
)

__all__ = [
    "BadImage",
    "Check",
    "CleanupReport",
    "EngineError",
    "EngineInfo",
    "ImageLimits",
    "ImageNotFound",
    "Limits",
    "Progress",
    "RunOutcome",
    "RunSpec",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailable",
    "SelfTestReport",
    "Status",
]
