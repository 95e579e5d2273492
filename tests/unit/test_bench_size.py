"""The line about bytes on disk: of what it is."""

from ops.bench.measures.size import of_inbox


def test_the_line_says_of_how_many_entries_it_is_since_the_week_may_be_there_twice():
    (found,) = of_inbox(8.26, 9_378_534, "the Higgs week")
    assert "9,378,534 entries of the Higgs week" in found.what
    assert (found.figure, found.count, found.met) == (8.26, 9_378_534, True)
