"""The page in Chromium: it is live, says when it is old, works with the keyboard, and has no fault that axe-core finds."""

from __future__ import annotations

import json
import socket
import statistics

from kazoo.client import KazooClient

from txmirror.test.integration.test_twistd import Twistd
from txmirror.test.neighbours.browser import Browser, shared_browser
from txmirror.test.neighbours.case import PATIENCE, NeighboursTestCase
from txmirror.test.neighbours.sample_services import LOOKS, OWN_SERVICE, register_others
from txmirror.test.pages.found import tested_blocks
from txmirror.test.zookeeper import free_ports

_HTTP = '[http]\nlisten = "127.0.0.1:{port}"\n'
#: An output file with a long path.
_WATCH = """
[[watch]]
path = "/services/web"
output = "{folder}/load-balancers-of-production/backends-of-web.json"
format = "json"
"""
#: A znode with a long path.
_DEEP = "/services/production/payments-and-billing/invoice-renderer/10.1.0.7:9200"
#: What axe-core examines.
_VIEWS = ("services", "services/web", "services/web/10.6.0.13:8060", "daemon", "nodes/services/web", "zookeeper")
_HOSTILE = '<img src=x onerror="window.hacked = 1">\u202egnp.exe'


class PageTestCase(NeighboursTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.browser: Browser = shared_browser()
        self.bases: list[str] = []
        self.browser.complaints()
        self.browser.requests()
        # It leaves the daemon alone before that ends.
        self.addCleanup(self.browser.driver.get, "about:blank")

    def start_daemon(self, port: int) -> Twistd:
        """Start the daemon with the page, and wait for it."""
        service = OWN_SERVICE.format(folder=self.folder, interval="500ms", timeout="400ms")
        (self.folder / "load-balancers-of-production").mkdir(exist_ok=True)
        twistd = self.daemon(_HTTP.format(port=port), service, _WATCH.format(folder=self.folder))
        self.base = self.find_page(twistd)
        return twistd

    def find_page(self, twistd: Twistd) -> str:
        """Return the address of the page, which the log has."""
        base = twistd.wait_for("The page is at http://", PATIENCE).split("The page is at ")[1].strip().rstrip(".")
        self.bases.append(base)
        return base

    def open(self, fragment: str = "", *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Load the page, and wait until it is live."""
        self.browser.open(f"{self.base}{fragment}", width=width, height=height, dark=dark)
        self.wait_state("live", "problem")

    def wait_state(self, *states: str) -> float:
        """Wait until the page is in one of some states, and return the seconds."""
        return self.browser.wait(
            lambda: self.browser.run("return document.documentElement.dataset.state") in states, f"one of {states}"
        )

    def rows(self) -> dict[str, str]:
        """Return the states of the instances that are shown, by their addresses."""
        script = """return [...document.querySelectorAll("#instance-rows .row")].map(
            (row) => [row.querySelector(".address").textContent, row.querySelector(".state").textContent])"""
        return dict(self.browser.run(script))

    def wait_row(self, address: str, state: str | None) -> float:
        """Wait until an instance is shown with a state, or not at all for None, and return the seconds."""
        return self.browser.wait(lambda: self.rows().get(address) == state, f"{address} is {state}")

    def check_quiet(self) -> None:
        """Check that the console is empty, and that no request went elsewhere."""
        self.assertEqual(self.browser.complaints(), [])
        requests = self.browser.requests()
        self.assertNotEqual(requests, [])
        self.assertEqual([each for each in requests if not each.startswith(tuple(self.bases))], [])

    def create_instance(self, client: KazooClient, service: str, node: str, **facts: object) -> None:
        host, _, port = node.partition(":")
        data = json.dumps({"address": host, "port": int(port), **facts}).encode()
        client.create(f"/services/{service}/{node}", data, ephemeral=True, makepath=True)

    def control(self, method: str, path: str, body: object = None) -> None:
        """Send a request to the control socket."""
        content = b"" if body is None else json.dumps(body).encode()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "control.sock"))
            head = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            connection.sendall(head.encode() + content)
            answer = connection.makefile("rb").read()
        self.assertIn(b" 200 ", answer.split(b"\r\n")[0], answer)


class EmbeddedTests(PageTestCase):
    def test_sample(self) -> None:
        """The first command of the README leads to a page with its sample service; also to a browser without scripts."""
        (block,) = tested_blocks("README.rst", __name__)
        command, *arguments = block.text.rpartition("&& ")[2].split()
        self.assertEqual((command, arguments[:3]), (".venv/bin/twistd", ["--pidfile=", "-n", "txmirror"]))
        twistd = Twistd(*arguments[3:], cwd=self.folder)
        self.addCleanup(twistd.cleanup)
        self.base = self.find_page(twistd)
        self.open()
        self.wait_row("localhost:8080", "passing")
        self.assertIn("1 of 1 service registered; connected to ZooKeeper.", self.browser.text("#summary"))
        self.assertEqual(self.browser.text("#freshness"), "live")
        shifts = """const done = arguments[0];
            new PerformanceObserver((list) => done(list.getEntries().reduce((sum, each) => sum + each.value, 0)))
                .observe({type: "layout-shift", buffered: true}); setTimeout(() => done(0), 500)"""
        self.assertLess(self.browser.driver.execute_async_script(shifts), 0.01)
        with self.browser.without_script():
            self.browser.driver.get(f"{self.base}?")
            table = self.browser.driver.find_element("tag name", "table").text
        self.assertEqual(table.split("\n"), ["Service Instances Usable", "sample 1 1"])
        self.check_quiet()


class LiveTests(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect("/test_page")
        (self.folder / "ready").touch()
        self.start_daemon(*free_ports(1))

    def test_changes(self) -> None:
        """What happens in the registry is seen within a second."""
        self.open("#/instances")
        took: dict[str, float] = {"first": self.wait_row("127.0.0.41:8443", "passing")}
        see = took.__setitem__
        self.create_instance(self.client, "search", "10.1.0.7:9200", labels={"zone": "b"})
        see("registered", self.wait_row("10.1.0.7:9200", "passing"))
        down = json.dumps({"address": "10.1.0.7", "port": 9200, "weight": 0}).encode()
        self.client.set("/services/search/10.1.0.7:9200", down)
        see("changed", self.wait_row("10.1.0.7:9200", "no weight"))
        self.client.delete("/services/search/10.1.0.7:9200")
        see("gone", self.wait_row("10.1.0.7:9200", None))
        self.browser.run("location.hash = '#/services/billing'")
        self.browser.wait(lambda: "registered" in self.browser.text("#own .chip"), "the card of the service")
        (self.folder / "ready").unlink()
        see("check fails", self.wait_row("127.0.0.41:8443", None))
        see("condition", self.wait_condition("down"))
        self.browser.wait(lambda: "exit status 2" in self.browser.text("#own table"), "the result of the check")
        (self.folder / "ready").touch()
        see("check passes", self.wait_row("127.0.0.41:8443", "passing"))
        self.control("PUT", "/v1/daemon/maintenance/billing", {"reason": "new disks"})
        see("maintenance", self.wait_condition("maintenance"))
        self.assertIn("It is in maintenance: new disks.", self.browser.text("#own .why"))
        self.wait_row("127.0.0.41:8443", None)
        self.control("DELETE", "/v1/daemon/maintenance/billing")
        see("maintenance over", self.wait_condition("registered"))
        # One that another program has held up is no fault of the page.
        self.assertLess(statistics.median(took.values()), 1.0, took)
        self.wait_timeline("maintenance")
        self.check_quiet()

    def wait_condition(self, condition: str) -> float:
        """Wait until the card of the daemon's service shows a condition, and return the seconds."""
        return self.browser.wait(lambda: self.browser.text("#own .chip") == condition, f"the service is {condition}")

    def wait_timeline(self, kind: str) -> None:
        """Wait until the timeline has a span of some kind, and a list of the events says the same in words."""
        script = "return document.querySelectorAll(`#timeline-drawing .span-${arguments[0]}`).length"
        self.browser.wait(lambda: bool(self.browser.run(script, kind)), f"a span of {kind}")
        self.browser.wait(lambda: "It is gone." in self.browser.text("#timeline-list"), "the list of events")

    def test_hostile(self) -> None:
        """Names and data from ZooKeeper are shown escaped and bounded, and never run."""
        self.client.create(f"/services/{_HOSTILE}/{_HOSTILE}", b"<script>window.hacked = 2</script>", makepath=True)
        self.client.create("/services/big/node", b"<b>" + b"x" * 1_000_000, makepath=True)
        self.open("#/instances")
        self.wait_row('<img src=x onerror="window.hacked = 1">\\u{202e}gnp.exe', "unreadable")
        self.browser.run("location.hash = '#/nodes/services/big/node'")
        self.browser.wait(lambda: "more character" in self.browser.text("#node .text"), "the data, cut")
        self.assertLess(len(self.browser.text("#node .text")), 30_000)
        self.assertTrue(self.browser.text("#node .text").startswith("<b>xxx"))
        found = self.browser.run("return [window.hacked ?? null, document.images.length, document.scripts.length]")
        self.assertEqual(found, [None, 0, 1])
        self.assertFalse(self.browser.run("return document.body.textContent.includes('\\u202e')"))
        self.check_quiet()

    def test_keyboard(self) -> None:
        """Everything can be reached with the keyboard, and the fragment says what is open."""
        self.create_instance(self.client, "search", "10.1.0.7:9200")
        self.create_instance(self.client, "search", "10.1.0.10:9200")
        self.open()
        self.wait_row("10.1.0.10:9200", "passing")
        self.browser.press("/")
        self.browser.press(*"10.1")
        self.browser.wait(lambda: set(self.rows()) == {"10.1.0.7:9200", "10.1.0.10:9200"}, "what is searched for")
        self.assertEqual(list(self.rows()), ["10.1.0.7:9200", "10.1.0.10:9200"])
        self.browser.press("\ue015", "\ue015", "\ue007")  # down, down, Enter
        self.browser.wait(lambda: "10.1.0.10:9200" in self.browser.text("#panel-title"), "the panel")
        self.assertIn("#/services/search/10.1.0.10%3A9200?q=10.1", self.browser.driver.current_url)
        self.browser.press("\ue00c")  # Escape
        self.browser.wait(
            lambda: self.browser.run("return document.querySelector('#panel').hidden") is True, "no panel"
        )
        self.assertEqual(self.browser.run("return document.activeElement.id"), "instances")
        self.browser.press("3")
        self.browser.wait(lambda: "services" in self.browser.text("#tree"), "the tree")
        self.browser.run("document.querySelector('#tree').focus()")
        self.browser.press(*"se", "\ue014")  # to the node whose name begins so; right opens it
        self.browser.wait(lambda: "billing" in self.browser.text("#tree"), "its children")
        self.browser.press("\ue014", "\ue007")
        self.browser.wait(lambda: self.browser.text("#node h2") == "/services/billing", "the child")
        self.browser.wait(lambda: "world" in self.browser.text("#node table"), "its ACL")
        self.browser.press("\ue012", "\ue012")  # left to the parent, left closes it
        self.browser.wait(lambda: "billing" not in self.browser.text("#tree"), "no children")
        self.check_quiet()

    def test_accessible(self) -> None:
        """axe-core finds no fault in any view, light, dark and narrow, and nothing is wider than the window."""
        self.register_many()
        for name, (width, height, dark) in LOOKS.items():
            self.open("#/services", width=width, height=height, dark=dark)
            self.browser.wait(lambda: "web" in self.browser.text("#service-list"), "the services")
            for view in _VIEWS:
                with self.subTest(name=name, view=view):
                    self.show(view)
                    self.assertEqual(self.browser.violations(), [])
                    self.assertEqual(self.browser.run("return document.documentElement.scrollWidth - innerWidth"), 0)
        self.check_quiet()

    def test_long_paths(self) -> None:
        """In a narrow window a path breaks only after a slash, and its text is as before."""
        self.client.create(_DEEP, b"{}", ephemeral=True, makepath=True)
        width, height, dark = LOOKS["narrow"]
        self.open(f"#/nodes{_DEEP}", width=width, height=height, dark=dark)
        self.browser.wait(lambda: self.browser.text("#node h2") == _DEEP, "the node")
        self.check_lines("#node h2", _DEEP)
        self.show("daemon")
        file = str(self.folder / "load-balancers-of-production" / "backends-of-web.json")
        self.browser.wait(lambda: file in self.browser.text("#daemon-files"), "the output file")
        self.check_lines("#daemon-files td", file)
        self.check_quiet()

    def check_lines(self, selector: str, path: str) -> None:
        """Check that the first element for a selector shows a path in several lines, which end with a slash."""
        lines = self.browser.lines(selector)[0]
        self.assertEqual("".join(lines), path)
        self.assertGreater(len(lines), 1)
        self.assertEqual([line for line in lines[:-1] if not line.endswith("/")], [])

    def register_many(self) -> None:
        """Register services, some with instances that have a problem, and let the daemon's own one fail for a while."""
        register_others([self.client, self.kazoo(self.servers)])
        self.open("#/services/billing")
        (self.folder / "ready").unlink()
        self.wait_condition("down")
        self.control("PUT", "/v1/daemon/maintenance/billing", {"reason": "new disks"})
        self.wait_condition("maintenance")
        (self.folder / "ready").touch()
        self.control("DELETE", "/v1/daemon/maintenance/billing")
        self.wait_condition("registered")

    def show(self, view: str) -> None:
        """Open a view by its fragment, and wait until it is drawn."""
        self.browser.run("location.hash = `#/${arguments[0]}`", view)
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        script = """const done = arguments[0];
            setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => done())), 300)"""
        self.browser.driver.execute_async_script(script)


class OutageTests(PageTestCase):
    def test_outages(self) -> None:
        """Without ZooKeeper, and without the daemon, the page says that it is old and how old, and recovers."""
        server = self.own_server()
        self.servers = server.address
        (self.folder / "ready").touch()
        (port,) = free_ports(1)
        twistd = self.start_daemon(port)
        self.open("#/instances")
        self.wait_row("127.0.0.41:8443", "passing")
        server.kill()
        self.wait_old("ZooKeeper is out of reach: this is the last known state.")
        self.assertEqual(self.rows(), {"127.0.0.41:8443": "passing"})
        self.assertEqual(self.browser.violations(), [])
        server.start()
        self.wait_state("live", "problem")
        self.wait_row("127.0.0.41:8443", "passing")
        self.browser.run("location.hash = '#/zookeeper'")
        self.browser.wait(lambda: self.browser.text("#outage-list tbody") != "", "the disconnection")
        self.browser.run("location.hash = '#/instances'")
        twistd.process.kill()
        twistd.process.wait()
        self.wait_old("The connection to the daemon is lost. This page connects again by itself.")
        self.assertEqual(self.rows(), {"127.0.0.41:8443": "passing"})
        self.start_daemon(port)
        self.wait_state("live", "problem")
        self.check_quiet()

    def wait_old(self, words: str) -> None:
        """Wait until the page says that it is old; its age counts up."""
        self.wait_state("old")
        self.browser.wait(lambda: words in self.browser.text("#summary"), words)
        first = self.browser.text("#freshness")
        self.assertRegex(first, r"^as of \d+ s ago$")
        self.browser.wait(lambda: self.browser.text("#freshness") != first, "another age")
