"""Subtrees as ordered streams of nodes: read from ZooKeeper, from files and folders, compared, and written back.

All streams have the same order: each node comes before the nodes below it, and siblings are sorted by name. So two streams can be
compared with little memory, and a position in a stream is one path.
"""
