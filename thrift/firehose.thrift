/**
 * The firehose of Dashcell: every write of the platform as one event in an ordered log. Append
 * events to it, and read it from any place. Framed transport, binary protocol, service "Firehose".
 *
 * Events lie in partitions. Their order within a partition never changes; between partitions there
 * is none. All that one author posts and removes is in one partition, and so is who follows them.
 *
 * Users are positive 64-bit integers, ids 63-bit Snowflakes, times milliseconds since 1970. Cursors
 * and tokens of receipts are opaque: pass them on unchanged. Unknown fields are ignored; field ids
 * are never reused.
 *
 * Every request has `token`, the bearer token of the client (cellctl tokens create): role `append`
 * for append and append_many, role `read` for the others. Without a known one it is Unauthenticated,
 * whatever else is in the request.
 */
include "context.thrift"
include "dashboard.thrift"
include "errors.thrift"

namespace py dashcell.firehose
namespace java org.dashcell.firehose
namespace go dashcell.firehose

/** As many events as one append_many may have, and one read may ask for. */
const i32 EVENTS_MAX = 1000

enum EventKind {
  POST_CREATED = 1, POST_REMOVED = 2, FOLLOWED = 3, UNFOLLOWED = 4, LIKED = 5, UNLIKED = 6,
  MARKED_READ = 7
}

/** `author` published `draft`; the event's id is the post's. `brought` is set by the server: the
 *  client brought the id, so the same post may be in the log twice. */
struct PostCreated { 1: i64 author, 2: dashboard.Draft draft, 3: optional bool brought }

/** `author` removed the post `post_id`. */
struct PostRemoved { 1: i64 author, 2: i64 post_id }

/** `follower` follows `author` from now on. backfill: how many of the author's newest posts to bring
 *  along (0 to 1000); the platform's default when absent in an append. */
struct Followed { 1: i64 follower, 2: i64 author, 3: optional i32 backfill }

struct Unfollowed { 1: i64 follower, 2: i64 author }

/** `actor` likes the post `post_id` of `author`. */
struct Liked { 1: i64 actor, 2: i64 author, 3: i64 post_id }

struct Unliked { 1: i64 actor, 2: i64 author, 3: i64 post_id }

/** `reader` has read the lane (POSTS or NOTICES) up to and including the event `event_id`. */
struct MarkedRead { 1: i64 reader, 2: dashboard.Lane lane, 3: i64 event_id }

/**
 * An event to append: exactly one of the kinds. The limits are those of the dashboard API.
 */
struct NewEvent {
  1: optional PostCreated post_created
  2: optional PostRemoved post_removed
  3: optional Followed followed
  4: optional Unfollowed unfollowed
  5: optional Liked liked
  6: optional Unliked unliked
  7: optional MarkedRead marked_read
  /** An id taken from idgen before, at most 15 minutes ago. With it a retry is the same event; it
   *  may be in the log twice, under one id, and changes nothing. Without it the server takes one. */
  15: optional i64 brought_id
}

/** The event is in the log. */
struct Receipt {
  1: i64 id
  2: i32 partition
  3: i64 offset
  /** by the log's clock */
  4: i64 appended_ms
  /** given to the dashboard API's `page.at_least`, it makes a page include the event */
  5: binary token
}

enum WhyUnreadable {
  /** intact, of a kind or format that the server does not know: of a later program */
  UNKNOWN = 1
  /** not what was written, or contents that make no sense */
  DAMAGED = 2
}

/** What cannot be read is never left out, whatever is selected. */
struct Unreadable {
  1: WhyUnreadable why
  /** the kind's number as the record says, where there are as many bytes */
  2: optional i32 kind
  /** the whole record, in the format of docs/firehose.md, "As bytes" */
  3: binary bytes
}

/** An event as it lies in the log: exactly one of the kinds, or `unreadable`. */
struct Event {
  1: optional PostCreated post_created
  2: optional PostRemoved post_removed
  3: optional Followed followed
  4: optional Unfollowed unfollowed
  5: optional Liked liked
  6: optional Unliked unliked
  7: optional MarkedRead marked_read
  8: optional Unreadable unreadable
  /** absent for what cannot be read */
  11: optional i64 id
  12: i32 partition
  13: i64 offset
  /** by the log's clock; never falls within a partition */
  14: i64 appended_ms
  /** by the author's word, else when the id was given; absent for what cannot be read */
  15: optional i64 authored_ms
}

