"""The ground truth table."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.errors import EvaluationError
from castline.grader.truth import Truth, read_truth


def _write(folder: Path, text: str) -> Path:
    path = folder / "truth.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_commas_and_tabs(tmp_path: Path) -> None:
    table = read_truth(_write(tmp_path, '\ufefffile,name\na.mp4,"Lovelace, Ada"\n'))
    assert table.of("a.mp4") == Truth(name="Lovelace, Ada")
    table = read_truth(_write(tmp_path, 'file\treference\tother\na.mp4\tshe said "no", twice\tx\n'))
    assert table.of("a.mp4") == Truth(reference='she said "no", twice')


def test_an_empty_field_is_not_graded_and_a_dash_means_nobody(tmp_path: Path) -> None:
    table = read_truth(_write(tmp_path, "file\tpeople\treference\na\tAda; Grace ;\thi\nb\t-\t\nc\t\nd\n"))
    assert table.of("a.mp4") == Truth(people=frozenset({"Ada", "Grace"}), reference="hi")
    assert table.of("b.mp4") == Truth(people=frozenset())
    assert table.of("c.mp4") == table.of("d.mp4") == Truth()


def test_rows_are_matched_by_the_whole_key_first(tmp_path: Path) -> None:
    table = read_truth(_write(tmp_path, "file,name\na.mp4,Ada\nweek1/a.mp4,Grace\nb,Kim\n"))
    found = {key: table.of(key) for key in ("week1/a.mp4", "week2/a.mp4", "x/b.mov", "c.mp4")}
    assert {key: truth.name if truth else None for key, truth in found.items()} == {
        "week1/a.mp4": "Grace",
        "week2/a.mp4": "Ada",
        "x/b.mov": "Kim",
        "c.mp4": None,
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "needs the columns file"),
        ("file,label\na,b\n", "needs the columns file"),
        ("name\nAda\n", "needs the columns file"),
        ("file,name\n", "has no rows"),
        ("file,name\na,Ada\na,Grace\n", "line 3: a has two rows"),
        ("file,name\n ,Ada\n", "line 2: no file"),
    ],
)
def test_invalid_tables_are_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(EvaluationError, match=why):
        read_truth(_write(tmp_path, text))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="No such file"):
        read_truth(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes("file,name\na,André\n".encode("latin-1"))
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_truth(tmp_path / "latin.csv")
