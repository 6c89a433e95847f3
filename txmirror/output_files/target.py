"""The file itself: its content for a list, and what is on the disk. The methods block, and run in a thread, one at a time."""

from __future__ import annotations

from pathlib import Path

from txmirror.configuration import Watch
from txmirror.formats import FORMATS, LiveList, Rendering
from txmirror.output_files.former import count_instances
from txmirror.output_files.writing import read_identity, update_file


class Target:
    """The file of a ``[[watch]]``.

    :param watch: its configuration.
    :ivar path: the path of the file.
    """

    def __init__(self, watch: Watch) -> None:
        self.path: Path = Path(watch.output)
        self._watch = watch
        self._content: bytes | None = None
        self._identity: tuple[int, ...] | None = None

    def count_former(self, content: bytes, count: int) -> int | None:
        """Return the number of instances in the file, as far as that is known; None if there is no file.

        :param content: the content of the file for the present list.
        :param count: the number of instances in that. If there are none, a file with this content needs no protection.
        :raises OSError: the file cannot be read.
        """
        former = count_instances(self.path, self._watch.format)
        return 0 if former and not count and self.path.read_bytes() == content else former

    def put(self, content: bytes) -> bool:
        """Make the file's content equal to this, if it is not.

        :returns: whether the file was replaced.
        :raises OSError: the file cannot be read or written.
        """
        replaced = update_file(self.path, content, self._watch.permissions, mark=bool(self._watch.command))
        self._content, self._identity = content, read_identity(self.path)
        return replaced

    def restore(self) -> bool:
        """Write the file again if somebody else has changed or deleted it since it was written.

        :returns: whether the file was replaced.
        :raises OSError: the file cannot be read or written.
        """
        content = self._content
        return content is not None and read_identity(self.path) != self._identity and self.put(content)

    def render(self, live: LiveList) -> Rendering:
        """Return the content of the file for a list.

        :raises ValueError: the template is missing, invalid, or fails.
        """
        if self._watch.template is None:
            return FORMATS[self._watch.format](live)
        # Jinja is only installed with the extra ``daemon``.
        from txmirror.output_files.templates import render_template  # noqa: PLC0415

        try:
            return render_template(Path(self._watch.template), live)
        except OSError as error:
            raise ValueError(f"the template {self._watch.template} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"the template {self._watch.template} has failed: {error}") from None
