"""Two films of ``benchmarks.mouths``: nobody is named but by a mouth that moves with the voice."""

import pytest

from benchmarks import mouths
from castline import analyse
from castline.engines.speech import find


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two side by side", "narration over a silent face"])
def test_who_is_seen_to_speak_is_named_and_nobody_else(name, shared_data, tmp_path):
    pytest.importorskip("onnx")
    settings = mouths.settings(tmp_path)
    if find.search(settings.models_dir).best is None:
        pytest.skip("no Whisper is installed")
    scenes = mouths.films()[name]
    film = mouths.make(scenes, tmp_path / "film.mp4")
    result = analyse(film, gallery=mouths.gallery(tmp_path / "gallery"), settings=settings, speakers="auto")
    found = mouths.judge(result, scenes)
    assert found["lines"] >= 4
    assert found["wrong"] == 0
    if name == "two side by side":
        assert found["right"] >= 0.9 * found["lines"]
    else:
        assert found["right"] == 0
        assert found["names"] == []
