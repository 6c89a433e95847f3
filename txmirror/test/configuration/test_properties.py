"""Any document is loaded, or raises one ConfigurationError."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.configuration import Configuration, ConfigurationError, describe, difference, from_options, load
from txmirror.test.configuration.case import SECRET, make_machine
from txmirror.test.configuration.test_keys import KEYS

_KEYS = sorted(
    {key for keys in KEYS.values() for key in keys} | {"include", "version", "zookeeper", "service", "type", "x"}
)
_TABLES = (
    "zookeeper",
    "zookeeper.access",
    "zookeeper.write_rate",
    "host",
    "daemon",
    "defaults",
    "defaults.check",
    "defaults.flap_hold",
    "service.flap_hold",
    "service.data",
)
#: The values of the tests of keys are near to valid ones.
_VALUES = sorted(
    {value for keys in KEYS.values() for good, bad in keys.values() for value, _ in good + bad if len(value) < 200}
)
_values = st.one_of(
    st.sampled_from(_VALUES),
    st.text(alphabet="{}ab:/.env SECRET\u0000é\U0001f600\n", max_size=12).map(
        lambda text: "'''" + text.replace("\u0000", "") + "'''"
    ),
    st.sampled_from(
        ['"{env:SECRET}"', '"{env:NONE}"', '"{name}{port}"', "[[[1]]]", "{ a.b = 1 }", "1e999", "-0x1", "07:00:00"]
    ),
)
_lines = st.one_of(
    st.builds(lambda key, value: f"{key} = {value}", st.sampled_from(_KEYS), _values),
    st.sampled_from([f"[{name}]" for name in _TABLES]),
    st.sampled_from(["[[service]]", "[[service.check]]"]),
    st.sampled_from(["command", "tcp", "http", "file", "ttl", "alias", "noop"]).map(lambda word: f'type = "{word}"'),
)
_documents = st.one_of(
    st.lists(_lines, max_size=25).map(lambda lines: "\n".join(lines).encode()),
    st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")),
    st.binary(max_size=60),
)
#: The value of the environment variable. Hypothesis also tries the constants of these modules, and this is none.
_HIDDEN = SECRET[::-1] * 2
_OPTIONS = ("register", "data", "check-tcp", "check-http", "check-command")
_items = st.tuples(
    st.sampled_from(_OPTIONS),
    st.one_of(
        st.text(max_size=20),
        st.builds(lambda key, value: f"{key}={value}", st.text(max_size=3), _values),
        st.just("/a/b"),
    ),
)


class PropertyTests(SynchronousTestCase):
    def check(self, configuration: Configuration) -> None:
        """Check the invariants of every configuration."""
        lines = describe(configuration)
        self.assertTrue(all(line.isprintable() for line in lines), lines)
        self.assertNotIn(_HIDDEN, "".join(lines))
        found = difference(configuration, configuration)
        self.assertEqual((found.added, found.removed, found.changed, found.restart), ((), (), (), ()))

    def check_error(self, error: ConfigurationError) -> None:
        """Check the invariants of every error."""
        self.assertTrue(error.lines)
        self.assertEqual(len(set(error.lines)), len(error.lines))
        for line in error.lines:
            self.assertTrue(line.isprintable(), line)
            self.assertNotIn(_HIDDEN, line)

    @given(_documents)
    def test_any_document(self, document: bytes) -> None:
        """Any file is loaded, or raises one error with lines, and never another exception."""
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "main.toml"
            path.write_bytes(document)
            path.chmod(0o644)
            try:
                configuration = load(path, make_machine({"SECRET": _HIDDEN}))
            except ConfigurationError as error:
                self.check_error(error)
            else:
                self.check(configuration)
                self.assertEqual(configuration, load(path, make_machine({"SECRET": _HIDDEN})))

    @given(st.lists(_items, max_size=8))
    def test_any_options(self, items: list[tuple[str, str]]) -> None:
        """Any options become a configuration, or raise one error with lines."""
        try:
            configuration = from_options(items, servers="a", session_timeout=1.0, machine=make_machine())
        except ConfigurationError as error:
            self.check_error(error)
        else:
            self.check(configuration)
