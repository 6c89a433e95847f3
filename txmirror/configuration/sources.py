"""Find and read the files of a configuration."""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from pathlib import Path
from typing import Any

import attrs

from txmirror.configuration.errors import Place, Problems
from txmirror.files import follow_links, read_file
from txmirror.json_text import decode_text
from txmirror.printable import quote

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The longest file, in bytes.
_LONGEST = 2**20
#: The most parts of a dotted key. The parser's time grows with the square of their number.
_MOST_PARTS = 64

_PART = r"""(?:[\w-]{1,64}|"[^"\n]{0,64}"|'[^'\n]{0,64}')[ \t]{0,8}\.[ \t]{0,8}"""
#: The lengths are bounded, so that the time of this search is too; a file has fewer parts if they are longer.
_MANY_PARTS = re.compile(rf"(?<![\w.-])(?:{_PART}){{{_MOST_PARTS}}}")
_POSITION = re.compile(r" \(at (?:line (?P<line>[0-9]+), column [0-9]+|end of document)\)$")
_MAGIC = re.compile(r"[*?\[]")


@attrs.frozen
class Source:
    """A configuration file that was read."""

    name: str
    """The name for messages."""
    folder: Path
    """The absolute path of the folder that relative names in it start from."""
    table: dict[str, Any]
    included: bool = False
    """True if another file includes it."""

    def place(self, path: str = "") -> Place:
        """Return a place in this file."""
        return Place(self.name, path)


class SourceReader:
    """Reads the files of a configuration, each once.

    :param problems: collects the errors.
    :ivar sources: the files that were read, in order.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._seen: set[str] = set()
        self.sources: list[Source] = []

    def read(self, path: Path) -> None:
        """Read a file, or the files ``*.toml`` of a folder in lexical order, and the files that they include."""
        try:
            names = sorted(_list_names(path, "*.toml")) if path.is_dir() else None
        except OSError as error:
            self._problems.add(Place(str(path), ""), f"the folder cannot be read: {error.strerror}")
            return
        if names == []:
            self._problems.add(Place(str(path), ""), "the folder has no file *.toml")
        for each in [path] if names is None else [path / name for name in names]:
            self._read_file(each)

    def _read_file(self, path: Path, *, included: bool = False) -> None:
        try:
            target = follow_links(path)
            real = os.path.realpath(target)
            if real in self._seen:
                return
            self._seen.add(real)
            text = decode_text(read_file(target, largest=_LONGEST))
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            self._problems.add(Place(f"{path}:{line}", ""), f"it is not UTF-8: byte {error.object[error.start]:#04x}")
        except (OSError, ValueError) as error:
            # Python's own words for a null character depend on its version.
            null = "\0" in str(path)
            reason = "its path has a null character" if null else getattr(error, "strerror", None) or error
            self._problems.add(Place(str(path), ""), f"it cannot be read: {reason}")
        else:
            self._parse(path, text, included)

    def _parse(self, path: Path, text: str, included: bool) -> None:
        try:
            source = Source(str(path), path.absolute().parent, parse_toml(text), included)
        except TOMLError as error:
            self._problems.add(Place(str(path) if error.line is None else f"{path}:{error.line}", ""), error.reason)
            return
        self.sources.append(source)
        if not included:
            for index, pattern in enumerate(self._patterns(source)):
                self._include(source, pattern, source.place(f"include[{index}]"))

    def _patterns(self, source: Source) -> list[str]:
        patterns = source.table.get("include", [])
        if isinstance(patterns, list) and all(isinstance(each, str) and each for each in patterns):
            return patterns
        self._problems.add(source.place("include"), f"{quote(patterns)} is no array of file names")
        return []

    def _include(self, source: Source, pattern: str, place: Place) -> None:
        try:
            found = _glob(Path(source.name).parent, Path(pattern).parts)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self._problems.add(place, f"{quote(pattern)} cannot be read: {reason}")
            return
        for path in found:
            self._read_file(path, included=True)


class TOMLError(Exception):
    """A text is not TOML.

    :ivar line: the number of the line, counted from 1; None if it is not known.
    :ivar reason: the reason, in one line.
    """

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a document.

    :raises TOMLError: it is invalid, or would take too long.
    """
    many = _MANY_PARTS.search(text)
    if many is not None:
        raise TOMLError(text.count("\n", 0, many.start()) + 1, f"a key has more than {_MOST_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TOMLError(None, "arrays or tables are nested too deeply") from None
    except ValueError as error:
        # Some versions of Python raise other errors than their own for a number that is too long.
        message = str(error)
        position = _POSITION.search(message)
        if position is None:
            raise TOMLError(None, f"it is not TOML: {message}") from None
        line = int(position["line"]) if position["line"] else text.count("\n") + 1
        raise TOMLError(line, f"it is not TOML: {message[: position.start()]}") from None


def _glob(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    """Return the paths that match a pattern, sorted. Parts before the first one with magic must exist.

    :raises OSError: a folder cannot be read, or does not exist.
    """
    level, exact = [folder], True
    for part in parts:
        magic = _MAGIC.search(part) is not None
        if exact and not magic:
            level = [path / part for path in level]
            level[0].lstat()
            continue
        folders = level if exact else [path for path in level if path.is_dir()]
        exact = False
        found = [path / name for path in folders for name in (_list_names(path, part) if magic else [part])]
        # Links may lead to the same folder again and again.
        level = list({os.path.realpath(path): path for path in found if os.path.lexists(path)}.values())
    return sorted(level)


def _list_names(folder: Path, pattern: str) -> list[str]:
    """Return the names in a folder that match a pattern, without hidden ones.

    :raises OSError: the folder cannot be read.
    """
    names = (entry.name for entry in folder.iterdir())
    return [name for name in names if not name.startswith(".") and fnmatch.fnmatchcase(name, pattern)]
