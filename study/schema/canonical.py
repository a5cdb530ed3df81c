"""One text for one meaning: what hashes and comparisons of configurations rest on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, floats by repr. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def checksum(value: Any) -> str:
    """SHA-256 of the canonical text, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """What is written into a file of which a flipped bit is to be noticed."""
    return {**content, "sha256": checksum(content)}


def unsealed(found: Any) -> dict[str, Any]:
    """What `sealed` was given. Raises ValueError where its checksum is not there or not its own."""
    if not isinstance(found, dict) or found.get("sha256") != checksum(
            content := {key: value for key, value in found.items() if key != "sha256"}):
        raise ValueError("found no whole file, expected a mapping with its checksum")
    return content
