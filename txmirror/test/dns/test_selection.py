"""The instances of a service in groups, and the work for answers about a long list."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from txmirror.dns import selection as selection_module
from txmirror.dns.records import parse_address, tags_of, zone_of
from txmirror.dns.selection import Bag, Selection
from txmirror.test.dns.case import DNSTestCase, ask, decode
from txmirror.types import Instance


class CountingRandom(Random):
    """Counts its choices."""

    count = 0

    def random(self) -> float:
        self.count += 1
        return super().random()


def instance(number: int, zone: str, tag: str) -> Instance:
    """Return an instance; some have the same address, and some none."""
    address = (
        "host.example"
        if number % 5 == 0
        else f"2001:db8::{number // 2}"
        if number % 3 == 0
        else f"10.0.0.{number // 2}"
    )
    return Instance(name=f"{number:03}", address=address, port=80, labels={"zone": zone, "tag": tag})


_LISTS = st.lists(
    st.dictionaries(st.integers(0, 30), st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"))),
    min_size=1,
    max_size=6,
)


class BagTests(SynchronousTestCase):
    def test_random(self) -> None:
        """All orders are equally likely, and only the steps that are read are made."""
        bag: Bag[int] = Bag()
        for number in range(4):
            bag.add(number, number)
        bag.remove(1)
        random = CountingRandom(0)
        orders = Counter(tuple(bag.shuffled(random)) for _ in range(6000))
        self.assertEqual(set(map(frozenset, orders)), {frozenset((0, 2, 3))})
        self.assertEqual(len(orders), 6)
        self.assertLess(max(orders.values()) - min(orders.values()), 200)
        random.count = 0
        next(bag.shuffled(random))
        self.assertEqual(random.count, 1)


class SelectionTests(SynchronousTestCase):
    @given(_LISTS, st.sampled_from([None, "a"]), st.integers(0, 5))
    def test_any_changes(self, lists: list[dict[int, tuple[str, str]]], zone: str | None, tags_from: int) -> None:
        """After any changes, each group has just the instances and addresses that a look at all of them finds."""
        selection = Selection(zone)
        known: dict[tuple[int, tuple[str, str]], Instance] = {}
        before: dict[str, Instance] = {}
        for step, each in enumerate(lists):
            instances = tuple(known.setdefault((key, each[key]), instance(key, *each[key])) for key in sorted(each))
            now = {one.name: one for one in instances}
            for name in sorted(before.keys() | now.keys()):
                selection.change(name, now.get(name))
                if step % 2:
                    # Changes may be put into groups together, or each by itself.
                    selection.update()
            before = now
            while not selection.update():
                pass
            for tag in (None, *(("x", "y", "z", "none") if step >= tags_from else ())):
                wanted = [one for one in instances if tag is None or tag in tags_of(one)]
                near = [one for one in wanted if zone is not None and zone_of(one) == zone]
                group = selection.choose(tag)
                found = sorted(group.instances.shuffled(Random(0)), key=lambda one: one.name)
                self.assertEqual(found, near or wanted)
                addresses = {one.address for one in near or wanted}
                texts = sorted(str(one) for bag in group.addresses.values() for one in bag.shuffled(Random(0)))
                self.assertEqual(texts, sorted(one for one in addresses if one is not None and one != "host.example"))


class LongListTests(DNSTestCase):
    """Questions about a service with many instances."""

    @property
    def answering(self) -> Any:
        """The object that answers."""
        return self.responder.answer.__self__  # type: ignore[attr-defined]

    def test_work(self) -> None:
        """An answer makes as many choices as it has records, also when the list has changed; of that, only the change is looked at."""
        random = CountingRandom(0)
        self.patch(self.answering, "_random", random)
        self.make("web")
        for number in range(600):
            self.other.create(f"/services/web/10.0.{number // 250}.{number % 250}:80")
        self.show()
        self.reply("web.service.mirror")
        looked: list[str | None] = []
        parse = parse_address

        def note(text: str | None) -> object:
            looked.append(text)
            return parse(text)

        self.patch(selection_module, "parse_address", note)
        for number, kind in enumerate((dns.A, dns.AAAA, dns.SRV, dns.TXT)):
            self.world.result(self.other.set("/services/web/10.0.1.1:80", b'{"v": %d}' % number))
            self.show()
            random.count = 0
            records = len(self.reply("web.service.mirror", kind, size=1232).answers)
            self.assertLessEqual(random.count, records + 1)
            self.assertEqual(looked, ["10.0.1.1"] * 2)
            looked.clear()
        self.reply("web.service.mirror")
        self.assertEqual(looked, [])

    def test_parts(self) -> None:
        """A long list is looked at in several turns of the reactor, however many questions wait for it, also when it changes meanwhile."""
        self.make("web")
        for number in range(60):
            self.other.create(f"/services/web/10.0.0.{number}:80")
        self.show()
        self.patch(selection_module, "MOST_IN_TURN", 20)
        waiting = [self.responder.respond(ask("web.service.mirror", size=1232), by_tcp=False) for _ in range(5)]
        self.assertEqual((self.responder.waiting, [each.called for each in waiting]), (5, [False] * 5))
        waiting.pop().cancel()
        self.other.delete("/services/web/10.0.0.59:80")
        self.other.delete("/services/web/10.0.0.0:80")
        self.show()
        for each in waiting:
            reply = self.successResultOf(each)
            assert reply is not None
            self.assertGreaterEqual(len(decode(reply).answers), 58)
        self.assertEqual(len(self.answers("web.service.mirror", size=1232)), 58)
        self.assertEqual((self.responder.waiting, self.answering._parts), (0, {}))

    def test_no_name(self) -> None:
        """The names above those of services with dots are known without a search."""
        self.make("a.b.c")
        for name in ("b.c", "c", "b.c"):
            self.assert_no_data(f"{name}.service.mirror")
        self.assertEqual(self.directory._ends, {"b.c", "c"})
        self.assert_no_name("b.service.mirror")
        self.responder.respond(ask("b.c.service.mirror"), by_tcp=False)
        self.world.result(self.other.delete("/services/a.b.c"))
        self.show()
        self.assert_no_name("b.c.service.mirror")
