"""What every answer of the dashboard says to the browser, and where a request that changes something may come from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COOKIE: Final = "learningchain-dashboard"
"""Its name has the port behind it: browsers keep cookies by host alone, and a machine may run several nodes."""
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing inline, nothing from elsewhere, no frame around it."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers then send `Origin: null` with a form of the page itself.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_OWN: Final = frozenset({"same-origin", "none"})


def host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if ":" in header else header


def may_read(headers: Mapping[str, str]) -> bool:
    """Whether a request without an effect is the page's own, or a person's going there. Pages of another port of this machine count
    as the same site for cookies: what they fetch in the background is refused. Browsers that say nothing are believed."""
    site = headers.get("Sec-Fetch-Site", "none")
    return site in _OWN or headers.get("Sec-Fetch-Mode") == "navigate"


def may_change(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that the request comes from a page of this very address. The Host header was checked before."""
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    origin = headers.get("Origin")
    if origin is None:
        return "Sec-Fetch-Site" in headers
    return origin == f"http://{headers.get('Host', '')}"
