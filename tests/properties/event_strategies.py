"""Any event that is allowed."""

from hypothesis import strategies as st

from firehose.event import (
    Draft,
    Followed,
    Lane,
    Liked,
    MarkedRead,
    PostCreated,
    PostKind,
    PostRef,
    PostRemoved,
    Unfollowed,
    Unliked,
)
from firehose.validation import AT_MS_MAX
from idgen.ids import MAX_ID, MAX_USER

users = st.integers(1, MAX_USER)
ids = st.integers(1, MAX_ID)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
tags = st.text(st.characters(exclude_categories=["Cs"]), max_size=35)
refs = st.builds(PostRef, users, ids)
drafts = st.builds(
    Draft,
    st.sampled_from(PostKind),
    texts,
    texts,
    st.lists(tags, max_size=30).map(tuple),
    st.lists(users, max_size=50, unique=True).map(tuple),
    st.none() | refs,
    st.none() | refs,
    st.none() | st.integers(0, AT_MS_MAX),
)
pairs = st.tuples(users, users).filter(lambda pair: pair[0] != pair[1])
events = st.one_of(
    st.builds(PostCreated, ids, users, drafts, st.booleans()),
    st.builds(PostRemoved, ids, users, ids),
    st.builds(lambda i, pair, n: Followed(i, *pair, n), ids, pairs, st.integers(0, 1000)),
    st.builds(lambda i, pair: Unfollowed(i, *pair), ids, pairs),
    st.builds(Liked, ids, users, users, ids),
    st.builds(Unliked, ids, users, users, ids),
    st.builds(MarkedRead, ids, users, st.sampled_from(Lane), ids),
)
