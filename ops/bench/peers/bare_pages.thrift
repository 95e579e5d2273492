// What the bare page server serves: framed transport, binary protocol.

struct BareEntry {
  1: i64 id
  2: i64 author
  3: binary post  // as it lies in the posts table; empty: there is none
}

service BarePages {
  // The newest entries below the id `before` (0: from the newest).
  list<BareEntry> page(1: i64 reader, 2: i64 before, 3: i32 limit)
}
