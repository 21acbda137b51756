"""Where sentences end, in several languages and with the abbreviations that once went wrong."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline.sentences import ends

# Words in order; "|" marks that a sentence ends before the last word.
SPACED = [
    ("en", "We met Mr. Quilter.| He left."),
    ("en", "mr. quilter is here.| he left."),
    ("en", "Meet at 5 p.m. on Monday."),
    ("en", "at 5 a.m. we left"),
    ("en", "We came at 5 p.m.| We left."),
    ("en", "He joined the U.S. Navy."),
    ("en", "He lives in the U.S.| He likes it."),
    ("en", "Room No. 5 is free."),
    ("en", "No.| I won't."),
    ("en", "No.| Ten people came.| No.| Never."),
    ("en", "Use tools, e.g. this one."),
    ("en", "J. F. Kennedy spoke."),
    ("en", "I saw J. R. R. Tolkien.| He waved."),
    ("en", "It costs 3.5 dollars.| 10 people paid."),
    ("en", '"Go."| She left.'),
    ("en", "“Go.”| She left."),
    ("en", '"Really?" he asked.| Yes.'),
    ("en", "“Really?” he asked."),
    ("en", 'She said, "I am here!" and left.'),
    ("en", "“I went there.| It was nice.| Then I left.”| He paused."),
    ("en", "It was so.| (He laughed.| Loudly.)| Then silence."),
    ("en", "Wait... what?| No!?"),
    ("en", "Wait… what?"),
    ("en", "Wait…| What?"),
    ("en", "Dr. Smith lives on St. James St. in London."),
    ("en", "Mrs. Jones vs. Mr. Brown, Capt. Hook and Martin Luther King Jr. came."),
    ("en", "See Fig. 3 on p. 55."),
    ("en", "On Jan. 5 we left.| On Feb. 6 too."),
    ("en", "That is plan B.| Go."),
    ("en", "no punctuation at all here"),
    ("de", "Dr. Müller kommt.| Er ist da."),
    ("de", "Man kann z. B. hier sitzen."),
    ("de", "Man kann z.B. hier sitzen."),
    ("de", "Wir kommen am 3. Oktober.| Gut."),
    ("de", "Im 19. Jahrhundert war das so."),
    ("de", "Das war 1990.| Dann kam mehr."),
    ("de", "„Er ging.| Sie kam.“| Gut."),
    ("fr", "M. Dupont est là.| Il part."),
    ("fr", "Mme. Dupont et M. Martin arrivent."),
    ("fr", "Il dit « Va ! »| Elle part."),
    ("fr", "Vraiment ? demanda-t-il."),
    ("es", "¿Qué?| Sr. López vino.| No.| Yo no."),
    ("it", "Il Sig. Rossi è qui.| Bene."),
    ("pt", "O Sr. Silva e a Sra. Costa.| Sim."),
    ("nl", "Dhr. Jansen, d.w.z. hij, is er.| Hij zit."),
    ("sv", "Det är t.ex. här.| Ja."),
    ("cs", "Pan Dr. Novák přišel 3. října.| Ano."),
    ("ru", "А. С. Пушкин писал.| Это было в 1990 г. в Москве."),
    ("el", "Τι κάνεις;| Καλά."),
    ("hi", "डॉ. शर्मा आए।| वे गए।"),
    ("ar", "هل أنت هنا؟| نعم أنا هنا."),
    ("ur", "وہ یہاں ہے۔| وہ جاتا ہے۔"),
    ("hy", "Նա այստեղ է։| Նա գնում է։"),
    ("km", "សួស្តី។| ខ្ញុំ។"),
    (None, "Mr. Quilter is here.| Good."),
    ("xx", "Mr. Quilter is here.| Good."),
    ("en-GB", "Mr. Quilter is here.| Good."),
]  # fmt: skip

# Without spaces, words are divided by "/".
UNSPACED = [
    ("ja", "今日は。|天気/が/いい。"),
    ("ja", "「行け。」|彼女は/去った。"),
    ("ja", "（笑）/はい。|ええ……/そう。|行くよ！|はい"),
    ("zh", "他说：/「走。」|然后/走了。|你好！|真的？|是。"),
    ("zh", "“走吧！”|她/离开了。"),
    ("yue", "你好。|我係。"),
]


@pytest.mark.parametrize(("language", "text"), SPACED)
def test_sentences_end_where_a_reader_ends_them(language: str | None, text: str) -> None:
    marked = text.split()
    words = [(" " if i else "") + word.removesuffix("|") for i, word in enumerate(marked)]
    assert ends(words, language) == [word.endswith("|") for word in marked[:-1]] + [True]


@pytest.mark.parametrize(("language", "text"), UNSPACED)
def test_sentences_without_spaces_too(language: str, text: str) -> None:
    sentences = [sentence.split("/") for sentence in text.split("|")]
    words = [word for sentence in sentences for word in sentence]
    expected = [i == len(sentence) - 1 for sentence in sentences for i in range(len(sentence))]
    assert ends(words, language) == expected


def test_two_hours_take_no_time() -> None:
    words = " Mr. Quilter said: “It is 5 p.m. now.” We are glad, e.g. here.".split(" ")[1:] * 1600
    begin = time.perf_counter()
    assert len(ends([f" {word}" for word in words], "en")) > 20_000
    assert time.perf_counter() - begin < 60  # if it were not linear, it would take minutes


@given(st.lists(st.text(max_size=6) | st.sampled_from([" a.", " “A.", "”", " .", ".", "。", "\n\n"])))
def test_any_words_are_accepted(words: list[str]) -> None:
    found = ends(words, "en")
    assert len(found) == len(words)
    assert not words or found[-1]


def test_invalid_unicode_is_accepted() -> None:
    assert ends([" Go\ud800.", " On."], None) == [True, True]
