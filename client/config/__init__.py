"""The settings of a node: one TOML file, every setting with a default, every value bounded, unknown names refused.

A setting comes from the environment (`LEARNINGCHAIN_WORK_ATTEMPTS`), else from `config.toml`, else from its default; `load` says
which. The descriptions in `sections`, and in the settings of contracts, are what `learningchain config` shows and what stands as
comments in the file. Anybody in the package `client` may read a `Config`; the command line writes the file, and what the owner
changes over HTTP (`client.config_change`).
"""

from __future__ import annotations

from learningchain.client.config.checks import DAY_MS, OF_CLUSTER, gpus_without_cluster, own_gpus, parse_gpus, parse_keep
from learningchain.client.config.composed import OWN_SECTIONS, Config, ServeConfig, WorkConfig, own_sections
from learningchain.client.config.loading import FILE, MAX_FILE, Loaded, load, parse, parse_value
from learningchain.client.config.sections import (
    LONGEST_RUN_S,
    ApiConfig,
    NetworkConfig,
    NotifyConfig,
    SandboxConfig,
    ServeBase,
    WorkBase,
)
from learningchain.client.config.settings import (
    PREFIX,
    RENAMED,
    SETTINGS,
    ConfigError,
    Setting,
    display,
    meanings,
    shown,
    suggest,
    value_of,
)
from learningchain.client.config.writing import change, render, toml_value, write

__all__ = [
    "DAY_MS",
    "FILE",
    "LONGEST_RUN_S",
    "MAX_FILE",
    "OF_CLUSTER",
    "OWN_SECTIONS",
    "PREFIX",
    "RENAMED",
    "SETTINGS",
    "ApiConfig",
    "Config",
    "ConfigError",
    "Loaded",
    "NetworkConfig",
    "NotifyConfig",
    "SandboxConfig",
    "ServeBase",
    "ServeConfig",
    "Setting",
    "WorkBase",
    "WorkConfig",
    "change",
    "display",
    "gpus_without_cluster",
    "load",
    "meanings",
    "own_gpus",
    "own_sections",
    "parse",
    "parse_gpus",
    "parse_keep",
    "parse_value",
    "render",
    "shown",
    "suggest",
    "toml_value",
    "value_of",
    "write",
]
