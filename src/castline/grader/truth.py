"""The ground-truth table: who is in a file, and what is said in it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from castline.errors import EvaluationError


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth of one file; fields that are None are not graded.

    Attributes:
        name: the one name of the classic profile.
        people: everybody enrolled who is on screen; empty when it is nobody.
        reference: the words.
    """

    name: str | None = None
    people: frozenset[str] | None = None
    reference: str | None = None

    @classmethod
    def of(cls, fields: dict[str, str]) -> Truth:
        people = fields.get("people") or None
        names = frozenset(name.strip() for name in (people or "").split(";")) - {"", "-"}
        return cls(fields.get("name") or None, None if people is None else names, fields.get("reference") or None)


class TruthTable(dict[str, Truth]):
    """Rows by file, found by the whole name of a media file, by its last part, or by that without its suffix."""

    def of(self, name: str) -> Truth | None:
        path = PurePosixPath(name)
        return self.get(name) or self.get(path.name) or self.get(path.stem)


def read_truth(path: Path) -> TruthTable:
    """A table in UTF-8, separated by tabs if its first line has one and by commas otherwise.

    Columns are ``file`` and at least one of ``name`` (classic), ``people`` (full; separated by ``;``, ``-`` for nobody)
    and ``reference`` (full; the words). Other columns are ignored, fields without a value are not graded.

    Raises:
        EvaluationError: no such file, not such a table, no row, or two rows for one file.
    """
    table = TruthTable()
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\t" in text.partition("\n")[0]:
            # Quotation marks are literal: references are spoken text.
            reader = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
        else:
            reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        columns = {(name or "").strip() for name in reader.fieldnames or ()}
        if "file" not in columns or not columns & {"name", "people", "reference"}:
            raise EvaluationError(f"{path} needs the columns file and one of name, people, reference in its first line")
        for row in reader:
            fields = {(key or "").strip(): value.strip() for key, value in row.items() if isinstance(value, str)}
            file = fields.get("file", "")
            if not file or file in table:
                raise EvaluationError(
                    f"{path}, line {reader.line_num}: {f'{file} has two rows' if file else 'no file'}"
                )
            table[file] = Truth.of(fields)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not table:
        raise EvaluationError(f"{path} has no rows")
    return table
