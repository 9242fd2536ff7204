"""`dashboard`: open the node's pages in a browser, logged in by a link that is good once.

Whoever is on this machine reads the words that a program was started with, so the browser is given a file that its owner alone may
read, and finds the link there.
"""

from __future__ import annotations

import html
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any, Final

from learningchain.chain.storage import private
from learningchain.client.cli.common import HERE, Common
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.http import is_local, link_url

FILE: Final = "dashboard.html"
"""In the data folder; its link is good once, so an old one opens nothing."""
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}"><title>LearningChain</title></head>
<body><p><a href="{url}">Open the dashboard</a></p></body></html>
"""


def dashboard(
    *,
    open_: Annotated[
        bool | None,
        Parameter(
            name="--open",
            negative="--no-open",
            show_default=False,
            help="Open a browser, or only print the link. Default: open one at a terminal.",
        ),
    ] = None,
    plain: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="At the API's own address, for browsers that do not find names below localhost. Programs of others at other "
            "ports of this machine then see the session where the browser opens their pages.",
        ),
    ] = False,
    common: Common = HERE,
) -> int:
    """Open the dashboard of the running node. The link logs in once, within two minutes."""

    async def asked(node: Client) -> tuple[str, int]:
        link = await node.dashboard_link(plain=plain or not is_local(node.url))
        return link_url(node.url, link["path"], link["host"]), link["good_for_s"]

    url, good_for_s = common.ask(asked)
    wanted = sys.stdout.isatty() and not common.json if open_ is None else open_
    opened = wanted and _opened(url, common.folder)

    def people(console: Console) -> None:
        if not opened:
            console.print(url, soft_wrap=True)

    document: dict[str, Any] = {"url": url, "good_for_s": good_for_s, "opened": opened}
    common.out.show(document, people)
    if opened:
        common.out.note("The dashboard is open in your browser. learningchain dashboard --no-open prints a link instead.")
    else:
        common.out.note(f"Open this link within {good_for_s} seconds; it logs one browser in, once.")
    return 0


def _opened(url: str, folder: Path) -> bool:
    """Whether a browser was started. Without a data folder there is nowhere to hand the link over."""
    file = folder.absolute() / FILE
    try:
        private.replace(file, _PAGE.format(url=html.escape(url)).encode())
        return webbrowser.open(file.as_uri())
    except (webbrowser.Error, OSError):
        return False
