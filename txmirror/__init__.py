"""State and services from ZooKeeper, simply up to date in Twisted programs."""
