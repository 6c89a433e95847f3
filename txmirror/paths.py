"""Znode paths: validating, splitting and joining them.

The rules are those of ZooKeeper's ``PathUtils.validatePath``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from txmirror.errors import PathError

#: Characters that are invalid in a znode's name: the controls, the surrogates (and all characters that Java, in which
#: ZooKeeper is written, represents by them), the private use area, and the specials.
_FORBIDDEN = "\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff\U00010000-\U0010ffff"

#: One name after each slash; a name is not ``.`` or ``..``, and not empty.
_VALID = re.compile(rf"/|(?:/(?!\.{{1,2}}(?:/|\Z))[^/{_FORBIDDEN}]+)+")
_FORBIDDEN_ONE = re.compile(f"[{_FORBIDDEN}]")
_SLASHES = re.compile("/+")
_NO_NAMES = frozenset({"", ".", ".."})
#: The characters of most names.
_PLAIN = bytes(range(0x20, 0x7F))
_PLAIN_OR_NEWLINE = _PLAIN + b"\n"


def validate(path: str, *, sequence: bool = False) -> str:
    """Check that ``path`` is a znode's path, and return it.

    :param sequence: the server will append digits to it, so that it may end in a slash.
    :raises PathError: it is not a znode's path; the message quotes it.
    :raises TypeError: it is not a ``str``.
    """
    if not isinstance(path, str):
        raise TypeError(f"a znode's path is a str, not {path!r}")
    candidate = path + "0" if sequence else path
    if _VALID.fullmatch(candidate) is None:
        raise PathError(f"{path!r} is not a znode path: {_fault(candidate)}")
    return path


def validate_each(paths: Sequence[str]) -> None:
    """Check that several strings are znodes' paths.

    This is fast for long lists: it checks usual paths as one string, without a loop in Python.

    :raises PathError: one is not a znode's path; the message quotes the first such one.
    :raises TypeError: one is not a ``str``.
    """
    if not _are_plain(paths):
        for path in paths:
            validate(path)


def _are_plain(paths: Sequence[str]) -> bool:
    """Return whether several strings are paths of printable ASCII, none of them the root, and no name begins with a dot."""
    try:
        text = "\n".join(paths)
    except TypeError:
        return False
    lines = f"\n{text}\n"
    return (
        text.isascii()
        and lines.count("\n/") == len(paths) == lines.count("\n") - 1
        and "//" not in lines
        and "/\n" not in lines
        and "/." not in lines
        and not text.encode().translate(None, _PLAIN_OR_NEWLINE)
    )


def is_path(path: str) -> bool:
    """Return whether a string is a znode's path."""
    return _VALID.fullmatch(path) is not None


def are_names(names: Sequence[str]) -> bool:
    """Return whether every string is a valid name of a child.

    This is fast for long lists: it checks them as one string, without a loop in Python.
    """
    text = "".join(names)
    if "/" in text or not _NO_NAMES.isdisjoint(names):
        return False
    if text.isascii():
        return not text.encode().translate(None, _PLAIN)
    return _FORBIDDEN_ONE.search(text) is None


def normalise(path: str) -> str:
    """Return a path with a leading slash, and without doubled and trailing ones, and validate it.

    :raises PathError: the result is not a znode path; the message quotes ``path``.
    :raises TypeError: it is not a ``str``.
    """
    if not isinstance(path, str):
        raise TypeError(f"a znode's path is a str, not {path!r}")
    normal = _SLASHES.sub("/", "/" + path).rstrip("/") or "/"
    if _VALID.fullmatch(normal) is None:
        raise PathError(f"{path!r} is not a znode path: {_fault(normal)}")
    return normal


def join(parent: str, name: str) -> str:
    """Return the path of the child ``name`` of ``parent``. Both must be valid."""
    return f"/{name}" if parent == "/" else f"{parent}/{name}"


def join_each(parent: str, names: Iterable[str]) -> list[str]:
    """Return the paths of several children of ``parent``. All must be valid."""
    prefix = "" if parent == "/" else parent
    return [f"{prefix}/{name}" for name in names]


def parent_of(path: str) -> str | None:
    """Return the path of the parent, or None for the root."""
    if path == "/":
        return None
    return path[: path.rindex("/")] or "/"


def split(path: str) -> tuple[str, str]:
    """Return the path of the parent and the last part of a path, which must not be the root."""
    parent, _, name = path.rpartition("/")
    return parent or "/", name


def name_of(path: str) -> str:
    """Return the last part of a path: the name in its parent's list of children."""
    return path[path.rindex("/") + 1 :]


def _fault(path: str) -> str:
    if not path.startswith("/"):
        return "it must start with a slash"
    if _FORBIDDEN_ONE.search(path):
        return "it contains a character that ZooKeeper does not allow"
    if path.endswith("/"):
        return "it must not end with a slash"
    if "//" in path:
        return "it has an empty name between two slashes"
    return "'.' and '..' are not names of znodes"
