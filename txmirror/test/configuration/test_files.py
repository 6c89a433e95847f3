"""Files and folders of a configuration, valid and hostile ones."""

from __future__ import annotations

import os

from txmirror.configuration import ConfigurationError, load
from txmirror.test.configuration.case import WEB, ConfigurationCase


def service(name: str) -> str:
    """Return a complete service."""
    return f'[[service]]\nname = "{name}"\npath = "/services"\nnode = "{name}"\n'


class FileTests(ConfigurationCase):
    def names(self, path: str = "main.toml") -> list[str]:
        return [each.name for each in load(self.folder / path, self.machine).services]

    def test_folder(self) -> None:
        """The files *.toml of a folder are read in lexical order, and others and hidden ones are not."""
        for name, text in {"b.toml": service("b"), "a.toml": service("a"), ".c.toml": "?", "d.txt": "?"}.items():
            self.write(text, name)
        configuration = load(self.folder, self.machine)
        self.assertEqual([each.name for each in configuration.services], ["a", "b"])
        self.assertEqual(configuration.sources, (f"{self.folder}/a.toml", f"{self.folder}/b.toml"))

    def test_include(self) -> None:
        """Patterns are relative to the file, sorted, and each file counts once."""
        self.write(f'include = ["conf.d/[ab]*.toml", "*.toml", "*/c.toml", "conf.d/a.toml"]\n{service("main")}')
        for name in ("b", "a", "c"):
            self.write(f"version = 1\n{service(name)}", f"conf.d/{name}.toml")
        self.write("", "other.d/readme")
        self.assertEqual(self.names(), ["main", "a", "b", "c"])

    def test_empty_folder(self) -> None:
        """A pattern may match nothing, but the folder must exist, and a name without a pattern must, too."""
        (self.folder / "conf.d").mkdir()
        self.write('include = ["conf.d/*.toml", "*/x/*.toml"]')
        self.assertEqual(self.names(), [])
        self.assertEqual(
            self.errors('include = ["missing/*.toml", "conf.d/a.toml"]'),
            [
                "include[0]: 'missing/*.toml' cannot be read: No such file or directory",
                "include[1]: 'conf.d/a.toml' cannot be read: No such file or directory",
            ],
        )
        self.assertEqual(self.errors_of(self.folder / "conf.d"), ["conf.d: the folder has no file *.toml"])

    def test_included_has_services_only(self) -> None:
        """An included file with another table, or with an include, is an error."""
        self.write('include = ["x.toml"]\n[daemon]\nsplay = 1\n[x]', "conf.d/a.toml")
        self.assertEqual(
            self.errors('include = ["conf.d/*"]'),
            [
                "conf.d/a.toml: include: an included file has only [[service]] and [[watch]]",
                "conf.d/a.toml: daemon: an included file has only [[service]] and [[watch]]",
                "conf.d/a.toml: x: unknown key",
            ],
        )
        for value in ('"a"', "[1]", '[""]'):
            self.assertIn("no array of file names", self.errors(f"include = {value}")[0])

    def test_table_twice(self) -> None:
        """Only one file of a folder may have a table; both are named."""
        self.write("[daemon]\nsplay = 1", "a.toml")
        self.write("[daemon]\nsplay = 2\n[defaults]\n", "b.toml")
        self.assertEqual(
            self.errors_of(self.folder),
            [f"b.toml: daemon: {self.folder}/a.toml has this table too".replace(f"{self.folder}/", "")],
        )

    def test_wrong_shapes(self) -> None:
        """A table that is no table, and a service that is none, are errors; so is another version."""
        self.assertEqual(
            self.errors('version = 2\nzookeeper = 1\nhost = []\ndaemon = "x"\ndefaults = true\nservice = {}'),
            [
                "version: 2 is not 1, the only version there is",
                "service: {} is no array of tables: write [[service]]",
                "zookeeper: 1 is no table",
                "host: [] is no table",
                "daemon: 'x' is no table",
                "defaults: True is no table",
            ],
        )
        self.assertEqual(
            self.errors("service = [1]\nversion = true"),
            ["version: True is not 1, the only version there is", "service[0]: 1 is no table"],
        )

    def test_syntax(self) -> None:
        """A syntax error has its line; errors of other files are found too."""
        self.write("a = 1\n\nb = = 2\n", "a.toml")
        self.write("[x", "b.toml")
        self.write(b"\xef\xbb\xbfversion = 1\r\nbad = 1", "c.toml")
        self.write(b"x = 1\n# \xff\n", "d.toml")
        first, second, *others = self.errors_of(self.folder)
        self.assertTrue(first.startswith("a.toml:3: it is not TOML: "), first)
        self.assertTrue(second.startswith("b.toml:1: it is not TOML: "), second)
        self.assertEqual(others, ["d.toml:2: it is not UTF-8: byte 0xff", "c.toml: bad: unknown key"])

    def test_missing(self) -> None:
        """A file that does not exist, or whose name is impossible, is one error."""
        self.assertEqual(self.errors_of(self.folder / "x"), ["x: it cannot be read: No such file or directory"])
        error = self.assertRaises(ConfigurationError, load, "a\0b", self.machine)
        self.assertEqual(error.lines, ("a\\x00b: it cannot be read: its path has a null character",))

    def test_relative(self) -> None:
        """A file may be named relative to the current folder; the names in it become absolute."""
        self.write('[daemon]\ncontrol = "c"', "main.toml")
        relative = os.path.relpath(self.folder / "main.toml")
        configuration = load(relative, self.machine)
        self.assertEqual(configuration.sources, (relative,))
        self.assertEqual(os.path.realpath(str(configuration.daemon.control)), os.path.realpath(self.folder / "c"))


