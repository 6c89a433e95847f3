"""Text for one line of a log or a terminal: foreign text, sessions and processes."""

from __future__ import annotations

import os
import socket


def on_one_line(text: str) -> str:
    """Escape what does not print, so that a text cannot pretend to be several lines, or move a cursor."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def session_name(session_id: int) -> str:
    """Return a session's id as ZooKeeper's own tools and logs print it: hexadecimal, without a sign."""
    return f"{session_id & 0xFFFFFFFFFFFFFFFF:#x}"


def process_name() -> str:
    """Return the name of this process for people in other places: its host and pid, as in ``host1:4711``."""
    return f"{socket.gethostname()}:{os.getpid()}"
