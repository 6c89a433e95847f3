"""Foreign text for one line of a log or a terminal."""

from __future__ import annotations


def on_one_line(text: str) -> str:
    """Escape what does not print, so that a text cannot pretend to be several lines, or move a cursor."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
