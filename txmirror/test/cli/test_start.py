"""Which signals end the command."""

from __future__ import annotations

import signal

from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.start import signals_to_handle


class SignalsTests(SynchronousTestCase):
    def ignore(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            former = signal.signal(number, signal.SIG_IGN)
            self.addCleanup(signal.signal, number, former)

    def test_all(self) -> None:
        """SIGTERM, SIGINT and SIGHUP do."""
        self.assertEqual(set(signals_to_handle()), {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

    def test_ignored(self) -> None:
        """What ``nohup`` or a shell has let be ignored stays so; but SIGTERM."""
        self.ignore(signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
        self.assertEqual(signals_to_handle(), [signal.SIGTERM])
