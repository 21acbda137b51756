"""Labelled photos are read the same way everywhere, and faults in them are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.errors import EvaluationError
from castline.evaluation import PairList, PhotoFolder, read_dataset
from castline.evaluation.dataset import split_people


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_a_folder_per_person(tmp_path: Path) -> None:
    _touch(
        tmp_path, "Bob/2.png", "Bob/1.JPG", "Bob/notes.txt", "Ada Ä/x.webp", ".hidden/1.jpg", "Empty/list.txt", "r.jpg"
    )
    data = read_dataset(tmp_path)
    assert isinstance(data, PhotoFolder)
    assert {name: [path.name for path in paths] for name, paths in data.people.items()} == {
        "Ada Ä": ["x.webp"],
        "Bob": ["1.JPG", "2.png"],
    }
    assert [path.name for path in data.photos] == ["x.webp", "1.JPG", "2.png"]


def test_pairs(tmp_path: Path) -> None:
    _touch(tmp_path, "x/1.jpg", "x/2.jpg", "3.jpg")
    table = tmp_path / "pairs.csv"
    table.write_text("\ufeffa, b, same, note\nx/1.jpg, x/2.jpg, 1, hm\nx/1.jpg,3.jpg,False,\n", encoding="utf-8")
    data = read_dataset(table)
    assert isinstance(data, PairList)
    assert [pair.same for pair in data.pairs] == [True, False]
    assert data.photos == (tmp_path / "x/1.jpg", tmp_path / "x/2.jpg", tmp_path / "3.jpg")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "found none"),
        (("1.jpg", "2.jpg"), "a folder of photos"),
        (("Ada/1.jpg", "Ada/2.jpg", "Bob/list.txt"), "at least two people; found only Ada"),
        (("Ada/1.jpg", "Bob/1.jpg"), "at least one person needs two"),
    ],
)
def test_folders_without_enough_in_them(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_dataset(_touch(tmp_path, *names))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column a, b, same"),
        ("a,b\n", "no column same"),
        ("a,b,same\n", "no pair of the same person"),
        ("a,b,same\n1.jpg,2.jpg,1\n", "no pair of two different people"),
        ("a,b,same\n1.jpg,2.jpg,maybe\n", "line 2: same is 'maybe'"),
        ("a,b,same\n1.jpg,2.jpg\n", "line 2: same is None"),
        ("a,b,same\n1.jpg,2.jpg,1\n1.jpg,9.jpg,0\n", "line 3: the photo '9.jpg' does not exist"),
        ("a,b,same\n1.jpg,,0\n", "line 2: the photo '' does not exist"),
        ('a,b,same\n"1.jpg,2.jpg,0\n', "not a CSV file"),
    ],
)
def test_pairs_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    table = _touch(tmp_path, "1.jpg", "2.jpg") / "pairs.csv"
    table.write_text(text)
    with pytest.raises(EvaluationError, match=message):
        read_dataset(table)


def test_a_path_that_is_not_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"nothing\.csv does not exist"):
        read_dataset(tmp_path / "nothing.csv")
    with pytest.raises(EvaluationError, match=r"neither a folder of people nor a \.csv"):
        read_dataset(_touch(tmp_path, "film.mp4") / "film.mp4")
    (tmp_path / "latin.csv").write_bytes(b"a,b,same\n\xe4.jpg,2.jpg,1\n")
    with pytest.raises(EvaluationError, match="not a CSV file in UTF-8"):
        read_dataset(tmp_path / "latin.csv")


def test_the_protocol() -> None:
    people = {"Cy": "c1 c2 c3".split(), "Ada": "a1 a2 a3".split(), "Bob": ["b1"]}
    split = split_people(people, enrol=2, left_out=1)
    assert split.enrolled == {"Ada": ("a1", "a2"), "Bob": ("b1",)}
    assert split.probes == (("Ada", "a3"),)
    assert split.strangers == (("Cy", "c1"), ("Cy", "c2"), ("Cy", "c3"))


@pytest.mark.parametrize(
    ("enrol", "left_out", "message"),
    [(5, 2, "of 2 people 2 are to be left out"), (2, 0, "nobody has more than 2 photos")],
)
def test_a_protocol_without_comparisons(enrol: int, left_out: int, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        split_people({"Ada": [1, 2], "Bob": [3]}, enrol, left_out)
    with pytest.raises(EvaluationError, match="nobody is left to enrol"):
        split_people({"Ada": [], "Bob": [3]}, 1, 1)


@given(
    st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 6), min_size=2, max_size=6),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_every_photo_has_one_role(counts: dict[str, int], enrol: int, left_out: int) -> None:
    people = {name: [(name, number) for number in range(count)] for name, count in counts.items()}
    if left_out >= len(people):
        return
    split = split_people(people, enrol, left_out)
    assert split == split_people(dict(reversed(people.items())), enrol, left_out)
    roles = [item for items in split.enrolled.values() for item in items]
    roles += [item for _, item in (*split.probes, *split.strangers)]
    assert sorted(roles) == sorted(item for items in people.values() for item in items)
    assert all(name == item[0] for name, item in (*split.probes, *split.strangers))
    assert not {name for name, _ in split.strangers} & set(split.enrolled)
