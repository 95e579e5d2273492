"""Who is notified of a post, and why: of one event and reader one notice, the first kind that
applies, and never oneself."""

from firehose.event import NoticeKind, PostCreated, PostRef


def notices_of(event: PostCreated) -> dict[int, tuple[NoticeKind, PostRef]]:
    """The readers that a post notifies, each with the kind and the target.

    The target is the reader's own post that was replied to or reblogged; of a mention, the post.
    """
    draft = event.draft
    found: dict[int, tuple[NoticeKind, PostRef]] = {}
    if draft.reply_to is not None:
        found[draft.reply_to.author] = (NoticeKind.REPLY, draft.reply_to)
    if draft.reblog_of is not None:
        found.setdefault(draft.reblog_of.author, (NoticeKind.REBLOG, draft.reblog_of))
    for mentioned in draft.mentions:
        found.setdefault(mentioned, (NoticeKind.MENTION, PostRef(event.author, event.id)))
    found.pop(event.author, None)
    return found
