"""Tests of the daemon that twistd runs."""
