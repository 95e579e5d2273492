/**
 * The errors of every Dashcell service, by the names that the Python code has (idgen/errors.py).
 *
 * Each carries `reason`, a stable machine-readable word to branch on, and `message`, a sentence
 * for people that names the subject and what to do next. Field ids are never reused.
 */
namespace py dashcell.errors
namespace java org.dashcell.errors
namespace go dashcell.errors

/** The request itself is wrong; sending it again unchanged cannot succeed. */
exception BadRequest {
  1: string reason
  /** Which field of the request. */
  2: string field
  /** What is wrong with it, and what is allowed. */
  3: string why
  4: string message
}

/** What was asked for by name does not exist. */
exception NotFound {
  1: string reason
  2: string message
}

/** The thing exists already, or is of another version than the caller expects. */
exception Conflict {
  1: string reason
  2: string message
}

/** The caller did not say who they are, or not credibly. */
exception Unauthenticated {
  1: string reason
  2: string message
}

/** The caller is known and may not do this. */
exception PermissionDenied {
  1: string reason
  2: string message
}

/** Too much at once. */
exception Throttled {
  1: string reason
  2: string message
  3: i64 retry_after_ms
}

/** The cell had not applied the position asked for when the deadline passed. */
exception Behind {
  1: string reason
  2: string message
  /** The position token that it had applied. */
  3: binary reached
}

/** The reader is homed elsewhere: ask there. */
exception Moved {
  1: string reason
  2: string message
  3: string cell
  /** Since this epoch; a client that knows a higher one keeps it. */
  4: i32 epoch
}

/** A server that is needed does not answer; nothing was lost, try again later. */
exception Unavailable {
  1: string reason
  2: string message
  3: i64 retry_after_ms
}

/** The caller's deadline passed; a write may or may not have been done. */
exception DeadlineExceeded {
  1: string reason
  2: string message
}

/** The log no longer reaches back to the cursor. */
exception CursorTooOld {
  1: string reason
  2: string message
  /** The cursor, moved up to the oldest that can be served. */
  3: binary floor
}
