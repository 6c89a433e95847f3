"""The command in narrow and wide terminals, in other locales, and in pipes; and how much of the log it writes."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import redirect_stdout

from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.launch import in_c_locale, make_console
from txmirror.cli.settings import Settings
from txmirror.test.cli.case import CommandTestCase
from txmirror.test.cli.test_command import CommandLineTestCase, every_command
from txmirror.test.cli.test_progress import Terminal


class HelpTests(CommandLineTestCase):
    def help(self, *words: str, columns: int) -> list[str]:
        os.environ["COLUMNS"] = str(columns)
        self.out.seek(0)
        self.out.truncate()
        self.assertEqual(self.main(*words, "--help"), 0)
        return self.out.getvalue().splitlines()

    def test_widths(self) -> None:
        """No help is wider than the terminal, nor than a person reads; it is ASCII."""
        for columns in (60, 200):
            for words in ((), *every_command()):
                lines = self.help(*words, columns=columns)
                self.assertLessEqual(max(map(len, lines)), min(columns, 100), (words, columns))
                self.assertTrue("".join(lines).isascii(), words)

    def test_examples(self) -> None:
        """Without a command it is the help, with three examples, which are command lines of ours, each on one line."""
        self.assertEqual(self.main(), 0)
        shown = self.out.getvalue().splitlines()
        self.assertEqual(shown, self.help(columns=80))
        for columns in (60, 200):
            lines = self.help(columns=columns)
            begin = lines.index("  Examples:") + 1
            examples = [line.strip().split("    ")[0].split() for line in lines[begin : begin + 3]]
            self.assertEqual([each[0] for each in examples], ["txmirror"] * 3)
            for each in examples:
                self.assertEqual(self.main(*each[1:]), 0)
        self.assertEqual(len(self.launched), 6)

    def test_own_options(self) -> None:
        """The help of a command has its own options, and says where those of all commands are."""
        text = "\n".join(self.help("create", columns=100))
        self.assertIn("--ephemeral", text)
        self.assertIn("The options of all commands: see 'txmirror --help'.", text)
        self.assertNotIn("--tls-cert", text)
        self.assertIn("--tls-cert", "\n".join(self.help(columns=80)))

    def test_errors(self) -> None:
        """An error is one line in any terminal."""
        for columns in (60, 200):
            os.environ["COLUMNS"] = str(columns)
            self.err.seek(0)
            self.err.truncate()
            self.assertEqual(self.main("get", "/a" * 200 + "/.."), 64)
            self.assertEqual(self.err.getvalue().count("\n"), 1)


class TerminalTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("/services")
        self.make("/services/web")
        for number in range(3):
            self.make(f"/services/web/server{number}:80", b'{"text": "' + b"x" * 300 + b'"}', ephemeral=True)

    def shown(self, *arguments: str, width: int | None) -> list[str]:
        """Run a command in a terminal of a width; None is a pipe."""
        run = self.start(*arguments, width=width)
        self.assertEqual((run.status, run.err), (0, ""))
        return run.lines

    def test_widths(self) -> None:
        """On a terminal data is shortened to its width; in a pipe it is not."""
        for arguments in (("get", "/services", "-rd", "-o", "table"), ("tree", "/services", "-d"), ("services",)):
            for width in (60, 200):
                lines = self.shown(*arguments, width=width)
                self.assertEqual(max(map(len, lines)), width)
                self.assertTrue(lines[-1].endswith("..."))
            piped = self.shown(*arguments, width=None)
            self.assertGreater(max(map(len, piped)), 200)
            self.assertEqual(len(piped), len(lines))

    def test_names(self) -> None:
        """Names are never shortened: they may be copied."""
        name = "n" * 80
        self.make(f"/services/{name}", b"data")
        for arguments in (("tree", "/services", "-d"), ("ls", "/services"), ("ls", "/services", "-o", "table")):
            self.assertIn(name, "\n".join(self.shown(*arguments, width=60)))

    def test_values(self) -> None:
        """Formats for programs are the same everywhere."""
        for output in ("json", "jsonl", "yaml"):
            arguments = ("get", "/services", "-rd", "-o", output)
            self.assertEqual(self.shown(*arguments, width=60), self.shown(*arguments, width=None))

    def test_locale(self) -> None:
        """In the locale C the tree is drawn with ASCII characters, and text is still printed as it is."""
        run = self.start("tree", "/services", "--depth", "1", ascii_only=True)
        self.assertEqual(run.lines, ["/services", "`-- web"])
        self.make("/é", "é".encode())
        self.assertEqual(self.start("get", "/é", ascii_only=True).data, "é\n".encode())

    def test_reader_gone(self) -> None:
        """When the reader of a pipe is gone, each command that reads ends without a message."""
        for arguments in (
            ("ls", "/"),
            ("tree", "/", "-d"),
            ("services",),
            ("stat", "/services"),
            ("acl", "get", "/services"),
            ("get", "/services", "-r", "-o", "jsonl"),
        ):
            # Every one of them asks for at least one of these.
            for kind in ("get", "get_children", "exists", "get_acl", "get_many"):
                self.world.server.delay_next(kind, 1.0)
            run = self.start(*arguments)
            self.assertTrue(run.running, arguments)
            run.break_output(BrokenPipeError())
            self.world.pass_time(10.0)
            self.assertEqual((run.status, run.err), (141, ""), arguments)


#: A command line for each command that writes results, by the command's words.
_LINES = {
    "acl get": ("/app", "-r"),
    "acl set": ("/app", "read-only", "-rn"),
    "barrier create": ("/barrier",),
    "barrier wait": ("/no-barrier",),
    "completion": ("bash",),
    "counter": ("/counter",),
    "create": ("/sequential/", "--sequential"),
    "diff": ("/app", "/services"),
    "doctor": (),
    "ensemble": (),
    "export": ("/app",),
    "get": ("/app", "/app/key", "-d", "-o", "table"),
    "import": ("/app", "-", "-n", "--existing", "overwrite"),
    "locks": ("/lock",),
    "ls": ("/", "-o", "table"),
    "queue length": ("/queue",),
    "queue peek": ("/queue",),
    "sample-config": (),
    "services": (),
    "stat": ("/app", "/app/key"),
    "sync": (),
    "tree": ("/app", "-d"),
    "unit": (),
    "wait": ("/app",),
}
#: The commands that write only errors, or the output of a program; or that test_operating tests, and test_watching.
_OTHERS = {
    *("acl", "barrier", "queue"),
    *(
        "barrier remove",
        "barrier run",
        "delete",
        "edit",
        "elect",
        "lock",
        "queue get",
        "queue put",
        "register",
        "rm",
        "set",
    ),
    *("drain", "maint", "metrics", "reload", "status", "watch", "why"),
}
_EXPORT = b"""\
{"txmirror-export": 1, "root": "/app", "acls": false, "ephemerals": false}
{"path": "/", "data": "new"}
{"path": "/key", "data": "%s"}
{"nodes": 2}
""" % (b"y" * 300)


class EveryCommandTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {name: value for name, value in os.environ.items() if "TXMIRROR" not in name})
        for path, data in (
            ("/app", b"1"),
            ("/app/key", b"x" * 300),
            ("/queue", b""),
            ("/lock", b""),
            ("/services", b""),
        ):
            self.make(path, data)
        self.make("/sequential")
        self.make("/queue/entries")
        self.make("/queue/entries/entry-100-0000000000", b"entry")
        self.make("/services/web")
        for path in ("/lock/" + "a" * 32 + "__lock__0000000001", "/services/web/a:80"):
            self.make(path, b"x" * 300, ephemeral=True)

    def shown(self, words: str, width: int | None) -> list[str]:
        """Run a command line, and return its output, without the numbers of sessions."""
        out = io.StringIO()
        with redirect_stdout(out):
            run = self.start(*words.split(), *_LINES[words], stdin=_EXPORT, width=width, ascii_only=True)
            self.assertIn((run.status, words), ((0, words), (1, "diff")), run.err)
        text = out.getvalue() + run.out + run.data.decode()
        return re.sub(r"0x[0-9a-f]+|sequential/\d+", lambda found: "#" * len(found[0]), text).splitlines()

    def test_all(self) -> None:
        """Every command is here, or in another test that is named."""
        words = {" ".join(each) for each in every_command()}
        self.assertEqual(words, {*_LINES, *_OTHERS})

    def test_widths(self) -> None:
        """A line in a terminal is that of a pipe, or the beginning of it that is as wide as the terminal; it is ASCII if the locale is."""
        shortened = set()
        for words in _LINES:
            piped = self.shown(words, None)
            self.assertTrue("".join(piped).isascii(), words)
            for width in (60, 200):
                for line, whole in zip(self.shown(words, width), piped, strict=True):
                    if line != whole:
                        self.assertEqual(line, f"{whole[: width - 3]}...", words)
                        shortened.add(words)
        self.assertEqual(shortened, {"ensemble", "get", "locks", "services", "tree"})


class EveryErrorTests(CommandLineTestCase):
    def test_usage(self) -> None:
        """An error of the command line is the same line in every terminal, and is escaped where there is only ASCII."""
        for words in every_command():
            lines = set()
            for columns, encoding in ((60, "utf-8"), (200, "utf-8"), (60, "ascii"), (200, "ascii")):
                os.environ["COLUMNS"] = str(columns)
                out = io.BytesIO()
                self.patch(sys, "stderr", io.TextIOWrapper(out, encoding, errors="backslashreplace"))
                self.assertEqual(self.main(*words, "--b\xf6gus"), 64)
                sys.stderr.flush()
                lines.add(out.getvalue())
            # Versions of click differ in the quotes.
            start = f"txmirror: {' '.join(words)}: No such option"
            for each in lines:
                text = each.decode().replace("\\xf6", "\xf6")
                self.assertTrue(text.startswith(start) and "--b\xf6gus" in text, text)
            self.assertEqual({each.count(b"\n") for each in lines}, {1})
            self.assertEqual(len(lines), 2, lines)


class LocaleTests(SynchronousTestCase):
    def test_locales(self) -> None:
        """The variables are asked in the order of setlocale(3), without that which Python sets itself."""
        for environment, expected in (
            ({}, True),
            ({"LANG": "C"}, True),
            ({"LANG": "de_DE.UTF-8"}, False),
            ({"LANG": "C.UTF-8"}, False),
            ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, True),
            ({"LANG": "C", "LC_ALL": "de_DE.UTF-8"}, False),
            ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
            ({"LANG": "C", "LC_CTYPE": "de_DE.UTF-8"}, False),
            ({"LC_ALL": "POSIX", "PYTHONUTF8": "1"}, False),
            ({"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, False),
        ):
            self.assertEqual(in_c_locale(environment), expected, environment)

    def test_width(self) -> None:
        """A terminal has a width, and a pipe has none."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": "60"})
        for stream, expected in ((Terminal(), 60), (io.StringIO(), None)):
            self.patch(sys, "stdout", stream)
            self.assertEqual(make_console(Settings()).width, expected)


class VerboseTests(CommandTestCase):
    def test_log(self) -> None:
        """With -v, before or after the command's name, stderr has the log; results stay alone on stdout."""
        self.make("/a")
        for options in (("-v", "ls"), ("ls", "--verbose")):
            run = self.start(*options, "/")
            self.assertEqual((run.status, run.lines), (0, ["a", "zookeeper"]))
            self.assertIn("session", run.err)
            for line in run.err.splitlines():
                self.assertTrue(line.startswith("txmirror: "), line)

    def test_secrets(self) -> None:
        """The log has no data and no passwords, however much of it is written."""
        self.patch(os, "environ", {**os.environ, "TXMIRROR_USERNAME": "app", "TXMIRROR_PASSWORD": "hush"})
        self.make("/a")
        run = self.start("set", "/a", "private", "-v")
        self.assertEqual(run.status, 0)
        self.assertNotIn("hush", run.err)
        self.assertNotIn("private", run.err)
