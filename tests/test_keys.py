"""The S3 layout: keys that are written can be parsed, and nothing leaves its place."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from castline import keys
from castline.errors import KeyLayoutError

_SEGMENT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/"), min_size=1, max_size=20)
_MEDIA = st.lists(_SEGMENT, min_size=1, max_size=4).map(lambda parts: "/".join(parts) + ".mp4")
_RUN = st.text("0123456789abcdef", min_size=16, max_size=16)
_UNIT = st.builds(keys.UnitId, _MEDIA, _RUN, st.sampled_from(["frames", "audio"]), st.integers(0, 123_456))


@given(_UNIT)
def test_units_and_parts_round_trip(unit: keys.UnitId) -> None:
    assert keys.parse_unit(unit.stage1_key) == unit
    assert keys.parse_part(unit.part_key) == (unit, False)
    assert keys.parse_part(unit.error_key) == (unit, True)


@given(_UNIT)
def test_each_key_is_of_one_kind(unit: keys.UnitId) -> None:
    manifest = keys.manifest_key(unit.media, unit.run)
    assert keys.parse_manifest(manifest) == (unit.media, unit.run)
    assert keys.parse_unit(manifest) is None
    assert keys.parse_manifest(unit.stage1_key) is None
    assert keys.parse_part(unit.stage1_key) is None
    assert keys.parse_unit(unit.part_key) is None
    assert not keys.is_media(manifest)
    assert unit.part_key.startswith(keys.parts_prefix(unit.media, unit.run))


def test_the_layout_is_the_documented_one() -> None:
    unit = keys.UnitId("week1/video0.mp4", "0123456789abcdef", "frames", 7)
    assert unit.stage1_key == "week1/video0.mp4/0123456789abcdef/frames/0007.zip"
    assert unit.part_key == "week1/video0.mp4/0123456789abcdef/parts/frames-0007.json"
    assert unit.error_key == "week1/video0.mp4/0123456789abcdef/parts/frames-0007.error.json"
    assert unit._replace(kind="audio").stage1_key == "week1/video0.mp4/0123456789abcdef/audio/0007.flac"
    assert keys.result_key("a.mp4") == "a.mp4/result.json"
    assert keys.result_key("a.mp4", keys.REPORT) == "a.mp4/report.html"
    assert keys.gallery_index_key("dlib-resnet-v1") == ".embeddings/dlib-resnet-v1.json"


@pytest.mark.parametrize(
    "key",
    [
        "test_00.jpg",
        "a.mp4/0123456789abcdef/frames/0000.jpg",
        "a.mp4/0123456789ABCDEF/frames/0000.zip",
        "a.mp4/0123456789abcdef/frames/000.zip",
        "a.mp4/0123456789abcdef/video/0000.zip",
        "/0123456789abcdef/frames/0000.zip",
        "a.mp4/0123456789abcdef/frames/0000.zip/",
        "a.mp4/0123456789abcdef/frames/0000.zip\n",
    ],
)
def test_foreign_stage1_keys_are_not_units(key: str) -> None:
    assert keys.parse_unit(key) is None


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("a.mp4", True),
        ("tree/of/LOUD.MOV", True),
        ("voice note.Ogg", True),
        ("two.dots.webm", True),
        ("a.mp4.txt", False),
        ("a", False),
        ("mp4", False),
        (".mp4", False),
        ("folder.mp4/", False),
        ("folder.mp4/notes", False),
        ("", False),
    ],
)
def test_media_is_recognised_by_its_suffix(key: str, ours: bool) -> None:
    assert keys.is_media(key) is ours


def test_a_run_depends_on_every_argument_and_on_nothing_else() -> None:
    base = ("bucket", "key", "etag", "{}")
    run = keys.run_id(*base)
    assert run == keys.run_id(*base)
    assert len(run) == 16
    assert int(run, 16) >= 0
    others = {keys.run_id(*base[:at], base[at] + "x", *base[at + 1 :]) for at in range(4)}
    assert len(others | {run}) == 5
    # The same letters, divided differently, are another run.
    assert keys.run_id("ab", "c", "", "") != keys.run_id("a", "bc", "", "")


def test_quotes_around_an_etag_do_not_matter() -> None:
    assert keys.run_id("b", "k", '"abc"', "") == keys.run_id("b", "k", "abc", "")


@pytest.mark.parametrize("key", ["../a.mp4", "a/../b.mp4", "a/./b.mp4", "..", "a/.."])
def test_keys_that_clients_collapse_are_refused(key: str) -> None:
    with pytest.raises(KeyLayoutError, match="segment"):
        keys.check_media_key(key)


def test_dots_inside_a_segment_are_fine() -> None:
    assert keys.check_media_key("a..b/.c/d...mp4") == "a..b/.c/d...mp4"


def test_the_longest_key_leaves_room_for_everything_below_it() -> None:
    longest = "é" * (keys.MAX_MEDIA_KEY_BYTES // 2)
    assert keys.check_media_key(longest) == longest
    unit = keys.UnitId(longest, "0" * 16, "frames", 123_456)
    for key in (unit.error_key, unit.stage1_key, keys.manifest_key(longest, unit.run)):
        assert len(key.encode()) <= 1024
    with pytest.raises(KeyLayoutError, match="longer than"):
        keys.check_media_key(longest + "a")


@given(st.text(max_size=60))
def test_a_name_is_refused_or_stays_in_its_own_prefix(name: str) -> None:
    try:
        clean = keys.check_person_name(name)
    except KeyLayoutError:
        return
    prefix = keys.gallery_prefix(name)
    assert prefix == f"{clean}/"
    assert prefix.count("/") == 1
    assert not prefix.startswith((".", "/"))
    assert keys.check_person_name(clean) == clean
    assert keys.parse_photo(f"{prefix}photo.jpg") == clean
    assert keys.gallery_index_key("dlib-resnet-v1").startswith(".embeddings/")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "a/b",
        "a\\b",
        "..",
        ".embeddings",
        "a\nb",
        "a\0b",
        "x" * 201,
        "é" * 101,
        "\u200d",
        "\ud800",
        "a\udcffb",
    ]
    + [
        f"a{char}b"
        for char in "\x7f\x85\xad\u061c\u200b\u200e\u200f\u202a\u202e\u2028\u2029\u2066\u2069\ufeff\ufdd0\uffff"
    ],
)
def test_names_that_would_escape_are_refused(name: str) -> None:
    with pytest.raises(KeyLayoutError) as refused:
        keys.check_person_name(name)
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    "name",
    [
        *("Zoë Müller", "李小龍", "Ада Лавлейс", "O'Neil, Jr.", "Jean-Luc", "R2 D2"),
        # Persian with U+200C; Sinhala and Malayalam with U+200D, also last; a family, a flag, and a face of Unicode 16.
        *("علی\u200cرضا", "ශ්\u200dරී ලංකා", "അവന്\u200d", "👩\u200d👧", "🏴\U000e0067\U000e007f", "\U0001fae9"),
    ],
)
def test_names_in_any_script_are_accepted(name: str) -> None:
    assert keys.check_person_name(f"  {unicodedata.normalize('NFD', name)} ") == name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("Ada/1.jpg", "Ada"),
        ("Ada/old/2.PNG", "Ada"),
        ("Ada/._1.jpg", None),  # macOS writes one beside each photo
        ("Ada/notes.txt", None),
        ("Ada/", None),
        ("Ada", None),
        ("Ada.jpg", None),
        ("Ada/x.jpg/", None),
        (".embeddings/dlib.json", None),
        (".embeddings/dlib.jpg", None),
        ("/1.jpg", None),
        ("Zoe\u0308/1.jpg", "Zoë"),
    ],
)
def test_photos_belong_to_the_first_segment(key: str, name: str | None) -> None:
    assert keys.parse_photo(key) == name


@pytest.mark.parametrize(
    ("name", "expected"), [("Grace Hopper", "grace-hopper"), ("Person 1", "person-1"), ("Person 12", "person-12")]
)
def test_ordinary_names_give_readable_slugs(name: str, expected: str) -> None:
    assert keys.slug(name) == expected


def test_similar_names_have_different_slugs() -> None:
    names = ["Ada B", "ada b", "ADA B", "Ada-B", "Ada  B", "Ada B ", "Âda B", "Ada_B", "Ada.B"]
    names += ["李", "王", "🙂", "-", "Name"]
    slugs = [keys.slug(name) for name in names]
    assert len({slug.casefold() for slug in slugs}) == len(names)


@given(st.text(max_size=90), st.text(max_size=90))
def test_slugs_are_unique_and_safe_as_file_names(one: str, other: str) -> None:
    assume(one != other)
    assert keys.slug(one) != keys.slug(other)
    for text in (one, other):
        made = keys.slug(text)
        assert made
        assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert not made.startswith("-")
        assert len(made) <= 80


@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("/.-\\"), max_size=300), max_size=4)
)
def test_every_key_has_its_own_path_below_the_folder(names: list[str]) -> None:
    paths = {}
    for name in dict.fromkeys(names):
        try:
            path = keys.disk_path(name)
        except KeyLayoutError:
            assert {".", ".."} & set(name.split("/"))
            continue
        assert PurePosixPath(path).as_posix() == path, "no segment is lost"
        assert not path.startswith("/")
        assert all(0 < len(segment.encode()) <= 240 for segment in path.split("/"))
        assert keys.disk_path(path) != path or path == name, "a segment that looks like a hash is never a key's own"
        assert path not in paths
        paths[path] = name


def test_a_usual_key_is_its_own_path() -> None:
    for key in ("a.mp4", "week 1/Été + talk 100%.mp4", "-x.mp4", "👨‍👩‍👧.mp4", "12:30.wav"):
        assert keys.disk_path(key) == key


def test_files_that_people_keep_beside_media_are_not_left_out() -> None:
    for name in ("a.mp4", "a.mp4.json", "x/photo.JPEG", "notes.md", "x.srt", "folder/", "x/.DS_Store", "film.m4b"):
        assert not keys.is_left_out(name)
    for name in ("x/._a.mp4", "Thumbs.db", "x/desktop.ini"):
        assert not keys.is_left_out(name)
        assert not keys.is_media(name)
    for name in ("a.xyz", "archive.zip", "README", "x/film.rmvb", "film.mp4.part"):
        assert keys.is_left_out(name)


@pytest.mark.parametrize(
    ("key", "unread"),
    [
        *((f"Ada/1{suffix}", True) for suffix in (".heic", ".HEIF", ".tiff", ".dng", ".unheard-of", "", ".mp4")),
        *((f"Ada/1{suffix}", False) for suffix in (".jpg", ".AVIF", ".txt", ".json", ".pdf")),
        *(
            (key, False)
            for key in (
                "Ada/",
                "Ada/.DS_Store",
                "Ada/._1.heic",
                "Ada/Thumbs.db",
                "Ada/old/desktop.ini",
                "1.heic",
                ".changes/000000.json",
                ".models/a.onnx",
            )
        ),
    ],
)
def test_photos_in_unsupported_formats_are_distinguished_from_other_files(key: str, unread: bool) -> None:
    assert keys.is_unread_photo(key) == unread


def test_a_forbidden_name_is_shown_escaped() -> None:
    assert keys.shown("a\u202eb\x1b[2J") == "a\\u202eb\\u001b[2J"
    assert keys.shown("علی\u200cرضا") == "علی\u200cرضا"
