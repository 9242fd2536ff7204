"""The sandbox on the engine of this user: what Docker's does, with an engine that it starts itself."""

from __future__ import annotations

from learningchain.sandbox.backends import BackendSettings
from learningchain.sandbox.docker.service import Sandbox
from learningchain.sandbox.oci.api import RUNTIME
from learningchain.sandbox.oci.host import OciEngine


class OciSandbox(Sandbox):
    """`settings.engine`: where crun is, if it is not in PATH. Raises SandboxUnavailable where the engine's folder is not ours."""

    def __init__(self, settings: BackendSettings) -> None:
        self.host = OciEngine(settings.data, settings.engine)
        self.tag = settings.node_tag
        super().__init__(
            settings.data,
            base_url=self.host.url,
            engine=self.host,
            runtime=RUNTIME,
            node_tag=settings.node_tag,
            cache_dir=settings.cache_dir,
            disk_from=settings.disk_from,
            data_cap=settings.data_cap,
            images_cap=settings.images_cap,
            sets_cap=settings.sets_cap,
            devices=settings.devices,
        )

    def close(self) -> None:
        """What was left goes on in the engine, which ends by itself where nothing is left."""
        super().close()
        self.host.close()
