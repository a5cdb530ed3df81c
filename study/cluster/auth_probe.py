"""A program, run by `auth` in a process of its own: does the Ray cluster at an address let this environment in?

    python -P auth_probe.py HOST:PORT|auto   prints one line of JSON: {"answer": open | token | none, ...}
"""

from __future__ import annotations

import json
import sys


def auth_probe(address: str) -> dict[str, str]:
    """answer: `open` (it lets us in), `token` (it asks for another token than ours), `none` (with the `message`).

    address: of the cluster, as HOST:PORT; Ray finds out what `auto` means.
    """
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RayError

    found = address
    try:
        found = canonicalize_bootstrap_address(address) or address
        GcsClient(address=found)  # asks for the cluster's id
    except AuthenticationError:
        return {"answer": "token", "address": found}
    except (RayError, OSError, RuntimeError, ValueError) as error:
        return {"answer": "none", "address": found, "message": " ".join(str(error).split())[:200]}
    return {"answer": "open", "address": found}


if __name__ == "__main__":
    print(json.dumps(auth_probe(sys.argv[1])))
