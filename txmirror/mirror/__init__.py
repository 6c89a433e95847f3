"""Live objects: a Mirror, and the Nodes that it keeps equal to ZooKeeper's."""

from txmirror.mirror.mirror import Mirror
from txmirror.mirror.node import Node
from txmirror.mirror.state import Existence, MirrorState, NodeState

__all__ = ["Existence", "Mirror", "MirrorState", "Node", "NodeState"]
