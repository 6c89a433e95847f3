"""The registration daemon: its command line, its parts, and the service that twistd runs."""

from txmirror.service.daemon import Daemon
from txmirror.service.launching import RegistrationService, makeService
from txmirror.service.options import Options
from txmirror.service.registrations import Offer, RegistrationsService
from txmirror.service.session_settings import SessionSettings
from txmirror.service.state import StateService

__all__ = [
    "Daemon",
    "Offer",
    "Options",
    "RegistrationService",
    "RegistrationsService",
    "SessionSettings",
    "StateService",
    "makeService",
]
