"""A codec as a plugin of Twisted's plugin system, as an application would write it."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twisted.plugins

_PLUGIN = """
from zope.interface import implementer
from twisted.plugin import IPlugin
from txmirror.interfaces import IPayloadCodec
from txmirror.types import Undecodable


@implementer(IPlugin, IPayloadCodec)
class Reversed:
    name = "reversed-for-test"

    def encode(self, data, *, pid, created):
        if not isinstance(data, str):
            raise TypeError("not a str")
        return data[::-1].encode()

    def decode(self, data):
        if data == b"bad":
            return Undecodable("it is bad")
        if data == b"worse":
            raise RuntimeError("oops")
        return data.decode()[::-1]

    def says(self, stored, data):
        return stored == self.encode(data, pid=0, created=0.0)


codec = Reversed()
"""


def add_plugin(case: SynchronousTestCase) -> None:
    """Add a folder with the codec ``reversed-for-test`` to those of Twisted's plugins, until the end of the test."""
    folder = Path(case.mktemp())
    folder.mkdir()
    module = "txmirror_codec_for_test"
    (folder / f"{module}.py").write_text(textwrap.dedent(_PLUGIN))
    case.patch(twisted.plugins, "__path__", [*twisted.plugins.__path__, str(folder)])
    case.addCleanup(sys.modules.pop, f"twisted.plugins.{module}", None)
