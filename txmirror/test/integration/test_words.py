"""The embedded server's answers to four-letter words have the real one's format, so that the same parsers read both."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.integration.sides import EmbeddedSide, Session, Side, ask_word, real_side
from txmirror.types import OPEN_ACL
from txmirror.wire import CloseSessionRequest, CreateRequest, ExistsRequest


def without_empty_sets(lines: list[str]) -> list[str]:
    """Return the lines of a dump without sets of no sessions.

    At each sign of life of a session, the real server moves it into the set of a later time, and keeps the former set,
    even if that is empty, until its time has come (``ExpiryQueue.update``).
    """
    following = [*lines[1:], ""]
    return [
        line
        for line, after in zip(lines, following, strict=True)
        if not line.endswith("expire at") or after.startswith("\t")
    ]


class WordTests(SynchronousTestCase):
    def setUp(self) -> None:
        real = real_side()
        self.sides: tuple[Side, Side] = (EmbeddedSide(real.version), real)
        for side in self.sides:
            session = Session(side)
            self.addCleanup(session.close)
            self.addCleanup(session.ask, CloseSessionRequest(), last=True)
            session.ask(CreateRequest("/e", b"", OPEN_ACL, 1))
            session.ask(ExistsRequest("/a", True))

    def shapes(self, word: bytes) -> list[list[str]]:
        """Return the lines of both answers, with 0 for each number, and without releases and dates."""
        texts = [ask_word(side, word) for side in self.sides]
        without_release = [re.sub(r"(Zookeeper version: 3\.8\.0-).*", r"\1", text) for text in texts]
        without_dates = [re.sub(r"(expire at) .*:", r"\1", text) for text in without_release]
        return [re.sub(r"0x[0-9a-f]+|\d+(\.\d+)*", "0", text).split("\n") for text in without_dates]

    def test_same(self) -> None:
        """These are the same line by line."""
        for word in (b"isro", b"ruok", b"srvr", b"wchc", b"wchp", b"wchs"):
            embedded, real = self.shapes(word)
            self.assertEqual(embedded, real, word)

    def test_connections(self) -> None:
        """The answers about connections are the same, in any order of the connections."""
        for word in (b"cons", b"stat"):
            embedded, real = self.shapes(word)
            self.assertEqual(sorted(embedded), sorted(real), word)

    def test_dump(self) -> None:
        """Sessions and ephemerals are listed alike; the real server sorts connections by the time of their next check."""
        embedded, real = (
            without_empty_sets(lines[: lines.index("Connections dump:") + 1]) for lines in self.shapes(b"dump")
        )
        self.assertEqual(embedded, real)
        for lines in self.shapes(b"dump"):
            self.assertIn("\tip: /0:0 sessionId: 0", lines)

    def test_names(self) -> None:
        """The embedded server's answers have only names of the real server's."""
        for word, separator in ((b"conf", "="), (b"envi", "="), (b"mntr", "\t")):
            embedded, real = ({line.partition(separator)[0] for line in lines} for lines in self.shapes(word))
            self.assertEqual(embedded - real, set(), word)
