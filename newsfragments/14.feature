``ServiceRegistry`` takes ``servers`` and ``session_timeout`` as ``Mirror`` and the client do; ``server`` and ``timeout`` stay as
nd_service_registry's names. ``from txmirror import ServiceRegistry, ZooKeeperClient`` works.
