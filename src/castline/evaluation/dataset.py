"""Labelled photos: a folder per person, or a list of pairs. Reads names and labels, but opens no photo."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from castline.errors import EvaluationError
from castline.keys import PHOTO_SUFFIXES

T = TypeVar("T")

_SAME = {"1": True, "true": True, "yes": True, "same": True,
         "0": False, "false": False, "no": False, "different": False}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PhotoFolder:
    """Photos by person, people sorted by name and photos by file name (by code points, so the same everywhere)."""

    root: Path
    people: Mapping[str, tuple[Path, ...]]

    @property
    def photos(self) -> tuple[Path, ...]:
        return tuple(path for paths in self.people.values() for path in paths)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, and whether they show one person."""

    a: Path
    b: Path
    same: bool


@dataclass(frozen=True, slots=True)
class PairList:
    root: Path
    pairs: tuple[Pair, ...]

    @property
    def photos(self) -> tuple[Path, ...]:
        """Each photo once, in order of first mention."""
        return tuple(dict.fromkeys(path for pair in self.pairs for path in (pair.a, pair.b)))


@dataclass(frozen=True, slots=True)
class Split(Generic[T]):
    """The protocol: who is enrolled with which items, and which items are the queries.

    Attributes:
        enrolled: items by name.
        probes: further items of enrolled people, with their names.
        strangers: all items of people who are not enrolled, with their names.
    """

    enrolled: dict[str, tuple[T, ...]]
    probes: tuple[tuple[str, T], ...]
    strangers: tuple[tuple[str, T], ...]


def read_dataset(path: Path) -> PhotoFolder | PairList:
    """A folder with one folder of photos per person, or a CSV file with the columns ``a,b,same``.

    Paths in a CSV are relative to it; ``same`` is 1/0, true/false, yes/no or same/different. Other columns
    are ignored.

    Raises:
        EvaluationError: it is neither, contains nothing to compare, or names missing files.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise EvaluationError(f"{path} does not exist")
    if path.suffix.lower() != ".csv":
        raise EvaluationError(f"{path} is neither a folder of people nor a .csv file of pairs")
    return _read_pairs(path)


def _read_folder(root: Path) -> PhotoFolder:
    people: dict[str, tuple[Path, ...]] = {}
    for folder in sorted((item for item in root.iterdir() if item.is_dir()), key=lambda item: item.name):
        photos = [item for item in folder.iterdir() if item.suffix.lower() in PHOTO_SUFFIXES and item.is_file()]
        if photos and not folder.name.startswith("."):
            people[folder.name] = tuple(sorted(photos, key=lambda item: item.name))
    if len(people) < 2:
        kinds = ", ".join(sorted(PHOTO_SUFFIXES))
        found = f"only {next(iter(people))}" if people else "none"
        raise EvaluationError(
            f"{root} must hold a folder of photos ({kinds}) for each of at least two people; found {found}"
        )
    if all(len(photos) < 2 for photos in people.values()):
        raise EvaluationError(f"{root} has one photo per person; at least one person needs two")
    return PhotoFolder(root, people)


def _read_pairs(path: Path) -> PairList:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            missing = [name for name in ("a", "b", "same") if name not in (reader.fieldnames or ())]
            if missing:
                raise EvaluationError(f"{path} has no column {', '.join(missing)}; its first line must be: a,b,same")
            pairs = tuple(_pair(path, reader.line_num, row) for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} is not a CSV file in UTF-8: {error}") from error
    for same, what in ((True, "same person"), (False, "two different people")):
        if all(pair.same != same for pair in pairs):
            raise EvaluationError(f"{path} has no pair of the {what}" if same else f"{path} has no pair of {what}")
    return PairList(path.parent, pairs)


def _pair(table: Path, line: int, row: Mapping[str, str | None]) -> Pair:
    same = _SAME.get((row["same"] or "").strip().lower())
    if same is None:
        raise EvaluationError(f"{table}, line {line}: same is {row['same']!r}; it must be 1 or 0")
    photos = []
    for column in ("a", "b"):
        name = (row[column] or "").strip()
        photo = table.parent / name
        if not name or not photo.is_file():
            raise EvaluationError(f"{table}, line {line}: the photo {name!r} does not exist")
        photos.append(photo)
    return Pair(photos[0], photos[1], same)


def split_people(people: Mapping[str, Sequence[T]], enrol: int, left_out: int) -> Split[T]:
    """Split people by the protocol, without randomness, so that two runs can be compared.

    People are sorted by name. The last ``left_out`` of them are strangers. Of everybody else the first
    ``enrol`` items are enrolled and the rest are probes.

    Args:
        enrol: at least 1.
        left_out: at least 0.

    Raises:
        EvaluationError: that leaves nobody to enrol, or no queries.
    """
    names = sorted(people)
    if left_out >= len(names):
        raise EvaluationError(f"of {len(names)} people {left_out} are to be left out, so nobody can be enrolled")
    known = names[: len(names) - left_out]
    split = Split(
        enrolled={name: tuple(people[name][:enrol]) for name in known if people[name]},
        probes=tuple((name, item) for name in known for item in people[name][enrol:]),
        strangers=tuple((name, item) for name in names[len(known) :] for item in people[name]),
    )
    if not split.enrolled:
        raise EvaluationError("nobody is left to enrol")
    if not split.probes and not split.strangers:
        raise EvaluationError(f"nobody has more than {enrol} photos or is left out, so there is nothing to test")
    return split
