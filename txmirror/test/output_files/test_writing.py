"""Write files atomically, and only when they differ."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.output_files.writing import is_marked, remove_mark, update_file


class UpdateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "list.json"

    def update(self, content: bytes, mode: int = 0o644, *, mark: bool = False) -> bool:
        return update_file(self.path, content, mode, mark=mark)

    def test_new_and_same(self) -> None:
        """A new file is written with its mode, and one with the same content is not replaced."""
        self.assertTrue(self.update(b"a"))
        before = self.path.stat()
        self.assertEqual(stat.S_IMODE(before.st_mode), 0o644)
        self.assertFalse(self.update(b"a"))
        self.assertEqual(self.path.stat().st_ino, before.st_ino)
        self.assertTrue(self.update(b"b"))
        self.assertEqual(self.path.read_bytes(), b"b")
        self.assertNotEqual(self.path.stat().st_ino, before.st_ino)
        self.assertEqual([each.name for each in self.folder.iterdir()], ["list.json"])

    def test_mode(self) -> None:
        """The mode does not depend on the umask, and is corrected where the content is the same."""
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        self.update(b"a", 0o664)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o664)
        self.assertFalse(self.update(b"a", 0o600))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_link(self) -> None:
        """A symbolic link stays, and its target is replaced."""
        target = self.folder / "target"
        self.path.symlink_to("target")
        self.update(b"a")
        self.assertTrue(self.path.is_symlink())
        self.assertEqual(target.read_bytes(), b"a")

    def test_other_kinds(self) -> None:
        """A folder or a FIFO is never replaced, and nobody waits for the FIFO's writer."""
        os.mkfifo(self.path)
        self.assertIn("not a regular file", str(self.assertRaises(OSError, self.update, b"a")))
        self.path.unlink()
        self.path.mkdir()
        self.assertRaises(OSError, self.update, b"a")
        self.assertEqual([each.name for each in self.folder.iterdir()], ["list.json"])

    def test_no_folder(self) -> None:
        """Without its folder the file cannot be written."""
        self.assertRaises(FileNotFoundError, update_file, self.folder / "x" / "y", b"", 0o644, mark=True)

    def test_mark(self) -> None:
        """A replacement leaves a mark where that is asked for, until it is removed."""
        self.update(b"a")
        self.assertFalse(is_marked(self.path))
        self.update(b"b", mark=True)
        self.assertTrue(is_marked(self.path))
        self.update(b"b", mark=True)
        remove_mark(self.path)
        self.assertFalse(is_marked(self.path))
        remove_mark(self.path)
        self.update(b"b", mark=True)
        self.assertFalse(is_marked(self.path), "nothing was replaced")
