import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.CompactionState;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;

/**
 * Flushes a table and compacts it wholly, which neither Thrift gateway can: `majorCompact` of the
 * first asks HBase 2.6 for a minor one.
 *
 * Arguments: ZooKeeper's host:port, znode parent, table. Says "flushed" when that is done and no
 * compaction is under way, goes on when it is given a line, and says "compacted" at the end.
 */
public final class MajorCompact {
  private static final long LOOK_MS = 100;

  private MajorCompact() {}

  public static void main(String[] arguments) throws Exception {
    PrintStream out = System.out;
    // What libraries print must not be taken for an answer.
    System.setOut(System.err);
    Configuration configuration = HBaseConfiguration.create();
    configuration.set("hbase.zookeeper.quorum", arguments[0]);
    configuration.set("zookeeper.znode.parent", arguments[1]);
    TableName table = TableName.valueOf(arguments[2]);
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    try (Connection connection = ConnectionFactory.createConnection(configuration);
        Admin admin = connection.getAdmin()) {
      admin.flush(table);
      awaitNone(admin, table);
      out.println("flushed");
      if (in.readLine() == null) {
        return;
      }
      admin.majorCompact(table);
      awaitNone(admin, table);
      out.println("compacted");
    }
    System.exit(0);
  }

  private static void awaitNone(Admin admin, TableName table) throws Exception {
    do {
      Thread.sleep(LOOK_MS);
    } while (admin.getCompactionState(table) != CompactionState.NONE);
  }
}
