"""The names of files and folders for znodes, on any file system.

Letters, digits and ``-_.,=+@:#!()[] `` stay as they are. All other characters are written as ``%xx``, as in URLs: a leading dot too, so
that ``.`` and ``..`` are harmless, and a trailing dot or space, which some systems drop. Siblings that differ only in case get ``%xx`` in
place of their capital letters. A name that is too long for a file is in a file of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

#: The beginning of the names of our own files. In the name of a znode, ``%`` is always followed by two digits.
MARK: Final = "%"
#: The beginning of the name of a folder for a long name.
LONG: Final = "%long-"

_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9_.,=+@:#!()\[\] -]")
_CAPITAL: Final = re.compile(rb"[A-Z]")
_EDGE: Final = re.compile(rb"\A[. ]|[. ]\Z")
_CODE: Final = re.compile(rb"%([0-9a-fA-F]{2})")
#: The longest name of a file, in bytes, with room for the suffix of a temporary name.
_LONGEST: Final = 200


def clashing(names: Iterable[str]) -> frozenset[str]:
    """Return the names that differ from a sibling only in case."""
    names = list(names)
    folded = Counter(name.casefold() for name in names)
    if len(folded) == len(names):
        return frozenset()
    return frozenset(name for name in names if folded[name.casefold()] > 1)


def file_name(name: str, *, clashes: bool) -> str:
    """Return the name of the file or folder for a znode's name.

    :param clashes: whether a sibling's name differs only in case.
    """
    written = _UNSAFE.sub(_encode, name.encode())
    if clashes:
        written = _CAPITAL.sub(_encode, written)
    written = _EDGE.sub(_encode, written)
    if len(written) > _LONGEST:
        return LONG + hashlib.sha256(name.encode()).hexdigest()[:32]
    return written.decode()


def znode_name(name: str) -> str:
    """Return the znode's name for the name of a file or folder.

    :raises ValueError: there is none.
    """
    if re.search(r"%(?![0-9a-fA-F]{2})", name):
        raise ValueError(f"{name!r:.200} has a '%' without two digits after it")
    try:
        return _CODE.sub(lambda match: bytes((int(match[1], 16),)), name.encode()).decode()
    except UnicodeError:
        raise ValueError(f"{name!r:.200} is not UTF-8") from None


def _encode(match: re.Match[bytes]) -> bytes:
    return b"%%%02x" % match[0][0]
