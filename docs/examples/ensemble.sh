# Start an ensemble of three ZooKeeper servers on this machine. Each has a folder, a log, and a file with its process number.
for n in 1 2 3; do
    mkdir -p zk$n
    echo $n > zk$n/myid
    cat > zk$n.cfg <<END
dataDir=zk$n
tickTime=1000
initLimit=10
syncLimit=5
admin.enableServer=false
server.1=127.0.0.1:2888:3888;127.0.0.1:2181
server.2=127.0.0.1:2889:3889;127.0.0.1:2182
server.3=127.0.0.1:2890:3890;127.0.0.1:2183
END
    java -cp '/usr/share/java/*' org.apache.zookeeper.server.quorum.QuorumPeerMain zk$n.cfg > zk$n.log 2>&1 &
    echo $! > zk$n.pid
done
