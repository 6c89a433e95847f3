"""The configuration of the registration daemon: the classes, and the files and options that they are made from."""

from txmirror.configuration.addresses import SocketAddress, UNIXAddress
from txmirror.configuration.description import describe
from txmirror.configuration.difference import Change, Difference, difference
from txmirror.configuration.dns import DNS
from txmirror.configuration.errors import ConfigurationError
from txmirror.configuration.http import HTTPServer
from txmirror.configuration.loading import load
from txmirror.configuration.model import Configuration, Daemon, Host, Service, WriteRate, ZooKeeper
from txmirror.configuration.options import from_options, readers_from_options
from txmirror.configuration.probes import (
    HTTP,
    TCP,
    TTL,
    UNIX,
    Alias,
    Check,
    CheckSettings,
    Command,
    File,
    FlapHold,
    Noop,
    Probe,
    Process,
)
from txmirror.configuration.watches import AUTO, Watch

__all__ = [
    "AUTO",
    "DNS",
    "HTTP",
    "TCP",
    "TTL",
    "UNIX",
    "Alias",
    "Change",
    "Check",
    "CheckSettings",
    "Command",
    "Configuration",
    "ConfigurationError",
    "Daemon",
    "Difference",
    "File",
    "FlapHold",
    "HTTPServer",
    "Host",
    "Noop",
    "Probe",
    "Process",
    "Service",
    "SocketAddress",
    "UNIXAddress",
    "Watch",
    "WriteRate",
    "ZooKeeper",
    "describe",
    "difference",
    "from_options",
    "load",
    "readers_from_options",
]
