"""The Java programs of the tests of recipes: Curator's own recipes, by commands."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from txmirror.test.neighbours.java import JavaProgram

_LOCKS = """
import java.util.*;
import java.util.concurrent.*;
import org.apache.curator.framework.*;
import org.apache.curator.framework.recipes.leader.*;
import org.apache.curator.framework.recipes.locks.*;
import org.apache.curator.retry.RetryOneTime;

/** Each line is COMMAND KIND: the program answers with a line. A lock is acquired in a thread of its own. */
public class Locks {
    static final Map<String, BlockingQueue<String>> queues = new HashMap<>();

    static synchronized void say(String text) { System.out.println(text); System.out.flush(); }

    static InterProcessLock make(CuratorFramework client, String path, String kind) {
        switch (kind) {
            case "mutex": return new InterProcessMutex(client, path);
            case "read": return new InterProcessReadWriteLock(client, path).readLock();
            default: return new InterProcessReadWriteLock(client, path).writeLock();
        }
    }

    static void hold(InterProcessLock lock, String kind, BlockingQueue<String> commands) {
        try {
            while (true) {
                switch (commands.take()) {
                    case "acquire": lock.acquire(); say("held " + kind); break;
                    case "try": say((lock.acquire(200, TimeUnit.MILLISECONDS) ? "held " : "busy ") + kind); break;
                    default: lock.release(); say("released " + kind);
                }
            }
        } catch (Exception error) {
            say("failed " + kind + " " + error);
        }
    }

    public static void main(String[] args) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], 10000, 5000, new RetryOneTime(100));
        client.start();
        String path = args[1];
        LeaderLatch latch = new LeaderLatch(client, path, "curator");
        latch.addListener(new LeaderLatchListener() {
            public void isLeader() { say("held latch"); }
            public void notLeader() { say("lost latch"); }
        });
        CountDownLatch done = new CountDownLatch(1);
        LeaderSelector selector = new LeaderSelector(client, path, new LeaderSelectorListenerAdapter() {
            public void takeLeadership(CuratorFramework ignored) throws Exception { say("held selector"); done.await(); }
        });
        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, path, 2);
        InterProcessMutex revocable = new InterProcessMutex(client, path);
        revocable.makeRevocable(lock -> say("asked revocable"));
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            String[] words = lines.nextLine().split(" ");
            String command = words[0], kind = words[1];
            boolean begins = command.equals("acquire");
            switch (kind) {
                case "latch":
                    if (begins) latch.start(); else { latch.close(); say("released latch"); }
                    break;
                case "selector":
                    if (begins) selector.start(); else { done.countDown(); say("released selector"); }
                    break;
                case "revocable": revocable.acquire(); say("held revocable"); break;
                case "revoker":
                    for (String each : LockInternals.getParticipantNodes(client, path, "lock-", new StandardLockInternalsDriver()))
                        Revoker.attemptRevoke(client, each);
                    say("asked revoker");
                    break;
                case "semaphore": semaphore.acquire(); say("held semaphore"); break;
                default:
                    BlockingQueue<String> queue = queues.get(kind);
                    if (queue == null) {
                        BlockingQueue<String> made = new LinkedBlockingQueue<>();
                        InterProcessLock lock = make(client, path, kind);
                        Thread thread = new Thread(() -> hold(lock, kind, made));
                        thread.setDaemon(true);
                        thread.start();
                        queues.put(kind, made);
                        queue = made;
                    }
                    queue.put(command);
            }
        }
        client.close();
        System.exit(0);
    }
}
"""

_RECIPES = """
import java.util.*;
import java.util.concurrent.*;
import org.apache.curator.framework.*;
import org.apache.curator.framework.recipes.atomic.*;
import org.apache.curator.framework.recipes.barriers.*;
import org.apache.curator.framework.recipes.cache.*;
import org.apache.curator.framework.recipes.nodes.*;
import org.apache.curator.framework.recipes.shared.*;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.*;
import org.apache.zookeeper.CreateMode;

/** Each line is COMMAND PATH and arguments: the program answers with a line. */
public class Recipes {
    static CuratorFramework client;
    static final Map<String, GroupMember> groups = new HashMap<>();
    static final Map<String, DistributedDoubleBarrier> barriers = new HashMap<>();
    static final Map<String, PersistentNode> nodes = new HashMap<>();
    static final Map<String, ServiceDiscovery<Void>> discoveries = new HashMap<>();

    static String text(ChildData node) { return node.getPath() + "=" + new String(node.getData()); }

