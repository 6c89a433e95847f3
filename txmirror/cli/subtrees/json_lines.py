"""Exports as lines of JSON: a line about the export, one line for each node, and a last line.

A file without its last line is the beginning of an export, and can be continued.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import attrs

from txmirror.cli.statuses import CommandError, Status
from txmirror.cli.subtrees.records import Item, Order, read_item, read_object, write_line, write_value
from txmirror.printable import on_one_line, quote

#: The key of the first line, with the version of the format.
_FORMAT: Final = "txmirror-export"
_VERSION: Final = 1
#: The key of the last line, with the number of nodes.
_END: Final = "nodes"
#: The longest line, in bytes.
_LONGEST_LINE: Final = 64 * 2**20


class InvalidExport(CommandError):
    """A file or folder is not an export, or has an invalid part. The message quotes the part.

    :param name: its name, for the message.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{on_one_line(name)}: {reason}", Status.REFUSED)


@attrs.frozen
class Header:
    """The description of an export."""

    root: str
    """The path of the exported node."""
    acls: bool = False
    """True if it has access control lists."""
    ephemerals: bool = False
    """True if it has ephemeral nodes."""

    def value(self) -> dict[str, Any]:
        """Return the object of JSON."""
        return {_FORMAT: _VERSION, "root": self.root, "acls": self.acls, "ephemerals": self.ephemerals}

    @classmethod
    def read(cls, value: dict[str, Any]) -> Header:
        """Read the object of JSON.

        :raises ValueError: it is invalid; the message says why.
        """
        if _FORMAT not in value:
            raise ValueError("it is no export of txmirror")
        if value[_FORMAT] != _VERSION:
            raise ValueError(f"it has the format {quote(value[_FORMAT])}: this txmirror reads the format {_VERSION}")
        root, acls, ephemerals = (value.get(key) for key in ("root", "acls", "ephemerals"))
        if not isinstance(root, str) or not isinstance(acls, bool) or not isinstance(ephemerals, bool):
            raise ValueError("'root', 'acls' or 'ephemerals' is missing or invalid")  # noqa: TRY004 - as for all that is invalid in it
        return cls(root, acls, ephemerals)

    def describe(self) -> str:
        """Return a description for messages."""
        return f"of {self.root!r:.200}, {'with' if self.acls else 'without'} ACLs" + (
            ", with ephemeral nodes" if self.ephemerals else ""
        )


def first_line(header: Header) -> str:
    """Return the first line of an export."""
    return write_value(header.value())


def last_line(count: int) -> str:
    """Return the last line of an export with a number of nodes."""
    return write_value({_END: count})


class LineReader:
    """The nodes in a file.

    :param file: the file, at its beginning.
    :param name: its name, for messages.
    :ivar header: the description of the export.
    :ivar complete: whether the last line was there. It is known after the last node.
    :ivar end: the length of the complete lines so far, in bytes.
    :ivar count: the number of nodes so far.
    :raises InvalidExport: the first line is invalid.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._number = 0
        self.end: int = 0
        self.count: int = 0
        self.complete: bool = False
        first = self._line()
        if first is None:
            raise InvalidExport(name, "it is empty, or cut in its first line")
        try:
            self.header: Header = Header.read(read_object(first))
        except ValueError as error:
            raise self._invalid(error) from None

    def items(self) -> Iterator[Item]:
        """Return the nodes. A last line that is cut counts as missing.

        :raises InvalidExport: a line is invalid, out of order or too long, or the number of nodes is wrong.
        """
        order = Order()
        while (line := self._line()) is not None:
            if not line.strip():
                continue
            try:
                value = read_object(line.strip())
                if _END in value and "path" not in value:
                    self._finish(value[_END])
                    return
                item = read_item(value)
                order.check(item)
            except ValueError as error:
                raise self._invalid(error) from None
            self.count += 1
            yield item

    def _finish(self, count: object) -> None:
        if count != self.count:
            raise ValueError(
                f"there should be {quote(count)} nodes, but there are {self.count}: correct the number if you mean it"
            )
        while (line := self._line()) is not None:
            if line.strip():
                raise ValueError("there is something after the last line of the export")
        self.complete = True

    def _line(self) -> bytes | None:
        try:
            line = self._file.readline(_LONGEST_LINE + 1)
        except OSError as error:
            raise CommandError(f"{self._name}: it cannot be read: {error.strerror}", Status.IO_ERROR) from None
        self._number += 1
        if len(line) > _LONGEST_LINE:
            raise self._invalid(f"it has more than {_LONGEST_LINE // 2**20} MiB")
        if not line.endswith(b"\n"):
            return None
        self.end += len(line)
        return line

    def _invalid(self, error: object) -> InvalidExport:
        return InvalidExport(self._name, f"line {self._number}: {error}")


def cannot(name: str, what: str, error: OSError) -> CommandError:
    """Return the failure for an error of a file or folder."""
    return CommandError(f"{on_one_line(name)}: it cannot be {what}: {error.strerror or error}", Status.IO_ERROR)


class LineFile:
    """A file that an export is written to.

    :param path: the file.
    :param header: the description of the export.
    :param resume: continue an export that was cut.
    :ivar after: the last node in it; None if there is none.
    :ivar count: the number of nodes in it.
    :ivar complete: whether the export was complete before.
    :raises CommandError: the file exists, and ``resume`` is false; or it is not the beginning of the same export.
    """

    def __init__(self, path: str, header: Header, *, resume: bool) -> None:
        self._path = path
        self.after: Item | None = None
        self.count: int = 0
        self.complete: bool = False
        try:
            if resume and Path(path).exists():
                self._file: BinaryIO = Path(path).open("r+b")  # noqa: SIM115 - close() closes it
                self._continue(header)
            else:
                self._file = Path(path).open("xb")  # noqa: SIM115 - close() closes it
                self._write(first_line(header))
        except FileExistsError:
            raise CommandError(
                f"{on_one_line(path)} exists already: --resume continues an export that was cut", Status.REFUSED
            ) from None
        except OSError as error:
            raise cannot(path, "written", error) from None

    def _continue(self, header: Header) -> None:
        try:
            self._find_end(header)
            self._file.truncate()
        except BaseException:
            self._file.close()
            raise

    def _find_end(self, header: Header) -> None:
        """Go to the end of the last complete line. If the first line is cut, write it again."""
        if not self._file.readline(_LONGEST_LINE).endswith(b"\n"):
            self._file.seek(0)
            if not first_line(header).encode().startswith(self._file.read(1024)):
                raise InvalidExport(self._path, "it is no export of txmirror")
            self._file.seek(0)
            self._write(first_line(header))
            return
        self._file.seek(0)
        reader = LineReader(self._file, self._path)
        if reader.header != header:
            raise InvalidExport(self._path, f"it is an export {reader.header.describe()}, and not {header.describe()}")
        for item in reader.items():
            self.after = item
        self.count, self.complete = reader.count, reader.complete
        self._file.seek(reader.end)

    def add(self, item: Item) -> None:
        """Write a node.

        :raises CommandError: the file cannot be written.
        """
        self._write(write_line(item))
        self.count += 1

    def finish(self) -> None:
        """Write the last line, and wait until all is on the disk."""
        self._write(last_line(self.count))
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot(self._path, "written", error) from None

    def close(self) -> None:
        """Close the file.

        :raises CommandError: the rest cannot be written.
        """
        try:
            self._file.close()
        except OSError as error:
            raise cannot(self._path, "written", error) from None

    def _write(self, line: str) -> None:
        try:
            self._file.write(line.encode() + b"\n")
        except OSError as error:
            raise cannot(self._path, "written", error) from None
