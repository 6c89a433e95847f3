"""Registered services are shown in the log as they are created, changed and deleted."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from txmirror.client import ZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.service.display import Display
from txmirror.test.constant_random import ConstantRandom
from txmirror.test.embedded.peer import ServerTestCase


@implementer(ILogObserver)
class Shown:
    """Keeps the lines that displays have logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"] == "txmirror.service.display.Display":
            line = formatEvent(event)
            assert line.startswith("registry: ")
            self.lines.append(line.removeprefix("registry: ").rstrip())

    def take(self) -> list[str]:
        taken, self.lines = self.lines, []
        return taken


class DisplayTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.shown = Shown()
        globalLogPublisher.addObserver(self.shown)
        self.addCleanup(globalLogPublisher.removeObserver, self.shown)
        self.client = ZooKeeperClient(self.server.address, random=ConstantRandom(0.5), reactor=self.reactor)
        self.settle(self.client.connect())
        self.mirror = Mirror(self.server.address, session_timeout=4.0, random=ConstantRandom(0.5), reactor=self.reactor)
        self.settle(self.mirror.connect())

    def clean_up(self) -> None:
        self.reactor.undo_black_hole("127.0.0.1", 2181)
        closed = [self.mirror.close(), self.client.close()]
        self.reactor.pass_time(10)
        for done in closed:
            self.successResultOf(done)
        super().clean_up()

    def create(self, *paths: str) -> None:
        for path in paths:
            self.client.create(path, b"data of " + path.encode())
        self.reactor.settle()

    def delete(self, *paths: str) -> None:
        for path in paths:
            self.settle(self.client.delete(path))

    def display(self, path: str = "/") -> Display:
        display = Display(self.mirror, path)
        self.reactor.settle()
        return display

    def disconnect(self) -> None:
        """Cut the mirror off, whose connection is the second."""
        self.reactor.black_hole("127.0.0.1", 2181)
        self.reactor.links[1].cut()
        self.reactor.settle()

    def reconnect(self, seconds: float = 3.0) -> None:
        self.reactor.undo_black_hole("127.0.0.1", 2181)
        self.reactor.pass_time(seconds)
        self.assertTrue(self.mirror.is_connected())

    def test_what_is_there(self) -> None:
        """Existing nodes are shown, each with its data, parents first."""
        self.create("/a", "/a/b", "/c")
        self.display()
        shown = self.shown.take()
        self.assertEqual(sorted(shown), ["+ /", "+ /a  data of /a", "+ /a/b  data of /a/b", "+ /c  data of /c"])
        self.assertLess(shown.index("+ /a  data of /a"), shown.index("+ /a/b  data of /a/b"))

    def test_not_zookeeper_s_own(self) -> None:
        """ZooKeeper's own nodes are not shown: they are nobody's services."""
        names = self.client.get_children("/")
        self.reactor.settle()
        self.assertIn("zookeeper", self.successResultOf(names))
        self.display()
        self.assertEqual(self.shown.take(), ["+ /"])

    def test_additions(self) -> None:
        """Created nodes are shown, at any depth."""
        self.display()
        self.shown.take()
        self.create("/a")
        self.assertEqual(self.shown.take(), ["+ /a  data of /a"])
        self.create("/a/b", "/a/b/c")
        self.assertEqual(self.shown.take(), ["+ /a/b  data of /a/b", "+ /a/b/c  data of /a/b/c"])

    def test_changes(self) -> None:
        """A changed node is shown as a change."""
        self.create("/a")
        self.display()
        self.shown.take()
        self.client.set("/a", b"new")
        self.reactor.settle()
        self.assertEqual(self.shown.take(), ["~ /a  new"])

    def test_removals(self) -> None:
        """Deleted nodes are shown once, children first."""
        self.create("/a", "/a/b", "/a/b/c")
        self.display()
        self.shown.take()
        self.delete("/a/b/c", "/a/b", "/a")
        self.assertEqual(self.shown.take(), ["- /a/b/c", "- /a/b", "- /a"])

    def test_removals_at_once(self) -> None:
        """Removals that follow one another closely are all shown, each once."""
        self.create("/a", "/a/b", "/a/b/c")
        self.display()
        self.shown.take()
        for path in ("/a/b/c", "/a/b", "/a"):
            self.client.delete(path)
        self.reactor.settle()
        self.assertEqual(sorted(self.shown.take()), ["- /a", "- /a/b", "- /a/b/c"])

    def test_again(self) -> None:
        """A node that is created again is shown as an addition."""
        self.create("/a")
        self.display()
        for _ in range(3):
            self.shown.take()
            self.delete("/a")
            self.create("/a")
            self.assertEqual(self.shown.take(), ["- /a", "+ /a  data of /a"])
        self.client.set("/a", b"new")
        self.reactor.settle()
        self.assertEqual(self.shown.take(), ["~ /a  new"])

    def test_nothing_happens(self) -> None:
        """An unchanged node is not shown again, not after a disconnection either."""
        self.create("/a", "/a/b")
        self.display()
        self.shown.take()
        self.reactor.links[1].cut()
        self.reactor.pass_time(30)
        self.assertEqual(self.shown.take(), [])

    def test_changes_while_disconnected(self) -> None:
        """Changes during a disconnection are shown after it, each node once."""
        self.create("/kept", "/changed", "/gone", "/gone/below", "/back")
        self.display()
        self.shown.take()
        self.disconnect()
        self.delete("/gone/below", "/gone", "/back")
        self.create("/new", "/new/below", "/back")
        self.client.set("/changed", b"new")
        self.reactor.settle()
        self.reconnect()
        shown = self.shown.take()
        for line in ("- /gone/below", "- /gone", "+ /new  data of /new", "+ /new/below  data of /new/below"):
            self.assertEqual(shown.count(line), 1, shown)
        self.assertEqual(shown.count("~ /changed  new"), 1, shown)
        self.assertEqual([line for line in shown if "/kept" in line], [])
        self.assertIn(
            [line for line in shown if "/back" in line],
            (["~ /back  data of /back"], ["- /back", "+ /back  data of /back"]),
        )

    def test_session_ended(self) -> None:
        """After the end of the mirror's own session only changes are shown."""
        self.create("/a")
        self.display()
        self.shown.take()
        self.disconnect()
        self.reactor.pass_time(12)
        self.client.set("/a", b"new")
        self.reactor.settle()
        self.reconnect(8)
        self.assertEqual(self.shown.take(), ["~ /a  new"])

    def test_known_already(self) -> None:
        """Nodes that the mirror followed before are shown like others."""
        self.create("/a", "/a/b")
        for path in ("/", "/a", "/a/b"):
            self.mirror.get(path)
        self.reactor.settle()
        self.display()
        self.assertEqual(sorted(self.shown.take()), ["+ /", "+ /a  data of /a", "+ /a/b  data of /a/b"])

    def test_not_text(self) -> None:
        """Data that is no text is shown with escapes, and on one line."""
        self.client.create("/a", b"\xff{braces} %s \x00")
        self.display()
        (line,) = [line for line in self.shown.take() if "/a" in line]
        self.assertIn(r"\xff{braces} %s", line)

    def test_several_lines(self) -> None:
        """Data of several lines cannot pretend to be other lines of the log."""
        self.client.create("/a", b"one\ntwo")
        self.display()
        (line,) = [line for line in self.shown.take() if "/a" in line]
        self.assertNotIn("\n", line)

    def test_part(self) -> None:
        """Only nodes at or below the given path are shown."""
        self.create("/a", "/a/b", "/c")
        self.display("/a")
        self.assertEqual(self.shown.take(), ["+ /a  data of /a", "+ /a/b  data of /a/b"])

    def test_stop(self) -> None:
        """Once stopped it shows nothing more."""
        self.create("/a", "/a/b")
        display = self.display()
        self.shown.take()
        display.stop()
        self.create("/c", "/a/d")
        self.client.set("/a/b", b"new")
        self.delete("/c")
        self.assertEqual(self.shown.take(), [])
