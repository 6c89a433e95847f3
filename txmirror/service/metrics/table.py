"""All metrics, in the order of the documentation."""

from __future__ import annotations

from typing import Final

from txmirror.service.metrics.of_daemon import DAEMON
from txmirror.service.metrics.of_dns import DNS
from txmirror.service.metrics.of_http import HTTP
from txmirror.service.metrics.of_output_files import OUTPUT_FILES
from txmirror.service.metrics.of_services import SERVICES
from txmirror.service.metrics.of_zookeeper import ZOOKEEPER

METRICS: Final = (*DAEMON, *SERVICES, *ZOOKEEPER, *OUTPUT_FILES, *DNS, *HTTP)
