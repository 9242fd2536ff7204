"""`--stay`: when all is told and checked the graph runs on, to be looked at and typed to, until whoever watches ends it."""

from __future__ import annotations

import asyncio
import os
import shlex
from typing import Final

from learningchain.client.sdk.http import link_url
from learningchain.client.sdk.types import ApiError
from learningchain.examples.demo.graph import check_alive
from learningchain.examples.demo.plan import CONTRACTOR
from learningchain.examples.demo.show import Screen
from learningchain.examples.demo.story import Scene

LOOK_S: Final = 1.0
NEXT: Final = (
    ("job list", "the jobs that were played, and how each ended"),
    ("why latest", "why credits came or went, proven on the spot"),
    ("dashboard", "the node's pages in a browser, by a new link"),
)


async def stay(scene: Scene, shown: Screen) -> None:
    """Returns when it is interrupted. Raises `DemoFailed` when a node ends by itself."""
    try:
        await _invite(scene, shown)
        while True:
            check_alive(scene.graph)
            os.utime(scene.graph.folder)  # the next run removes the data of runs that are long over: this one is not
            await asyncio.sleep(LOOK_S)
    except asyncio.CancelledError:
        return  # the end that was asked for


async def _invite(scene: Scene, shown: Screen) -> None:
    say = shown.console.print
    say("\nThe graph runs on. Its pages, each link for one browser:\n")
    good_for_s = 0
    for home in scene.graph.nodes:
        try:
            link = await scene.clients[home.name].dashboard_link()
        except ApiError as fault:
            say(f"{home.name:8}{fault}", soft_wrap=True)
            continue
        good_for_s = link["good_for_s"]
        say(f"{home.name:8}{link_url(home.url, link['path'], link['host'])}", soft_wrap=True)
    own = scene.graph.member(CONTRACTOR).data
    say(f"\nThe links are good for {good_for_s} seconds. The data folders lie in {own.parent}.", soft_wrap=True)
    say(f"To go on as {CONTRACTOR}, who posted the jobs, type in a second terminal:\n", soft_wrap=True)
    say(f"export LEARNINGCHAIN_DATA={shlex.quote(str(own))}", soft_wrap=True)
    for words, text in NEXT:
        say(f"learningchain {words:12}  {text}", soft_wrap=True)
    say("\nCtrl-C here ends the nodes and removes all of it but the logs.", soft_wrap=True)
