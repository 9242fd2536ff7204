"""The software bill of materials: a CycloneDX 1.6 document of what an installed node consists of."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from scripts.packages.software import Software

_INDEX = "https://pypi.org/simple/{}/"


def render(version: str, epoch: int, wheel: tuple[str, str], parts: Sequence[Software]) -> str:
    """JSON. `wheel`: name and SHA-256 of the wheel that it is about; `epoch`: seconds since 1970."""
    own = f"pkg:pypi/learningchain@{version}"
    name, digest = wheel
    root = {
        "type": "application",
        "bom-ref": own,
        "name": "learningchain",
        "version": version,
        "purl": own,
        "licenses": [{"expression": "Apache-2.0 AND 0BSD AND MIT"}],
        "externalReferences": [{"type": "distribution", "url": name, "hashes": [_sha256(digest)]}],
    }
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "lifecycles": [{"phase": "build"}],
            "component": root,
        },
        "components": [component(one) for one in parts],
        "dependencies": dependencies(own, parts),
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    document = {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, text)}", **document}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def component(one: Software) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": ref(one),
        "name": one.name,
        "version": one.version,
        "scope": "optional" if one.optional else "required",
        "licenses": [{"expression": one.licence}],
        "purl": one.purl,
    }
    if one.file:
        return found | {"hashes": [_sha256(one.hashes[0])], "properties": [{"name": "learningchain:file", "value": one.file}]}
    # Any one of these files is installed, depending on the machine: they are no hashes of the component itself.
    files = [{"type": "distribution", "url": _INDEX.format(one.name), "hashes": [_sha256(one_file)]} for one_file in one.hashes]
    return found | {"externalReferences": files}


def ref(one: Software) -> str:
    return f"{one.purl}#{one.file}" if one.file else one.purl


def dependencies(own: str, parts: Sequence[Software]) -> list[dict[str, Any]]:
    """Who needs whom; what nobody else needs, the node itself does."""
    by_name = {one.name: ref(one) for one in parts if not one.file}
    inner = {name for one in parts for name in one.needs}
    direct = sorted(ref(one) for one in parts if one.file or one.name not in inner)
    rest = [{"ref": ref(one), "dependsOn": sorted(by_name[name] for name in one.needs)} for one in parts]
    return [{"ref": own, "dependsOn": direct}, *rest]


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
