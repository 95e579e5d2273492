"""`cellctl` of a later version, which knows one more kind of event: an edited post is a post here.

`python -m tests.golden.tomorrow serve ROLE ...` is today's program otherwise.
"""

import sys

from firehose import codec
from firehose.codec import Kind
from firehose.event import PostCreated
from ops.cellctl.main import main

NEW_KIND = Kind.POST_EDITED


def of_the_new_kind(post: PostCreated) -> bytes:
    """An event of the kind that only tomorrow's program knows."""
    _, payload = codec.open_envelope(codec.encode(post))
    return codec.seal(NEW_KIND, payload)


if __name__ == "__main__":
    codec._DECODERS[NEW_KIND] = codec._DECODERS[Kind.POST_CREATED]
    sys.exit(main())
