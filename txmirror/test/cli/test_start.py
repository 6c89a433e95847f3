"""Which signals end the command."""

from __future__ import annotations

import signal

from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.start import signals_to_handle


class SignalsTests(SynchronousTestCase):
    all = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

    def let(self, handler: signal.Handlers) -> None:
        """Have all signals handled in a way."""
        for number in self.all:
            former = signal.signal(number, handler)
            self.addCleanup(signal.signal, number, former)

    def test_all(self) -> None:
        """All that people send do."""
        self.let(signal.SIG_DFL)
        self.assertEqual(set(signals_to_handle()), set(self.all))

    def test_ignored(self) -> None:
        """Signals that ``nohup`` or a shell ignores stay ignored, except SIGTERM."""
        self.let(signal.SIG_IGN)
        self.assertEqual(signals_to_handle(), [signal.SIGTERM])
