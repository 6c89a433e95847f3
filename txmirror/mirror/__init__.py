"""Live objects: a Mirror, and the Nodes and Trees that it keeps equal to ZooKeeper's."""

from txmirror.mirror.changes import Change, ChangeKind
from txmirror.mirror.json_node import JsonNode
from txmirror.mirror.mirror import Mirror
from txmirror.mirror.node import Node
from txmirror.mirror.state import Existence, MirrorState, NodeState
from txmirror.mirror.tree import Tree

__all__ = ["Change", "ChangeKind", "Existence", "JsonNode", "Mirror", "MirrorState", "Node", "NodeState", "Tree"]
