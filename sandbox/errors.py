"""What can go wrong in the sandbox, by whose fault: this machine's engine, the image, or the engine's answers."""

from __future__ import annotations


class SandboxError(Exception):
    """Base of everything that the sandbox raises."""


class SandboxUnavailable(SandboxError):
    """No usable engine on this machine. The text names what is missing and what to do about it."""


class EngineError(SandboxError):
    """The engine refused a request or did not answer after the allowed number of attempts."""

    def __init__(self, what: str, why: str, status: int | None = None) -> None:
        super().__init__(f"{what}: {why}")
        self.status = status
        """HTTP status of the engine's answer; None where there was no answer."""


class BadImage(SandboxError):
    """The image breaks a rule of the container contract or a limit. The text says which; `remedy`, what makes one that does not."""

    def __init__(self, text: str, remedy: str = "learningchain job build DIR makes an archive that keeps every rule") -> None:
        super().__init__(text)
        self.remedy = remedy


class ImageNotFound(SandboxError):
    """Nobody has this image: neither the engine nor the registry."""


class DataRefused(SandboxError):
    """The owner's data cannot be kept, used or removed as was asked. The text says why, and what to do."""


class DeviceRefused(SandboxError):
    """A device of this machine is given to no job: it is not there, or not understood. The text says why, and what to do."""

    def __init__(self, name: str, why: str, remedy: str) -> None:
        super().__init__(f"the device {name} is given to no job: {why}. {remedy}")
