"""The module ``zookeeper``, against a server in memory: the arguments of callbacks and watchers, and the time of the
calls.
"""

from __future__ import annotations

import io
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from txmirror.compat import zookeeper as module
from txmirror.compat.handles import CLOSE_TIME
from txmirror.testing import MemoryReactor, World
from txmirror.types import CREATOR_ALL_ACL, ZnodeStat

zookeeper = cast(Any, module)

SESSION, CREATED, DELETED, CHANGED, CHILD = -1, 1, 2, 3, 4
CONNECTING, CONNECTED, EXPIRED, AUTH_FAILED = 1, 3, -112, -113
OPEN = [{"perms": 31, "scheme": "world", "id": "anyone"}]


class ZooKeeperCase(SynchronousTestCase):
    """A handle with a session, and a client of ours beside it."""

    def setUp(self) -> None:
        self.world = self.make_world()
        zookeeper.use(self.world.reactor)
        self.addCleanup(zookeeper.use, None)
        self.told: list[Any] = []
        self.handle = self.init(self.world.connect_string)
        self.other = self.world.client()
        self.told.clear()

    def make_world(self) -> World:
        return World()

    def tearDown(self) -> None:
        for handle in list(module._handles):
            zookeeper.close(handle)
        self.world.pass_time(CLOSE_TIME)
        self.world.close()

    def init(self, hosts: str, *arguments: Any) -> int:
        handle: int = zookeeper.init(hosts, self.teller("own"), *(arguments or (10_000,)))
        self.world.settle()
        return handle

    def teller(self, name: str) -> Any:
        """Return a watcher or callback that records its arguments under a name."""

        def tell(handle: int, *arguments: object) -> None:
            self.told.append((name, *arguments))

        return tell

    def ask(self, call: str, *arguments: Any) -> tuple[Any, ...]:
        """Make a call, and return the arguments of its callback."""
        answers: list[Any] = []

        def answer(*answer: object) -> None:
            answers.append(answer)

        self.assertEqual(getattr(zookeeper, call)(self.handle, *arguments, answer), 0)
        self.assertEqual(answers, [])
        self.world.settle()
        ((handle, *rest),) = answers
        self.assertEqual(handle, self.handle)
        return tuple(rest)

    def take(self) -> list[Any]:
        told, self.told = self.told, []
        return told

    def drop(self) -> None:
        """Let the server close the handle's connection, and let it come back, which takes half a second at most."""
        session = zookeeper.client_id(self.handle)[0]
        (connection,) = (each for each in self.world.server.connections if each.session_id == session)
        connection.drop()
        self.world.pass_time(0.6)


