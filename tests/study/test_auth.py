"""Whose cluster it is, whose token, and what nodes answer: every sentence, without Ray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from study.cluster import auth, probe
from study.cluster.auth import Answer, check_access, is_loopback, own_token, ray_problem, token_problem

AT = "10.0.0.1:6379"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of Ray in the environment, and a home of its own."""
    for name in ("RAY_AUTH_MODE", *auth.TOKEN_NAMES):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("anonymous", "owner", "insecure", "mode", "sentence"), [
    (Answer("open", AT), None, False, "disabled", f"--address auto: found a cluster at {AT} that asks for no token, so "
     "that whoever reaches it can run programs there; expected RAY_AUTH_MODE=token on all its nodes (--insecure goes "
     "on)"),
    (Answer("open", AT), None, True, "disabled", None),
    (Answer("open", "127.0.0.1:6379"), None, False, "disabled", None),
    (Answer("token", AT), "open", False, "token", None),
    (Answer("token", AT), "token", True, "token", f"--address auto: the cluster at {AT} does not take this launch's "
     "token; expected the cluster's in the file that RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token"),
    (Answer("none", AT, "gone"), None, True, None, "--address auto: no Ray cluster can be joined there: gone"),
])
def test_who_may_go_to_a_cluster(home: Path, monkeypatch: pytest.MonkeyPatch, anonymous: Answer, owner: str | None,
                                 insecure: bool, mode: str | None, sentence: str | None) -> None:
    def probe(address: str, environment: dict[str, str]) -> Answer:
        if environment["RAY_AUTH_MODE"] == "disabled":  # as a anonymous: shows nothing
            assert "RAY_AUTH_TOKEN" not in environment
            return anonymous
        assert environment["RAY_AUTH_TOKEN"] == "mine" and owner is not None
        return Answer(owner, address)

    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    monkeypatch.setattr(auth, "_probe", probe)
    assert check_access("auto", insecure) == ("auto" if anonymous.answer == "none" else anonymous.address, sentence)
    assert os.environ.get("RAY_AUTH_MODE") == mode


def test_what_only_this_machine_reaches() -> None:
    places = ("127.0.0.1:1", "localhost:1", "[::1]:1", AT, "head:1", "0.0.0.0:1")
    assert [is_loopback(place) for place in places] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(("version", "refused"), [("2.53.9", True), ("2.54.0", False), ("2.100.0", False), ("3.0.0rc1",
                                                                                                         False)])
def test_a_ray_with_known_holes_is_refused(version: str, refused: bool) -> None:
    assert ray_problem(version) == (f"ray: found {version}, expected 2.54 or later: in those before it strangers can "
                                    "run programs (CVEs)" if refused else None)


def test_a_token_that_others_can_read_is_refused(home: Path) -> None:
    file = home / "secret"
    assert token_problem({"RAY_AUTH_TOKEN_PATH": str(file)}) is None, "there is none"
    file.write_text("token")
    for mode, refused in ((0o600, False), (0o640, False), (0o604, True), (0o644, True)):
        file.chmod(mode)
        assert token_problem({"RAY_AUTH_TOKEN_PATH": str(file)}) == (
            f"Ray's token {file}: found mode {mode:o}, with which others can use it, expected 600: chmod 600 {file}"
            if refused else None)
    assert token_problem({"RAY_AUTH_TOKEN_PATH": str(file), "RAY_AUTH_TOKEN": "token"}) is None, "the file is not read"


def test_this_machines_own_cluster_gets_a_token_that_lies_in_no_file(
        home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_token()
    first = os.environ["RAY_AUTH_TOKEN"]
    assert len(first) == 64 and os.environ["RAY_AUTH_MODE"] == "token" and not (home / ".ray").exists()
    own_token()
    assert os.environ["RAY_AUTH_TOKEN"] != first, "a launch's own"
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    own_token()
    assert "RAY_AUTH_TOKEN" not in os.environ and os.environ["RAY_AUTH_MODE"] == "disabled"


MINE = {"python": "3.11", "ray": "2.60.0", "torch": "2.13.0", "numpy": "2.4.0"}


@pytest.mark.parametrize(("sight", "unread", "sentence"), [
    (probe.Sight(MINE), False, None),
    (probe.Sight({**MINE, "torch": "2.12.1"}), False,
     "node 10.0.0.2: found torch 2.12.1, expected 2.13.0, as where the launch runs"),
    (probe.Sight({**MINE, "python": "3.12"}), False,
     "node 10.0.0.2: found python 3.12, expected 3.11, as where the launch runs"),
    (probe.Sight(MINE, "does not see what this launch wrote there"), False, "--storage s3://b: node 10.0.0.2 does not "
     "see what this launch wrote there; expected a place that every node reads and writes"),
    (probe.Sight(MINE), True, "--storage s3://b: node 10.0.0.2 writes where this launch does not read; expected a "
     "place that every node reads and writes"),
    ("no answer within 120 s", False, "node 10.0.0.2 cannot run the study: no answer within 120 s"),
])
def test_what_is_wrong_with_a_node(sight: probe.Sight | str, unread: bool, sentence: str | None) -> None:
    assert probe._judge("10.0.0.2", sight, MINE, "s3://b", unread) == sentence


def test_builds_of_one_version_are_the_same_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head without a GPU has torch's build for the CPU, the workers have one for theirs."""
    monkeypatch.setattr(probe.metadata, "version", lambda name: "2.13.0+cu126" if name == "torch" else "2.4.0")
    assert probe.versions()["torch"] == "2.13.0" and set(probe.versions()) == {"python", "ray", "torch", "numpy"}


def test_a_look_at_the_storage_writes_back_what_it_read(tmp_path: Path) -> None:
    uri, folder = f"file://{tmp_path}", tmp_path / "tiny"
    assert probe.look(uri, "tiny", "note", "answer").storage == "does not see what this launch wrote there"
    folder.mkdir()
    (folder / "note").write_text("text")
    assert probe.look(uri, "tiny", "note", "answer").storage == "" and (folder / "answer").read_text() == "text"
    (folder / "blocked").write_text("a file where a folder belongs")
    found = probe.look(uri, "tiny", "note", "blocked/answer").storage
    assert found.startswith(f"cannot use it: storage {uri!r} is not writable: ")
