"""``ensemble``, ``doctor`` and ``locks`` show the state of servers and locks, also if servers do not answer."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.servers.reports import WORDS, ServerReport
from txmirror.cli.servers.words import WordAsker
from txmirror.cli.surveying import Survey
from txmirror.client import Server
from txmirror.printable import session_name
from txmirror.recipes import Lock, Semaphore
from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.test.pages.found import tested_blocks
from txmirror.types import READ_ACL, EnsembleConfig


def report(port: int = 2181, mode: str = "follower", zxid: int = 0x100000005, **facts: Any) -> ServerReport:
    srvr = {"Mode": mode, "Zxid": f"{zxid:#x}", "Zookeeper version": facts.pop("version", "3.8.0-abc, built on x")}
    return ServerReport(Server("zk", port), srvr=srvr, **facts)


class SurveyTests(SynchronousTestCase):
    def test_behind(self) -> None:
        """The number of transactions between the newest server and another; another epoch is not comparable."""
        reports = [report(1, "leader", 0x200000009), report(2, zxid=0x200000004), report(3, zxid=0x100000004)]
        survey = Survey(reports, "")
        self.assertEqual([survey.behind(each) for each in reports], [0, 5, None])

    def test_leader(self) -> None:
        for modes, problems in (
            (["leader", "follower"], []),
            (["standalone"], []),
            (
                ["follower", "follower"],
                ["none of these servers is the leader: it does not answer, or is not in --servers"],
            ),
            (
                ["leader", "leader"],
                ["there are two leaders: these servers do not belong to one ensemble, or an election has just ended"],
            ),
            (
                ["standalone", "standalone"],
                ["a standalone server is among them: these servers do not belong to one ensemble"],
            ),
            (["leader", "read-only"], ["zk:2: it is in the mode read-only"]),
        ):
            reports = [report(number, mode) for number, mode in enumerate(modes, 1)]
            self.assertEqual(list(Survey(reports, "").problems()), problems)

    def test_versions(self) -> None:
        for text, version, missing in (
            ("3.4.14-4c25d480e66aadd371de8bd2fd8da255ac140bcf, built on 03/06/2019", "3.4.14", 3),
            ("3.5.10-beta-1, built on x", "3.5.10-beta", 2),
            ("3.6.0--1, built on x", "3.6.0", 1),
            ("3.9.2-e454e8c7283100c7caec6dcae2bc82aaecb63023, built on x", "3.9.2", 0),
        ):
            found = report(version=text)
            self.assertEqual((found.version, len(found.lacks)), (version, missing))

    def test_members(self) -> None:
        configuration = EnsembleConfig(1, {1: "zk:1:2:participant;zk:2181", 2: "zk2:1:2:participant;zk2:2182"})
        self.assertEqual(
            list(Survey([report()], configuration).notes()),
            ["zk2:2182 is a member of the ensemble, and is not in --servers"],
        )


class ServerTestCase(CommandTestCase):
    def hang(self) -> None:
        """Let the server accept connections, and answer nothing, as a stopped process does."""
        port = self.port
        self.stop_server()
        silent = ServerFactory()
        silent.protocol = Protocol
        self.addCleanup(self.reactor.listenTCP(port, silent).stopListening)


class EnsembleTests(ServerTestCase):
    def test_standalone(self) -> None:
        command = self.done("ensemble")
        self.assertEqual(
            command.lines[0].split(),
            ["SERVER", "MODE", "VERSION", "BEHIND", "LATENCY", "CLIENTS", "WATCHES", "NODES", "ANSWER"],
        )
        self.assertEqual(command.lines[1].split()[:4], [self.world.connect_string, "standalone", "3.8.0", "0"])

    def test_json(self) -> None:
        *servers, rest = map(json.loads, self.done("ensemble", "-o", "jsonl").lines)
        self.assertEqual([each["mode"] for each in servers], ["standalone"])
        self.assertEqual(rest["problems"], [])

    def test_down(self) -> None:
        self.stop_server()
        command = self.start("ensemble")
        self.world.pass_time(20.0)
        self.assertEqual(command.status, 1)
        self.assertIn("no answer", command.lines[1])
        self.assertRegex(command.lines[2], rf"Problem: {self.world.connect_string}: connection refused")

    def test_unknown_host(self) -> None:
        """A server without an address is a line of its own; the others are shown."""
        command = self.start("ensemble", "-s", f"nowhere.invalid:2181,{self.world.connect_string}", "-o", "jsonl")
        self.world.pass_time(20.0)
        first, second, _ = map(json.loads, command.lines)
        self.assertIn("no address", first["problem"])
        self.assertEqual(second["problem"], None)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it while a server does not answer."""
        self.hang()
        command = self.start("ensemble")
        self.assertTrue(command.running)
        command.interrupt()
        self.world.pass_time(3.0)
        self.assertEqual(command.status, 130)

    def test_hangs(self) -> None:
        """A server that hangs costs no more than --timeout, for each word."""
        self.hang()
        command = self.start("ensemble", "--timeout", "2")
        self.world.pass_time(4.5)
        self.assertEqual(command.status, 1)
        self.assertIn(f"Problem: {self.world.connect_string}: no answer within 2 s", command.lines)


