"""Exports as a folder: for each node a file with its data, or, if it has children or attributes, a folder.

A node's folder has its data in ``%value``, its attributes in ``%meta`` and its full name, if that is too long for a file system, in
``%name``. The folder of the export has its description in ``%export``.
"""

from __future__ import annotations

import heapq
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from txmirror.cli.statuses import CommandError, Status
from txmirror.cli.subtrees.json_lines import Header, InvalidExport, cannot
from txmirror.cli.subtrees.names import LONG, clashing, file_name, znode_name
from txmirror.cli.subtrees.records import (
    Item,
    Place,
    Record,
    Unreadable,
    attributes_of,
    path_of,
    place_of,
    read_attributes,
    read_object,
    write_value,
)
from txmirror.printable import quote
from txmirror.types import OPEN_ACL

_EXPORT: Final = "%export"
_VALUE: Final = "%value"
_META: Final = "%meta"
_NAME: Final = "%name"
_OWN: Final = (_EXPORT, _VALUE, _META, _NAME)
#: The largest file to read, in bytes.
_LARGEST: Final = 64 * 2**20


@attrs.define
class _Open:
    """A folder that is being written."""

    place: Place
    path: Path
    clashes: frozenset[str]
    """The names of children that differ from a sibling's only in case."""
    written: set[str] = attrs.field(factory=set)
    """The names of the files in it."""


