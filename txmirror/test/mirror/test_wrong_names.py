"""A server that sends names that no znode can have: they are not shown, nothing is lost by them, and no bug is logged."""

from __future__ import annotations

from twisted.logger import globalLogPublisher

from txmirror.test.mirror.world import MirrorTestCase
from txmirror.test.models import FailureLog
from txmirror.types import EventType

WRONG_PATHS = ("/s/", "/s/..", "/s//b", "/s/a/../b", "/s/a\0", "/")


class WrongNameTests(MirrorTestCase):
    """A tree and two nodes that are up to date, below ``/s``."""

    def setUp(self) -> None:
        super().setUp()
        self.bugs: list[str] = []
        log = FailureLog(self.bugs)
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        for path in ("/s", "/s/a", "/s/b"):
            self.world.make(path, path.encode())
        self.tree = self.mirror.tree("/s")
        self.node, self.missing = self.live("/s"), self.live("/s/none")
        self.assertTrue(self.tree.settled)

    def assert_goes_on(self) -> None:
        """Later changes are shown, in the same session."""
        self.pass_time(3)
        self.world.change("/s/b", b"new")
        self.settle()
        self.assertTrue(self.tree.settled)
        self.assertEqual((self.tree["/s/b"][0], self.tree["/s/a"]), (b"new", self.done(self.other.get("/s/a"))))
        self.assert_equal_to_server("/s", "/s/none")
        self.assertCountEqual(self.tree, ["/s", "/s/a", "/s/b"])
        self.assertEqual((self.bugs, self.world.mirror_client.session.session_number), ([], 1))

    def test_events(self) -> None:
        """An event without a valid path violates ZooKeeper's protocol, and ends the connection. The changes are read
        all the same.
        """
        for path in WRONG_PATHS[:-1]:
            for kind in (EventType.CREATED, EventType.CHILD, EventType.DELETED, EventType.CHANGED):
                connection = self.world.server.connection_of(self.world.mirror_client.session_id)
                connection.client.notify(kind, path)
                self.world.change("/s/a", b"changed")
                self.assertTrue(connection.closing, path)
                self.assertIn(repr(path), "\n".join(self.log_lines()))
                self.assert_goes_on()

    def test_root(self) -> None:
        """An event for the root is nobody's matter here."""
        connection = self.world.server.connection_of(self.world.mirror_client.session_id)
        for kind in EventType:
            connection.client.notify(kind, "/")
        self.assert_goes_on()

    def test_children(self) -> None:
        """An invalid name violates the protocol, too. While it exists the node stays as it was, and is not settled;
        once it is gone everything is.
        """
        children = self.world.server._replica.tree.nodes["/s"].children
        for name in ("", "..", "a/b", "a\0"):
            children[name] = None
            self.world.make("/s/c")
            self.pass_time(5)
            self.assertFalse(self.tree.settled, repr(name))
            self.assertIn(repr(name), "\n".join(self.log_lines()))
            del children[name]
            self.world.remove("/s/c")
            self.assert_goes_on()
