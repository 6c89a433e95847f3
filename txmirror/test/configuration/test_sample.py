"""The sample configuration has every key with its default, and is valid with and without its comments."""

from __future__ import annotations

import re

import attrs

from txmirror.cli.installed import read_installed
from txmirror.configuration.dns import DNS
from txmirror.configuration.http import HTTPServer
from txmirror.configuration.loading import _KEYS
from txmirror.configuration.model import Daemon, Host, ZooKeeper
from txmirror.configuration.probes import PROBES, CheckSettings, FlapHold
from txmirror.configuration.structuring import key_of
from txmirror.configuration.watches import Watch
from txmirror.test.configuration.case import ConfigurationCase
from txmirror.test.configuration.sample import make_sample
from txmirror.test.configuration.test_keys import fields

_NAME = "txmirror.toml.sample"
#: Keys whose value in the sample is an example.
_EXAMPLES = {
    ZooKeeper: ["access", "state_file", "write_rate"],
    Host: ["name"],
    Daemon: ["control", "control_group", "maintenance_file", "heartbeat_file", "metrics"],
}


class SampleTests(ConfigurationCase):
    def setUp(self) -> None:
        super().setUp()
        self.sample = read_installed(_NAME)

    def uncomment(self, text: str) -> str:
        return re.sub(r"(?m)^#(?! |$)", "", text)

    def test_up_to_date(self) -> None:
        """The sample is equal to the one that the classes make."""
        message = "run: python -m txmirror.test.configuration.sample"
        self.assertEqual(self.sample, make_sample(), message)

    def test_as_it_is(self) -> None:
        """The sample is a valid configuration, with the defaults and no service."""
        configuration = self.load(self.sample)
        self.assertEqual(configuration, self.load("version = 1\n"))
        self.assertEqual(configuration.services, ())

    def test_complete(self) -> None:
        """The sample has every key of every table."""
        keys = set(re.findall(r"(?m)^#(\w+) = ", self.sample))
        self.assertEqual({key_of(field) for _, field in fields()} - keys, {"access", "also", "check", "write_rate"})
        for key in _KEYS:
            self.assertTrue(re.search(rf"(?m)^#?(\[+{key}\]|{key} = )", self.sample), key)
        for name in PROBES:
            self.assertTrue(f'\n#type = "{name}"\n' in self.sample, name)

    def test_all_keys(self) -> None:
        """Without the comment signs it is valid too, and has the defaults where it does not say that it has an example."""
        text = self.uncomment(self.sample)
        # The files are not there.
        text = re.sub(r"(?s)\n\[zookeeper\.access\].*?(?=\n\[)", "\n", text).replace('include = ["conf.d/*.toml"]', "")
        # It does not go with the format's default.
        text = re.sub(r"\ntemplate = .*", "", text)
        text = re.sub(r"\ngroup = .*", "", text)
        other = '[[service]]\nname = "db"\nport = 1\n'
        configuration, default = self.load(text + other), self.load("")
        for cls, mine, theirs in (
            (ZooKeeper, configuration.zookeeper, default.zookeeper),
            (Host, configuration.host, default.host),
            (Daemon, configuration.daemon, default.daemon),
        ):
            differing = [
                field.name for field in attrs.fields(cls) if getattr(mine, field.name) != getattr(theirs, field.name)
            ]
            self.assertLessEqual(set(differing), set(_EXAMPLES[cls]), cls)
        example = Watch(path="/services/db", output="/run/txmirror/db.json")
        self.assertEqual(configuration.watches, (example,))
        self.assertEqual(configuration.dns, DNS(zone="eu-1"))
        folder = "/etc/txmirror"
        http = HTTPServer(
            token_file=f"{folder}/http-token",
            certificate=f"{folder}/http.pem",
            key=f"{folder}/http.key",
            client_ca=f"{folder}/readers.pem",
        )
        self.assertEqual(configuration.http, http)
        service = configuration.services[0]
        self.assertEqual([check.type for check in service.checks], list(PROBES))
        self.assertEqual(service.flap_hold, FlapHold())
        self.assertEqual(service.checks[0].settings, CheckSettings())
        self.assertEqual(service.checks[0].name, "load")

    def test_access(self) -> None:
        """The keys of [zookeeper.access] have values of the right types."""
        (section,) = re.findall(r"(?s)\n(\[zookeeper\.access\].*?)(?=\n\[)", self.uncomment(self.sample))
        for line in self.errors(section):
            self.assertRegex(line, r"cannot be used: No such file|needs|password")
