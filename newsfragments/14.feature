``ServiceRegistry`` takes ``servers`` and ``session_timeout``, like ``Mirror`` and the client. ``server`` and ``timeout`` remain as the names of
nd_service_registry. ``from txmirror import ServiceRegistry, ZooKeeperClient`` works.
