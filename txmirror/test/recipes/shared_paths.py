"""The recipes of other projects on one path with ours: the rows of a table in the documentation, and the tests that show them."""

from __future__ import annotations

from typing import NamedTuple

_KAZOO = "txmirror.test.integration.test_recipes.ZooKeeperKazooTests"
_QUEUES = "txmirror.test.integration.test_recipes_queues.ZooKeeperKazooQueuesTests"
_BARRIERS = "txmirror.test.integration.test_recipes_barriers.ZooKeeperKazooBarriersTests"
_CURATOR = "txmirror.test.neighbours.test_curator_locks.CuratorLocksTests"
_CURATOR_RECIPES = "txmirror.test.neighbours.test_curator_recipes.CuratorRecipesTests"
_STYLES = "txmirror.test.recipes.test_styles.StylesTests"


class Row(NamedTuple):
    """One recipe of another project beside one of ours."""

    theirs: str
    ours: str
    effect: str
    test: str
    """The full name of the test that shows it."""


ROWS = (
    Row("kazoo ``Lock``", "``Lock``", "exclude each other", f"{_KAZOO}.test_lock"),
    Row(
        "kazoo ``ReadLock``, ``WriteLock``",
        "``ReadLock``, ``WriteLock``",
        "as one lock",
        f"{_KAZOO}.test_readers_and_writers",
    ),
    Row("kazoo ``Semaphore``", "``Semaphore``", "count each other", f"{_KAZOO}.test_semaphore"),
    Row("kazoo ``Election``", "``Election``", "one leader", f"{_KAZOO}.test_election"),
    Row("kazoo ``Queue``", "``Queue``", "one queue", f"{_QUEUES}.test_queue"),
    Row("kazoo ``LockingQueue``", "``LockingQueue``", "one queue", f"{_QUEUES}.test_locking_queue"),
    Row("kazoo ``Counter``", "``Counter``", "one number", f"{_QUEUES}.test_counter"),
    Row("kazoo ``Barrier``", "``Barrier``", "one barrier", f"{_BARRIERS}.test_barrier"),
    Row("kazoo ``DoubleBarrier``", "``DoubleBarrier``", "one barrier", f"{_BARRIERS}.test_double_barrier"),
    Row("kazoo ``Party``", "``Party``", "see each other", f"{_BARRIERS}.test_party"),
    Row(
        "Curator ``InterProcessMutex``",
        '``Lock(style="curator-mutex")``',
        "exclude each other",
        f"{_CURATOR}.test_mutex",
    ),
    Row(
        "Curator ``InterProcessReadWriteLock``",
        '``ReadLock``, ``WriteLock(style="curator-read-write")``',
        "as one lock",
        f"{_CURATOR}.test_read_write",
    ),
    Row("Curator ``LeaderLatch``", '``Election(style="curator-latch")``', "one leader", f"{_CURATOR}.test_latch"),
    Row("Curator ``LeaderSelector``", '``Election(style="curator-mutex")``', "one leader", f"{_CURATOR}.test_selector"),
    Row(
        "Curator ``InterProcessSemaphoreV2``", "all", "refused with ``LockMismatchError``", f"{_CURATOR}.test_semaphore"
    ),
    Row(
        "Curator ``Revoker``",
        "``lock.revocation``",
        "is understood, and ``lock.revoke()`` by Curator",
        f"{_CURATOR}.test_revoke",
    ),
    Row("Curator ``GroupMember``", "``Members``", "see each other", f"{_CURATOR_RECIPES}.test_members"),
    Row(
        "Curator ``SharedCount``, ``DistributedAtomicInteger``",
        "``Counter(curator=True)``",
        "one number",
        f"{_CURATOR_RECIPES}.test_count",
    ),
    Row(
        "Curator ``DistributedAtomicLong``",
        "``Counter``",
        "refused with ``ValueError``",
        f"{_CURATOR_RECIPES}.test_long",
    ),
    Row("Curator ``SharedValue``", "``SharedValue``", "one value", f"{_CURATOR_RECIPES}.test_value"),
    Row("Curator ``DistributedBarrier``", "``Barrier``", "one barrier", f"{_CURATOR_RECIPES}.test_barrier"),
    Row(
        "Curator ``DistributedDoubleBarrier``",
        "``DoubleBarrier``",
        "one barrier",
        f"{_CURATOR_RECIPES}.test_double_barrier",
    ),
    Row(
        "go-zookeeper ``Lock``",
        '``Lock(style="go")``',
        "exclude each other (tested with nodes of its form)",
        f"{_STYLES}.test_wait_for_others",
    ),
    Row(
        "a lock of another style than ours",
        "all",
        "refused with ``LockMismatchError``",
        f"{_STYLES}.test_other_styles_refused",
    ),
    Row(
        "a lock with other names",
        "``Lock(extra_lock_patterns=[...])``",
        "ours waits for theirs",
        f"{_STYLES}.test_extra_patterns",
    ),
)