class CallTests(ZooKeeperCase):
    def test_names(self) -> None:
        """All that is promised is there, and nothing that the binding has is missed in silence."""
        for name in zookeeper.__all__:
            self.assertTrue(hasattr(zookeeper, name), name)
        self.assertTrue(issubclass(zookeeper.NoNodeException, zookeeper.ZooKeeperException))
        self.assertEqual(zookeeper.NoNodeException("no node /a").args, ("no node /a",))
        self.assertEqual(zookeeper.NoNodeException.__module__, "zookeeper")

    def test_waiting_calls(self) -> None:
        """Synchronous calls raise, and the message names the asynchronous one."""
        for name in (
            "create",
            "delete",
            "exists",
            "get",
            "get_acl",
            "get_children",
            "set",
            "set_acl",
            "set2",
            "init_ssl",
        ):
            error = self.assertRaises(NotImplementedError, getattr(zookeeper, name), self.handle, "/a")
            self.assertIn(f"zookeeper.{name} is not available without the C library", str(error))
            self.assertNotIn("\n", str(error))

    def test_zerror(self) -> None:
        """Numbers have the C library's texts."""
        self.assertEqual(zookeeper.zerror(zookeeper.OK), "ok")
        self.assertEqual(zookeeper.zerror(zookeeper.NODEEXISTS), "node exists")
        self.assertEqual(zookeeper.zerror(zookeeper.NOAUTH), "not authenticated")
        self.assertEqual(zookeeper.zerror(-1234), "unknown error")

    def test_nodes(self) -> None:
        """Each call passes the same arguments to its callback as the binding does."""
        self.assertEqual(self.ask("acreate", "/a", "größe", OPEN, 0), (0, "/a"))
        self.assertEqual(
            self.ask("acreate", "/a/s-", None, OPEN, zookeeper.EPHEMERAL | zookeeper.SEQUENCE), (0, "/a/s-0000000000")
        )
        code, stat = self.ask("aexists", "/a/s-0000000000", None)
        self.assertEqual((code, stat["ephemeralOwner"]), (0, zookeeper.client_id(self.handle)[0]))
        code, value, stat = self.ask("aget", "/a", None)
        self.assertEqual((code, value, stat["version"], stat["dataLength"]), (0, "größe", 0, 7))
        self.assertEqual(sorted(stat), sorted(ZnodeStat._fields))
        self.assertEqual(self.ask("aget_children", "/a", None), (0, ["s-0000000000"]))
        code, stat = self.ask("aset", "/a", "2", 0)
        self.assertEqual((code, stat["version"]), (0, 1))
        self.assertEqual(self.ask("async", "/a"), (0, "/a"))
        self.assertEqual(self.ask("adelete", "/a/s-0000000000", 5), (zookeeper.BADVERSION,))
        self.assertEqual(self.ask("adelete", "/a/s-0000000000", 0), (0,))
        code, acl, stat = self.ask("aget_acl", "/a")
        self.assertEqual((code, acl, stat["aversion"]), (0, OPEN, 0))
        self.assertEqual(self.ask("aset_acl", "/a", 0, [{"perms": 1, "scheme": "world", "id": "anyone"}]), (0,))
        self.assertEqual(self.ask("aset", "/a", "3", -1), (zookeeper.NOAUTH, None))

    def test_failures(self) -> None:
        """A failure is a number, and nothing."""
        self.assertEqual(self.ask("aget", "/no", None), (zookeeper.NONODE, None, None))
        self.assertEqual(self.ask("aexists", "/no", None), (zookeeper.NONODE, None))
        self.assertEqual(self.ask("aget_children", "/no", None), (zookeeper.NONODE, []))
        self.assertEqual(self.ask("aget_acl", "/no"), (zookeeper.NONODE, None, None))
        self.assertEqual(self.ask("acreate", "/no/a", "", OPEN, 0), (zookeeper.NONODE, None))
        self.assertEqual(self.ask("adelete", "/no", -1), (zookeeper.NONODE,))
        self.assertEqual(self.ask("acreate", "/a", "", [], 0), (zookeeper.INVALIDACL, None))
        self.assertEqual(self.ask("aset", "/a", "x" * 2_000_000, -1), (zookeeper.BADARGUMENTS, None))

    def test_any_bytes(self) -> None:
        """Bytes that are not UTF-8 come and go as surrogates."""
        data = bytes(range(256))
        self.world.result(self.other.create("/a", data))
        _, value, _ = self.ask("aget", "/a", None)
        self.assertEqual(value.encode("utf-8", "surrogateescape"), data)
        self.ask("acreate", "/b", value, OPEN, 0)
        self.assertEqual(self.world.result(self.other.get("/b"))[0], data)

    def test_arguments(self) -> None:
        """An invalid request is refused at the call."""
        call = self.teller("callback")
        self.assertRaises(TypeError, zookeeper.aset, self.handle, "/a", b"bytes", -1, call)
        self.assertRaises(zookeeper.BadArgumentsException, zookeeper.aget, self.handle, "a", None, call)
        self.assertRaises(zookeeper.BadArgumentsException, zookeeper.acreate, self.handle, "/a", "", OPEN, 4, call)
        self.assertRaises(
            zookeeper.InvalidACLException, zookeeper.acreate, self.handle, "/a", "", [{"perms": 1}], 0, call
        )
        self.assertRaises(zookeeper.ZooKeeperException, zookeeper.init, "nonsense:port")
        self.assertRaises(zookeeper.ZooKeeperException, zookeeper.aget, 10_000, "/", None, call)
        self.assertRaises(TypeError, zookeeper.aget, None, "/", None, call)
        self.world.settle()
        self.assertEqual(self.told, [])

    def test_callback_that_raises(self) -> None:
        """A callback that raises is logged, and the next one is called all the same."""

        def fail(*_: object) -> None:
            raise ValueError("on purpose")

        zookeeper.aget(self.handle, "/", None, fail)
        self.assertEqual(self.ask("aexists", "/", None)[0], 0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class SessionTests(ZooKeeperCase):
    def test_connected(self) -> None:
        """The connection's own watcher is called when the session is established, and not before."""
        handle = zookeeper.init(self.world.connect_string, self.teller("own"), 4_000)
        self.assertEqual((zookeeper.state(handle), zookeeper.client_id(handle)), (CONNECTING, (0, "")))
        self.world.settle()
        self.assertEqual(self.take(), [("own", SESSION, CONNECTED, "")])
        self.assertEqual((zookeeper.state(handle), zookeeper.recv_timeout(handle)), (CONNECTED, 4_000))
        self.assertIn(zookeeper.client_id(handle)[0], self.world.server.sessions)
        self.assertIs(zookeeper.is_unrecoverable(handle), False)

    def test_session_events(self) -> None:
        """Each state is reported to the connection's watcher and to all pending watches, and removes none of them."""
        self.ask("acreate", "/a", "", OPEN, 0)
        self.ask("aget", "/a", self.teller("data"))
        self.ask("aexists", "/b", self.teller("existence"))
        self.ask("aget_children", "/a", self.teller("children"))
        self.ask("aget", "/c", self.teller("none"))
        for _ in range(2):
            self.drop()
            everybody = ("own", "data", "existence", "children")
            steps = [(each, SESSION, state, "") for state in (CONNECTING, CONNECTED) for each in everybody]
            self.assertEqual(self.take(), steps)
        self.world.result(self.other.set("/a", b"x"))
        self.world.result(self.other.create("/b"))
        self.world.result(self.other.create("/a/c"))
        self.assertEqual(
            self.take(),
            [
                ("data", CHANGED, CONNECTED, "/a"),
                ("existence", CREATED, CONNECTED, "/b"),
                ("children", CHILD, CONNECTED, "/a"),
            ],
        )
        self.world.result(self.other.set("/a", b"y"))
        self.drop()
        self.assertEqual(self.take(), [("own", SESSION, CONNECTING, ""), ("own", SESSION, CONNECTED, "")])

    def test_set_watcher(self) -> None:
        """Another watcher takes the place of the connection's own."""
        zookeeper.set_watcher(self.handle, self.teller("another"))
        self.drop()
        self.assertEqual([name for name, *_ in self.take()], ["another", "another"])

    def test_expired(self) -> None:
        """The expiry of the session is reported to all watchers, ends the handle, and no event follows it."""
        self.ask("aget", "/", self.teller("data"))
        session = zookeeper.client_id(self.handle)
        answers: list[Any] = []
        self.world.server.expire_session(session[0])
        self.world.pass_time(0.2)
        expired = [("own", SESSION, EXPIRED, ""), ("data", SESSION, EXPIRED, "")]
        self.assertEqual(self.take()[-2:], expired)
        self.assertEqual((zookeeper.state(self.handle), zookeeper.is_unrecoverable(self.handle)), (EXPIRED, True))
        self.assertRaises(zookeeper.InvalidStateException, zookeeper.aget, self.handle, "/", None, answers.append)
        self.assertEqual(zookeeper.client_id(self.handle), session)
        self.world.pass_time(60)
        self.assertEqual(self.world.server.sessions, {self.other.session_id})
        self.assertEqual(self.take(), [])

    def test_lost_requests(self) -> None:
        """Unanswered requests fail after the watcher was notified; those that wait for a connection fail with the attempt that
        nobody answers, after a third of the session's timeout."""
        host, port = self.world.server.address.split(":")
        self.world.reactor.black_hole(host, int(port))
        self.world.server.lose_reply("get")
        zookeeper.aget(self.handle, "/", None, self.teller("sent"))
        self.world.settle()
        zookeeper.aget(self.handle, "/", None, self.teller("waits"))
        self.world.settle()
        self.assertEqual(
            self.take(), [("own", SESSION, CONNECTING, ""), ("sent", zookeeper.CONNECTIONLOSS, None, None)]
        )
        third = zookeeper.recv_timeout(self.handle) / 3000
        self.world.pass_time(third - 0.1)
        self.assertEqual(self.take(), [])
        self.world.pass_time(0.2)
        self.assertEqual(self.take(), [("waits", zookeeper.CONNECTIONLOSS, None, None)])
        self.world.reactor.undo_black_hole(host, int(port))

    def test_refused_connections(self) -> None:
        """Requests that wait for a connection fail with the next attempt that fails; later requests fail with a later one."""
        port = int(self.world.server.address.split(":")[1])
        self.world.result(self.world.server.stop_listening())
        self.take()
        for name in ("first", "second"):
            zookeeper.aget(self.handle, "/", None, self.teller(name))
            self.assertEqual(self.take(), [])
            # No pause is longer, while the session may live.
            self.world.pass_time(0.5)
            self.assertEqual(self.take(), [(name, zookeeper.CONNECTIONLOSS, None, None)])
        self.world.server.listen(port)
        self.world.pass_time(0.5)
        self.assertEqual(self.ask("aget", "/", None)[0], 0)

    def test_refused_identity(self) -> None:
        """An identity that is taken is one; one that is refused is the end of the handle."""
        self.assertEqual(self.ask("add_auth", "digest", "user:secret"), (0,))
        self.world.result(self.other.add_auth("digest", b"user:secret"))
        self.world.result(self.other.create("/secret", b"x", CREATOR_ALL_ACL))
        self.assertEqual(self.ask("aget", "/secret", self.teller("data"))[1], "x")
        self.assertEqual(self.ask("add_auth", "nonsense", "x"), (zookeeper.AUTHFAILED,))
        self.assertEqual((zookeeper.state(self.handle), zookeeper.is_unrecoverable(self.handle)), (AUTH_FAILED, True))
        self.assertIn(("data", SESSION, AUTH_FAILED, ""), self.take())
        self.world.pass_time(60)
        self.assertEqual(self.take(), [])

    def test_close(self) -> None:
        """close() ends the session, and no watcher is called afterwards; earlier requests are answered."""
        self.ask("aget", "/", self.teller("data"))
        zookeeper.aget_children(self.handle, "/", None, self.teller("asked"))
        self.assertEqual(zookeeper.close(self.handle), 0)
        self.assertRaises(zookeeper.ZooKeeperException, zookeeper.state, self.handle)
        self.assertRaises(zookeeper.ZooKeeperException, zookeeper.close, self.handle)
        self.world.settle()
        self.assertEqual(self.take(), [("asked", 0, ["zookeeper"])])
        self.assertEqual(self.world.server.sessions, {self.other.session_id})
        self.assertNotEqual(self.init(self.world.connect_string), self.handle)

    def test_close_without_a_connection(self) -> None:
        """Without a connection the session is left, and another handle may take it over."""
        session = zookeeper.client_id(self.handle)
        port = int(self.world.server.address.rpartition(":")[2])
        self.world.result(self.world.server.stop_listening())
        self.world.pass_time(0.6)
        zookeeper.close(self.handle)
        self.world.settle()
        self.world.server.listen(port)
        self.world.pass_time(1.0)
        self.assertIn(session[0], self.world.server.sessions)
        handle = self.init(self.world.connect_string, 10_000, session)
        self.assertEqual((zookeeper.client_id(handle), zookeeper.state(handle)), (session, CONNECTED))

    def test_takes_over_an_ended_session(self) -> None:
        """If the session to take over has expired, the watcher gets EXPIRED."""
        session = zookeeper.client_id(self.handle)
        zookeeper.close(self.handle)
        self.world.settle()
        handle = self.init(self.world.connect_string, 10_000, session)
        self.assertEqual(self.take(), [("own", SESSION, EXPIRED, "")])
        self.assertTrue(zookeeper.is_unrecoverable(handle))

    def test_close_in_a_watcher(self) -> None:
        """A watcher may close its handle; the other watchers are not called any more."""
        zookeeper.set_watcher(self.handle, lambda *_: zookeeper.close(self.handle))
        self.ask("aget", "/", self.teller("data"))
        self.drop()
        self.assertEqual(self.take(), [])


class OrderTests(ZooKeeperCase):
    def make_world(self) -> World:
        return World(servers=3)

    def test_deterministic(self) -> None:
        """Servers are tried in the order given, where that was asked for."""
        zookeeper.deterministic_conn_order(True)
        self.addCleanup(zookeeper.deterministic_conn_order, False)
        for _ in range(5):
            session = zookeeper.client_id(self.init(self.world.connect_string))[0]
            self.assertIn(session, {each.session_id for each in self.world.server.connections})


class LogTests(SynchronousTestCase):
    def test_stream(self) -> None:
        """The log lines of connections are written to a stream too, up to its level; other log lines are not."""
        stream, before = io.StringIO(), io.StringIO()
        for each in (before, stream):
            zookeeper.set_log_stream(each)
        self.addCleanup(zookeeper.set_debug_level, zookeeper.LOG_LEVEL_INFO)
        self.addCleanup(self.forget_stream)
        ours = Logger("txmirror.client.session.session")
        Logger("elsewhere").warn("other")
        for level, expected in (
            (zookeeper.LOG_LEVEL_WARN, "warned"),
            (zookeeper.LOG_LEVEL_DEBUG, "warned debugged"),
            (0, ""),
        ):
            zookeeper.set_debug_level(level)
            ours.warn("warned")
            ours.debug("debugged")
            text = stream.getvalue()
            self.assertEqual([word for word in ("warned", "debugged", "other") if word in text], expected.split())
            stream.seek(0)
            stream.truncate()
        self.assertEqual(before.getvalue(), "")

    def forget_stream(self) -> None:
        globalLogPublisher.removeObserver(module._settings.pop("observer"))
        module._settings["observer"] = None


class StoppingReactor(MemoryReactor):
    """A reactor that can be asked to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[Any] = []

    def addSystemEventTrigger(self, phase: str, event: str, function: Any) -> object:
        self.triggers.append(function)
        return function

    def removeSystemEventTrigger(self, trigger: object) -> None:
        self.triggers.remove(trigger)


class ShutdownTests(ZooKeeperCase):
    def make_world(self) -> World:
        self.reactor = StoppingReactor()
        # It has as much of one as is asked of it.
        directlyProvides(self.reactor, IReactorCore)
        return World(reactor=self.reactor)

    def test_reactor_waits(self) -> None:
        """The reactor does not stop while a handle is being closed."""
        zookeeper.close(self.handle)
        (trigger,) = self.reactor.triggers
        stopping: Deferred[None] = trigger()
        self.assertFalse(stopping.called)
        self.world.settle()
        self.assertTrue(stopping.called)
        self.assertEqual((self.reactor.triggers, self.world.server.sessions), ([], {self.other.session_id}))
