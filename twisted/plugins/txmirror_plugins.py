"""The plugin of ``twistd txmirror``. Every ``twistd --help`` imports it, so it only names the service's module."""

from twisted.application.service import ServiceMaker

txmirror = ServiceMaker(
    "txmirror",
    "txmirror.service",
    "Keep services registered in ZooKeeper.",
    "txmirror",
)
