"""The settings as a whole: the node's own sections with what each contract adds to them, found when the program runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from learningchain.client import contracts
from learningchain.client.config.sections import (
    ApiConfig,
    CallbackConfig,
    ClusterConfig,
    ConfigSection,
    LogConfig,
    NetworkConfig,
    NotifyConfig,
    SandboxConfig,
    ServeBase,
    SlurmConfig,
    StorageConfig,
    SyncConfig,
    WorkBase,
)
from learningchain.client.schema.settings import SETTINGS

SLICES: Final = contracts.parts(SETTINGS)


def _section(name: str, type_name: str, base: type[ConfigSection], *others: tuple[str, Any, Any]) -> Any:
    """A section: what is common, then what each contract has in it. Raises ValueError where two have one name."""
    fields = {field[0]: field for field in others}
    known = {*base.__struct_fields__, *fields}
    for slice_, part in SLICES.items():
        own = part.sections.get(name)
        for field in () if own is None else msgspec.structs.fields(own):
            if field.name in known:
                raise ValueError(f"the settings of {slice_} have {name}.{field.name}, which is there already")
            known.add(field.name)
            default = msgspec.field(default_factory=list) if field.default_factory is list else field.default
            fields[field.name] = (field.name, field.type, default)
    return msgspec.defstruct(type_name, fields.values(), bases=(base,), module=__name__, frozen=True, kw_only=True)


if TYPE_CHECKING:
    # What a type checker knows of the settings that are found when the program runs.
    from learningchain.client.contracts.prediction.settings import PredictionServing

    class ServeConfig(ServeBase, PredictionServing, frozen=True, kw_only=True): ...

else:
    ServeConfig = _section("serve", "ServeConfig", ServeBase)


_COMMON: Final = ("work", "serve")
"""Sections that contracts add to; another one that a contract names is its own."""
OWN_SECTIONS: Final[dict[str, Any]] = {
    name: _section(name, f"{name.title()}Config", ConfigSection)
    for part in SLICES.values()
    for name in part.sections
    if name not in _COMMON
}


if TYPE_CHECKING:
    from learningchain.client.contracts.federation.settings import FederationSettings
    from learningchain.client.contracts.job.settings import JobWork

    class WorkConfig(WorkBase, JobWork, frozen=True, kw_only=True):
        serve: ServeConfig = ServeConfig()
        federation: FederationSettings = FederationSettings()

else:
    # A node's work goes by [serve] and by contracts' own sections, too: `work_settings` puts them here.
    _BESIDE: Final = {"serve": ServeConfig, **OWN_SECTIONS}
    WorkConfig = _section("work", "WorkConfig", WorkBase, *((name, kind, kind()) for name, kind in _BESIDE.items()))


class ConfigBase(ConfigSection, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=64, description="What this node is called in its own displays.")] = "node"
    network: NetworkConfig = NetworkConfig()
    api: ApiConfig = ApiConfig()
    storage: StorageConfig = StorageConfig()
    sync: SyncConfig = SyncConfig()
    work: WorkConfig = WorkConfig()
    serve: ServeConfig = ServeConfig()
    sandbox: SandboxConfig = SandboxConfig()
    cluster: ClusterConfig = ClusterConfig()
    slurm: SlurmConfig = SlurmConfig()
    callback: CallbackConfig = CallbackConfig()
    notify: NotifyConfig = NotifyConfig()
    log: LogConfig = LogConfig()


if TYPE_CHECKING:

    class Config(ConfigBase, frozen=True, kw_only=True): ...

else:
    Config = msgspec.defstruct(
        "Config",
        [(name, kind, kind()) for name, kind in OWN_SECTIONS.items()],
        bases=(ConfigBase,),
        module=__name__,
        frozen=True,
        kw_only=True,
    )


SECTIONS: Final[dict[str, type[ConfigSection]]] = {
    "network": NetworkConfig,
    "api": ApiConfig,
    "storage": StorageConfig,
    "sync": SyncConfig,
    "work": WorkConfig,
    "serve": ServeConfig,
    **OWN_SECTIONS,
    "sandbox": SandboxConfig,
    "cluster": ClusterConfig,
    "slurm": SlurmConfig,
    "callback": CallbackConfig,
    "notify": NotifyConfig,
    "log": LogConfig,
}


def own_sections(config: Config) -> dict[str, Any]:
    """The sections that are a contract's own, by name."""
    return {name: getattr(config, name) for name in OWN_SECTIONS}
