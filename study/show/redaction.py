"""What a person is shown of a URI: everything but its password."""

from __future__ import annotations

import re

HIDDEN = (re.compile(r"(\w[\w+.-]*://[^\s/?#:@]*:)[^\s/]+(?=@)"),
          re.compile(r"([?&;](?:password|passwd|pwd|token)=)[^&;#\s'\"]+"))


def redacted(text: str) -> str:
    """The text with `***` for each password in a URI: `scheme://user:***@host`, `...?password=***`."""
    for pattern in HIDDEN:
        text = pattern.sub(r"\1***", text)
    return text
