/**
 * The events of the firehose, as they lie in the log and (PostCreated) in the posts table, each in
 * an envelope: magic, version, kind, length, crc32c (firehose/codec.py). Field ids are never reused.
 */
namespace py dashcell.event
namespace java org.dashcell.event
namespace go dashcell.event

struct PostRef { 1: i64 author, 2: i64 id }

struct PostCreated {
  1: i64 id
  2: i64 author
  3: i32 kind
  4: optional string title
  5: optional string body
  6: optional list<string> tags
  7: optional list<i64> mentions
  8: optional PostRef reblog_of
  9: optional PostRef reply_to
  10: optional i64 at_ms
  11: optional bool brought
}
struct PostRemoved { 1: i64 id, 2: i64 author, 3: i64 post_id }
struct Followed { 1: i64 id, 2: i64 follower, 3: i64 author, 4: i32 backfill }
struct Unfollowed { 1: i64 id, 2: i64 follower, 3: i64 author }
struct Liked { 1: i64 id, 2: i64 actor, 3: i64 author, 4: i64 post_id }
struct Unliked { 1: i64 id, 2: i64 actor, 3: i64 author, 4: i64 post_id }
struct MarkedRead { 1: i64 id, 2: i64 reader, 3: i32 lane, 4: i64 event_id }

/** An event that a cell could not apply, in the cell's dead-letter log: where it came from, when it
 *  was appended there, why it could not be applied, and its own bytes (`cut`: not all of them). */
struct DeadLetter {
  1: i32 partition, 2: i64 offset, 3: i64 at_ms, 4: string reason, 5: binary value,
  6: optional bool cut
}
/** What was done about a dead letter: `retried` or `discarded`. */
struct DeadLetterSettled { 1: i32 partition, 2: i64 offset, 3: string outcome }

/** What is left of a removed post in the posts table: when it was created (the version of its
 *  row), and whom it had notified, so that the removal can be repeated. */
struct Gone { 1: i64 created_version, 2: optional list<i64> notified }
