"""Translation from Python 2 to Python 3, one module at a time, and a cache of the translations.

fissix, the maintained fork of lib2to3, does most of the work. Its fixers do not handle two things in txzookeeper: a function
with the name ``async``, which is a keyword now, and ``__cmp__``, which Python 3 never calls.

The program runs the cached translations. So the cache is used only if nobody else can have written it: folder and file belong
to this user or to root, and nobody else may write to them. fissix caches its grammars as pickles, and loading a pickle runs
code too. So those are neither read nor written; making the grammars takes a few milliseconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from txmirror.files import UnsafeFileError, check_owner, closed_on_error, create_file, read_file

_log = Logger()

#: Increase it with each change of the translation, so that older cache files are not used.
_EDITION = 1

#: The warnings that were logged, by folder and reason.
_warned: set[tuple[Path, str]] = set()

_ASYNC = re.compile(r"\bzookeeper\.async\(")
_CMP = re.compile(
    r"^(?P<indent>[ ]+)def __cmp__\(self, other\):\n(?P=indent)[ ]+return cmp\(self\.(?P<key>\w+), other\.(?P=key)\)\n",
    re.MULTILINE,
)


def cache_folder() -> Path:
    """Return the user's cache folder for translations: in ``$XDG_CACHE_HOME``, or in ``~/.cache``.

    A relative ``$XDG_CACHE_HOME`` is ignored, according to its specification.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path("~/.cache").expanduser()) / "txmirror" / "txzookeeper"


def translate(source: str, path: str) -> str:
    """Translate the source of a module.

    :param path: the module's file. The files beside it show which imports are relative.
    :raises ImportError: fissix cannot read the source.
    """
    source = _CMP.sub(_compare, _ASYNC.sub("getattr(zookeeper, 'async')(", source))
    if not source.endswith("\n"):
        source += "\n"
    try:
        return str(_tool().refactor_string(source, path))
    except Exception as error:
        # The parser, and each of its fixers, has exceptions of its own.
        raise ImportError(f"{path!r} cannot be translated to Python 3: {error}", path=path) from error


def translated(source: bytes, path: str, folder: Path | None = None) -> str:
    """Return the translation of a module's source, from the cache if it is there, and cache it.

    A damaged cache file is replaced. A cache that cannot be written is skipped. A cache to which others may write is not used,
    and one warning is logged.

    :param path: as for :func:`translate`.
    :param folder: the cache; :func:`cache_folder` if None.
    :raises ImportError: as :func:`translate`.
    """
    name = f"{_key(source, path)}.py"
    with _opened(cache_folder() if folder is None else folder) as kept:
        text = None if kept is None else kept.read(name)
        if text is None:
            text = translate(source.decode("utf-8"), path)
            if kept is not None:
                kept.write(name, text)
    return text


def _compare(match: re.Match[str]) -> str:
    indent, key = match["indent"], match["key"]
    methods = [
        f"{indent}def __{name}__(self, other):\n{indent}    return self.{key} {sign} other.{key}\n"
        for name, sign in (("eq", "=="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="))
    ]
    # In Python 2, such objects keep their hash by identity.
    return "\n".join([*methods, f"{indent}__hash__ = object.__hash__\n"])


@cache
def _tool() -> Any:
    # fissix is an optional dependency.
    from fissix.pgen2 import driver, pgen  # noqa: PLC0415

    load = driver.load_grammar
    driver.load_grammar = pgen.generate_grammar
    try:
        # This import loads the grammars.
        from fissix import refactor  # noqa: PLC0415
    finally:
        driver.load_grammar = load
    return refactor.RefactoringTool(refactor.get_fixers_from_package("fissix.fixes"))


def _key(source: bytes, path: str) -> str:
    parts = (str(_EDITION), metadata.version("fissix"), *map(str, sys.version_info[:2]), Path(path).name)
    return hashlib.sha256("\n".join(parts).encode() + b"\n" + source).hexdigest()


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[_Cache | None]:
    """Open the cache, and create it if it is missing. The context is None if the cache cannot be used."""
    descriptor = -1
    try:
        try:
            descriptor = _open_folder(folder)
        except UnsafeFileError as error:
            _warn(folder, error)
        except OSError as error:
            _log.debug("Could not cache translations in {folder!r}: {error}.", folder=str(folder), error=str(error))
        yield None if descriptor < 0 else _Cache(folder, descriptor)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _open_folder(folder: Path) -> int:
    if folder.is_symlink():
        raise UnsafeFileError(folder, "it is a symbolic link", folder.lstat())
    if not folder.exists():
        # A folder of another user is refused: under sudo, root would create files in the home of a user.
        there = next(each for each in folder.parents if each.exists())
        status = there.stat()
        if status.st_uid not in (os.geteuid(), 0):
            raise UnsafeFileError(there, f"{str(there)!r} belongs to user {status.st_uid}", status)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with closed_on_error(descriptor):
        check_owner(folder, os.fstat(descriptor))
    return descriptor


def _warn(folder: Path, error: UnsafeFileError) -> None:
    """Log that a cache is not used, once for each reason."""
    if (folder, str(error)) not in _warned:
        _warned.add((folder, str(error)))
        _log.warn(
            "Translations in {path!r} are not used, but made again: {reason}.", path=str(error.path), reason=str(error)
        )


class _Cache:
    """A cache of translations in a folder to which nobody else may write.

    :param folder: its name, for the log.
    :param descriptor: the open folder; its name may mean another folder now.
    """

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor

    def read(self, name: str) -> str | None:
        """Return a cached translation; None if there is none, if it is damaged, or if others may have written it."""
        try:
            digest, _, kept = read_file(name, folder=self._descriptor).partition(b"\n")
        except UnsafeFileError as error:
            error.path = self._folder / name
            _warn(self._folder, error)
            return None
        except OSError:
            return None
        if hashlib.sha256(kept).hexdigest().encode() != digest:
            _log.warn("The translation in {file!r} is damaged, and is made again.", file=str(self._folder / name))
            return None
        return kept.decode("utf-8")

    def write(self, name: str, text: str) -> None:
        """Cache a translation, if possible."""
        kept = text.encode("utf-8")
        temporary = f"{name}.{secrets.token_hex(8)}"
        try:
            descriptor = create_file(temporary, folder=self._descriptor)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(hashlib.sha256(kept).hexdigest().encode() + b"\n" + kept)
                os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=self._descriptor)
                raise
        except OSError as error:
            _log.debug("Could not cache a translation: {error}.", error=str(error))
