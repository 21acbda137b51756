"""Films of ``benchmarks.mouths``: a mouth alone names nobody, and with an enrolled voice nobody is misnamed."""

import pytest

from benchmarks import mouths
from castline import analyse
from castline.engines.speech import find
from tests.conftest import at_scale

# By mouths alone, and by enrolled voices; the first film of each kind is the most informative.
_MOUTHS = ["narration over a silent face", "two side by side"][: at_scale(1, 2)]
_VOICES = ["own voices, two faces", "voices swapped"][: at_scale(1, 2)]
_ALL = sorted(mouths.films(seed=1))[: at_scale(0, 100)]


@pytest.fixture
def settings(shared_data, tmp_path):
    pytest.importorskip("onnx")
    found = mouths.settings(tmp_path)
    if find.search(found.models_dir).best is None:
        pytest.skip("no Whisper is installed")
    return found


@pytest.fixture
def judged(settings, tmp_path):
    def judge(name, speakers="auto"):
        film = mouths.films(seed=1)[name]
        path = mouths.make(film, tmp_path / "film.mp4")
        known = mouths.gallery(film, tmp_path / "gallery", settings)
        return mouths.judge(analyse(path, gallery=known, settings=settings, speakers=speakers), film)

    return judge


@pytest.mark.slow
@pytest.mark.parametrize("name", _MOUTHS)
def test_only_the_person_seen_speaking_is_guessed(name, judged):
    found = judged(name)
    assert found["lines"] >= 4
    assert found["right"] == found["wrong"] == found["maybe_wrong"] == 0
    assert found["names"] == []
    if name == "two side by side":
        assert found["maybe"] >= 0.8 * found["lines"]
    else:
        assert found["maybe"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", _VOICES)
def test_an_enrolled_voice_names_and_contradicts_a_mouth(name, judged):
    found = judged(name)
    assert found["lines"] >= 4
    assert found["wrong"] == found["maybe_wrong"] == 0
    assert name == "voices swapped" or found["known"] >= 0.8 * found["knowable"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", _ALL)
def test_nobody_is_misnamed_in_any_film_and_names_do_no_harm(name, settings, tmp_path):
    """With LONG=1: dubbing, voices off screen, cuts, strangers; benchmarks/mouths.py counts what is right."""
    film = mouths.films(seed=1)[name]
    path = mouths.make(film, tmp_path / "film.mp4")
    known = mouths.gallery(film, tmp_path / "gallery", settings)
    voices, both = (
        analyse(path, gallery=known, settings=settings, speakers=speakers) for speakers in ("voices", "auto")
    )
    assert mouths.judge(both, film)["wrong"] == 0
    assert mouths.error_rate(both, film) <= mouths.error_rate(voices, film) + 0.001
