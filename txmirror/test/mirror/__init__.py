"""Tests of the mirror: its guarantees about nodes, under all faults of ZooKeeper and the network."""
