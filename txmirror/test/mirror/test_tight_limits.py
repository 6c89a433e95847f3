"""The mirror works with the tightest limits of its client: one request in flight, and one in the queue."""

from __future__ import annotations

from txmirror.client import Limits
from txmirror.test.mirror import (
    test_node,
    test_recovery,
    test_tree,
    test_tree_traps,
    test_views,
    test_watchers,
    test_writes,
)

TIGHT = Limits(in_flight_requests=1, queued_requests=1, queued_bytes=1)


class ReadingTests(test_node.ReadingTests):
    limits = TIGHT


class FollowingTests(test_node.FollowingTests):
    limits = TIGHT


class SameSessionTests(test_recovery.SameSessionTests):
    limits = TIGHT


class NewSessionTests(test_recovery.NewSessionTests):
    limits = TIGHT


class HistoryTests(test_recovery.HistoryTests):
    limits = TIGHT


class ShowingTests(test_tree.ShowingTests):
    limits = TIGHT


class OldShowingTests(test_tree.OldShowingTests):
    limits = TIGHT


class WatchingTests(test_tree.WatchingTests):
    limits = TIGHT


class TreeRecoveryTests(test_tree.RecoveryTests):
    limits = TIGHT


class TreeNewSessionTests(test_tree.NewSessionTests):
    limits = TIGHT


class ServedNodeTests(test_tree.ServedNodeTests):
    limits = TIGHT


class AwayTests(test_tree_traps.AwayTests):
    limits = TIGHT


class ViewTests(test_views.ViewTests):
    limits = TIGHT


class CreationTests(test_views.CreationTests):
    limits = TIGHT


class TellingTests(test_watchers.TellingTests):
    limits = TIGHT


class SetTests(test_writes.SetTests):
    limits = TIGHT
