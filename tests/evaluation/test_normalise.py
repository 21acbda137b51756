"""Texts that say the same compare equal, and texts that do not remain different."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.evaluation.normalise import normalise, plain

_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen " \
        "seventeen eighteen nineteen".split()  # fmt: skip
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def _spoken(number: int) -> str:
    """British English, 0 <= number < 10^6."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        head, rest, glue = f"{_ONES[number // 100]} hundred", number % 100, " and "
    else:
        head, rest, glue = f"{_spoken(number // 1000)} thousand", number % 1000, " "
        glue = " and " if rest < 100 else " "
    return head + (glue + _spoken(rest) if rest else "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ask not, what your COUNTRY…", "ask not what your country"),
        ("don't – don’t", "dont dont"),
        ("ill-disposed, press/yard", "ill disposed press yard"),
        ("uh, Mr. Quilter & Co. 25", "uh mr quilter co 25"),
        ("Ça va? Cafe\u0301!", "ça va café"),
        ("हिन्दी, ठीक।", "हिन्दी ठीक"),
        (" \t\n", ""),
    ],
)
def test_plain_removes_only_case_and_punctuation(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mr. Quilter", "mister quilter"),
        ("Dr. and Mrs. Smith", "doctor and missus smith"),
        ("Uh, I, um, see. Hmm", "i see"),
        ("[applause] yes (inaudible) <noise>", "yes"),
        ("don't, won’t, can't", "do not will not can not"),
        ("it's been, he's gone", "it has been he has gone"),
        ("it's here; that’s who's there", "it is here that is who is there"),
        ("they're I'm we've you'll", "they are i am we have you will"),
        ("I'd been, I'd go", "i had been i would go"),
        ("let's; gonna, wanna", "let us going to want to"),
        ("the colour of honour", "the color of honor"),
        ("50%", "fifty per cent"),
        ("the twenty-first", "the 21st"),
        ("1,250,000", "one million two hundred and fifty thousand"),
        ("2 million", "two million"),
        ("3.5", "three point five"),
        ("$5", "five dollars"),
        ("nineteen hundred", "1900"),
        ("in eighteen thirteen", "in 1813"),
        ("nineteen ninety-nine was", "1999 was"),
        ("Café naïve", "cafe naive"),
        ("uh", ""),
    ],
)
def test_what_sounds_alike_in_english_has_one_spelling(one: str, other: str) -> None:
    assert normalise(one) == normalise(other) == normalise(one, "en-GB")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("two men", "three men"),
        ("is not", "is"),
        ("fifteen", "fifty"),
        ("$5", "$6"),
        ("cat", "cats"),
        ("I will", "I would"),
        ("the twenty-first", "the twenty-second"),
    ],
)
def test_what_sounds_different_remains_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Ça va? «Très bien»!", "fr", "ça va très bien"),
        ("Straße – 25 Männer [Applaus]", "de-AT", "straße 25 männer"),
        ("Um zehn, eh?", "pt-BR", "um zehn eh"),  # not a filler: "um" is a Portuguese word
    ],
)
def test_other_languages_keep_their_words(text: str, language: str, expected: str) -> None:
    assert normalise(text, language) == expected


@given(st.integers(0, 999_999))
def test_number_words_equal_their_digits(number: int) -> None:
    said = "one" if number == 1 else str(number)  # alone it is more often a pronoun
    assert normalise(_spoken(number)) == said == normalise(f"{number:,}")


@given(st.text(max_size=60), st.sampled_from([None, "en", "de", "hi"]))
def test_any_text_becomes_words_with_single_spaces(text: str, language: str | None) -> None:
    for found in (plain(text), normalise(text, language)):
        assert found == " ".join(found.split())
    assert "'" not in plain(text)
    assert plain(plain(text)) == plain(text)


@given(st.lists(st.sampled_from([*_ONES, *_TENS, *"hundred thousand million a and 5 20 men".split()]), max_size=8))
def test_words_around_numbers_are_kept(words: list[str]) -> None:
    found = normalise(" ".join(words)).split()
    assert bool(found) == bool(words)
    assert found.count("men") == words.count("men")