struct AppendRequest {
  1: string token
  2: NewEvent event
  15: optional context.Context context
}

/** events: at most EVENTS_MAX, and with all else 1 MiB in the request. */
struct AppendManyRequest {
  1: string token
  2: list<NewEvent> events
  15: optional context.Context context
}

struct ReadRequest {
  1: string token
  /** Where to begin: a cursor from an answer, a time with its zone (2012-07-04T12:00:00Z),
   *  milliseconds since 1970, a time ago (-2h, -90s, -7d), earliest, or latest. */
  2: string start
  /** Only these; absent or empty: all. */
  3: optional list<EventKind> kinds
  /** Only events whose `author` is one of these (at most 1000); absent or empty: all. */
  4: optional list<i64> authors
  /** A share of the partitions, so that several readers divide the work: of four, the first says
   *  0/4, the last 3/4. Absent: all. A cursor is good for the same share only. */
  5: optional string partitions
  /** 1 to EVENTS_MAX */
  6: i32 limit = 100
  /** If there is nothing yet: wait so long for the first event, within nine tenths of the call's
   *  deadline_ms, and at most 5 seconds. */
  7: i32 wait_ms = 0
  15: optional context.Context context
}

/** Go on at next_cursor; fewer events than asked for say nothing of whether there are more. */
struct ReadAnswer {
  /** in the order of their offsets in each partition */
  1: list<Event> events
  2: string next_cursor
  /** all that was in the log when the call began, and was selected, has been read */
  3: bool at_end
}

struct PositionsRequest { 1: string token, 15: optional context.Context context }

/** The retained offsets of a partition: from start_offset, up to and without end_offset. */
struct Span { 1: i32 partition, 2: i64 start_offset, 3: i64 end_offset }

struct WindowRequest { 1: string token, 15: optional context.Context context }

/** What can be read now. */
struct Window {
  1: string oldest_cursor
  2: string newest_cursor
  /** when the oldest and the newest event were appended; absent: there is none */
  3: optional i64 oldest_ms
  4: optional i64 newest_ms
  /** how long events are kept after they were appended */
  5: i64 retention_ms
  /** the server's clock */
  6: i64 now_ms
}

service Firehose {
  /** Append one event. */
  Receipt append(1: AppendRequest request) throws (
    1: errors.BadRequest bad_request
    2: errors.Unauthenticated unauthenticated
    3: errors.PermissionDenied permission_denied
    4: errors.Throttled throttled
    5: errors.Unavailable unavailable
    6: errors.DeadlineExceeded deadline_exceeded
  )

  /** Append several, in their order; the receipts are in that order too. All are checked before
   *  anything is written. When it is Unavailable afterwards any of them may have been written: send
   *  them again with the ids that you brought, and they are the same events. */
  list<Receipt> append_many(1: AppendManyRequest request) throws (
    1: errors.BadRequest bad_request
    2: errors.Unauthenticated unauthenticated
    3: errors.PermissionDenied permission_denied
    4: errors.Throttled throttled
    5: errors.Unavailable unavailable
    6: errors.DeadlineExceeded deadline_exceeded
  )

  /** Read from a place on. */
  ReadAnswer read(1: ReadRequest request) throws (
    1: errors.BadRequest bad_request
    2: errors.Unauthenticated unauthenticated
    3: errors.PermissionDenied permission_denied
    4: errors.Throttled throttled
    5: errors.Unavailable unavailable
    6: errors.DeadlineExceeded deadline_exceeded
    7: errors.CursorTooOld cursor_too_old
  )

  /** The retained offsets of every partition. */
  list<Span> positions(1: PositionsRequest request) throws (
    1: errors.BadRequest bad_request
    2: errors.Unauthenticated unauthenticated
    3: errors.PermissionDenied permission_denied
    4: errors.Throttled throttled
    5: errors.Unavailable unavailable
    6: errors.DeadlineExceeded deadline_exceeded
  )

  /** How far back it can be read. */
  Window window(1: WindowRequest request) throws (
    1: errors.BadRequest bad_request
    2: errors.Unauthenticated unauthenticated
    3: errors.PermissionDenied permission_denied
    4: errors.Throttled throttled
    5: errors.Unavailable unavailable
    6: errors.DeadlineExceeded deadline_exceeded
  )
}
