"""The backend on crun, as an ordinary user: for machines without Docker, as clusters are.

    node --Engine's API, a socket of this user's--> engine_program (namespaces of its own) --> crun --> container

A small engine of our own stands where Docker's does, so all that the sandbox does with an engine it does with this one, from the
checks of images to the self-test. Its words are the Engine's; what they mean here is in `bundle` and `groups`.
"""

from __future__ import annotations

from learningchain.sandbox.backend import Backend
from learningchain.sandbox.backends import BackendSettings


def BACKEND(settings: BackendSettings) -> Backend:
    """`engine`: where crun is, if it is not in PATH."""
    from learningchain.sandbox.oci.service import OciSandbox

    return OciSandbox(settings)
