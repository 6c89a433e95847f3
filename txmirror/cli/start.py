"""The start of the command: while the other modules are imported, a signal ends the process at once, without a traceback.

Importing Twisted takes a fifth of a second. This module imports only the standard library before it has set the signal handlers.
"""

from __future__ import annotations

import os
import signal


def main() -> int:
    """Run the command line of this process, and return the exit status."""
    for number in signals_to_handle():
        signal.signal(number, end_at_once)
    # Both take long.
    from txmirror.cli.command import main as run_command  # noqa: PLC0415
    from txmirror.cli.streams import escape_output  # noqa: PLC0415

    escape_output()
    return run_command()


def signals_to_handle() -> list[signal.Signals]:
    """Return the signals that end the command, or that it forwards to the program that it runs. Otherwise they would end the
    process with its session open and its program running.

    All but SIGTERM stay ignored if the parent process ignores them: SIGINT and SIGQUIT in a shell's background, SIGHUP after
    ``nohup``.
    """
    optional = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
    return [signal.SIGTERM, *(each for each in optional if signal.getsignal(each) is not signal.SIG_IGN)]


def end_at_once(number: int, _: object = None) -> None:
    """End this process, with the status of a command that a signal has ended: 130 after Ctrl-C."""
    os._exit(128 + number)
