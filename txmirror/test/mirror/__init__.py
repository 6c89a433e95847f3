"""Tests of the mirror: what it promises about nodes, under everything that ZooKeeper and the network do."""
