import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hbase.HBaseConfiguration;
import org.apache.hadoop.hbase.TableName;
import org.apache.hadoop.hbase.client.Admin;
import org.apache.hadoop.hbase.client.Connection;
import org.apache.hadoop.hbase.client.ConnectionFactory;
import org.apache.hadoop.hbase.client.Put;
import org.apache.hadoop.hbase.client.Table;

/**
 * Fan-outs through HBase's own Java client: `Table.put(List)`. What comes in and goes out is told
 * in child_writer.py beside this file.
 *
 * Arguments: ZooKeeper's host:port, znode parent, table, rows a call, threads.
 */
public final class PutList {
  private static final byte[] FAMILY = {'d'};
  private static final byte[] QUALIFIER = {};
  private static final byte[] LIVE = {1};

  private final Connection connection;
  private final TableName table;
  private final int rowsACall;
  private final ExecutorService threads;
  private final int ahead;

  private PutList(Connection connection, TableName table, int rowsACall, int threads) {
    this.connection = connection;
    this.table = table;
    this.rowsACall = rowsACall;
    this.threads = Executors.newFixedThreadPool(threads, task -> {
      Thread thread = new Thread(task, "put-list");
      thread.setDaemon(true);
      return thread;
    });
    this.ahead = 2 * threads;
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream out = System.out;
    // What libraries print must not be taken for an answer.
    System.setOut(System.err);
    Configuration configuration = HBaseConfiguration.create();
    configuration.set("hbase.zookeeper.quorum", arguments[0]);
    configuration.set("zookeeper.znode.parent", arguments[1]);
    configuration.setInt("hbase.client.retries.number", 5);
    DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 20));
    try (Connection connection = ConnectionFactory.createConnection(configuration)) {
      TableName table = TableName.valueOf(arguments[2]);
      try (Admin admin = connection.getAdmin()) {
        // Otherwise the client would look for it for a long time.
        if (!admin.tableExists(table)) {
          throw new IOException("there is no table " + table);
        }
      }
      // Finds the regions, so that the first call does not have to.
      connection.getRegionLocator(table).getAllRegionLocations();
      PutList writer = new PutList(
          connection, table, Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]));
      say(out, "ready");
      writer.serve(in, out);
    } catch (Exception error) {
      say(out, "failed " + error.toString().split("\n")[0]);
      throw error;
    }
    System.exit(0);
  }

  private void serve(DataInputStream in, PrintStream out) throws Exception {
    while (true) {
      int count;
      try {
        count = in.readInt();
      } catch (EOFException end) {
        return;
      }
      long began = System.nanoTime();
      long rows = write(in, count);
      double seconds = (System.nanoTime() - began) / 1e9;
      say(out, String.format(Locale.ROOT, "done %d %.6f", rows, seconds));
    }
  }

  /** Rows of many posts share a call; while calls are under way, the next lists are made. */
  private long write(DataInputStream in, int fanouts) throws Exception {
    List<Future<Integer>> pending = new ArrayList<>();
    List<Put> puts = new ArrayList<>(rowsACall);
    long rows = 0;
    for (int i = 0; i < fanouts; i++) {
      long inverted = ~in.readLong();
      long author = in.readLong();
      long at = in.readLong();
      byte[] places = new byte[8 * in.readInt()];
      in.readFully(places);
      for (int from = 0; from < places.length; from += 8) {
        byte[] key = new byte[24];
        System.arraycopy(places, from, key, 0, 8);
        ByteBuffer.wrap(key, 8, 16).putLong(inverted).putLong(author);
        puts.add(new Put(key, at).addColumn(FAMILY, QUALIFIER, at, LIVE));
        if (puts.size() == rowsACall) {
          pending.add(send(puts));
          puts = new ArrayList<>(rowsACall);
          if (pending.size() > ahead) {
            rows += pending.remove(0).get();
          }
        }
      }
    }
    if (!puts.isEmpty()) {
      pending.add(send(puts));
    }
    for (Future<Integer> future : pending) {
      rows += future.get();
    }
    return rows;
  }

  private Future<Integer> send(List<Put> puts) {
    int count = puts.size();
    return threads.submit(() -> {
      // A table is light, and for one thread at a time. put(List) empties what it has written.
      try (Table open = connection.getTable(table)) {
        open.put(puts);
      }
      return count;
    });
  }

  private static void say(PrintStream out, String line) throws IOException {
    out.println(line);
    out.flush();
  }
}