class FolderWriter:
    """A folder that an export is written to.

    :param path: the folder.
    :param header: the description of the export.
    :param resume: whether it may exist: then files that differ are replaced, and others removed.
    :ivar after: the node to continue after: always None, because all is compared again.
    :ivar count: the number of nodes written.
    :ivar complete: always False, likewise.
    :raises CommandError: it exists, and ``resume`` is false; or it is not a folder of the same export.
    """

    def __init__(self, path: str, header: Header, *, resume: bool) -> None:
        self.after: Item | None = None
        self.complete = False
        self.count: int = 0
        self._name = path
        self._header = header
        self._root = Path(path)
        self._omitted: list[str] = []
        self._open: list[_Open] = []
        self._resumed = False
        try:
            self._root.mkdir()
        except FileExistsError:
            self._resumed = True
            self._check(resume)
        except OSError as error:
            raise cannot(path, "made", error) from None
        self._write(self._root / _EXPORT, write_value(header.value()).encode() + b"\n", "/")

    def _check(self, resume: bool) -> None:
        if not resume:
            raise CommandError(
                f"{self._name} exists already: --resume continues an export that was cut", Status.REFUSED
            )
        try:
            if not self._root.is_dir():
                raise CommandError(f"{self._name} is not a folder", Status.REFUSED)
            if not any(self._root.iterdir()):
                return
        except OSError as error:
            raise cannot(self._name, "read", error) from None
        there, _ = read_header(self._root, self._name)
        if there != self._header:
            raise InvalidExport(self._name, f"it is an export {there.describe()}, and not {self._header.describe()}")

    def add(self, item: Item) -> None:
        """Write a node.

        :raises CommandError: it cannot be written.
        """
        self._leave(item.place[:-1])
        if isinstance(item, Unreadable):
            self._omitted.append(path_of("/", item.place))
            return
        path = self._path_for(item)
        shown = path_of("/", item.place)
        attributes = self._attributes(item)
        self.count += 1
        if item.place and not item.children and not attributes and not path.name.startswith(LONG):
            self._remove_unless(path, Path.is_file)
            self._write(path, item.data, shown)
            return
        if item.place:
            # The folder of the export may be a link: the user chose it.
            self._remove_unless(path, Path.is_dir)
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise self._failed(shown, error) from None
        folder = _Open(item.place, path, clashing(item.children))
        self._open.append(folder)
        contents = {_VALUE: item.data, _META: write_value(attributes).encode() + b"\n" if attributes else b""}
        if path.name.startswith(LONG):
            contents[_NAME] = item.place[-1].encode()
        for name, content in contents.items():
            if content:
                self._write(path / name, content, shown)
                folder.written.add(name)
        if not item.place:
            folder.written.add(_EXPORT)

    def finish(self) -> None:
        """Note that all is written."""
        self._leave(None)
        value = {**self._header.value(), "nodes": self.count, "unreadable": self._omitted}
        self._write(self._root / _EXPORT, write_value(value).encode() + b"\n", "/")

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _attributes(self, item: Record) -> dict[str, Any]:
        attributes = attributes_of(item)
        if self._header.acls and item.acl == OPEN_ACL:
            # Most nodes have this one. Without a file for it they are easier to read.
            del attributes["acl"]
        elif self._header.acls and item.acl is None:
            attributes["acl"] = None
        return attributes

    def _path_for(self, item: Record) -> Path:
        if not item.place:
            return self._root
        folder = self._open[-1]
        name = file_name(item.place[-1], clashes=item.place[-1] in folder.clashes)
        folder.written.add(name)
        return folder.path / name

    def _leave(self, parent: Place | None) -> None:
        """Leave all folders but a node's and those above it; None leaves all."""
        while self._open and (parent is None or self._open[-1].place != parent[: len(self._open[-1].place)]):
            folder = self._open.pop()
            if self._resumed:
                self._remove_others(folder)

    def _remove_others(self, folder: _Open) -> None:
        try:
            for path in folder.path.iterdir():
                # Those with a leading dot are not ours.
                if path.name not in folder.written and not path.name.startswith("."):
                    _remove(path)
        except OSError as error:
            raise self._failed(path_of("/", folder.place), error) from None

    def _remove_unless(self, path: Path, is_right: Callable[[Path], bool]) -> None:
        try:
            if self._resumed and os.path.lexists(path) and (path.is_symlink() or not is_right(path)):
                _remove(path)
        except OSError as error:
            raise cannot(str(path), "removed", error) from None

    def _write(self, path: Path, content: bytes, shown: str) -> None:
        try:
            if self._resumed and path.is_file() and not path.is_symlink() and path.read_bytes() == content:
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
                file.write(content)
        except OSError as error:
            raise self._failed(shown, error) from None

    def _failed(self, shown: str, error: OSError) -> CommandError:
        return CommandError(
            f"{self._name}: {shown!r:.200} cannot be written: {error.strerror or error}", Status.IO_ERROR
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def read_header(root: Path, name: str) -> tuple[Header, dict[str, Any]]:
    """Return the description of the export in a folder, and all that its file has.

    :param name: the folder's name, for messages.
    :raises CommandError: it is no export, or cannot be read.
    """
    try:
        value = read_object(_read(root / _EXPORT))
        return Header.read(value), value
    except FileNotFoundError:
        raise InvalidExport(name, f"it is no export of txmirror: it has no {_EXPORT!r}") from None
    except OSError as error:
        raise cannot(str(root / _EXPORT), "read", error) from None
    except ValueError as error:
        raise InvalidExport(name, f"{_EXPORT}: {error}") from None


class FolderReader:
    """The nodes in a folder.

    :param path: the folder.
    :ivar header: the description of the export.
    :ivar complete: whether the export was finished.
    :ivar count: the number of nodes so far.
    :raises CommandError: it is no export, or cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._name = path
        self._root = Path(path)
        header, self._value = read_header(self._root, path)
        self.header: Header = header
        self.complete: bool = "nodes" in self._value
        self.count: int = 0

    def items(self) -> Iterator[Item]:
        """Return the nodes.

        :raises CommandError: a file cannot be read, or is invalid.
        """
        for item in heapq.merge(self._records(), self._omitted(), key=lambda item: item.place):
            self.count += 1
            yield item

    def _omitted(self) -> Iterator[Item]:
        omitted = self._value.get("unreadable", [])
        if not isinstance(omitted, list):
            raise InvalidExport(self._name, f"{_EXPORT}: 'unreadable' is {quote(omitted)}, and not a list")
        try:
            places = sorted(map(place_of, omitted))
        except (TypeError, ValueError) as error:
            raise InvalidExport(self._name, f"{_EXPORT}: {error}") from None
        for place in places:
            yield Unreadable(place, "it could not be read when it was exported")

    def _records(self) -> Iterator[Item]:
        waiting: list[tuple[Place, Path, bool]] = [((), self._root, True)]
        while waiting:
            place, path, is_folder = waiting.pop()
            try:
                if is_folder:
                    record, children = self._read_folder(place, path)
                else:
                    record, children = Record(place, _read(path), **self._attributes({})), []
            except OSError as error:
                raise cannot(str(path), "read", error) from None
            except ValueError as error:
                raise InvalidExport(str(path), str(error)) from None
            yield record
            waiting += reversed(children)

    def _read_folder(self, place: Place, path: Path) -> tuple[Record, list[tuple[Place, Path, bool]]]:
        """Return the node of a folder, and its children in order: place, path, and whether each is a folder too."""
        children: dict[str, os.DirEntry[str]] = {}
        own: set[str] = set()
        with os.scandir(path) as entries:
            found = list(entries)
        for entry in found:
            if entry.name.startswith("."):
                # No exported node has such a file; an editor or a version control system may.
                continue
            if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                raise ValueError(f"{entry.name!r:.200} is neither a file nor a folder")
            if entry.name in _OWN:
                own.add(entry.name)
                continue
            name = self._znode_name(path, entry.name)
            if name in children:
                raise ValueError(f"{children[name].name!r:.200} and {entry.name!r:.200} are the same node")
            children[name] = entry
        attributes = self._attributes(read_object(_read(path / _META)) if _META in own else {})
        data = _read(path / _VALUE) if _VALUE in own else b""
        return Record(place, data, **attributes), [
            ((*place, name), path / children[name].name, children[name].is_dir()) for name in sorted(children)
        ]

    def _attributes(self, value: dict[str, Any]) -> dict[str, Any]:
        if "acl" in value and value["acl"] is None:
            del value["acl"]
        elif self.header.acls and "acl" not in value:
            return {**read_attributes(value), "acl": OPEN_ACL}
        return read_attributes(value)

    def _znode_name(self, folder: Path, written: str) -> str:
        if written.startswith(LONG):
            try:
                name = _read(folder / written / _NAME).decode()
            except UnicodeDecodeError:
                raise ValueError(f"{_NAME!r} in {written!r:.200} is not UTF-8") from None
        else:
            name = znode_name(written)
        if len(place_of(f"/{name}")) != 1:
            raise ValueError(f"{name!r:.200} is not the name of a node")
        return name


def _read(path: Path) -> bytes:
    # No link leads out of the export, and no pipe blocks.
    if path.is_symlink():
        raise ValueError(f"{path.name!r:.200} is a symbolic link")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path.name!r:.200} is no file")
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"{path.name!r:.200} has more than {_LARGEST // 2**20} MiB")
    return content
