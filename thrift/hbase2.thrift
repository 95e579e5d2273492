// The part of HBase's Thrift 2 gateway (service THBaseService, HBase 2.6) that Dashcell calls.
// Names, field ids and types are those of the protocol; whatever is not used here is left out,
// which Thrift allows. The full IDL lies in the hbase-thrift jar, Apache-2.0.

namespace py dashcell.hbase2
namespace java org.dashcell.hbase2
namespace go dashcell.hbase2

struct TTimeRange {
  1: required i64 minStamp
  2: required i64 maxStamp  // exclusive; 2^63-1 means no bound
}

struct TColumnValue {
  1: required binary family
  2: required binary qualifier
  3: required binary value
  4: optional i64 timestamp
  5: optional binary tags
  6: optional i8 type
}

struct TResult {
  1: optional binary row  // absent: there is no such row
  2: required list<TColumnValue> columnValues
  3: optional bool stale
  4: optional bool partial
}

struct TGet {
  1: required binary row
}

struct TPut {
  1: required binary row
  2: required list<TColumnValue> columnValues
}

struct TScan {
  1: optional binary startRow
  2: optional binary stopRow
  4: optional i32 caching
  6: optional TTimeRange timeRange
  7: optional binary filterString
  11: optional bool reversed
  15: optional i32 limit
}

union TMutation {
  1: TPut put
}

struct TRowMutations {
  1: required binary row
  2: required list<TMutation> mutations
}

// compareOp is read as: the value given `op` the value stored.
enum TCompareOp {
  LESS = 0
  LESS_OR_EQUAL = 1
  EQUAL = 2
  NOT_EQUAL = 3
  GREATER_OR_EQUAL = 4
  GREATER = 5
  NO_OP = 6
}

enum TCompressionAlgorithm {
  LZO = 0
  GZ = 1
  NONE = 2
  SNAPPY = 3
  LZ4 = 4
  BZIP2 = 5
  ZSTD = 6
}

enum TDataBlockEncoding {
  NONE = 0
  PREFIX = 2
  DIFF = 3
  FAST_DIFF = 4
  ROW_INDEX_V1 = 7
}

struct TTableName {
  1: optional binary ns
  2: required binary qualifier
}

struct TColumnFamilyDescriptor {
  1: required binary name
  6: optional TCompressionAlgorithm compressionType
  8: optional TDataBlockEncoding dataBlockEncoding
  10: optional i32 maxVersions
  13: optional i32 timeToLive  // seconds; 2^31-1 is for ever
}

struct TTableDescriptor {
  1: required TTableName tableName
  2: optional list<TColumnFamilyDescriptor> columns
}

exception TIOError {
  1: optional string message
  2: optional bool canRetry
}

exception TIllegalArgument {
  1: optional string message
}

service THBaseService {
  list<TResult> getMultiple(1: required binary table, 2: required list<TGet> tgets)
    throws (1: TIOError io)

  void putMultiple(1: required binary table, 2: required list<TPut> tputs)
    throws (1: TIOError io)

  list<TResult> getScannerResults(
    1: required binary table, 2: required TScan tscan, 3: i32 numRows
  ) throws (1: TIOError io)

  bool checkAndPut(
    1: required binary table, 2: required binary row, 3: required binary family,
    4: required binary qualifier,
    5: binary value,  // absent: iff there is no such column, or an empty value
    6: required TPut tput
  ) throws (1: TIOError io)

  bool checkAndMutate(
    1: required binary table, 2: required binary row, 3: required binary family,
    4: required binary qualifier, 5: required TCompareOp compareOp, 6: binary value,
    7: required TRowMutations rowMutations
  ) throws (1: TIOError io)

  void createTable(1: required TTableDescriptor desc, 2: list<binary> splitKeys)
    throws (1: TIOError io)

  // Asked by tests only: how a table was really made.
  TTableDescriptor getTableDescriptor(1: required TTableName table) throws (1: TIOError io)

  bool isTableAvailable(1: required TTableName tableName) throws (1: TIOError io)
}
