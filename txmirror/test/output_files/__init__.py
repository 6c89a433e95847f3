"""Tests of output files."""
