"""The programs in docs/examples run as they are written, and print the documented output.

They are found in the folder that the environment variable ``TXMIRROR_EXAMPLES`` names, and without it beside the
package, as in a checkout; if there are none, as beside an installed package, the tests are skipped.
"""

from __future__ import annotations

import io
import os
import runpy
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.trial import util
from twisted.trial.unittest import SynchronousTestCase, TestCase

import txmirror
from txmirror.embedded import EmbeddedServer
from txmirror.test.compat.available import install_or_skip
from txmirror.testing import ServerProcess

_FOLDER = "TXMIRROR_EXAMPLES"
#: The programs that the commands of pages run: see txmirror.test.pages.
RUN_BY_PAGES = {"greet.py", "greeter.py", "greeters.py", "watched_settings.py"}


def find_examples() -> Path:
    """Find the folder of the examples.

    :raises SkipTest: there is none, and none was promised.
    :raises AssertionError: the one that was promised holds none.
    """
    named = os.environ.get(_FOLDER)
    folder = Path(named) if named else Path(txmirror.__file__).parents[1] / "docs" / "examples"
    if any(folder.glob("*.py")):
        return folder
    if named:
        raise AssertionError(f"{_FOLDER} is {named!r}: there are no examples in it")
    raise SkipTest(f"no examples beside the package; {_FOLDER} may name their folder")


