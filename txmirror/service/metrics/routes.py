"""The routes ``/metrics``, ``/healthz`` and ``/readyz``, which only answer: nothing there changes the daemon."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twisted.web.resource import IResource

from txmirror.service.daemon import Daemon
from txmirror.service.metrics.collector import make_registry
from txmirror.service.metrics.exposition import Exposition
from txmirror.service.metrics.readiness import faults, obstacles
from txmirror.web import Answer, Application, Call, Mount, make_application

#: The most samples that are read and encoded at once: some milliseconds.
_AT_ONCE: Final = 100


def mount_metrics(daemon: Daemon) -> Mount:
    """Return a function that adds the three routes of a daemon to an application."""
    exposition = Exposition(make_registry(daemon, _AT_ONCE), daemon.registrations.reactor)

    async def metrics(call: Call) -> Answer:
        content_type, content = await exposition.encode(call.header("accept") or "")
        return Answer(content, content_type)

    def mount(application: Application) -> None:
        application.get("/metrics", metrics, query=None)
        application.get("/healthz", lambda _: _judge(faults(daemon)), query=None)
        application.get("/readyz", lambda _: _judge(obstacles(daemon)), query=None)

    return mount


def make_metrics_root(daemon: Daemon) -> IResource:
    """Return a resource with ``/metrics``, ``/healthz`` and ``/readyz`` alone, for a site of another program too.

    They answer GET. ``/metrics`` has the metrics in the format of Prometheus or OpenMetrics, as the header ``Accept`` asks for. The
    other two have the status 200, or 503 with a sentence for each reason.
    """
    return make_application(mount_metrics(daemon)).resource()


def _judge(reasons: Iterable[str]) -> Answer:
    """Return an answer with the status 200, or 503 if there are reasons."""
    lines = list(reasons)
    return Answer.of_text("".join(f"{line}\n" for line in lines or ["ok"]), status=503 if lines else 200)
