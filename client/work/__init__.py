"""What a node does for credits: it trains, claims, reveals, evaluates and votes. `Work` is the door, `WorkConfig` its settings."""

from client.work.book import BookError
from client.work.policy import WorkConfig
from client.work.runner import Work

__all__ = ["BookError", "Work", "WorkConfig"]
