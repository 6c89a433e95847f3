"""Checks of arguments, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from txmirror.types import ACL

_INT32 = 2**31


def check_bytes(value: bytes) -> bytes:
    """Check that data is bytes, and return it.

    :raises TypeError: it is not.
    """
    if not isinstance(value, bytes):
        raise TypeError(f"data is bytes, not {type(value).__name__}: {value!r:.60}")
    return value


def check_version(value: int) -> int:
    """Check a version, and return it.

    :raises TypeError: it is not an int.
    :raises ValueError: it has more than 32 bits.
    """
    return _check_int("version", value, 32)


def check_zxid(value: int) -> int:
    """Check a zxid, and return it.

    :raises TypeError: it is not an int.
    :raises ValueError: it has more than 64 bits.
    """
    return _check_int("zxid", value, 64)


def check_acl(value: Any) -> tuple[ACL, ...]:
    """Check an access control list, and return it as a tuple.

    :raises TypeError: it is not a list, or an entry is malformed.
    :raises ValueError: permissions have more than 32 bits.
    """
    if isinstance(value, (str, ACL)) or not isinstance(value, Iterable):
        raise TypeError(f"an access control list is a list of ACL entries, not {value!r:.60}")
    return tuple(_check_entry(entry) for entry in value)


def check_paths(value: Any) -> list[str]:
    """Check that paths are a collection, and return them as a list.

    :raises TypeError: it is one string, or cannot be iterated over.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"paths are a list, not {value!r:.60}")
    return list(value)


def check_optional(name: str, value: Any, kind: type) -> None:
    """Check that an argument is None or an instance of a class. The message does not show the value: it may be a secret.

    :raises TypeError: it is neither.
    """
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} is a {kind.__name__}, not a {type(value).__name__}")


def _check_int(name: str, value: int, bits: int) -> int:
    if type(value) is not int:
        raise TypeError(f"a {name} is an int, not {value!r:.60}")
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise ValueError(f"a {name} has {bits} bits, and {value} has more")
    return value


def _check_entry(entry: Any) -> ACL:
    if isinstance(entry, tuple) and len(entry) == 3:
        permissions, scheme, identity = entry
        if isinstance(permissions, int) and isinstance(scheme, str) and isinstance(identity, str):
            if not -_INT32 <= permissions < _INT32:
                raise ValueError(f"permissions have 32 bits, and {permissions} has more")
            return ACL(permissions, scheme, identity)
    raise TypeError(f"an ACL entry is permissions, a scheme and an identity, not {entry!r:.60}")
