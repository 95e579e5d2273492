/**
 * The dashboard API of Dashcell: framed transport, binary protocol, service "Dashboard", the same
 * at the router and at every cell.
 *
 * Users are positive 64-bit integers, ids 63-bit Snowflakes, times milliseconds since 1970.
 * Cursors and tokens are opaque: pass them on unchanged. Unknown fields are ignored; field ids are
 * never reused.
 */
namespace py dashcell.dashboard
namespace java org.dashcell.dashboard
namespace go dashcell.dashboard

include "errors.thrift"

enum PostKind { TEXT = 1, PHOTO = 2, QUOTE = 3, LINK = 4, CHAT = 5, AUDIO = 6, VIDEO = 7 }

/** POSTS and NOTICES are the two lanes; BOTH merges them, in `page` alone. */
enum Lane { POSTS = 1, NOTICES = 2, BOTH = 3 }

enum EntryKind {
  TEXT = 1, PHOTO = 2, QUOTE = 3, LINK = 4, CHAT = 5, AUDIO = 6, VIDEO = 7,
  REPLY = 101, REBLOG = 102, MENTION = 103, LIKE = 104, FOLLOW = 105
}

/** deadline_ms: how long the caller waits (default 1000, at most 60000). request_id: at most 64
 *  printable characters, found again in every log line of the call.
 *
 *  The same fields as in context.thrift, and declared again: code generated from an included file
 *  is in that file's own namespace, and clients have Context where the requests are that take it. */
struct Context { 1: optional i32 deadline_ms, 2: optional string request_id }

struct PostRef { 1: i64 author, 2: i64 id }

/** Limits: title 1 KiB, body 64 KiB, 30 tags of 140 bytes, 50 mentions (UTF-8 bytes). */
struct Draft {
  1: PostKind kind = PostKind.TEXT
  2: optional string title
  3: optional string body
  4: optional list<string> tags
  5: optional list<i64> mentions
  6: optional PostRef reblog_of
  7: optional PostRef reply_to
  /** the author's own time; default: when the id was given */
  8: optional i64 at_ms
}

/** The write is in the log. `token`, given to `page.at_least`, makes a page include it. */
struct Receipt { 1: i64 id, 2: binary token }

struct PostView {
  1: PostRef ref
  2: i64 at_ms
  3: optional Draft draft
  4: bool removed = false
  /** of a reblog: the original, or its ref with removed = true */
  5: optional PostView original
}

struct Entry {
  1: i64 id
  2: Lane lane
  3: EntryKind kind
  /** the post's author, or who caused the notice */
  4: i64 actor
  5: i64 at_ms
  6: bool unread
  7: binary cursor
  8: optional PostView post
  9: optional PostRef target
}

/** A page is full, or at_end is true, or it is short and goes on at next_cursor. */
struct Page {
  1: list<Entry> entries
  2: optional binary next_cursor
  3: optional binary previous_cursor
  4: bool at_end
  5: binary token
  6: string cell
  7: i32 epoch
  /** how far the cell is behind the log: bounds how late an entry may still arrive */
  8: i64 lag_ms
}

struct Count { 1: i32 count, 2: bool capped }
struct Follows { 1: list<i64> authors, 2: i64 next_after }
struct Home { 1: string cell, 2: i32 epoch, 3: list<string> addresses }
/** start: eight bytes, the place in the key space from which this slice reaches to the next. */
struct SliceHome { 1: binary start, 2: string cell, 3: i32 epoch }
struct Topology { 1: list<SliceHome> slices, 2: map<string, list<string>> cells }
struct Build { 1: string version, 2: string role, 3: string cell }

