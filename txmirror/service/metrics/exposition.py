"""The text of the metrics, in the format that a scraper asks for, encoded piece by piece: a large daemon works on meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator, TaskStopped
from twisted.python.failure import Failure

#: The end of a text in the format of OpenMetrics, and the beginning of a line that is no sample.
_EOF: Final = b"# EOF\n"
_COMMENT: Final = b"#"


class _One(Collector):
    """A registry with one family."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterator[Family]:
        """Yield the family."""
        yield self._family


class Exposition:
    """Encodes metrics, without holding up the reactor.

    :param registry: the metrics. A family may come in several parts, one after another: each is encoded in a turn of the reactor.
    :param reactor: the reactor.
    """

    def __init__(self, registry: CollectorRegistry, reactor: IReactorTime) -> None:
        self._registry = registry
        # One piece in each turn of the reactor.
        self._cooperator = Cooperator(
            terminationPredicateFactory=lambda: lambda: True, scheduler=lambda work: reactor.callLater(0, work)
        )

    def encode(self, accept: str) -> Deferred[tuple[str, bytes]]:
        """Encode the metrics as they are now.

        :param accept: the value of the header ``Accept``, which chooses the format; empty for Prometheus's own.
        :returns: fires with the content type and the text. Cancelling ends the work.
        """
        encoder, content_type = _choose(accept)
        pieces: list[bytes] = []

        def work_off() -> Iterator[None]:
            for piece in self._encode(encoder):
                pieces.append(piece)
                yield None

        work = self._cooperator.cooperate(work_off())

        def stop(_: Deferred[tuple[str, bytes]]) -> None:
            work.stop()

        encoded: Deferred[tuple[str, bytes]] = Deferred(stop)

        def fail(failure: Failure) -> None:
            # A cancelled Deferred fails by itself.
            if not failure.check(TaskStopped):
                encoded.errback(failure)

        work.whenDone().addCallbacks(lambda _: encoded.callback((content_type, b"".join(pieces))), fail)
        return encoded

    def _encode(self, encoder: Callable[[Collector], bytes]) -> Iterator[bytes]:
        former = ""
        for family in self._registry.collect():
            text = encoder(_One(family)).removesuffix(_EOF)
            # The help and the type of a metric come once.
            while family.name == former and text.startswith(_COMMENT):
                text = text.partition(b"\n")[2]
            former = family.name
            yield text
        yield _EOF if encoder(CollectorRegistry()).endswith(_EOF) else b""


def _choose(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the encoder and its content type."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        # The header has an invalid version.
        return choose_encoder("")
