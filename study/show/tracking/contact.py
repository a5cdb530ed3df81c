"""The first contact of a launch with MLflow: whether it may begin."""

from __future__ import annotations

from study.show.tracking import Tracking, TrackingError
from study.store.units import Store

SHOWN = "tracking.json"  # in the study's storage: the server that has shown it


def first_contact(tracking: Tracking, store: Store) -> str:
    """Reach MLflow before a launch begins: "", or what a person should know when the launch goes on without it.

    A server that is away is refused where the study was never shown there: a person looks now, and the address may be
    mistyped. A study that was shown there goes on, as it would had the server gone away a minute later.

    Raises TrackingError.
    """
    place = tracking.uri.rpartition("://")[2].rpartition("@")[2].rstrip("/")  # without a password
    try:
        tracking.check_reachable()
    except TrackingError as error:
        if error.away and _server_of(store) == place:
            return f"{error}; the study was shown there before, so it goes on, and what is missing there is added later"
        raise
    if tracking.is_server:
        store.write_json(SHOWN, {"server": place})
    return ""


def _server_of(store: Store) -> str | None:
    found = store.read_json(SHOWN)
    return found.get("server") if isinstance(found, dict) else None
