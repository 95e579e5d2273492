/**
 * What every request may carry besides its own fields, for services beside the dashboard API, whose
 * dashboard.thrift declares the same fields for itself. Field ids are never reused.
 */
namespace py dashcell.context
namespace java org.dashcell.context
namespace go dashcell.context

struct Context {
  /** How long the caller waits, in milliseconds from now; the server's own default when absent. */
  1: optional i32 deadline_ms
  /** Travels through all services and their logs; drawn by the first server when absent. */
  2: optional string request_id
}
