"""The journal of one arm's search: what was asked, in order, and what was told. Whole, with its checksum, or lost."""

from __future__ import annotations

import logging
from typing import Any

from study.schema.canonical import checksum
from study.store.units import Store

# unit, params, system_attrs, state (asked | told | pruned | repeated); of what is told or pruned also values and rungs;
# where the sampler noted something of the study as a whole also that (noted, see `memory`)
Entry = dict[str, Any]

log = logging.getLogger(__name__)


def read_journal(store: Store, path: str) -> list[Entry]:
    """Its entries; none where there is no journal, or a damaged one: a search rebuilds it from what is finished."""
    found = store.read_json(path)
    if found is None:
        return []
    try:
        is_whole = found["sha256"] == checksum(found["entries"])
    except (KeyError, TypeError, ValueError):  # JSON, and no journal
        is_whole = False
    if not is_whole:
        log.warning("%s/%s/%s is damaged; a launch makes it again from what is finished", store.uri, store.study,
                    path)
        return []
    return list(found["entries"])


def write_journal(store: Store, path: str, entries: list[Entry]) -> None:
    """Replace the journal."""
    store.write_json(path, {"sha256": checksum(entries), "entries": entries})
