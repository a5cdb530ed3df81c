"""Where feature extractors are kept on this machine, be it the driver's or a worker's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from study.store.units import Store


def cache_dir(store: Store) -> Path:
    """Beside the studies; for an object store in the user's cache, or, where this user has none that can be written, in
    the temporary folder. To be asked on the machine that uses it: another one may have another user and home."""
    if store.local:
        return store.folder / ".cache"
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ebm-study"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / f"ebm-study-{os.getuid()}"
    return home if os.access(home, os.W_OK) else Path(tempfile.gettempdir()) / f"ebm-study-{os.getuid()}"
