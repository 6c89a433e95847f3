"""Tests against servers: the embedded one and a real ZooKeeper."""
