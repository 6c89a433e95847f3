``txmirror[txzookeeper]`` makes txzookeeper 0.9.8 run on Python 3.10 to 3.13, translated during the import and without C, with
``txmirror.compat.install()``. ``python -m txmirror.compat PROGRAM`` runs a whole program in Python 2. ``txmirror.compat.TxZooKeeperClient`` adapts its
clients to ``IZooKeeperClient``, for ``Mirror(client=...)`` and ``twistd -n txmirror --client txzookeeper``.
A mirror on it has weaker guarantees, which the documentation lists.
