"""Templates of Jinja."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.output_files.formats import LiveList
from txmirror.output_files.templates import render_template
from txmirror.types import Instance

WEB = LiveList(
    "web",
    "/services/web",
    [Instance(name="a", address="::1", port=80, weight=2, labels={"az": "x"}), Instance(name="b", data={"k": "v"})],
)


class TemplateTests(SynchronousTestCase):
    def render(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return render_template(path, WEB).content.decode()

    def reason(self, text: str) -> str:
        return str(self.assertRaises(ValueError, self.render, text))

    def test_variables(self) -> None:
        """A template has the name, the path and the instances."""
        text = (
            "# {{ name }} {{ path }}\n{% for each in instances if each.port %}\n"
            "server {{ each.name }} {{ host_port(each.address, each.port) }} {{ each.labels.az }}\n{% endfor %}\n"
        )
        self.assertEqual(self.render(text), "# web /services/web\nserver a [::1]:80 x\n")

    def test_json(self) -> None:
        """The filter ``json`` writes a value as JSON, without escapes for HTML."""
        self.assertEqual(self.render("{{ '<é>'|json }} {{ instances[1].data|json }}"), '"<é>" {"k": "v"}')

    def test_fails(self) -> None:
        """Each error is one line that names the place or the reason."""
        self.assertEqual(self.reason("a\n{% for %}"), "line 2: Expected an expression, got 'end of statement block'")
        self.assertEqual(self.reason("{{ nam }}"), "'nam' is undefined")
        self.assertIn("has no attribute 'color'", self.reason("{{ instances[0].color }}"))
        self.assertEqual(self.reason("{{ 1 / 0 }}"), "ZeroDivisionError: division by zero")
        self.assertIn("TypeError", self.reason("{{ instances|json }}"))

    def test_sandbox(self) -> None:
        """A template cannot reach the inner parts of Python's objects."""
        self.assertIn("unsafe", self.reason("{{ ''.__class__.__mro__ }}"))

    def test_bytes(self) -> None:
        """A template that is not UTF-8, or that makes a lone surrogate, is an error of a value."""
        path = Path(self.mktemp())
        path.write_bytes(b"\xff")
        self.assertRaises(ValueError, render_template, path, WEB)
        self.assertRaises(ValueError, self.render, "{{ '\\ud800' }}")

    def test_missing(self) -> None:
        """A template that is not there is an error of the operating system."""
        self.assertRaises(FileNotFoundError, render_template, Path(self.mktemp()), WEB)


class ExampleTests(SynchronousTestCase):
    def test_haproxy(self) -> None:
        """The template in the documentation makes a section of HAProxy's configuration."""
        folder = os.environ.get("TXMIRROR_EXAMPLES", str(Path(__file__).parents[3] / "docs" / "examples"))
        self.assertEqual(
            render_template(Path(folder) / "haproxy.cfg.j2", WEB).content.decode(),
            "backend web\n    server a [::1]:80 weight 2\n",
        )
