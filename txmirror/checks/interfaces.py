"""The interface of a check."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from txmirror.checks.results import Result


class ICheck(Interface):
    """A health check: it probes a service once for each call of :meth:`run`.

    A provider opens nothing before :meth:`run`, and keeps nothing open after it.
    """

    kind: str = Attribute('The type of check in configurations, as in "tcp".')
    description: str = Attribute('The kind and the target, on one line, as in "tcp 127.0.0.1:80".')
    pushed: bool = Attribute(
        "True if the service pushes the results. :meth:`run` of such a check waits for the next push, without a timeout, and is called "
        "again at once."
    )

    def run() -> Deferred[Result]:
        """Probe once. It is not called again before its Deferred has fired.

        :returns: fires with the result. If it fails with any exception, the probe counts as failed. Cancelling ends the probe and
            everything that belongs to it: the Deferred fires, in any way, when nothing is left, in a bounded time. If it fails
            with a ``CancelledError`` that has an argument, this is shown as the output of the probe. Cancelling it once more hurries.
        """
