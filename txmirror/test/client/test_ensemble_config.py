"""Which servers an ensemble is made of: read, watched, and changed."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import (
    BadArgumentsException,
    BadVersionException,
    NewConfigNoQuorumException,
    NoAuthException,
    ReconfigDisabledException,
    ReconfigInProgressException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.test.client.peer import STAT, ClientTestCase, ignore
from txmirror.types import EnsembleConfig, EventType, WatchedEvent
from txmirror.wire import GetDataRequest, GetDataResponse, ReconfigRequest, SetWatchesRequest

TEXT = b"""server.1=10.0.0.1:2888:3888:participant;0.0.0.0:2181
server.2=zk2.example:2888:3888:observer;2182
version=100000003"""
CONFIG = EnsembleConfig(
    0x100000003,
    {1: "10.0.0.1:2888:3888:participant;0.0.0.0:2181", 2: "zk2.example:2888:3888:observer;2182"},
)
PATH = "/zookeeper/config"


class ParsingTests(SynchronousTestCase):
    def test_servers(self) -> None:
        """Servers come by their ids, the version in hexadecimal digits."""
        self.assertEqual(EnsembleConfig.parse(TEXT), CONFIG)

    def test_line_ends(self) -> None:
        """Lines may end either way, and the last need not."""
        for text in (TEXT + b"\n", TEXT.replace(b"\n", b"\r\n")):
            self.assertEqual(EnsembleConfig.parse(text), CONFIG)

    def test_empty(self) -> None:
        """A server that stands alone has an empty one."""
        self.assertEqual(EnsembleConfig.parse(b""), EnsembleConfig(0, {}))
        self.assertEqual(EnsembleConfig.parse(b"").connect_string, "")

    def test_other_lines(self) -> None:
        """Unknown keys of other servers are ignored."""
        text = b"# a comment\n\nweight.1=2\ngroup.1=1:2\n" + TEXT
        self.assertEqual(EnsembleConfig.parse(text), CONFIG)

    def test_garbage(self) -> None:
        """Invalid text is refused, and quoted."""
        for line in (b"version=xyz", b"version=", b"server.x=a", b"server.=a", b"server.1.2=a"):
            error = self.assertRaises(ValueError, EnsembleConfig.parse, TEXT + b"\n" + line)
            self.assertIn(repr(line.decode()), str(error))

    def test_bytes(self) -> None:
        """Bytes that are no text do not affect the valid lines."""
        self.assertEqual(EnsembleConfig.parse(b"\xff\xfe\n" + TEXT), CONFIG)


class ConnectStringTests(SynchronousTestCase):
    def connect_string(self, *servers: str) -> str:
        return EnsembleConfig(0, dict(enumerate(servers))).connect_string

    def test_anywhere(self) -> None:
        """A server that takes clients on all its addresses is reached by that which the others know."""
        for client in ("2181", "0.0.0.0:2181", ":2181", "[::]:2181", "[0:0:0:0:0:0:0:0]:2181"):
            self.assertEqual(self.connect_string(f"zk.example:2888:3888:participant;{client}"), "zk.example:2181")

    def test_own_address(self) -> None:
        """A server with an address for clients is in the connection string with that address."""
        self.assertEqual(self.connect_string("10.0.0.1:2888:3888;192.0.2.7:2181"), "192.0.2.7:2181")
        self.assertEqual(self.connect_string("10.0.0.1:2888:3888;public.example:2181"), "public.example:2181")

    def test_ipv6(self) -> None:
        """Addresses of IPv6 keep their brackets."""
        self.assertEqual(self.connect_string("[fd00::1]:2888:3888:participant;2181"), "[fd00::1]:2181")
        self.assertEqual(self.connect_string("[fd00::1]:2888:3888;[::]:2181"), "[fd00::1]:2181")
        self.assertEqual(self.connect_string("[fd00::1]:2888:3888;[fd00::2]:2181"), "[fd00::2]:2181")

    def test_several_addresses(self) -> None:
        """Of several addresses among themselves the first is taken."""
        self.assertEqual(
            self.connect_string("a.example:2888:3888|b.example:2889:3889:participant;0.0.0.0:2181"), "a.example:2181"
        )
        self.assertEqual(self.connect_string("[fd00::1]:2888:3888|[fd00::2]:2888:3888;2181"), "[fd00::1]:2181")

    def test_silent(self) -> None:
        """A server without a client address is left out."""
        self.assertEqual(self.connect_string("10.0.0.1:2888:3888", "10.0.0.2:2888:3888;2181"), "10.0.0.2:2181")
        self.assertEqual(self.connect_string("10.0.0.1:2888:3888;", "10.0.0.1:2888:3888;x"), "")

    def test_all(self) -> None:
        """All are named, and a client takes it."""
        self.assertEqual(CONFIG.connect_string, "10.0.0.1:2181,zk2.example:2182")


class ReadingTests(ClientTestCase):
    def test_read(self) -> None:
        """The configuration is read with any chroot."""
        for chroot in ("", "/app"):
            client, peer = self.make_connected(chroot=chroot)
            read = client.get_config()
            self.assertEqual(peer.answer(GetDataRequest, GetDataResponse(TEXT, STAT)), GetDataRequest(PATH, False))
            self.assertEqual(self.successResultOf(read), (CONFIG, STAT))
            self.close_fast(client, peer)

    def test_refused(self) -> None:
        """A refused read fails as any read does, and the error has the path."""
        client, peer = self.make_connected(chroot="/app")
        read = client.get_config()
        peer.answer(GetDataRequest, err=-102)
        self.assertEqual(self.failureResultOf(read, NoAuthException).value.path, PATH)

    def test_watched(self) -> None:
        """The watch on the configuration fires once, with its own path."""
        for chroot in ("", "/app", "/zookeeper"):
            client, peer = self.make_connected(chroot=chroot)
            read, watch = client.get_config_and_watch()
            self.assertEqual(peer.answer(GetDataRequest, GetDataResponse(TEXT, STAT)), GetDataRequest(PATH, True))
            self.successResultOf(read)
            peer = self.reconnect(peer)
            self.assertEqual(peer.answer(SetWatchesRequest).dataWatches, (PATH,))
            peer.event(EventType.CHANGED, PATH)
            event = self.successResultOf(watch)
            expected = PATH if chroot != "/zookeeper" else "/config"
            self.assertEqual(event, WatchedEvent(EventType.CHANGED, expected))
            self.close_fast(client, peer)

    def test_no_configuration(self) -> None:
        """A standalone server has no configuration: its version is 0."""
        client, peer = self.make_connected()
        read = client.get_config()
        peer.answer(GetDataRequest, GetDataResponse(None, STAT))
        self.assertEqual(self.successResultOf(read), (EnsembleConfig(0, {}), STAT))

    def test_garbage_at_the_server(self) -> None:
        """An invalid configuration fails only its request, and is quoted."""
        client, peer = self.make_connected()
        read, other = client.get_config(), client.get("/a")
        peer.answer(GetDataRequest, GetDataResponse(b"server.x=1", STAT))
        self.assertIn("'server.x=1'", str(self.failureResultOf(read, ZooKeeperException).value))
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT))
        self.successResultOf(other)


class ChangingTests(ClientTestCase):
    def test_wire(self) -> None:
        """Joining and leaving servers are sent in the protocol's form; missing arguments are null."""
        client, peer = self.make_connected(chroot="/app")
        new = "server.3=10.0.0.3:2888:3888;2181"
        other = "server.4=10.0.0.4:2888:3888;2181"
        cases: list[tuple[dict[str, Any], ReconfigRequest]] = [
            ({"joining": [new]}, ReconfigRequest(new, None, None, -1)),
            ({"joining": [new, other], "version": 7}, ReconfigRequest(f"{new},{other}", None, None, 7)),
            ({"leaving": [1, 2]}, ReconfigRequest(None, "1,2", None, -1)),
            ({"joining": [new], "leaving": [3]}, ReconfigRequest(new, "3", None, -1)),
            ({"leaving": [0]}, ReconfigRequest(None, "0", None, -1)),
            (
                {"members": [new, other], "version": 0x100000003},
                ReconfigRequest(None, None, f"{new},{other}", 0x100000003),
            ),
        ]
        for arguments, expected in cases:
            changed = client.reconfig(**arguments)
            self.assertEqual(peer.answer(ReconfigRequest, GetDataResponse(TEXT, STAT)), expected)
            self.assertEqual(self.successResultOf(changed), (CONFIG, STAT))

    def test_arguments(self) -> None:
        """A change of nothing, or in both ways at once, raises an error, and no request is sent."""
        client, peer = self.make_connected()
        cases: list[dict[str, Any]] = [
            {},
            {"version": 3},
            {"joining": [], "leaving": []},
            {"joining": ["server.1=a"], "members": ["server.1=a"]},
            {"leaving": [1], "members": ["server.1=a"]},
        ]
        for arguments in cases:
            self.assertRaises(ValueError, client.reconfig, **arguments)
        self.assertEqual(peer.packets, [])

    def test_refused(self) -> None:
        """Each refusal has its own exception, and leaves the ensemble as it was."""
        client, peer = self.make_connected()
        for code, error in (
            (-123, ReconfigDisabledException),
            (-103, BadVersionException),
            (-13, NewConfigNoQuorumException),
            (-14, ReconfigInProgressException),
            (-8, BadArgumentsException),
            (-102, NoAuthException),
            (-6, UnimplementedException),
        ):
            changed = client.reconfig(leaving=[1])
            peer.answer(ReconfigRequest, err=code)
            self.assertIs(self.failureResultOf(changed, error).value.applied, False)
        self.assertFalse(peer.lost)

    def test_with_a_server(self) -> None:
        """Servers may be given as a tuple or any sequence of strings."""
        client, peer = self.make_connected()
        ignore(client.reconfig(members=("server.1=a:1:2;3",)))
        self.assertEqual(peer.take(ReconfigRequest)[1].newMembers, "server.1=a:1:2;3")
