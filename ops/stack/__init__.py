"""The real servers as supervised child processes: ZooKeeper, Kafka, HBase cells and Redis."""
