"""What ``twistd txmirror`` runs. Imported at every ``twistd --help``, so the service itself is only named here."""

from twisted.application.service import ServiceMaker

txmirror = ServiceMaker(
    "txmirror",
    "txmirror.service",
    "Keep services registered in ZooKeeper.",
    "txmirror",
)