class DoctorTests(ServerTestCase):
    def lines(self, command: Command) -> list[list[str]]:
        return [line.split(None, 1) for line in command.lines]

    def test_well(self) -> None:
        command = self.start("doctor", "--write", "/")
        self.assertEqual(command.status, 0, command.err)
        checks = [(line[0], line[1].split(":")[0].split()[0]) for line in self.lines(command)]
        names = ["name", "server", "session", "login", "limits", "write"]
        self.assertEqual(checks, [("ok", name) for name in names])
        self.assertEqual(self.world.result(self.other.get_children("/")), ["zookeeper"])
        self.assertIn("0 failures", command.err)

    def test_json(self) -> None:
        command = self.start("doctor", "-o", "jsonl", "-q")
        first = json.loads(command.lines[0])
        self.assertEqual(first, {"level": "ok", "check": "name 127.0.0.1", "text": "127.0.0.1", "advice": ""})

    def test_down(self) -> None:
        self.stop_server()
        command = self.start("doctor", "-s", f"nowhere.invalid:1,{self.world.connect_string}")
        self.world.pass_time(20.0)
        self.assertEqual(command.status, 1)
        advice = [line.partition(" -> ")[2] for line in command.lines]
        self.assertEqual([line[0] for line in self.lines(command)], ["fail", "ok", "fail", "fail"])
        self.assertIn("1 ok, 0 warnings, 3 failures", command.err)
        self.assertEqual(advice[0], "correct the name in --servers, or add it to DNS or /etc/hosts")
        self.assertEqual(advice[2], "start the server, or correct the port in --servers")

    def test_hangs(self) -> None:
        self.hang()
        command = self.start("doctor", "--timeout", "2")
        self.world.pass_time(10.0)
        self.assertEqual(command.status, 1)
        self.assertIn("no answer within 2 s -> the server hangs, or the port is for TLS (--tls)", command.lines[1])

    def test_chroot(self) -> None:
        command = self.start("doctor", "-s", f"{self.world.connect_string}/none")
        self.assertEqual(command.status, 1)
        line = "fail  chroot /none: it does not exist -> create /none without the chroot in --servers"
        self.assertIn(line, command.lines)
        self.assertIn(" 0 warnings, 1 failure\n", command.err)

    def test_session_timeout(self) -> None:
        """A timeout that the server has changed is named."""
        command = self.start("doctor", "-t", "3600")
        self.assertEqual(command.status, 0)
        self.assertRegex(command.out, r"warn  session: .* -> 3600 s were requested: see minSessionTimeout")

    def test_no_permission(self) -> None:
        self.world.result(self.other.create("/read", b"", READ_ACL))
        command = self.start("doctor", "--write", "/read")
        self.assertEqual(command.status, 1)
        self.assertRegex(command.lines[-1], "^fail  write /read: .* -> its ACL must allow 'c' and 'd'")

    def test_interrupted(self) -> None:
        self.hang()
        command = self.start("doctor")
        command.interrupt()
        self.world.pass_time(3.0)
        self.assertEqual(command.status, 130)


class WordsTests(CommandTestCase):
    def test_page(self) -> None:
        """The line for ``zoo.cfg`` in the documentation allows all words that the commands send, and no others."""
        (block,) = tested_blocks("docs/operations/command.rst", __name__)
        (line,) = block.lines
        sent = set[str]()
        send = WordAsker.send

        def note(asker: WordAsker, server: Server, word: str) -> Deferred[str]:
            sent.add(word)
            return send(asker, server, word)

        self.patch(WordAsker, "send", note)
        self.make("/lock")
        self.make("/lock/" + "a" * 32 + "__lock__0000000001", ephemeral=True)
        for arguments in (("ensemble",), ("doctor",), ("locks", "/lock", "--clients")):
            self.assertEqual(self.start(*arguments).status, 0)
        self.assertEqual(line, f"4lw.commands.whitelist={','.join([*WORDS, 'cons'])}")
        self.assertEqual(sent, {*WORDS, "cons"})


