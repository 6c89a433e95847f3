"""The translation of Python 2's source, and its cache."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror.compat import translation
from txmirror.compat.translation import cache_folder, translate, translated
from txmirror.test.compat.available import install_or_skip
from txmirror.test.ownership import give_away

_OLD = b"""\
import zookeeper
from sibling import thing

def sync(handle, (one, two)):
    try:
        zookeeper.async(handle, one)
    except ValueError, error:
        print error
"""


def fissix_base_version() -> str:
    import fissix

    version: str = fissix.__base_version__
    return version


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
        """Source that Python 3 cannot read is rewritten, with the function whose name is a keyword now."""
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
        """Objects with ``__cmp__`` are compared, sorted and hashed as in Python 2."""
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
        """Source that is no Python is an ImportError that names the file."""
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
        """Another version of the translator makes its own translation."""
        text = self.translated()
        self.patch(translation, "_EDITION", -1)
        self.assertEqual((self.translated(), self.made), (text, 2))

    def test_broken(self) -> None:
        """A cached translation that is damaged in any way is made again, and cached."""
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
        """If the cache cannot be written, the translation is made each time."""
        self.cache.write_text("a file where the folder should be")
        for number in (1, 2):
            self.assertIn("except ValueError as error", self.translated())
            self.assertEqual(self.made, number)

    def assert_in_memory(self, reason: str) -> None:
        """Assert that the cache is neither read nor changed, and that one warning has the reason."""
        self.patch(translation, "_warned", set())
        warnings: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_namespace"] == translation.__name__ and event["log_level"] >= LogLevel.warn:
                warnings.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        made, before = self.made, sorted(self.cache.rglob("*"))
        for source in (_OLD, _OLD, _OLD + b"\n"):
            text = self.translated(source)
            self.assertNotIn("hostile", text)
            self.assertIn("except ValueError as error", text)
        self.assertEqual((self.made, sorted(self.cache.rglob("*"))), (made + 3, before))
        (warning,) = warnings
        self.assertIn(reason, warning)

    def put_hostile(self) -> Path:
        """Put a file of another user's into the cache, with a valid checksum."""
        self.translated()
        (file,) = self.cache.iterdir()
        hostile = b"hostile = True\n"
        file.write_bytes(hashlib.sha256(hostile).hexdigest().encode() + b"\n" + hostile)
        self.assertIn("hostile", self.translated())
        return file

    def test_folder_of_another_user(self) -> None:
        """A folder that another user has prepared is not used, as under sudo or where $XDG_CACHE_HOME leads there."""
        file = self.put_hostile()
        for path in (file, self.cache):
            give_away(path)
        self.assert_in_memory("it belongs to user 65534, not to user 0")

    def test_folder_shared(self) -> None:
        """A folder to which others may write is not used."""
        self.put_hostile()
        for mode in (0o770, 0o777, 0o1777):
            self.cache.chmod(mode)
            self.assert_in_memory("others may write to it")

    def test_folder_linked(self) -> None:
        """A link to another folder is not used."""
        self.put_hostile()
        real = self.cache.rename(self.folder / "real")
        self.cache.symlink_to(real.absolute())
        self.assert_in_memory("a symbolic link")

    def test_place_of_another_user(self) -> None:
        """No folder is created in the folder of another user."""
        self.cache = self.folder / "theirs" / "txmirror" / "txzookeeper"
        (self.folder / "theirs").mkdir()
        give_away(self.folder / "theirs")
        self.assert_in_memory("belongs to user 65534")
        self.assertEqual(list((self.folder / "theirs").iterdir()), [])

    def test_made_private(self) -> None:
        """A new cache folder and its files are private to this user, whatever the umask is."""
        mask = os.umask(0)
        self.addCleanup(os.umask, mask)
        self.translated()
        (file,) = self.cache.iterdir()
        self.assertEqual([stat.S_IMODE(path.stat().st_mode) for path in (self.cache, file)], [0o700, 0o600])

    def test_unsafe_file(self) -> None:
        """A file that another may have written, or that is none, is not used; it is made anew and kept."""
        file = self.put_hostile()
        hostile = file.read_bytes()

        def shared() -> None:
            file.write_bytes(hostile)
            file.chmod(0o666)

        def linked() -> None:
            (self.folder / "elsewhere").write_bytes(hostile)
            file.symlink_to((self.folder / "elsewhere").absolute())

        def given() -> None:
            file.write_bytes(hostile)
            give_away(file)

        for make in (shared, linked, lambda: os.mkfifo(file), given):
            file.unlink()
            make()
            made = self.made
            for _ in range(2):
                self.assertNotIn("hostile", self.translated())
            self.assertEqual(self.made, made + 1)

    def test_pickles(self) -> None:
        """The pickles of grammars that fissix keeps are not loaded, nor are they written."""
        cache = self.folder / "xdg"
        program = (
            "import sys\nfrom pathlib import Path\nimport fissix\n"
            "folder = fissix.CACHE_DIR\nassert not folder.exists()\n"
            "from txmirror.compat.translation import translate\n"
            "translate('print 1', 'a.py')\nassert not folder.exists()\n"
            "sys.stdout.write(str(folder))"
        )
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache.absolute())}
        run = functools.partial(subprocess.run, capture_output=True, text=True, timeout=60, env=environment)
        done = run([sys.executable, "-c", program])
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        folder = Path(done.stdout)
        folder.mkdir(parents=True)
        for name in ("Grammar", "PatternGrammar"):
            # It would end the process.
            (folder / f"{name}{fissix_base_version()}.pickle").write_bytes(b"cos\n_exit\n(I3\ntR.")
        done = run([sys.executable, "-c", program.replace("assert not folder.exists()", "pass")])
        self.assertEqual((done.stderr, done.returncode), ("", 0))

    def test_folder(self) -> None:
        """It is the user's cache folder."""
        self.patch(os, "environ", {"HOME": "/home/jane"})
        self.assertEqual(cache_folder(), Path("/home/jane/.cache/txmirror/txzookeeper"))
        self.patch(os, "environ", {"HOME": "/home/jane", "XDG_CACHE_HOME": "/var/cache/jane"})
        self.assertEqual(cache_folder(), Path("/var/cache/jane/txmirror/txzookeeper"))
        self.patch(os, "environ", {"HOME": "/home/jane", "XDG_CACHE_HOME": "somewhere"})
        self.assertEqual(cache_folder(), Path("/home/jane/.cache/txmirror/txzookeeper"))
