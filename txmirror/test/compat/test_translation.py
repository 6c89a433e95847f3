"""What is made of Python 2's source, and how it is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txmirror.compat import translation
from txmirror.compat.translation import cache_folder, translate, translated
from txmirror.test.compat.available import install_or_skip

_OLD = b"""\
import zookeeper
from sibling import thing

def sync(handle, (one, two)):
    try:
        zookeeper.async(handle, one)
    except ValueError, error:
        print error
"""


class TranslationCase(SynchronousTestCase):
    def setUp(self) -> None:
        install_or_skip()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "sibling.py").touch()
        (self.folder / "__init__.py").touch()
        self.path = str(self.folder / "module.py")
        self.cache = self.folder / "cache"


class TranslateTests(TranslationCase):
    def test_syntax(self) -> None:
        """What Python 3 cannot read is rewritten, with the function whose name is a keyword by now."""
        text = translate(_OLD.decode(), self.path)
        compile(text, self.path, "exec")
        for wanted in (
            "getattr(zookeeper, 'async')(handle, one)",
            "from .sibling import",
            "except ValueError as error",
            "print(error)",
        ):
            self.assertIn(wanted, text)

    def test_without_last_line_end(self) -> None:
        """A last line without its end is one."""
        self.assertEqual(translate("print 1", self.path), "print(1)\n")

    def test_comparison(self) -> None:
        """What Python 2 compared by ``__cmp__`` is compared, sorted, and hashed as it was."""
        source = "class Named(object):\n    def __init__(self, name):\n        self.name = name\n\n"
        source += "    def __cmp__(self, other):\n        return cmp(self.name, other.name)\n"
        names: dict[str, Any] = {}
        exec(translate(source, self.path), names)  # noqa: S102 - it is the source above
        named = names["Named"]
        a, b = named("a"), named("b")
        self.assertEqual(sorted([b, a]), [a, b])
        self.assertTrue(a == named("a") and a != b and a < b and a <= b and b > a and b >= a)
        self.assertEqual(len({a, named("a")}), 2)

    def test_unreadable(self) -> None:
        """What is no Python is an ImportError that names the file."""
        error = self.assertRaises(ImportError, translate, "class class\n", self.path)
        self.assertIn(repr(self.path), str(error))


class CacheTests(TranslationCase):
    def setUp(self) -> None:
        super().setUp()
        self.made = 0

        def counted(source: str, path: str) -> str:
            self.made += 1
            return translate(source, path)

        self.patch(translation, "translate", counted)

    def translated(self, source: bytes = _OLD) -> str:
        return translated(source, self.path, self.cache)

    def test_kept(self) -> None:
        """A translation is made once, and for one source."""
        text = self.translated()
        self.assertEqual((self.translated(), self.made), (text, 1))
        self.translated(_OLD + b"\n")
        self.assertEqual(self.made, 2)
        self.assertEqual(len(list(self.cache.iterdir())), 2)

    def test_versions(self) -> None:
        """Another version of what translates makes its own."""
        text = self.translated()
        self.patch(translation, "_EDITION", -1)
        self.assertEqual((self.translated(), self.made), (text, 2))

    def test_broken(self) -> None:
        """What is kept and broken in any way is made anew, and kept."""
        text = self.translated()
        (file,) = self.cache.iterdir()
        whole = file.read_bytes()
        for number, broken in enumerate(
            (b"", whole[:-1], whole + b"import os\n", b"\xff" * 100, whole.replace(b"one", b"own"))
        ):
            file.write_bytes(broken)
            self.assertEqual((self.translated(), self.made), (text, 2 + number))
            self.assertEqual(file.read_bytes(), whole)

    def test_cannot_be_kept(self) -> None:
        """Where nothing can be kept, it is made each time."""
        self.cache.write_text("a file where the folder should be")
        for number in (1, 2):
            self.assertIn("except ValueError as error", self.translated())
            self.assertEqual(self.made, number)

    def test_folder(self) -> None:
        """It is the user's cache folder."""
        self.patch(os, "environ", {"HOME": "/home/jane"})
        self.assertEqual(cache_folder(), Path("/home/jane/.cache/txmirror/txzookeeper"))
        self.patch(os, "environ", {"HOME": "/home/jane", "XDG_CACHE_HOME": "/var/cache/jane"})
        self.assertEqual(cache_folder(), Path("/var/cache/jane/txmirror/txzookeeper"))
