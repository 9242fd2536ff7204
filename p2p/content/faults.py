"""What can be wrong with stored or fetched content; every text says what, why and what to do."""

from __future__ import annotations

from enum import StrEnum

from learningchain.p2p.content.cid import Cid


class StoreError(Exception):
    """The store cannot do what it was asked; the text is for people."""


class Missing(StoreError):
    """The store does not hold that content."""


class Damaged(StoreError):
    """The disk returned other bytes than were stored. They were not handed out."""

    def __init__(self, root: Cid, offset: int) -> None:
        super().__init__(
            f"the stored copy of {root} is damaged at byte {offset}: it was set aside and is not served; fetch it again (only the "
            "damaged pieces are loaded) or add the original file again, and check this disk"
        )
        self.root = root


class StoreFull(StoreError):
    """The quota or the disk has no room."""


class IndexDamaged(StoreError):
    """The index cannot be read; the store refuses to start."""


class Reason(StrEnum):
    """Why a fetch failed."""

    NOBODY = "nobody"
    TIMEOUT = "timeout"
    TOO_LARGE = "too large"
    MALFORMED = "malformed"
    STORAGE = "storage"
    CANCELLED = "cancelled"
    BUSY = "busy"


class FetchFailed(Exception):
    """The content could not be fetched; what arrived is kept and a later fetch goes on from there."""

    def __init__(self, root: Cid, reason: Reason, text: str) -> None:
        super().__init__(f"{root} could not be fetched: {text}")
        self.root, self.reason = root, reason
