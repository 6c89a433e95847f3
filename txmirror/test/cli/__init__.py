"""Tests of the ``txmirror`` command."""
