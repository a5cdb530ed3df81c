"""Who may use a Ray cluster: whoever reaches one that asks for no token may run any program there.

So a cluster that others can reach has to ask for a token, the token is for its owner's eyes, and a launch with a wrong
token is told so at once (Ray itself tries for 20 seconds). Importing this imports no Ray.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

OLDEST_RAY = (2, 54)  # those before it have known holes (CVEs) that run a stranger's code
KNOCK_SECONDS = 30.0  # a cluster answers within 2; one that is gone is given up by Ray after 10
TOKEN_NAMES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@dataclass(frozen=True)
class Answer:
    """What a cluster said. answer: open | token | none; address: HOST:PORT, what `auto` has turned out to mean."""

    answer: str
    address: str
    message: str = ""


def check_access(address: str, insecure: bool) -> tuple[str, str | None]:
    """The cluster's HOST:PORT, and why this launch may not go there, as one sentence, or None.

    Sets RAY_AUTH_MODE=token in the environment where the cluster asks for one; to be called before ray is imported.
    """
    if problem := ray_problem(metadata.version("ray")):
        return address, problem
    environment = os.environ
    bare = {name: value for name, value in environment.items() if name not in TOKEN_NAMES}
    anonymous = _probe(address, {**bare, "RAY_AUTH_MODE": "disabled"})
    if anonymous.answer == "none":
        return address, f"--address {address}: no Ray cluster can be joined there: {anonymous.message}"
    if anonymous.answer == "open":
        # A driver that shows and asks for tokens cannot work with nodes that have none.
        environment["RAY_AUTH_MODE"] = "disabled"
        if insecure or is_loopback(anonymous.address):
            return anonymous.address, None
        return anonymous.address, (
            f"--address {address}: found a cluster at {anonymous.address} that asks for no token, so that whoever "
            "reaches it can run programs there; expected RAY_AUTH_MODE=token on all its nodes (--insecure goes on)")
    environment["RAY_AUTH_MODE"] = "token"
    if problem := token_problem(environment):
        return anonymous.address, problem
    if _probe(anonymous.address, dict(environment)).answer != "open":
        return anonymous.address, (
            f"--address {address}: the cluster at {anonymous.address} does not take this launch's token; expected "
            "the cluster's in the file that RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token")
    return anonymous.address, None


def ray_problem(version: str) -> str | None:
    """Why this Ray may not join a cluster, as one sentence, or None."""
    if tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_RAY:
        return None
    oldest = ".".join(map(str, OLDEST_RAY))
    return f"ray: found {version}, expected {oldest} or later: in those before it strangers can run programs (CVEs)"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches HOST:PORT; Ray listens on nothing else there."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def token_problem(environment: Mapping[str, str]) -> str | None:
    """Why the file that holds Ray's token is not safe, as one sentence, or None (also where there is no such file).

    A file of another owner, such as a mounted secret, is not this user's to change, and passes.
    """
    if environment.get("RAY_AUTH_TOKEN"):
        return None
    path = _token_path(environment)
    try:
        found = path.stat()
    except OSError:
        return None
    mode = found.st_mode & 0o777
    if not mode & 0o007 or found.st_uid != os.getuid():
        return None
    return f"Ray's token {path}: found mode {mode:o}, with which others can use it, expected 600: chmod 600 {path}"


def own_token() -> None:
    """Have a token for a cluster of this launch alone: in the environment, which its workers inherit, and nowhere else.

    Ray would take the user's from a file, so that `--address auto` of another launch would find this cluster and join.
    """
    environment = os.environ
    environment.setdefault("RAY_AUTH_MODE", "token")
    if environment["RAY_AUTH_MODE"] == "token":
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _token_path(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").expanduser()


def _probe(address: str, environment: dict[str, str]) -> Answer:
    """In a process of its own: Ray fixes at its import whether it shows a token, and complains on stderr."""
    program = [sys.executable, "-P", str(Path(__file__).with_name("auth_probe.py")), address]
    try:
        done = subprocess.run(program, env=environment, capture_output=True, text=True, errors="replace",
                              timeout=KNOCK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Answer("none", address, f"no answer within {KNOCK_SECONDS:g} s")
    if done.returncode:
        return Answer("none", address, (done.stderr.strip().splitlines() or ["Ray failed"])[-1][:200])
    return Answer(**json.loads(done.stdout.splitlines()[-1]))
