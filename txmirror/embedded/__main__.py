"""``python -m txmirror.embedded``: run a standalone server until SIGTERM, SIGQUIT or Ctrl-C. Exits with 0 then."""

from __future__ import annotations

import sys

from twisted.internet import reactor  # noqa: TID253 - this is a program
from twisted.logger import globalLogBeginner, textFileLogObserver

from txmirror.embedded import EmbeddedOptions, EmbeddedService
from txmirror.signals import StopSignals


def main() -> None:
    """Run the server with the options of the command line.

    :raises SystemExit: the command line is invalid or asks for help, or the server cannot listen.
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