class LocksTests(CommandTestCase):
    def rows(self, *arguments: str) -> list[list[str]]:
        lines = self.done("locks", *arguments).lines
        return [[cell for cell in line.split("  ") if cell] for line in lines[1:]]

    def test_lock(self) -> None:
        """The holder comes first, then the waiters in their order."""
        locks = [
            Lock(self.world.client(), "/lock", name=name, reactor=self.reactor) for name in ("one", "two", "three")
        ]
        waiting: list[Deferred[bool]] = []
        for lock in locks:
            waiting.append(lock.acquire())
            self.world.settle()
        self.addCleanup(lambda: [each.addErrback(lambda _: None) for each in waiting])
        command = self.start("locks", "/lock")
        rows = [line.split() for line in command.lines]
        self.assertEqual(rows[0], ["STATE", "SINCE", "SESSION", "STYLE", "NODE", "WHO"])
        self.assertEqual(
            [(row[0], row[-1]) for row in rows[1:]], [("holder", "one"), ("waiter", "two"), ("waiter", "three")]
        )
        self.assertEqual({row[5] for row in rows[1:]}, {"kazoo"})

    def test_styles(self) -> None:
        """Every style has holders of its own."""
        self.make("/lock")
        for name in (
            "a" * 32 + "__rlock__0000000001",
            "b" * 32 + "__rlock__0000000002",
            "c" * 32 + "__lock__0000000003",
        ):
            self.make(f"/lock/{name}", name[:1].encode(), ephemeral=True)
        for name in ("_c_1-lock-0000000001", "_c_2-lock-0000000002", "_c_3-latch-0000000009"):
            self.make(f"/lock/{name}", ephemeral=True)
        self.make("/lock/other")
        records = [json.loads(line) for line in self.done("locks", "/lock", "-o", "jsonl").lines]
        self.assertEqual(
            [(each["state"], each["style"], each["path"][6:9]) for each in records],
            [
                *(("reader", "kazoo", "aaa"), ("reader", "kazoo", "bbb"), ("waiter", "kazoo", "ccc")),
                *(("holder", "curator-mutex or go", "_c_"), ("waiter", "curator-mutex or go", "_c_")),
                ("holder", "curator-latch", "_c_"),
            ],
        )
        self.assertEqual(records[0]["session"], session_name(self.other.session_id))

    def test_semaphore(self) -> None:
        clients = [self.world.client() for _ in range(3)]
        waiting = []
        for number, client in enumerate(clients):
            semaphore = Semaphore(client, "/sem", leases=2, name=str(number), reactor=self.reactor)
            waiting.append(semaphore.acquire())
            self.world.settle()
        self.addCleanup(lambda: [each.addErrback(lambda _: None) for each in waiting])
        records = [json.loads(line) for line in self.start("locks", "/sem", "-o", "jsonl").lines]
        self.assertEqual([each["state"] for each in records], ["holder", "holder", "waiter"])
        self.assertEqual({each["style"] for each in records}, {"semaphore"})
        self.assertEqual(records[2]["data"], "2")
        recursive = self.start("locks", "/", "-r", "-o", "jsonl").lines
        self.assertEqual(len(recursive), 3)

    def test_clients(self) -> None:
        """A session that is not connected to any server is named."""
        self.make("/lock")
        self.make("/lock/" + "a" * 32 + "__lock__0000000001", b"\x1b[2J", ephemeral=True)
        self.make("/lock/" + "b" * 32 + "__lock__0000000002")
        (head, first, second) = self.done("locks", "/lock", "--clients").lines
        self.assertIn("CLIENT", head)
        self.assertIn(f" at {self.world.connect_string}", first)
        self.assertIn(r"\x1b[2J", first)
        self.assertIn("none: not ephemeral", second)

    def test_none(self) -> None:
        self.make("/lock")
        command = self.start("locks", "/lock")
        self.assertEqual(
            (command.status, command.out, command.err), (0, "", "txmirror: no holders and no waiters at '/lock'\n")
        )
        self.assertEqual(self.refused(1, "locks", "/none"), "no such znode: '/none'")
