``mirror.tree(path)`` follows a whole subtree as one mapping of paths to ``(data, stat)``. It reports changes in order (``tree.watch``), takes an
optional depth and filter, and names nodes that cannot be read (``tree.unreadable``). It reads nodes in batches. Where the server supports
it, one persistent watch keeps the tree up to date; otherwise each node has its own watches. After a disconnection, also in a new
session, it reads only the changes.
Nodes can be read after a ``sync`` (``fresh=True``), followed with ``async for`` (``node.values()``), checked for existence, and created in every
mode (container, TTL, protected). ``get_json`` reads and writes JSON, with a compare-and-set ``update``. ``mirror.chroot(path)`` is a mirror of a
subtree. ``create``, ``create_r``, ``create_json``, ``create_r_json`` and ``ensure_exists`` create nodes. A node that no program references, watches or
awaits is evicted after ``linger`` seconds, with its watches at the server.
