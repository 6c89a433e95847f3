"""The commands for the daemon: they ask it at its control socket, and their exit statuses are for monitors."""

from __future__ import annotations

import io
import json
import re
import socket
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.static import Data

from txmirror.checks import Status
from txmirror.cli.command import main
from txmirror.cli.control import ask
from txmirror.cli.statuses import CommandError
from txmirror.configuration import load
from txmirror.embedded import EmbeddedServer
from txmirror.machine import Machine
from txmirror.service import ControlService, Daemon
from txmirror.test.constant_random import ConstantRandom
from txmirror.test.pages.found import tested_blocks
from txmirror.test.pages.terminals import normal, split
from txmirror.test.zookeeper import free_ports

_CONFIGURATION = """
[zookeeper]
servers = "{servers}"
[defaults]
path = "/services"
node = "{{name}}:1"
[[service]]
name = "web"
[[service]]
name = "db"
[[service.check]]
type = "ttl"
ttl = "1h"
"""

#: As on the page.
_PAGE = """
[zookeeper]
servers = "{servers}"
[host]
advertise = "10.0.0.7"
[[service]]
name = "web"
path = "/services/web"
port = 8080
[[service.check]]
name = "c0"
type = "ttl"
ttl = "1h"
[[service.check]]
name = "c1"
type = "ttl"
ttl = "1h"
[[service]]
name = "db"
path = "/services/db"
port = 5432
[[service.check]]
type = "command"
argv = ["sh", "-c", "exit 2"]
interval = "1m"
fast_interval = "100ms"
fall = 2
"""


