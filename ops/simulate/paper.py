"""The figures that the paper printed, and what cannot be had from its text."""

COSTS = {8: (439.0, 280.0, 298.0), 16: (440.0, 395.0, 467.0), 24: (518.0, 498.0, 640.0)}
"""By query:event ratio: push all, hybrid, push none."""
THRESHOLD = 3.0
GAINS = {0: 0.085, 1: 0.14, 2: 0.20, 4: 0.30}
"""By skew of both rates, at ratio 16: what the hybrid saves of the better pure policy."""
FLASH_STATIC = 2.0
FLASH_ADAPTED = 1.3
FULL = {3: 0.50, 2: 0.65, 0: 1.0}
"""By threshold: the part of queries whose producers are all pushed."""

_WORDS = """\
Whose event rate goes with which fan-out. With rates ranked with fan-out the shares of fully pushed
queries are the paper's; with shuffled ones pushes and pulls alone give the paper's order at 16.

The unit of its costs, and what they hold beside pushes and pulls. The prices fitted to its six pure
costs (an event's own row, a push, a read) come close to these, so the pure policies cross where the
paper's do; the hybrid's cost is then a prediction, and it is too low.

A gain without skew. Where all rates are alike every pair has one ratio, and a hybrid is one of the
pure policies; the paper's 8.5 % must come from what its servers did.

The gains at skew 1, 2 and 4. They grow here too, but are far larger: the one busiest producer and
the one busiest consumer have nearly all of everything.

The flash: neither how fast the quiet producers become, nor whose fan-out goes from 15 to 100. Here
they speed up until the cost without adapting is twice what it was, with the fitted prices.

How its costs vary from run to run: push all costs 439, 440 and 518, which is no line.
"""
NOT_REPRODUCED = tuple(" ".join(each.split()) for each in _WORDS.split("\n\n"))
"""What the paper's text does not say, so that its figures cannot be had from it."""
