"""The registration daemon: its command line, its parts, and the service that twistd runs."""

from txmirror.service.control import ControlService
from txmirror.service.daemon import Daemon
from txmirror.service.daemon_application import make_root
from txmirror.service.launching import RegistrationService, makeService
from txmirror.service.metrics import METRICS, MetricsService, make_metrics_root
from txmirror.service.options import Options
from txmirror.service.registrations import Offer, RegistrationsService
from txmirror.service.session_settings import SessionSettings
from txmirror.service.state import StateService
from txmirror.service.state_file import Origin, SavedSession, StateFileHeldError

__all__ = [
    "METRICS",
    "ControlService",
    "Daemon",
    "MetricsService",
    "Offer",
    "Options",
    "Origin",
    "RegistrationService",
    "RegistrationsService",
    "SavedSession",
    "SessionSettings",
    "StateFileHeldError",
    "StateService",
    "makeService",
    "make_metrics_root",
    "make_root",
]
