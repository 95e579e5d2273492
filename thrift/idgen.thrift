/**
 * Ids of posts and events: 63-bit Snowflakes (41 bits of milliseconds since
 * 2010-11-04T01:42:54.657Z, 10 bits of worker id, 12 bits of sequence). They fit a signed 64-bit
 * integer; a double does not hold them, so write them into JSON as strings (too).
 *
 * An id is never given twice, by whichever server; those of one server strictly increase.
 * Field ids are never reused.
 */
include "context.thrift"
include "errors.thrift"

namespace py dashcell.idgen
namespace java org.dashcell.idgen
namespace go dashcell.idgen

/** As many ids as one next_ids request may ask for. */
const i32 IDS_MAX = 10000

struct NextIdRequest {
  /** The id is above this one (of any server), which may lie at most ten seconds in the future. */
  1: optional i64 after
  2: optional context.Context context
}

struct NextIdsRequest {
  /** 1 to IDS_MAX. */
  1: i32 n
  2: optional context.Context context
}

struct DecodeRequest {
  1: i64 id
  2: optional context.Context context
}

/** What an id says of itself. */
struct DecodedId {
  /** Milliseconds since 1970-01-01 UTC. */
  1: i64 at_ms
  2: i32 worker
  3: i32 sequence
  /** The time as ISO 8601 has it, UTC, to the millisecond: 2012-07-03T00:00:00.000Z. */
  4: optional string at
  /** The id in decimal digits, for JSON. */
  5: optional string id_str
}

struct IdGenStatusRequest {
  1: optional context.Context context
}

struct IdGenStatus {
  /** One of: new, holding, expired, stopped. */
  1: string state
  /** -1 without a lease. */
  2: i32 worker
  /** Grows with every acquisition of this worker id. */
  3: i64 epoch
  4: string holder
  /** Of the last id given; 0 before the first. */
  5: i64 last_ms
  /** No id is given above this without asking the registry; milliseconds since 1970. */
  6: i64 reserved_ms
  /** For so long ids are given although the registry is away. */
  7: i64 lease_left_ms
  8: i64 ids_given
  /** Why the last try to acquire or renew failed; empty after a success. */
  9: string trouble
  /** This machine's clock, milliseconds since 1970. */
  10: optional i64 clock_ms
  /** The clocks of the other servers less this one, as last compared; absent: with nobody's. */
  11: optional i64 clock_offset_ms
  /** With how many servers it was compared. */
  12: optional i32 clock_peers
}

service IdGen {
  /** One id, above all that this server gave before. */
  i64 next_id(1: NextIdRequest request) throws (
    1: errors.BadRequest bad_request
    2: errors.Unavailable unavailable
    3: errors.DeadlineExceeded deadline_exceeded
    4: errors.Throttled throttled
  )

  /** Several ids, increasing. */
  list<i64> next_ids(1: NextIdsRequest request) throws (
    1: errors.BadRequest bad_request
    2: errors.Unavailable unavailable
    3: errors.DeadlineExceeded deadline_exceeded
    4: errors.Throttled throttled
  )

  /** The parts of an id. */
  DecodedId decode(1: DecodeRequest request) throws (
    1: errors.BadRequest bad_request
  )

  /** The server's lease, reserve and last trouble. */
  IdGenStatus status(1: IdGenStatusRequest request)
}
