"""Run by the validator's own interpreter: each file is a CycloneDX 1.6 document, by the schema that the library carries. Its words
are JSON: what is wrong with each file, or null."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion  # type: ignore[import-not-found]
from cyclonedx.validation.json import JsonStrictValidator  # type: ignore[import-not-found]

found = {}
for name in sys.argv[1:]:
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(name).read_text(encoding="utf-8"))
    found[name] = None if fault is None else str(fault)[:2_000]
print(json.dumps(found))