    @SuppressWarnings("deprecation")
    static String answer(String command, String path, String[] words) throws Exception {
        switch (command) {
            case "join":
                GroupMember joined = new GroupMember(client, path, words[2], words[3].getBytes());
                joined.start();
                groups.put(path, joined);
                return "joined";
            case "members":
                // Its cache is filled in the background.
                Map<String, byte[]> found = groups.get(path).getCurrentMembers();
                while (found.size() != Integer.parseInt(words[2])) {
                    Thread.sleep(10);
                    found = groups.get(path).getCurrentMembers();
                }
                List<String> members = new ArrayList<>();
                for (String name : new TreeSet<>(found.keySet())) members.add(name + "=" + new String(found.get(name)));
                return String.join(",", members);
            case "leave":
                groups.remove(path).close();
                return "left";
            case "count": {
                SharedCount count = new SharedCount(client, path, 40);
                count.start();
                int sum = count.getCount() + Integer.parseInt(words[2]);
                boolean done = count.trySetCount(count.getVersionedValue(), sum);
                count.close();
                return done + " " + sum;
            }
            case "integer": {
                AtomicValue<Integer> sum =
                    new DistributedAtomicInteger(client, path, new RetryOneTime(100)).add(Integer.parseInt(words[2]));
                return sum.succeeded() + " " + sum.postValue();
            }
            case "long": {
                AtomicValue<Long> sum =
                    new DistributedAtomicLong(client, path, new RetryOneTime(100)).add(Long.parseLong(words[2]));
                return sum.succeeded() + " " + sum.postValue();
            }
            case "value": {
                SharedValue value = new SharedValue(client, path, "seed".getBytes());
                value.start();
                String before = new String(value.getValue());
                boolean done = value.trySetValue(value.getVersionedValue(), words[2].getBytes());
                value.close();
                return done + " " + before;
            }
            case "set":
                new DistributedBarrier(client, path).setBarrier();
                return "set";
            case "remove":
                new DistributedBarrier(client, path).removeBarrier();
                return "removed";
            case "wait":
                return "waited " + new DistributedBarrier(client, path).waitOnBarrier(Long.parseLong(words[2]), TimeUnit.MILLISECONDS);
            case "enter":
                barriers.put(path, new DistributedDoubleBarrier(client, path, 2));
                return "entered " + barriers.get(path).enter(Long.parseLong(words[2]), TimeUnit.MILLISECONDS);
            case "exit":
                return "exited " + barriers.remove(path).leave(Long.parseLong(words[2]), TimeUnit.MILLISECONDS);
            case "namespace": {
                CuratorFramework within = client.usingNamespace(path.substring(1));
                within.create().forPath("/theirs", words[2].getBytes());
                return new String(within.getData().forPath("/ours"));
            }
            case "protected":
                return client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath(path + "/job-");
            case "cached": {
                CuratorCache whole = CuratorCache.build(client, path);
                CountDownLatch read = new CountDownLatch(1);
                whole.listenable().addListener(CuratorCacheListener.builder().forInitialized(read::countDown).build());
                whole.start();
                read.await();
                List<String> texts = new ArrayList<>();
                whole.stream().forEach(each -> texts.add(text(each)));
                whole.close();
                PathChildrenCache children = new PathChildrenCache(client, path, true);
                children.start(PathChildrenCache.StartMode.BUILD_INITIAL_CACHE);
                for (ChildData each : children.getCurrentData()) texts.add(text(each));
                children.close();
                NodeCache node = new NodeCache(client, path);
                node.start(true);
                texts.add(text(node.getCurrentData()));
                node.close();
                Collections.sort(texts);
                return String.join(",", texts);
            }
            case "persist": {
                PersistentNode node = new PersistentNode(client, CreateMode.EPHEMERAL, false, path, words[2].getBytes());
                node.start();
                nodes.put(path, node);
                return "persists " + node.waitForInitialCreate(30, TimeUnit.SECONDS);
            }
            case "unpersist":
                nodes.remove(path).close();
                return "closed";
            case "register": {
                int slash = path.lastIndexOf('/');
                ServiceDiscovery<Void> discovery =
                    ServiceDiscoveryBuilder.builder(Void.class).basePath(path.substring(0, slash)).client(client).build();
                discovery.start();
                discovery.registerService(ServiceInstance.<Void>builder()
                    .name(path.substring(slash + 1)).id("c1").address("127.0.0.44").port(8040).build());
                discoveries.put(path, discovery);
                return "registered";
            }
            case "provide": {
                int slash = path.lastIndexOf('/');
                ServiceProvider<Void> provider = discoveries.get(path).serviceProviderBuilder()
                    .serviceName(path.substring(slash + 1)).downInstancePolicy(new DownInstancePolicy(1, TimeUnit.HOURS, 1)).build();
                provider.start();
                Set<String> addresses = new TreeSet<>();
                for (ServiceInstance<Void> each : provider.getAllInstances()) addresses.add(each.getAddress() + ":" + each.getPort());
                ServiceInstance<Void> failed = provider.getInstance();
                provider.noteError(failed);
                boolean alone = true;
                for (int number = 0; number < 4; number++) alone &= !provider.getInstance().getId().equals(failed.getId());
                provider.close();
                return String.join(",", addresses) + " " + alone;
            }
            case "withdraw":
                discoveries.remove(path).close();
                return "withdrawn";
            default:
                return "unknown command";
        }
    }

    public static void main(String[] args) throws Exception {
        client = CuratorFrameworkFactory.newClient(args[0], 10000, 5000, new RetryOneTime(100));
        client.start();
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            String[] words = lines.nextLine().split(" ");
            String text;
            try {
                text = answer(words[0], words[1], words);
            } catch (Exception error) {
                text = "failed " + error;
            }
            System.out.println(text);
            System.out.flush();
        }
        client.close();
        System.exit(0);
    }
}
"""


@functools.cache
def curator_programs() -> JavaProgram:
    """Compile the programs once for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="txmirror-neighbours-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return JavaProgram(folder, Locks=_LOCKS, Recipes=_RECIPES)
