"""What a reader of annotations finds besides valid entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2pose.core.annotations import Omission
from e2pose.core.errors import AnnotationError
from e2pose.formats.fields import FieldError

_MAX_EXAMPLES = 5


class ReadingLog:
    """Collects invalid entries, omitted entries and notes while a dataset is read.

    Args:
        path: The file that errors name.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._invalid: list[str] = []
        self._num_invalid = 0
        self._omitted: dict[tuple[str, str], Omission] = {}
        self._notes: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def entry(self, where: str) -> Iterator[None]:
        """Records a `FieldError` of the block as an invalid entry; `where` is, for example, "annotation 17"."""
        try:
            yield
        except FieldError as error:
            self.invalid(where, str(error))

    def invalid(self, where: str, reason: str) -> None:
        """Records an invalid entry."""
        self._num_invalid += 1
        if len(self._invalid) < _MAX_EXAMPLES:
            self._invalid.append(" ".join(f"{where}: {reason}".split()))

    def omit(self, what: str, reason: str, example: str) -> None:
        """Counts an entry that is not used; `what` is the kind of entry in the plural."""
        count = self._omitted[what, reason].count if (what, reason) in self._omitted else 0
        example = self._omitted[what, reason].example if count else example
        self._omitted[what, reason] = Omission(what, reason, count + 1, example)

    def note(self, text: str, what: str = "") -> None:
        """Notes how unusual content is read; `what` is the kind of entries to count, in the plural."""
        self._notes[text, what] += 1

    @property
    def omitted(self) -> tuple[Omission, ...]:
        """The omitted entries, the most frequent reason first."""
        return tuple(sorted(self._omitted.values(), key=lambda omission: -omission.count))

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes, with the number of entries."""
        counted = ((text, what.removesuffix("s") if n == 1 else what, n) for (text, what), n in self._notes.items())
        return tuple(f"{text} ({n} {what})" if what else text for text, what, n in counted)

    def raise_if_invalid(self) -> None:
        """Raises an error that lists the first invalid entries, if there are any.

        Raises:
            AnnotationError: There are invalid entries.
        """
        if not self._num_invalid:
            return
        entries = "an invalid entry" if self._num_invalid == 1 else f"{self._num_invalid} invalid entries"
        more = self._num_invalid - len(self._invalid)
        text = "; ".join(self._invalid) + (f"; and {more} more" if more else "")
        raise AnnotationError(f"'{self._path}' has {entries}: {text}", "correct or remove them")
