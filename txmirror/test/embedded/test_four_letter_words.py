"""Four-letter words are answered in the shape of ZooKeeper 3.8.0, so that tools can read the answers."""

from __future__ import annotations

import re

from txmirror.test.embedded.peer import ServerTestCase
from txmirror.types import OPEN_ACL
from txmirror.wire import AddWatchRequest, CreateRequest


class FourLetterTests(ServerTestCase):
    def word(self, word: bytes) -> bytes:
        peer = self.connect()
        peer.raw(word)
        self.assertIsNotNone(peer.lost)
        return peer.text

    def lines(self, word: bytes) -> list[str]:
        return self.word(word).decode("ascii").split("\n")

    def test_ruok(self) -> None:
        """``ruok`` is answered without the end of a line, and ``isro``."""
        self.assertEqual(self.word(b"ruok"), b"imok")
        self.assertEqual(self.word(b"isro"), b"rw")

    def test_split(self) -> None:
        """A word may come byte by byte."""
        self.reactor.piece = 1
        self.assertEqual(self.word(b"ruok"), b"imok")

    def test_srvr(self) -> None:
        """``srvr`` has the lines of a real server, and names this server."""
        self.peer().create("/a")
        first, *rest = self.lines(b"srvr")
        self.assertTrue(first.startswith("Zookeeper version: 3.8.0-txmirror-embedded"), first)
        self.assertEqual(
            rest,
            [
                "Latency min/avg/max: 0/0.0/0",
                "Received: 3",
                "Sent: 2",
                "Connections: 2",
                "Outstanding: 0",
                "Zxid: 0x2",
                "Mode: standalone",
                "Node count: 6",
                "",
            ],
        )

    def test_stat(self) -> None:
        """``stat`` is ``srvr`` with the connections; the last is the one that sent the word."""
        self.peer().create("/a")
        lines = self.lines(b"stat")
        self.assertEqual(lines[1], "Clients:")
        self.assertTrue(lines[2].endswith("[1](queued=0,recved=2,sent=2)"), lines[2])
        self.assertTrue(lines[3].endswith("[0](queued=0,recved=1,sent=0)"), lines[3])
        self.assertEqual(lines[4:6], ["", "Latency min/avg/max: 0/0.0/0"])
        self.assertEqual(lines[-2:], ["Node count: 6", ""])

    def test_cons(self) -> None:
        """``cons`` shows more of the connections with a session: the session, and the last request other than a ping."""
        self.reactor.pass_time(1.5)
        peer = self.peer()
        peer.create("/a")
        self.reactor.pass_time(0.25)
        peer.ping()
        first, second, *rest = self.lines(b"cons")
        self.assertEqual(
            first.partition("(")[2],
            f"queued=0,recved=3,sent=3,sid={peer.session:#x},lop=PING,est=1500,to=4000,lcxid=0x1,lzxid=0x2,lresp=1750"
            ",llat=0,minlat=0,avglat=0,maxlat=0)",
        )
        self.assertTrue(second.endswith("[0](queued=0,recved=1,sent=0)"), second)
        self.assertEqual(rest, ["", ""])

    def test_before_the_first_request(self) -> None:
        """A connection that has only shaken hands has no last request."""
        peer = self.peer()
        self.assertIn(f"sid={peer.session:#x},lop=SESS,est=0,to=4000,lzxid=0x1,lresp=0,", self.lines(b"cons")[0])

    def test_watches(self) -> None:
        """The words wchc, wchp and wchs list the data watches by connection, by path, and as totals."""
        one, two = self.peer(), self.peer()
        one.get("/", watch=True)
        one.exists("/a", watch=True)
        one.children("/zookeeper", watch=True)
        two.ask(AddWatchRequest("/a", 1))
        first, second = (f"{peer.session:#x}" for peer in (one, two))
        self.assertEqual(self.lines(b"wchc"), [first, "\t/", "\t/a", second, "\t/a", "", ""])
        self.assertEqual(self.lines(b"wchp"), ["/", f"\t{first}", "/a", f"\t{first}", f"\t{second}", "", ""])
        self.assertEqual(self.lines(b"wchs"), ["2 connections watching 2 paths", "Total watches:3", ""])

    def test_no_watches(self) -> None:
        """A connection whose watches have fired is still listed, without paths; a closed connection is not."""
        peer = self.peer()
        peer.exists("/a", watch=True)
        peer.send(CreateRequest("/a", b"", OPEN_ACL, 0))
        self.assertEqual(self.lines(b"wchs"), ["1 connections watching 0 paths", "Total watches:0", ""])
        peer.take()
        peer.close()
        self.assertEqual(self.lines(b"wchs"), ["0 connections watching 0 paths", "Total watches:0", ""])
        self.assertEqual(self.lines(b"wchp"), ["", ""])

    def test_dump(self) -> None:
        """``dump`` lists the sessions by the times of their expiry, and their ephemerals."""
        short, long = self.peer(timeout=2000), self.peer(timeout=4000)
        long.create("/e", flags=1)
        lines = self.lines(b"dump")
        self.assertEqual(
            lines[:10],
            [
                "SessionTracker dump:",
                "Session Sets (2)/(2):",
                "1 expire at Thu Jan 01 00:00:02 UTC 1970:",
                f"\t{short.session:#x}",
                "1 expire at Thu Jan 01 00:00:04 UTC 1970:",
                f"\t{long.session:#x}",
                "ephemeral nodes dump:",
                "Sessions with Ephemerals (1):",
                f"{long.session:#x}:",
                "\t/e",
            ],
        )
        self.assertEqual(lines[10:12], ["Connections dump:", "Connections Sets (1)/(3):"])

    def test_conf(self) -> None:
        """``conf`` has the names of a real server, as far as they apply."""
        values = dict(line.split("=") for line in self.lines(b"conf") if line)
        self.assertEqual(
            values,
            {
                "clientPort": "2181",
                "secureClientPort": "-1",
                "tickTime": "500",
                "maxClientCnxns": "0",
                "minSessionTimeout": "1000",
                "maxSessionTimeout": "10000",
                "serverId": "0",
            },
        )

    def test_envi(self) -> None:
        """``envi`` shows the version where kazoo looks for it."""
        title, version, end = self.lines(b"envi")
        self.assertEqual((title, end), ("Environment:", ""))
        self.assertTrue(version.startswith("zookeeper.version=3.8.0-"), version)

    def test_mntr(self) -> None:
        """``mntr`` has the names of a real server, as far as they apply."""
        peer = self.peer()
        peer.create("/e", b"abc", flags=1)
        peer.get("/e", watch=True)
        peer.children("/", watch=True)
        lines = [line for line in self.lines(b"mntr") if line]
        for line in lines:
            self.assertTrue(re.fullmatch(r"zk_[a-z_]+\t.+", line), line)
        values = dict(line.split("\t") for line in lines)
        self.assertTrue(values["zk_version"].startswith("3.8.0-"))
        self.assertEqual(
            [values[f"zk_{name}"] for name in ("server_state", "znode_count", "ephemerals_count", "watch_count")],
            ["standalone", "6", "1", "2"],
        )
        self.assertEqual(
            [values[f"zk_{name}"] for name in ("packets_received", "num_alive_connections", "global_sessions")],
            ["5", "2", "1"],
        )

    def test_disabled(self) -> None:
        """Words that change the server, or concern its disk, are answered as if they were not in the whitelist."""
        for word in (b"srst", b"crst", b"dirs", b"hash", b"gtmk", b"stmk"):
            said = word.decode("ascii")
            self.assertEqual(self.lines(word), [f"{said} is not executed because it is not in the whitelist.", ""])
