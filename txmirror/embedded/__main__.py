"""``python -m txmirror.embedded``: a server by itself, in the foreground, until SIGTERM, SIGQUIT or Ctrl-C. Exits with 0 then."""

from __future__ import annotations

import sys

from twisted.internet import reactor  # noqa: TID253 - this is a program
from twisted.logger import globalLogBeginner, textFileLogObserver

from txmirror.embedded import EmbeddedOptions, EmbeddedService
from txmirror.signals import StopSignals


def main() -> None:
    """Run the server as the command line says.

    :raises SystemExit: the command line will not do, or the server cannot listen; or help was asked for.
    """
    options = EmbeddedOptions()
    options.parseOptions()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    service = EmbeddedService(options, reactor)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.callWhenRunning(StopSignals(reactor).install)
    reactor.run()


if __name__ == "__main__":
    main()
