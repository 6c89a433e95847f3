"""The parts of configurations in the pages for operators are read by the daemon's own classes, and its errors are those that it shows."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import yaml

from txmirror.cli.installed import read_installed
from txmirror.configuration import Configuration, ConfigurationError, load
from txmirror.test.configuration.case import WEB, ConfigurationCase
from txmirror.test.pages.blocks import Block
from txmirror.test.pages.found import tested_blocks

#: The three errors on the page, each with its file: each file has the fault that the page quotes.
_FILES = {
    "web.toml": "[[service]]\n\n\n\n\n\nport 80\n",
    "db.toml": """
[[service]]
name = "a"
path = "/a"
node = "a"
[[service]]
name = "b"
path = "/b"
node = "b"
[[service]]
name = "db"
path = "/db"
node = "c"
tokeover = "5s"
check = [{ type = "tcp", host = "localhost", port = 5432, interval = "10 parsecs" }]
""",
}


class PagesTests(ConfigurationCase):
    def read(self, block: Block, *before: str) -> Configuration:
        """Read a part of a file, after other parts."""
        return self.load("\n".join([*before, block.text]))

    def test_unit(self) -> None:
        """The keys that belong to the unit are valid, and their files are in its folders; it waits longer than they say."""
        unit, _metrics, _scraping = tested_blocks("docs/operations/running.rst", __name__)
        configuration = self.read(unit, WEB)
        daemon, zookeeper = configuration.daemon, configuration.zookeeper
        parser = ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(read_installed("txmirror.service"))
        section = parser["Service"]
        states = f"/var/lib/{section['StateDirectory']}"
        self.assertEqual(str(Path(str(zookeeper.state_file)).parent), states)
        self.assertEqual(str(Path(str(daemon.maintenance_file)).parent), states)
        self.assertEqual(str(Path(str(daemon.control)).parent), f"/run/{section['RuntimeDirectory']}")
        self.assertGreater(float(section["TimeoutStopSec"].removesuffix("s")), daemon.stop_timeout)

    def test_metrics(self) -> None:
        """Prometheus scrapes the port that the file has."""
        _unit, metrics, scraping = tested_blocks("docs/operations/running.rst", __name__)
        address = self.read(metrics, WEB).daemon.metrics
        assert address is not None
        (job,) = yaml.safe_load(scraping.text)["scrape_configs"]
        (targets,) = job["static_configs"]
        (target,) = targets["targets"]
        self.assertEqual(target.rpartition(":")[2], str(address.port))

    def test_parts(self) -> None:
        """A service with two further znodes, one of them with another port, and a watch by a template."""
        _errors, also, watch = tested_blocks("docs/operations/daemon.rst", __name__)
        (service,) = self.read(also).services
        self.assertEqual((service.path, service.codec, service.port), ("/services/web", "ndsr", 8080))
        self.assertEqual(
            [(each.path, each.codec, each.port) for each in service.also],
            [("/spring/web", "curator-spring", None), ("/prometheus/web", "serverset", 9100)],
        )
        self.write("{{ name }}", "web.cfg.j2")
        (watched,) = self.read(watch).watches
        self.assertEqual((watched.path, watched.format), ("/services/web", "template"))

    def test_errors(self) -> None:
        """All errors are reported at once, in the lines that the page shows."""
        shown, _also, _watch = tested_blocks("docs/operations/daemon.rst", __name__)
        for name, text in _FILES.items():
            self.write(text, f"conf.d/{name}")
        error = self.assertRaises(ConfigurationError, load, self.folder / "conf.d", self.machine)
        # Versions of the TOML reader have different quotes.
        lines = str(error).replace('"=" after', "'=' after").splitlines()
        found = [re.sub(rf"^{re.escape(str(self.folder))}/", "", line) for line in lines]
        self.assertEqual(sorted(found), sorted(shown.lines))
