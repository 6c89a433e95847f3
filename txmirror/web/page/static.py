"""The files beside the page: read once, and sent again only after they have changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import attrs

_FOLDER: Final = Path(__file__).parent
_TYPES: Final = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


@attrs.frozen
class StaticFile:
    """A file of the page."""

    content_type: str
    content: bytes = attrs.field(repr=False)
    etag: str = attrs.field(init=False)
    """Its ETag: another one for other contents."""

    @etag.default
    def _(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    def is_current(self, if_none_match: str | None) -> bool:
        """Return whether a header ``If-None-Match`` names this ETag."""
        if if_none_match is None:
            return False
        tags = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
        return self.etag in tags or "*" in tags


def read_static_files() -> dict[str, StaticFile]:
    """Return the files by name.

    :raises OSError: one cannot be read: the installation is incomplete.
    """
    return {name: StaticFile(kind, (_FOLDER / name).read_bytes()) for name, kind in _TYPES.items()}
