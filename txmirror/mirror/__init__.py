"""Live objects: a Mirror, and the Nodes and Trees that it keeps equal to ZooKeeper's."""

from txmirror.mirror.changes import Change, ChangeKind
from txmirror.mirror.decoded import Decoded, DecodedChange
from txmirror.mirror.index import Index
from txmirror.mirror.json_node import JsonNode, decode_json
from txmirror.mirror.mirror import Mirror
from txmirror.mirror.node import Node
from txmirror.mirror.state import Existence, MirrorState, NodeState
from txmirror.mirror.tree import Tree

__all__ = [
    "Change",
    "ChangeKind",
    "Decoded",
    "DecodedChange",
    "Existence",
    "Index",
    "JsonNode",
    "Mirror",
    "MirrorState",
    "Node",
    "NodeState",
    "Tree",
    "decode_json",
]
