"""Values of nodes and ACLs: bytes and :class:`~txmirror.types.ACL` here, ``str`` and dicts in the binding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from txmirror.types import ACL

#: An ACL of the binding: dicts of ``perms``, ``scheme`` and ``id``.
Entries = Sequence[dict[str, Any]]


def text_of(data: bytes) -> str:
    """Return a node's data as a text, for the binding's callers."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str | None) -> bytes:
    """Return the data to store for a caller's value; None is stored as no bytes.

    :raises TypeError: the value is not a ``str``.
    """
    if text is None:
        return b""
    if not isinstance(text, str):
        raise TypeError(f"a value is a str here, in UTF-8 with surrogateescape, and not {type(text).__name__}")
    return text.encode("utf-8", "surrogateescape")


def entries_of(acl: Iterable[ACL]) -> list[dict[str, Any]]:
    """Return an ACL as the binding has it."""
    return [{"perms": int(perms), "scheme": scheme, "id": identity} for perms, scheme, identity in acl]


def acl_of(entries: Entries) -> list[ACL]:
    """Return the ACL for the binding's entries.

    :raises KeyError: a key is missing.
    :raises TypeError: an entry is not a dict, or ``perms`` is no number.
    :raises ValueError: ``perms`` is no number.
    """
    return [ACL(int(entry["perms"]), entry["scheme"], entry["id"]) for entry in entries]
