"""Dead letters that an operator has had a worker apply, until their effect is acknowledged."""

from collections.abc import Sequence

from cell.stores import CellStores
from firehose.dead_letters import DeadLetter
from firehose.log import Record
from idgen.errors import NotFound


class RetriedLetters:
    """Those of one worker. A letter stays open until it is settled; a crash leaves it open."""

    def __init__(self, stores: CellStores) -> None:
        self._stores = stores
        self._letters: dict[tuple[int, int], DeadLetter] = {}

    def take(self, partition: int, offset: int) -> bool:
        """Begin to retry a letter. False: it is not open."""
        try:
            letter = self._stores.dead_letters.show(f"{partition}-{offset}")
        except NotFound:
            return False
        if letter.outcome is not None:
            return False
        self._letters[partition, offset] = letter
        return True

    def beyond_retention(self) -> list[Record]:
        """Those that the log itself no longer has, as the records that they were."""
        if not self._letters:
            return []
        spans = self._stores.firehose.spans()
        letters = self._letters.values()
        return [_record_of(x) for x in letters if x.offset < spans[x.partition].start]

    def settle(self, applied: Sequence[Record]) -> None:
        """Settle those whose records were applied this time, and acknowledged."""
        if not self._letters:
            return
        for record in applied:
            letter = self._letters.pop((record.partition, record.offset), None)
            if letter is not None:
                self._stores.dead_letters.settle(letter.id, "retried")

    def forget(self) -> None:
        """Whoever comes next takes them up again."""
        self._letters.clear()


def _record_of(letter: DeadLetter) -> Record:
    return Record(letter.partition, letter.offset, letter.at_ms, letter.value)
