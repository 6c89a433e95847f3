"""The results of probes, and the part of a program's output that is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.checks import Result, Status
from txmirror.checks.results import OUTPUT_SIZE, Output


class ResultTests(SynchronousTestCase):
    def test_printable(self) -> None:
        """Newlines stay; all else that could move a cursor is escaped; space at the end goes."""
        result = Result(Status.OK, "load\t0.5\r\n\x1b[2Jé\x00\u202e\n\n")
        self.assertEqual(result.output, "load    0.5\n\\x1b[2Jé\\x00\\u202e")
        self.assertEqual(result.line, "load    0.5")

    def test_empty(self) -> None:
        self.assertEqual((Result(Status.OK).output, Result(Status.OK).line), ("", ""))

    @given(st.text(min_size=1).map(lambda text: text * 2000))
    def test_bounded(self, text: str) -> None:
        """However long the text is, its bytes are bounded, and no character is cut in two."""
        output = Result(Status.FAIL, text).output
        self.assertLessEqual(len(output.encode()), OUTPUT_SIZE)
        self.assertTrue(output.replace("\n", "").isprintable())

    def test_lone_surrogate(self) -> None:
        """A surrogate, which UTF-8 has not, is escaped."""
        self.assertEqual(Result(Status.OK, "a\udc80b").output, "a\\udc80b")


class OutputTests(SynchronousTestCase):
    def test_short(self) -> None:
        output = Output()
        for part in (b"a\n", b"", b"\xff", "é".encode()):
            output.add(part)
        self.assertEqual(output.text(), "a\n\\xffé")

    def test_whole(self) -> None:
        """4 KiB are kept whole."""
        output = Output()
        for number in range(OUTPUT_SIZE // 16):
            output.add(b"%15d\n" % number)
        self.assertEqual(output.text(), "".join(f"{number:15}\n" for number in range(OUTPUT_SIZE // 16)))

    def test_gap(self) -> None:
        """Of more, the beginning and the end are kept, and the gap between them is counted."""
        output = Output()
        for _ in range(100):
            output.add(b"x" * 1000)
        output.add(b"the end")
        text = output.text()
        self.assertLessEqual(len(text), OUTPUT_SIZE)
        head, gap, tail = text.split("\n")
        self.assertEqual(set(head), {"x"})
        self.assertTrue(tail.endswith("xthe end"))
        omitted = int(gap.split()[1])
        self.assertEqual(len(head) + omitted + len(tail), output.total)

    @given(st.lists(st.binary(max_size=5000), max_size=8))
    def test_pieces(self, pieces: list[bytes]) -> None:
        """The text does not depend on how the output arrives."""
        output, at_once = Output(), Output()
        for piece in pieces:
            output.add(piece)
        at_once.add(b"".join(pieces))
        self.assertEqual(output.text(), at_once.text())
