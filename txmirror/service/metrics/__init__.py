"""The daemon's metrics for Prometheus, and the answers for load balancers: is it alive, and is it ready."""

from txmirror.service.metrics.collector import make_registry
from txmirror.service.metrics.listening import MetricsService
from txmirror.service.metrics.resources import add_pages, make_metrics_root
from txmirror.service.metrics.table import METRICS

__all__ = ["METRICS", "MetricsService", "add_pages", "make_metrics_root", "make_registry"]
