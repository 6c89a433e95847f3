"""The output files of a program, as they are added, changed and removed."""

from __future__ import annotations

from twisted.internet.task import Clock

from txmirror.output_files import OutputFilesService
from txmirror.test.output_files.case import OutputFileTestCase


class OutputFilesServiceTests(OutputFileTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service = OutputFilesService(random=lambda: 0.5, reactor=self.world.reactor)
        self.add("a:1")

    def stop_all(self) -> None:
        if self.service.running:
            self.successResultOf(self.service.stopService())

    def test_start(self) -> None:
        """The files are written from the start on, when there is a mirror."""
        self.service.apply([self.watch()])
        self.service.startService()
        self.world.settle()
        self.assertFalse(self.output.exists())
        self.service.use(self.mirror)
        self.world.settle()
        self.assertEqual(self.lines(), ["a:1"])

    def test_not_started(self) -> None:
        """Nothing is written before the start, nor after the stop."""
        self.service.use(self.mirror)
        self.service.apply([self.watch()])
        self.world.settle()
        self.assertFalse(self.output.exists())
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.service.apply([self.watch(settle=1.0)])
        self.world.pass_time(10)
        self.assertFalse(self.output.exists())
        self.assertEqual(self.service.files, {})

    def test_apply(self) -> None:
        """A file that is the same goes on; one that differs begins anew; one that is not among them stays as it is."""
        other = str(self.folder / "other")
        self.service.use(self.mirror)
        self.service.apply([self.watch(), self.watch(output=other)])
        self.service.startService()
        self.world.settle()
        first, second = self.service.files[str(self.output)], self.service.files[other]
        self.service.apply([self.watch(), self.watch(output=other, format="json")])
        self.world.settle()
        self.assertIs(self.service.files[str(self.output)], first)
        self.assertIsNot(self.service.files[other], second)
        self.assertIn('"a:1"', (self.folder / "other").read_text())
        self.service.apply([])
        self.add("b:2")
        self.world.pass_time(10)
        self.assertEqual(self.lines(), ["a:1"])
        self.assertEqual(self.service.files, {})

    def test_clock(self) -> None:
        """The times of the configuration are measured by a clock of their own, which the wall clock does not affect."""
        clock = Clock()
        service = OutputFilesService(random=lambda: 0.5, clock=clock, reactor=self.world.reactor)
        service.use(self.mirror)
        service.apply([self.watch(settle=2.0, keep_if_below=1.0)])
        service.startService()
        self.world.settle()
        self.add("b:2")
        self.world.pass_time(100)
        self.assertEqual(self.lines(), ["a:1"])
        clock.advance(2)
        self.assertEqual(self.lines(), ["a:1", "b:2"])
        clock.advance(10)
        self.remove("a:1", "b:2")
        self.world.pass_time(1000)
        self.assertEqual(self.lines(), ["a:1", "b:2"])
        clock.pump([10] * 12)
        self.assertEqual(self.lines(), [])
        self.successResultOf(service.stopService())
