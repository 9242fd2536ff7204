"""The settings in force, where each comes from, what it means, and a form for each of those that may be changed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from learningchain.client import config
from learningchain.client.api.errors import RequestError
from learningchain.client.config_change import is_at_once
from learningchain.client.dashboard.page import Answer, Done, Drawn, Nav, PagesPart, Visit, change, gone, page
from learningchain.client.dashboard.text import flat


def shown(value: Any) -> str:
    return "; ".join(f"{path}: {text}" if path else text for path, text in flat(value))


@page("/dashboard/settings")
async def settings(visit: Visit) -> Drawn:
    found = await visit.ask("GET /v1/config")
    meanings = config.meanings()
    sections: dict[str, list[dict[str, Any]]] = {}
    for name, setting in found.items():
        row = {**setting, "name": name, "value": shown(setting["value"]), "meaning": meanings.get(name, "")}
        row["later"] = shown(setting["after_restart"]) if "after_restart" in setting else None
        sections.setdefault(name.rpartition(".")[0] or "node", []).append(row)
    waiting = sum("after_restart" in setting for setting in found.values())
    return Drawn("settings.html", "Settings", {"sections": sorted(sections.items()), "waiting": waiting})


@page("/dashboard/settings/{name}")
async def one_setting(visit: Visit) -> Drawn:
    return await _one(visit, None, None)


async def _one(visit: Visit, typed: str | None, refused: RequestError | None) -> Drawn:
    name = visit.match["name"]
    found = (await visit.ask("GET /v1/config")).get(name)
    if found is None or name not in config.SETTINGS:
        raise gone("setting of this name")
    setting = config.SETTINGS[name]
    values = {
        "name": name,
        "setting": found,
        "value": shown(found["value"]),
        "later": shown(found["after_restart"]) if "after_restart" in found else None,
        "standard": shown(setting.default),
        "meaning": setting.description,
        "at_once": is_at_once(name),
        "choices": choices(setting),
        "several": isinstance(setting.default, list),
        "typed": as_typed(found) if typed is None else typed,
        "refused": refused.body if refused else None,
    }
    return Drawn("setting.html", f"Setting {name}", values, status=refused.status if refused else 200)


def choices(setting: config.Setting) -> tuple[str, ...]:
    """What it may be where that is little; empty where it is written."""
    kind = get_args(setting.kind)[0]
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else ()


def as_typed(found: Mapping[str, Any]) -> str:
    """The value that stands written, as a person would type it."""
    value = found.get("after_restart", found["value"])
    if isinstance(value, list):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@change("/dashboard/settings/{name}")
async def write(visit: Visit) -> Answer:
    name, typed = visit.match["name"], visit.form.get("value", "").strip()
    try:
        done = await visit.ask("PUT /v1/config/{setting}", {"setting": name}, body={"value": typed})
    except RequestError as e:
        return await _one(visit, typed, e)
    written = shown(done["value"]) or "nothing"
    return Done("/dashboard/settings", f"{name} is written as {written}. It counts {done['effective']}.")


PART = PagesPart((settings, one_setting, write), (Nav(95, "Settings", "/dashboard/settings"),))
