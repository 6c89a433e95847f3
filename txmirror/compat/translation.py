"""From Python 2 to Python 3: one module's source at a time, and a cache of what came out.

Most of the work is done by fissix, the living fork of lib2to3. Two things in txzookeeper no fixer of its knows: a function
by the name of ``async``, which is a keyword by now, and ``__cmp__``, which Python 3 never calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from twisted.logger import Logger

_log = Logger()

#: One more with each change of what is done here: what was cached before is not used any more.
_EDITION = 1

_ASYNC = re.compile(r"\bzookeeper\.async\(")
_CMP = re.compile(
    r"^(?P<indent>[ ]+)def __cmp__\(self, other\):\n(?P=indent)[ ]+return cmp\(self\.(?P<key>\w+), other\.(?P=key)\)\n",
    re.MULTILINE,
)


def cache_folder() -> Path:
    """Give the folder of the user's where translations are kept: in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "txmirror" / "txzookeeper"


def translate(source: str, path: str) -> str:
    """Translate the source of a module.

    :param path: the module's file: what lies beside it tells relative imports from others.
    :raises ImportError: fissix cannot read it.
    """
    source = _CMP.sub(_compare, _ASYNC.sub("getattr(zookeeper, 'async')(", source))
    if not source.endswith("\n"):
        source += "\n"
    try:
        return str(_tool().refactor_string(source, path))
    except Exception as error:
        raise ImportError(f"{path!r} cannot be translated to Python 3: {error}", path=path) from error


def translated(source: bytes, path: str, folder: Path | None = None) -> str:
    """Give the translation of a module's source, from the cache if it is there; and keep it there.

    What is in the cache and broken is made anew. A cache that cannot be written to costs nothing but time.

    :param path: as for :func:`translate`.
    :param folder: the cache; :func:`cache_folder` if None.
    :raises ImportError: as :func:`translate`.
    """
    file = (folder or cache_folder()) / f"{_key(source, path)}.py"
    text = _read(file)
    if text is None:
        text = translate(source.decode("utf-8"), path)
        _write(file, text)
    return text


def _compare(match: re.Match[str]) -> str:
    indent, key = match["indent"], match["key"]
    methods = [
        f"{indent}def __{name}__(self, other):\n{indent}    return self.{key} {sign} other.{key}\n"
        for name, sign in (("eq", "=="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="))
    ]
    # Python 2 went on hashing such objects by what they are.
    return "\n".join([*methods, f"{indent}__hash__ = object.__hash__\n"])


@cache
def _tool() -> Any:
    from fissix import refactor  # noqa: PLC0415 - an extra; whoever has no need of it need not have it

    return refactor.RefactoringTool(refactor.get_fixers_from_package("fissix.fixes"))


def _key(source: bytes, path: str) -> str:
    parts = (str(_EDITION), metadata.version("fissix"), *map(str, sys.version_info[:2]), Path(path).name)
    return hashlib.sha256("\n".join(parts).encode() + b"\n" + source).hexdigest()


def _read(file: Path) -> str | None:
    """Give what was kept; None if nothing was, or if it is not whole."""
    try:
        digest, _, kept = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(kept).hexdigest().encode() != digest:
        _log.warn("The translation in {file!r} is broken, and is made anew.", file=str(file))
        return None
    return kept.decode("utf-8")


def _write(file: Path, text: str) -> None:
    kept = text.encode("utf-8")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(hashlib.sha256(kept).hexdigest().encode() + b"\n" + kept)
            Path(name).replace(file)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        _log.debug("A translation cannot be kept: {error}.", error=str(error))
