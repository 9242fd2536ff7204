"""`pause` and `resume`: the setting work.paused, which a running node takes up at once."""

from __future__ import annotations

from learningchain.client.cli.common import HERE, Common
from learningchain.client.cli.setup import config_set


def pause(*, common: Common = HERE) -> int:
    """Start no new training. What is under way, claimed or judged goes on; models that are served go on, too."""
    done = config_set("work.paused", "true", common=common)
    common.out.note(f"Go on with: learningchain resume{common.again}")
    return done


def resume(*, common: Common = HERE) -> int:
    """Start trainings again, within work.hours and work.idle_min where they are set."""
    return config_set("work.paused", "false", common=common)