class HostileTests(ConfigurationCase):
    def test_fifo(self) -> None:
        """A FIFO, a socket or a folder in place of a file does not block, and is an error."""
        os.mkfifo(self.folder / "a.toml")
        (self.folder / "b.toml").mkdir()
        self.assertEqual(
            self.errors_of(self.folder),
            [
                "a.toml: it cannot be read: it is a FIFO, not a regular file",
                "b.toml: it cannot be read: it is a directory, not a regular file",
            ],
        )
        self.assertEqual(len(self.errors_of(self.folder / "a.toml")), 1)

    def test_writable_by_others(self) -> None:
        """A file that others may write to is refused: it contains commands."""
        path = self.write(WEB, mode=0o664)
        self.assertEqual(self.errors_of(path), ["it cannot be read: others may write to it (mode 0664)"])

    def test_links(self) -> None:
        """Links are followed; a circle is an error, and so is one of folders, which ends."""
        self.write(WEB, "real")
        (self.folder / "a.toml").symlink_to("real")
        self.assertEqual(len(load(self.folder, self.machine).services), 1)
        (self.folder / "b.toml").symlink_to("c.toml")
        (self.folder / "c.toml").symlink_to("b.toml")
        errors = self.errors_of(self.folder)
        self.assertEqual(len(errors), 2)
        self.assertTrue(all("it is one of a circle of symbolic links" in each for each in errors), errors)
        (self.folder / "d").mkdir()
        for name in ("x", "y", "z"):
            (self.folder / "d" / name).symlink_to(".")
        self.write(f'include = ["d/{"*/" * 60}*.toml", "d/{"*/../d/" * 60}*.toml"]', "main.toml")
        self.assertEqual(load(self.folder / "main.toml", self.machine).services, ())

    def test_folder_without_permission(self) -> None:
        """A folder that may not be read is an error, as the whole and in an include."""
        closed = self.folder / "closed"
        closed.mkdir()
        closed.chmod(0)
        self.addCleanup(closed.chmod, 0o700)
        self.write('include = ["closed/*.toml", "closed/a.toml"]')
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            for path in (self.folder, self.folder / "main.toml"):
                os.chown(path, 65534, 65534)
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        denied = "Permission denied"
        self.assertEqual(self.errors_of(closed), [f"closed: the folder cannot be read: {denied}"])
        self.assertEqual(
            self.errors_of(self.folder / "main.toml"),
            [
                f"include[0]: 'closed/*.toml' cannot be read: {denied}",
                f"include[1]: 'closed/a.toml' cannot be read: {denied}",
            ],
        )

    def test_large(self) -> None:
        """A file of more than 1 MiB is refused, and one of 1 MiB is read in a short time."""
        self.assertEqual(
            self.errors("#" * (2**20 + 1)), ["it cannot be read: it has 1048577 bytes, which is more than 1048576"]
        )
        for text in ("#", "x", "a.", '"', "[", "a = {", "a . ", "\n", f"{'a' * 65}."):
            for head in ("", "x = "):
                whole = head + text * ((2**20 - 4) // len(text))
                if (text, head) not in (("#", ""), ("\n", "")):
                    self.assertEqual(len(self.errors(whole)), 1)

    def test_deep(self) -> None:
        """Deep nesting is one error, whether by arrays, inline tables, keys or headers."""
        for text in (
            f"x = {'[' * 100_000}",
            f"x = {'[' * 100}{']' * 100}",
            f"x = {'{a=' * 100_000}",
            f"{'a.' * 100_000}b = 1",
            f"[{'a.' * 1000}b]",
        ):
            self.assertEqual(len(self.errors(text)), 1)
        for value in (f"{'[' * 40}{']' * 40}", "{a=" * 40 + "1" + "}" * 40):
            text = f"{WEB}data = {{ a = {value} }}\n"
            self.assertEqual(
                self.errors(text), ["service[0]: nested too deeply: more than 32 levels of tables and arrays"]
            )

    def test_many_errors(self) -> None:
        """Of very many errors the first are reported."""
        errors = self.errors("".join(f"k{index} = 1\n" for index in range(10_000)))
        self.assertEqual(len(errors), 201)
        self.assertEqual(errors[0], "k0: unknown key")
        self.assertEqual(errors[-1], "These are the first 200 errors; there are more.")

    def test_long_values(self) -> None:
        """A message shortens the value that it quotes, and escapes what is unprintable."""
        long = "x" * 100_000
        (error,) = self.errors(f'[daemon]\nsplay = "{long}"')
        self.assertLess(len(error), 300)
        (error,) = self.errors(f"{long} = 1")
        self.assertLess(len(error), 200_000)
        (error,) = self.errors('"a\\u001b[31m" = 1')
        self.assertEqual(error, "'a\\x1b[31m': unknown key")
