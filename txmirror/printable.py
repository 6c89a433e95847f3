"""Printable forms of foreign text, values, sessions and processes, for one line of a log or a terminal; texts that UTF-8 has."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Iterable
from typing import Any

from txmirror.types import ZnodeStat

#: The longest value that a message quotes, in characters.
_LONGEST_QUOTE = 60
#: The longest word for which to look for similar ones, which takes long for long ones.
_LONGEST_WORD = 64


def on_one_line(text: str) -> str:
    """Return a text with its unprintable characters escaped, so that it cannot span several lines, or move a cursor."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def is_utf8(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8: it has no lone surrogates, as from bytes of another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def host_and_port(host: str, port: int) -> str:
    """Return a host and a port as connection strings and URLs have them, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def session_name(session_id: int) -> str:
    """Return a session's id as ZooKeeper's own tools and logs print it: hexadecimal, without a sign."""
    return f"{session_id & 0xFFFFFFFFFFFFFFFF:#x}"


def stat_fields(stat: ZnodeStat) -> dict[str, Any]:
    """Return a stat for JSON: ids in hexadecimal, because they are longer than the numbers of some readers; times in seconds since the
    Unix epoch; no owner if the node is not ephemeral.
    """
    ids = {name: f"{getattr(stat, name):#x}" for name in ("czxid", "mzxid", "pzxid")}
    owner = session_name(stat.ephemeralOwner) if stat.ephemeralOwner else None
    return {**stat._asdict(), **ids, "ctime": stat.ctime / 1000, "mtime": stat.mtime / 1000, "ephemeralOwner": owner}


def process_name() -> str:
    """Return the name of this process for other hosts: host and pid, as in ``host1:4711``."""
    return f"{socket.gethostname()}:{os.getpid()}"


def quote(value: object) -> str:
    """Return a value for a message, shortened if it is long."""
    try:
        text = repr(value)
    except ValueError:
        # Python does not write integers of more than 4,300 digits, and hexadecimal ones may be longer.
        return "a number with too many digits"
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def suggest(word: str, known: Iterable[str]) -> str:
    """Return an addition to a message about an unknown word: the most similar known one, or nothing."""
    similar = difflib.get_close_matches(word, known, 1) if len(word) <= _LONGEST_WORD else []
    return f"; did you mean {similar[0]!r}?" if similar else ""
