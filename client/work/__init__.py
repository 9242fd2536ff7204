"""What a node does for credits: it trains, claims, reveals, evaluates and votes. `Work` is the door, `WorkConfig` its settings."""

from client.config import WorkConfig
from client.work.book import BookError
from client.work.runner import Work

__all__ = ["BookError", "Work", "WorkConfig"]
