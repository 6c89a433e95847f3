"""The daemon's metrics for Prometheus, and the answers for load balancers: is it alive, and is it ready."""

from txmirror.service.metrics.collector import make_registry
from txmirror.service.metrics.listening import MetricsService
from txmirror.service.metrics.routes import make_metrics_root, mount_metrics
from txmirror.service.metrics.table import METRICS

__all__ = ["METRICS", "MetricsService", "make_metrics_root", "make_registry", "mount_metrics"]
