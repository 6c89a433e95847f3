"""Tests of the wire: bytes and records, and nothing else."""
