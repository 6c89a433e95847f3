"""An in-memory ZooKeeper server that speaks the real protocol, for tests and demonstrations. It keeps nothing on disk."""

from txmirror.embedded.acl import Identity, digest_identity
from txmirror.embedded.acl import check as check_access
from txmirror.embedded.alone import CannotDoError, EmbeddedService
from txmirror.embedded.connection import Connection
from txmirror.embedded.ensemble import EmbeddedEnsemble
from txmirror.embedded.ensemble_state import Snapshot
from txmirror.embedded.faults import Fault
from txmirror.embedded.options import EmbeddedOptions
from txmirror.embedded.requests import Caller
from txmirror.embedded.server import Server
from txmirror.embedded.standalone import EmbeddedServer
from txmirror.embedded.transactions import Transaction
from txmirror.embedded.tree import Node as Znode
from txmirror.embedded.tree import Tree

__all__ = [
    "Caller",
    "CannotDoError",
    "Connection",
    "EmbeddedEnsemble",
    "EmbeddedOptions",
    "EmbeddedServer",
    "EmbeddedService",
    "Fault",
    "Identity",
    "Server",
    "Snapshot",
    "Transaction",
    "Tree",
    "Znode",
    "check_access",
    "digest_identity",
]
