"""Tests of what twistd runs."""