/** brought_id: an id taken from idgen before, so that a retry is the same write. */
struct PublishRequest {
  1: i64 author, 2: Draft draft, 3: optional i64 brought_id, 15: optional Context context
}
struct PublishManyRequest { 1: list<PublishRequest> posts, 15: optional Context context }
struct RemovePostRequest {
  1: i64 author, 2: i64 post_id, 3: optional i64 brought_id, 15: optional Context context
}
/** backfill: how many of the author's newest posts to bring along (default 100, 0 to 1000). */
struct FollowRequest {
  1: i64 follower, 2: i64 author, 3: optional i64 brought_id, 4: optional i32 backfill,
  15: optional Context context
}
struct FollowManyRequest { 1: list<FollowRequest> follows, 15: optional Context context }
struct UnfollowRequest {
  1: i64 follower, 2: i64 author, 3: optional i64 brought_id, 15: optional Context context
}
struct LikeRequest {
  1: i64 actor, 2: i64 author, 3: i64 post_id, 4: optional i64 brought_id,
  15: optional Context context
}
struct UnlikeRequest {
  1: i64 actor, 2: i64 author, 3: i64 post_id, 4: optional i64 brought_id,
  15: optional Context context
}
/** event_id: the id of the newest entry that was seen; a mark never goes back. */
struct MarkReadRequest {
  1: i64 reader, 2: Lane lane = Lane.POSTS, 3: i64 event_id, 15: optional Context context
}
/** before, after: cursors, exclusive, may be given together. limit: 1 to 100. */
struct PageRequest {
  1: i64 reader
  2: Lane lane = Lane.POSTS
  3: optional list<EntryKind> kinds
  4: optional binary before
  5: optional binary after
  6: bool oldest_first = false
  7: i32 limit = 20
  8: bool hydrate = true
  9: optional list<binary> at_least
  15: optional Context context
}
struct AuthorPostsRequest {
  1: i64 author, 2: optional binary before, 3: optional binary after, 4: i32 limit = 20,
  15: optional Context context
}
/** refs: at most 1000, and at most 16 MiB of text in the answer. */
struct PostsRequest { 1: list<PostRef> refs, 15: optional Context context }
/** cap: 1 to 1000, where counting stops. */
struct CountNewerRequest {
  1: i64 reader, 2: Lane lane = Lane.POSTS, 3: binary cursor, 4: i32 cap = 100,
  15: optional Context context
}
struct UnreadRequest {
  1: i64 reader, 2: Lane lane = Lane.POSTS, 3: i32 cap = 100, 15: optional Context context
}
/** after: 0 for the first page, then next_after of the last. limit: 1 to 1000. */
struct FollowingRequest {
  1: i64 reader, 2: i64 after = 0, 3: i32 limit = 100, 15: optional Context context
}
struct IsFollowingRequest { 1: i64 reader, 2: list<i64> authors, 15: optional Context context }
struct RouteRequest { 1: i64 reader, 15: optional Context context }
struct TopologyRequest { 15: optional Context context }
struct VersionRequest { 15: optional Context context }

service Dashboard {
  Receipt publish(1: PublishRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  list<Receipt> publish_many(1: PublishManyRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Receipt remove_post(1: RemovePostRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Receipt follow(1: FollowRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  list<Receipt> follow_many(1: FollowManyRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Receipt unfollow(1: UnfollowRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Receipt like(1: LikeRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Receipt unlike(1: UnlikeRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Receipt mark_read(1: MarkReadRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Page page(1: PageRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Page author_posts(1: AuthorPostsRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  list<PostView> posts(1: PostsRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Count count_newer(1: CountNewerRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Count unread(1: UnreadRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Follows following(1: FollowingRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  list<i64> is_following(1: IsFollowingRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Home route(1: RouteRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Topology topology(1: TopologyRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
  Build version(1: VersionRequest request) throws (
    1: errors.BadRequest bad_request, 2: errors.NotFound not_found, 3: errors.Conflict conflict,
    4: errors.Unauthenticated unauthenticated, 5: errors.PermissionDenied permission_denied, 6: errors.Throttled throttled,
    7: errors.Behind behind, 8: errors.Moved moved, 9: errors.Unavailable unavailable,
    10: errors.DeadlineExceeded deadline_exceeded, 11: errors.CursorTooOld cursor_too_old)
}