class CommandsTests(TestCase):
    def setUp(self) -> Deferred[object]:  # type: ignore[override]
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.server = EmbeddedServer(self.reactor)
        self.server.listen()
        self.addCleanup(self.server.stop)
        folder = tempfile.TemporaryDirectory(prefix="txmirror-")
        self.addCleanup(folder.cleanup)
        self.socket = str(Path(folder.name) / "control")
        self.file = Path(folder.name) / "txmirror.toml"
        self.file.write_text(_CONFIGURATION.format(servers=self.server.address))
        machine = Machine("host1", "machine1", 4711, {})
        self.daemon = Daemon(
            load(self.file, machine),
            load=lambda: load(self.file, machine),
            machine=machine,
            # The part of its interval after which a check is first done.
            random=ConstantRandom(0.0),
            reactor=self.reactor,
        )
        self.control = ControlService(self.daemon, self.socket, None, self.reactor)
        self.daemon.startService()
        self.addCleanup(self.daemon.stopService)
        self.control.startService()
        self.addCleanup(self.control.stopService)
        registration: Any = self.daemon.registrations._registrations["web"]
        registered: Deferred[object] = registration.when_registered()
        return registered

    async def run_command(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command line in a thread, and return its status and output."""

        def run() -> tuple[int, str, str]:
            stdout, stderr = io.StringIO(), io.StringIO()
            with redirect_stdout(stdout), redirect_stderr(stderr):
                status = main([*arguments, "--control", self.socket])
            return status, stdout.getvalue(), stderr.getvalue()

        return await deferToThread(run)

    async def test_status(self) -> None:
        """The status is a table, and not 0 while a service is out."""
        status, output, _ = await self.run_command("status")
        self.assertEqual(status, 1)
        first, heads, web, db = output.splitlines()
        self.assertIn(f"session {self.daemon.registrations.session.client.session_id:#x}", first)  # type: ignore[union-attr]
        self.assertEqual(heads.split(), ["service", "condition", "checks", "since", "why"])
        self.assertEqual(web.split()[:3], ["web", "registered", "0/0"])
        self.assertEqual(db.split()[:3], ["db", "undecided", "0/1"])
        self.assertEqual((await self.run_command("status", "web"))[0], 0)
        self.assertEqual((await self.run_command("status", "db"))[0], 1)

    async def test_page(self) -> None:
        """The output in the documentation is that of such a daemon, apart from its version, its process, its session and the times."""
        (block,) = tested_blocks("docs/operations/command.rst", __name__)
        ((command, shown),) = split(block.lines)
        self.assertEqual(command, "txmirror status")
        self.file.write_text(_PAGE.format(servers=self.server.address))
        self.assertEqual((await self.run_command("reload"))[0], 0)
        for check in ("c0", "c1"):
            self.daemon.supervisor.push("web", check, Status.OK, "")
        # There is no further probe of db within a minute.
        deadline = self.reactor.seconds() + 20.0
        found = ["", ""]
        while not ("down" in found[-1] and "registered" in found[-2]) and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, 0.05)
            found = (await self.run_command("status"))[1].splitlines()
        found[0] = found[0].replace(self.server.address, "zk1:2181,zk2:2181")
        version = re.compile(r"^txmirror \S+,")
        self.assertEqual(*([normal(version.sub("txmirror", line)) for line in lines] for lines in (found, shown)))

    async def test_readers(self) -> None:
        """The servers for readers are listed, with their addresses and replies; one that does not listen, with the reason."""
        http, dns = free_ports(2)
        self.daemon.readers.http.serve(Data(b"", "text/plain"))
        tables = f'[http]\nlisten = "127.0.0.1:{http}"\n[dns]\nlisten = "127.0.0.1:{dns}"\n'
        self.file.write_text(_CONFIGURATION.format(servers=self.server.address) + tables)
        status, output, error = await self.run_command("reload")
        self.assertEqual(status, 0, error)
        self.assertIn("http changed", output)
        lines = (await self.run_command("status"))[1].splitlines()
        self.assertIn(f"HTTP at http://127.0.0.1:{http}/, ", lines[-2])
        self.assertIn("0 event streams", lines[-2])
        self.assertEqual(lines[-1], f"DNS at 127.0.0.1:{dns}, 0 replies")
        self.daemon.readers.http._listener.problem = "no"  # type: ignore[union-attr]
        self.daemon.readers.http.address = None
        lines = (await self.run_command("status"))[1].splitlines()
        self.assertIn(f"HTTP not at 127.0.0.1:{http}: no", lines[-2])

    async def test_output_files(self) -> None:
        """The output files are listed too, and the status is not 0 while one cannot be written."""
        text = _CONFIGURATION.partition("[[service]]")[0].format(servers=self.server.address)
        watch = '[[watch]]\npath = "/services"\noutput = "{}"\nkeep_if_below = 0\n'
        self.file.write_text(text + watch.format("list") + watch.format("missing/list"))
        status, output, error = await self.run_command("reload")
        self.assertEqual((status, output.count("file changed")), (0, 2), error)
        folder = self.file.parent.resolve()
        output = "unknown"
        while "unknown" in output:
            status, output, _ = await self.run_command("status")
        self.assertEqual(status, 1, output)
        rows = [line.split(maxsplit=3) for line in output.splitlines()[2:]]
        self.assertEqual(
            [[Path(name).resolve(), *rest] for name, *rest in rows[1:]],
            [
                [folder / "list", "current", "0"],
                [folder / "missing" / "list", "failed", "0", "No such file or directory"],
            ],
        )
        (folder / "missing").mkdir()
        while status:
            status, output, _ = await self.run_command("status")
        self.assertEqual(output.count("current"), 2)

    async def test_json(self) -> None:
        """With -o json it is JSON."""
        status, output, _ = await self.run_command("status", "-o", "json")
        self.assertEqual(status, 1)
        self.assertEqual([each["id"] for each in json.loads(output)["services"]], ["web", "db"])
        _, output, _ = await self.run_command("why", "db", "-o", "json")
        self.assertEqual(json.loads(output)["condition"], "undecided")

    async def test_why(self) -> None:
        """The condition is explained, with the checks and the history."""
        self.daemon.supervisor.push("db", "ttl", Status.FAIL, "no disk")
        status, output, _ = await self.run_command("why", "db")
        self.assertEqual(status, 1)
        self.assertIn("db is down since ", output)
        self.assertIn("Check ttl failed once (no disk).", output)
        self.assertIn("Znode: /services/db:1.", output)
        self.assertIn("Next: register it when its checks pass again.", output)
        self.assertIn("  undecided: ", output)
        self.daemon.supervisor.push("db", "ttl", Status.FAIL, "<p>" + 1000 * "x")
        _, output, _ = await self.run_command("why", "db")
        (line,) = (line for line in output.splitlines() if line.startswith("Check ttl (ttl)"))
        self.assertTrue(line.endswith(": <p>" + 297 * "x" + "... (1,003 characters; all with -o json)"), line)
        status, _, error = await self.run_command("why", "mail")
        self.assertEqual((status, error), (1, "txmirror: there is no service 'mail'\n"))

    async def test_metrics(self) -> None:
        """The metrics are printed as they are."""
        status, output, error = await self.run_command("metrics")
        self.assertEqual((status, error), (0, ""))
        self.assertIn('\ntxmirror_services{condition="registered"} 1.0\n', output)
        self.assertTrue(output.endswith("\n") and not output.endswith("\n\n"))

    async def test_maintenance(self) -> None:
        """Maintenance begins, is shown, and ends."""
        status, output, error = await self.run_command("maint", "web", "-m", "new disk", "--for", "2h")
        self.assertEqual(status, 0, error)
        self.assertIn("no maintenance_file", error)
        self.assertIn("new disk", output)
        self.assertIn("new disk", (await self.run_command("maint"))[1])
        self.assertEqual((await self.run_command("status", "web"))[0], 1)
        self.assertEqual((await self.run_command("maint", "web", "--end"))[0], 0)
        self.assertEqual((await self.run_command("maint", "--host", "-m", "kernel"))[0], 0)
        self.assertEqual(list(self.daemon.supervisor.maintenance.flags), ["*"])
        self.assertEqual((await self.run_command("maint", "--host", "--end"))[0], 0)

    async def test_usage(self) -> None:
        """Options that do not fit together are a usage error."""
        for arguments in (
            ("maint", "web"),
            ("maint", "web", "--host", "-m", "x"),
            ("maint", "-m", "x"),
            ("maint", "web", "-m", "x", "--end"),
            ("maint", "web", "--end", "--for", "1h"),
            ("maint", "web", "-m", "x", "--for", "soon"),
        ):
            self.assertEqual((await self.run_command(*arguments))[0], 64, arguments)

    async def test_drain(self) -> None:
        """A drain returns when all is gone, and can be undone."""
        self.assertEqual((await self.run_command("drain"))[0], 0)
        self.assertEqual((await self.run_command("status", "web"))[0], 1)
        self.assertTrue(self.daemon.supervisor.drained)
        self.assertEqual((await self.run_command("drain", "--undo"))[0], 0)
        self.assertFalse(self.daemon.supervisor.drained)

    async def test_reload(self) -> None:
        """A reload shows the difference, or all errors."""
        self.file.write_text(self.file.read_text().replace("db", "mail"))
        status, output, _ = await self.run_command("reload")
        self.assertEqual(status, 0)
        rows = [line.split() for line in output.splitlines()]
        self.assertEqual(rows, [["change", "service"], ["added", "mail"], ["removed", "db"], ["unchanged", "web"]])
        self.file.write_text("[daemon]\nsplai = 3\n[[service]]\n")
        status, _, error = await self.run_command("reload")
        self.assertEqual(status, 1)
        self.assertIn("did you mean 'splay'", error)


class AskTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="txmirror-")
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "control")

    def refuse(self) -> CommandError:
        return self.assertRaises(CommandError, ask, self.path, "GET", "/v1/daemon", timeout=0.1)  # type: ignore[no-any-return]

    def test_no_daemon(self) -> None:
        """Without a daemon the status is 69, and the message names the missing daemon."""
        error = self.refuse()
        self.assertEqual(error.status, 69)
        self.assertIn("is the daemon running?", str(error))
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(self.path)
        error = self.refuse()
        self.assertEqual((error.status, str(error)), (69, f"no daemon listens at {self.path!r}"))

    def test_no_answer(self) -> None:
        """A daemon that does not answer in time is not waited for."""
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(self.path)
            silent.listen()
            error = self.refuse()
        self.assertEqual(error.status, 69)
        self.assertIn("did not answer in time", str(error))