class FindTests(SynchronousTestCase):
    def set_folder(self, folder: str) -> None:
        self.patch(os, "environ", {**os.environ, _FOLDER: folder})

    def test_promised(self) -> None:
        """A folder that was promised and holds no examples is a failure that quotes it, not a skip."""
        missing = self.mktemp()
        self.set_folder(missing)
        error = self.assertRaises(AssertionError, find_examples)
        self.assertIn(repr(missing), str(error))
        self.assertNotIn("\n", str(error))

    def test_named(self) -> None:
        """The folder that the environment names is taken."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "example.py").touch()
        self.set_folder(str(folder))
        self.assertEqual(find_examples(), folder)


class ExampleTests(TestCase):
    timeout = 30
    # The tests run under -bb, and to print bytes is what the examples mean to do.
    suppress = [util.suppress(category=BytesWarning, message=r"str\(\) on a bytes instance")]  # noqa: RUF012 - trial's way

    def run_example(self, name: str) -> Deferred[list[str]]:
        """Run an example on a server of its own, and return the lines that it prints."""
        from twisted.internet import reactor

        path = find_examples() / name
        server = EmbeddedServer(reactor)
        server.listen()
        self.addCleanup(server.stop)
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        program: dict[str, Any] = runpy.run_path(str(path))
        running = Deferred.fromCoroutine(program["main"](reactor, server.address))

        def ended(_: object) -> list[str]:
            # It has closed its session.
            self.assertEqual(server.sessions, frozenset())
            return stdout.getvalue().splitlines()

        return running.addCallback(ended)

    def test_first(self) -> Deferred[None]:
        """The program of the first page prints what the page shows."""
        expected = ["settings: None", "settings: {'debug': True}", "web: ['host1:8080']"]
        return self.run_example("first.py").addCallback(self.assertEqual, expected)

    def test_mirrored_node(self) -> Deferred[None]:
        """The tour of Mirror and Node sees every value that its ancestor's documentation promises."""
        expected = [
            "the root's value: b'' at version 0",
            "its children: ['zookeeper']",
            "no such znode: '/missing'",
            "no such znode: '/missing'",
            "created: b'value' at version 0",
            "its children: []",
            "set: b'new_value' at version 1",
            "the watcher saw: [b'stuff']",
        ]
        return self.run_example("mirrored_node.py").addCallback(self.assertEqual, expected)

    def test_decoded_tree(self) -> Deferred[None]:
        """A decoded tree finds nodes by a key, and one that cannot be decoded by its path."""
        expected = [
            "in zone y: ['/services/web/b', '/services/web/c']",
            (
                "not decoded: /services/web/d because the data of '/services/web/d' is not JSON: "
                "Expecting value: line 1 column 1 (char 0)"
            ),
            "changed: /services/web/c from {'zone': 'y'} to {'zone': 'z'}",
            "zones: ['x', 'y', 'z']",
        ]
        return self.run_example("decoded_tree.py").addCallback(self.assertEqual, expected)

    def test_service_registry(self) -> Deferred[None]:
        """The tour of the service registry prints the results that its ancestor's documentation describes."""
        expected = [
            "found: ['children', 'data', 'path', 'stat']",
            "path: /services/ssh",
            "children: ['server1:22']",
            "keys of server1: ['created', 'created_zone', 'foo', 'pid']",
            "stat: ZnodeStat with 1 child",
            "the callback got: [['server1:22'], ['server1:22', 'server2:22'], ['server2:22']]",
            "data: come in",
            "got the lock: True",
        ]
        return self.run_example("service_registry.py").addCallback(self.assertEqual, expected)

    def test_recipe_metrics(self) -> Deferred[None]:
        """The work of recipes becomes metrics for Prometheus."""
        lock, queue = 'kind="Lock"', 'kind="Queue"'
        expected = [
            "held: True and by another: False",
            f'recipe_operation_seconds_count{{{lock},operation="acquire",outcome="done",path="/locks/report"}} 1.0',
            f'recipe_operation_seconds_count{{{lock},operation="acquire",outcome="not_done",path="/locks/report"}} 1.0',
            f'recipe_operation_seconds_count{{{queue},operation="put",outcome="done",path="/jobs"}} 1.0',
            f'recipe_operation_seconds_count{{{queue},operation="get",outcome="done",path="/jobs"}} 1.0',
            f'recipe_holding_seconds_count{{{lock},lost="False",path="/locks/report"}} 1.0',
        ]

        def check(lines: list[str]) -> None:
            self.assertEqual(sorted(lines), sorted(expected))

        return self.run_example("recipe_metrics.py").addCallback(check)

    def test_picking(self) -> Deferred[None]:
        """A provider picks instances, and leaves out those that fail."""
        expected = [
            "one of two: True at port 80",
            "all of them: ['web2:80', 'web3:80']",
            "another one: True",
            "avoided: True True",
            "the same: True",
        ]
        return self.run_example("picking.py").addCallback(self.assertEqual, expected)

    def test_web_service(self) -> Deferred[None]:
        """A client finds servers that register, and the stop of one loses no request."""
        expected = [
            "the client has found ['one', 'two']",
            "answers during the stop: ['one', 'two'] 10",
            "answers after it: ['two']",
        ]
        return self.run_example("web_service.py").addCallback(self.assertEqual, expected)

    def test_client(self) -> Deferred[None]:
        """The tour of the client sees transactions, a watch on everything, and a session that goes on."""

        def check(lines: list[str]) -> None:
            worker = lines.pop(5)
            self.assertRegex(worker, r"^created: /jobs/_c_[0-9a-f-]{36}-worker-0000000001$")
            expected = [
                "created: /jobs",
                "created: /jobs/first",
                "committed: ['/jobs', '/jobs/first']",
                "nothing was written, because of operation 1: no such znode: '/jobs/second'",
                "unchanged: b'sweep'",
                "still exists: True",
            ]
            self.assertEqual(lines, expected)

        return self.run_example("client.py").addCallback(check)

    def test_registration(self) -> Deferred[None]:
        """A program that registers itself is found, and is gone after its withdrawal."""
        expected = [
            "servers: ['server1:22']",
            "foo is bar",
            "it belongs to our session: True",
            "servers: []",
        ]
        return self.run_example("registration.py").addCallback(self.assertEqual, expected)

    def test_health_checks(self) -> Deferred[None]:
        """A server is registered while its health check passes."""

        def check(lines: list[str]) -> None:
            down = lines.pop(2)
            self.assertRegex(down, r"^the service is down because check tcp failed 3 times in a row \(cannot connect: ")
            expected = ["the service is up because check tcp passes", "servers: ['server1:80']", "servers: []"]
            self.assertEqual(lines, expected)

        return self.run_example("health_checks.py").addCallback(check)

    def test_parts(self) -> Deferred[None]:
        """The daemon's parts, and the whole daemon, run in a program's own tree of services, which is stopped at once."""
        expected = [
            "the service is up",
            "servers: ['server1:80']",
            "there is a session for the next process: False",
            "the mail service is registered",
        ]
        return self.run_example("parts.py").addCallback(self.assertEqual, expected)

    def test_locks(self) -> Deferred[None]:
        """Two programs share a lock, a semaphore and an election."""
        expected = [
            "tried there: False",
            "in line: ['here', 'there']",
            "held there: True with a larger token: True",
            "desks: [True, True, False]",
            "the leader has swept",
        ]
        return self.run_example("locks.py").addCallback(self.assertEqual, expected)

    def test_node_parts(self) -> Deferred[None]:
        """The methods of the guide to nodes do what it says."""
        return self.run_example("node_parts.py").addCallback(self.assertEqual, ["b'old'", "True", "b'old' 0 True True"])

    def test_recipe_parts(self) -> Deferred[None]:
        """The pieces of the guides to recipes do what they say."""
        expected = [
            "the report is written",
            "both are held: 2",
            "given up: True",
            "sweeping",
            "b'resize 17' b'resize 18' 2",
            "b'resize 20'",
            "1 1",
            "all are inside",
            "['host1'] {'host1': b'10.0.0.1'}",
            "True",
            "ours: ['news', 'sports']",
            "left news",
            "left sports",
        ]
        return self.run_example("recipe_parts.py").addCallback(
            lambda lines: self.assertEqual(sorted(lines), sorted(expected))
        )

    def test_endpoint_parts(self) -> Deferred[None]:
        """Endpoints as objects register and find servers, also one that says when it has answered everything."""
        return self.run_example("endpoint_parts.py").addCallback(
            self.assertEqual, ["2 * 21 = 42", "2 * 4 = 8", "no orders"]
        )

    def test_settings(self) -> Deferred[None]:
        """A watcher of settings applies defaults, and keeps the last valid value."""
        expected = [
            "at the start: Settings(workers=4, debug=False)",
            "changed: Settings(workers=8, debug=False)",
            "changed: Settings(workers=8, debug=True)",
            "refused: 'workers' must be in range(1, 65) (got 1000)",
            "refused: Settings.__init__() got an unexpected keyword argument 'wokers'",
            "refused: the data of '/app/settings' is not JSON",
            "still: Settings(workers=8, debug=True)",
            "changed: Settings(workers=4, debug=False)",
        ]
        return self.run_example("settings.py").addCallback(self.assertEqual, expected)

    def test_leader(self) -> Deferred[None]:
        """A periodic job runs on the leader only, and on the next one after its stop."""
        expected = ["swept three times by one machine: True", "after its stop, the other one sweeps: True"]
        return self.run_example("leader.py").addCallback(self.assertEqual, expected)

    def test_fencing(self) -> Deferred[None]:
        """A resource refuses a late holder of its lock."""
        expected = [
            "here writes: True",
            "here: the lock is lost, stop now",
            "there writes: True",
            "here writes late: False",
        ]
        return self.run_example("fencing.py").addCallback(self.assertEqual, expected)

    def test_failover(self) -> Deferred[None]:
        """A client connects to the other instance when its own has crashed."""
        expected = ["connected to one of two: True", "connected to the other one: True"]
        return self.run_example("failover.py").addCallback(self.assertEqual, expected)

    def test_secured(self) -> Deferred[None]:
        """Only the user of a node, a registration or a lock may change or take it."""

        def check(lines: list[str]) -> None:
            self.assertRegex(lines.pop(3), r"^refused: not permitted by the ACL: '/locks/report/[0-9a-f]{32}__lock__'$")
            expected = [
                "others read /public: 42",
                "refused: not permitted by the ACL: '/private'",
                "refused: not permitted by the ACL: '/public'",
                "refused: not permitted by the ACL: '/services/web/host1:80'",
            ]
            self.assertEqual(lines, expected)

        return self.run_example("secured.py").addCallback(check)

    def test_registered_site(self) -> Deferred[None]:
        """A site registers itself with facts about it."""
        expected = ["found: 127.0.0.1 {'zone': 'b'} with weight 100"]
        return self.run_example("registered_site.py").addCallback(self.assertEqual, expected)

    def test_queues(self) -> Deferred[None]:
        """Each entry of a queue is taken once, in the order of priorities."""
        expected = [
            "taken there: to Ada",
            "in the box: 3",
            "taken there: to Dan, urgent",
            "taken there: to Bob",
            "taken there: to Cyd",
            "given back: No such file or directory",
            "resized: resize 17",
            "jobs: 0",
        ]
        return self.run_example("queues.py").addCallback(self.assertEqual, expected)

    def test_shares(self) -> Deferred[None]:
        """Two members share a set, and change a value."""
        expected = [
            "one follows all: ['arts', 'business', 'news', 'science', 'sports', 'weather']",
            "here: ['business', 'sports', 'weather']",
            "there: ['arts', 'news', 'science']",
            "left here: []",
            "raised to 11",
            "replaced: False True",
        ]
        return self.run_example("shares.py").addCallback(self.assertEqual, expected)

    def test_amp_pair(self) -> Deferred[None]:
        """An AMP server and its client find each other by the strings of their endpoints."""
        return self.run_example("amp_pair.py").addCallback(self.assertEqual, ["13 + 81 = 94"])

    def test_workers(self) -> Deferred[None]:
        """Workers find one another, and agree on their rooms; only those of one that goes move."""
        expected = [
            "all agree: True",
            "workers with rooms: ['anna', 'bert', 'cleo']",
            "moved: only the rooms of ['cleo']",
        ]
        return self.run_example("workers.py").addCallback(self.assertEqual, expected)

    def test_connected_workers(self) -> Deferred[None]:
        """Workers are connected with one another by strings, also after a restart at another port."""
        expected = [
            "anna: ben greets anna",
            "anna: cleo greets anna",
            "ben: anna greets ben",
            "ben: cleo greets ben",
            "cleo: anna greets cleo",
            "cleo: ben greets cleo",
            "after a restart: ben greets anna",
        ]
        return self.run_example("connected_workers.py").addCallback(self.assertEqual, expected)

    def test_counter(self) -> Deferred[None]:
        """The program for the examples of tests prints the sum."""
        return self.run_example("counter.py").addCallback(self.assertEqual, ["the sum: 42"])

    def run_tests(self, name: str, case: str, number: int) -> None:
        """Run an example's tests, which are so many, and pass."""
        folder = find_examples()
        self.patch(sys, "path", [str(folder), *sys.path])
        self.patch(sys, "dont_write_bytecode", True)
        self.addCleanup(sys.modules.pop, "counter", None)
        tests = runpy.run_path(str(folder / name))[case]
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(tests)
        result = suite.run(unittest.TestResult())
        self.assertEqual((result.testsRun, result.errors, result.failures), (number, [], []))

    def test_in_memory(self) -> None:
        """The tests in memory are run, all of them, and pass."""
        self.run_tests("test_in_memory.py", "CounterTests", 6)

    def test_ensemble(self) -> None:
        """The tests with several servers are run, and pass."""
        self.run_tests("test_ensemble.py", "EnsembleTests", 3)

    def test_faults(self) -> None:
        """The tests with faults of single requests and connections are run, and pass."""
        self.run_tests("test_faults.py", "FaultTests", 8)

    def test_storm(self) -> None:
        """The tests in storms are run, and pass."""
        self.run_tests("test_storm.py", "StormTests", 2)

    def test_history(self) -> None:
        """The test that judges a history is run, and passes."""
        self.run_tests("test_history.py", "HistoryTests", 1)

    def test_with_registry(self) -> None:
        """The tests with registries in memory are run, and pass."""
        self.run_tests("test_with_registry.py", "FrontendTests", 9)

    def test_with_endpoints(self) -> None:
        """The tests of endpoints in memory are run, and pass."""
        self.addCleanup(sys.modules.pop, "amp_pair", None)
        self.run_tests("test_with_endpoints.py", "PairTests", 2)

    def run_runner(self, *command: str) -> str:
        """Run a test runner in the folder of the examples, where it leaves no files, and return its output."""
        return self.run_python("-m", *command)

    def run_python(self, *arguments: str) -> str:
        """Run Python in the folder of the examples, and return its output."""
        done = subprocess.run(
            [sys.executable, "-B", *arguments],
            cwd=find_examples(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=self.timeout,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_with_trial(self) -> None:
        """The tests for trial pass under trial."""
        folder = Path(self.mktemp()).absolute()
        said = self.run_runner("twisted.trial", f"--temp-directory={folder}", "test_with_trial")
        self.assertIn("PASSED (successes=2)", said)

    def test_with_pytest(self) -> None:
        """The tests for pytest pass under pytest, which finds the fixtures by itself."""
        said = self.run_runner(
            *(
                "pytest",
                "-q",
                "--color=no",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:hypothesispytest",
                "test_with_pytest.py",
            )
        )
        self.assertRegex(said, r"(?m)^2 passed in ")

    def run_on_server(self, name: str, *before: str) -> list[str]:
        """Run a program on a server of its own, and return the lines that it prints."""
        server = ServerProcess()
        self.addCleanup(server.stop)
        return self.run_python(*before, name, server.connect_string).splitlines()

    def test_old_program(self) -> None:
        """A program for Python 2 and txzookeeper runs as it is."""
        install_or_skip()
        expected = [
            "nothing to create: node exists",
            "workers: []",
            "joined as /workers/w-0000000000",
            "child at /workers",
            "joined 2 times, version 1",
        ]
        self.assertEqual(self.run_on_server("old_program.py", "-m", "txmirror.compat"), expected)

    def test_new_program(self) -> None:
        """On the native client it does the same."""
        expected = [
            "nothing to create: the znode exists already: '/workers'",
            "workers: []",
            "joined as /workers/w-0000000000",
            "child at /workers",
            "joined 2 times, version 1",
        ]
        self.assertEqual(self.run_on_server("new_program.py"), expected)

    def test_asyncio_program(self) -> None:
        """A program in asyncio mirrors, locks, leads and registers."""
        expected = [
            "no such znode: '/settings'",
            "version: 1",
            "value: second",
            "value: None",
            "taken by: ['here']",
            "the leader has swept",
            "found: ['a:80']",
        ]
        self.assertEqual(self.run_on_server("asyncio_program.py"), expected)

    def test_asyncio_signals(self) -> None:
        """At SIGTERM the program closes its session, and ends without an error."""
        server = ServerProcess()
        self.addCleanup(server.stop)
        program = subprocess.Popen(
            [sys.executable, "-B", "asyncio_signals.py", server.connect_string],
            cwd=find_examples(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        self.assertEqual(program.stdout.readline(), "None\n")
        program.terminate()
        _, errors = program.communicate(timeout=self.timeout)
        self.assertEqual((program.returncode, errors), (0, ""))
        self.assertRegex(server.output, r"Session 0x[0-9a-f]+: closed by its client")

    def test_on_txzookeeper(self) -> None:
        """A mirror works on a client of txzookeeper."""
        install_or_skip()
        self.assertEqual(self.run_on_server("on_txzookeeper.py"), ["['zookeeper']"])

    def test_all(self) -> None:
        """No example is without its test. The tests of neighbours run two: they need another project, or the daemon. The tests of
        pages run those that a page tells its reader to run.
        """
        neighbours = {"aiohttp_server.py", "follow_service.py"}
        elsewhere = {find_examples() / name for name in neighbours | RUN_BY_PAGES}
        for path in set(find_examples().glob("*.py")) - elsewhere:
            name = path.stem.removeprefix("test_")
            self.assertTrue(hasattr(self, f"test_{name}"), f"{path.name} is not tested")
