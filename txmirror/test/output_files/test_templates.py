"""Templates of Jinja."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.formats import LiveList
from txmirror.output_files import templates
from txmirror.output_files.templates import render_template
from txmirror.types import Instance, InstanceStatus

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

    def test_word(self) -> None:
        """The filter ``word`` makes a name for HAProxy of any text, and different ones of different texts."""
        found = self.render("{{ ['web-1_a.b:80', 'a b', 'a-b', '[::1]:80', 'é']|map('word')|join(' ') }}").split()
        self.assertEqual(found[:1] + found[2:3], ["web-1_a.b:80", "a-b"])
        self.assertEqual(len(set(found)), 5)
        for each in found:
            self.assertRegex(each, "^[a-zA-Z0-9_.:-]+$")

    def test_unsafe_instance(self) -> None:
        """An instance that could write further lines is left out, with the reason."""
        path = Path(self.mktemp())
        path.write_text("{{ instances|length }}")
        evil = Instance(name="evil", address="1.2.3.4\nglobal", port=1)
        rendering = render_template(path, LiveList("web", "/services/web", [*WEB.instances, evil]))
        self.assertEqual((rendering.content, list(rendering.omitted)), (b"2", ["evil"]))

    def test_endless(self) -> None:
        """A template that writes too much, or for too long, fails."""
        self.patch(templates, "LARGEST", 1000)
        self.assertIn("it writes more than 1000", self.reason("{% for each in range(2000) %}x{% endfor %}"))
        self.patch(templates, "_LONGEST_TIME", 0.0)
        self.assertIn("it takes longer than", self.reason("{% for each in range(10) %}x{% endfor %}"))
        self.assertIn("longer", self.reason("{% for each in range(9) %}{% endfor %}"), "a loop without any text")
        self.assertIn(
            "longer", self.reason("{% macro m() %}{% for each in range(9) %}{% endfor %}{% endmacro %}{{ m() }}")
        )

    def test_missing(self) -> None:
        """A template that is not there is an error of the operating system."""
        self.assertRaises(FileNotFoundError, render_template, Path(self.mktemp()), WEB)


class ExampleTests(SynchronousTestCase):
    def test_haproxy(self) -> None:
        """The template in the documentation makes a section of HAProxy's configuration."""
        folder = os.environ.get("TXMIRROR_EXAMPLES", str(Path(__file__).parents[3] / "docs" / "examples"))
        down = Instance(name="c", address="10.0.0.3", port=80, status=InstanceStatus.DOWN)
        drained = Instance(name="[::2]:80", address="::2", port=80, weight=0)
        heavy = Instance(name="d", address="10.0.0.4", port=80, weight=1000)
        live = LiveList("web", "/services/web", [*WEB.instances, down, drained, heavy])
        self.assertEqual(
            render_template(Path(folder) / "haproxy.cfg.j2", live).content.decode(),
            "backend web\n    default-server init-addr last,libc,none\n    server a [::1]:80 weight 2\n"
            "    server -::2-:80.9c3d1395 [::2]:80 weight 0\n    server d 10.0.0.4:80 weight 256\n",
        )
