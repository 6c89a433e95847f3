"""Checked files, while other processes change them."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.files import UnsafeFileError, create_file, open_file, read_all, read_file, set_aside


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.path.write_text("one")
        self.path.chmod(0o600)

    def open(self) -> int:
        descriptor = open_file(self.path)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def test_read(self) -> None:
        """A file is read whole, by its own name or from an open folder; a missing one is missing."""
        self.assertEqual(read_file(self.path), b"one")
        folder = os.open(self.path.parent, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        self.assertEqual(read_file(self.path.name, folder=folder), b"one")
        self.assertRaises(FileNotFoundError, read_file, "missing", folder=folder)

    def test_grows(self) -> None:
        """A file that grows while it is read is read up to the limit."""
        descriptor = self.open()
        self.path.write_text("four")
        self.assertEqual(read_all(self.path, descriptor, 4), b"four")
        error = self.assertRaises(UnsafeFileError, read_file, self.path, largest=3)
        self.assertIn("4 bytes", str(error))

    def test_exchanged(self) -> None:
        """The open file is read, even if another one takes its place."""
        descriptor = self.open()
        self.path.unlink()
        self.path.write_text("two")
        self.assertEqual(read_all(self.path, descriptor), b"one")

    def test_set_aside(self) -> None:
        """A file that another process has replaced meanwhile stays, and so does a missing one missing."""
        seen = os.fstat(self.open())
        other = self.path.with_name("other")
        other.write_text("two")
        other.replace(self.path)
        self.assertIsNone(set_aside(self.path, seen))
        self.assertEqual(self.path.read_text(), "two")
        aside = set_aside(self.path, self.path.stat())
        assert aside is not None
        self.assertEqual((aside.read_text(), self.path.exists()), ("two", False))
        self.assertIsNone(set_aside(self.path, seen))

    def test_create(self) -> None:
        """Nothing that is there is taken for a new file, nor is a link to nothing followed."""
        self.assertRaises(FileExistsError, create_file, self.path)
        link = self.path.with_name("link")
        link.symlink_to("nothing")
        self.assertRaises(FileExistsError, create_file, link)
