"""The firehose over HTTP: streams of events, and consumer groups (docs/firehose.md)."""
