"""Tests of ``txmirror.compat``."""
