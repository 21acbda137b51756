"""Real people's voices told apart in conversations whose turns are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from castline.cli import eval_voices
from castline.cli.main import app
from castline.engines.base import EngineInfo
from castline.engines.choose import load_voice_encoder
from castline.engines.plugins import find_engine
from castline.engines.thresholds import VoiceThresholds
from castline.errors import EvaluationError
from castline.evaluation.strangers import WAYS, looks_of, parted, trials
from castline.evaluation.voices import Told, Turn, answer, mix, rates, read_people
from castline.settings import Settings
from castline.weights.prepare import can_make_voice

pytest.importorskip("pyannote.metrics", reason="pyannote.metrics is not installed")


def read(path):
    samples, rate = soundfile.read(path, dtype="float32")
    if rate == 16000:
        return samples
    size = len(samples) * 16000 // rate
    return np.fft.irfft(np.fft.rfft(samples)[: size // 2 + 1], size).astype(np.float32) * np.float32(
        size / len(samples)
    )


@pytest.fixture(scope="module")
def people(shared_data):
    folder = shared_data / "speech"
    patterns = {
        "jfk": "jfk/*.wav", "1272": "librispeech/1272*.wav", "1088": "librispeech/1088*.wav",
        "2412": "librispeech/2412*.flac", "linda": "ljspeech/*.wav",
        "first": "speechbrain_ASR/spk1*.wav", "second": "speechbrain_ASR/spk2*.wav",
    }  # fmt: skip
    return {name: [read(path) for path in sorted(folder.glob(pattern))] for name, pattern in patterns.items()}


def test_the_rates_tell_right_from_wrong(people):
    conversation = mix({name: people[name] for name in ("jfk", "1088")}, turns=4, seed=1)
    right = rates(conversation, conversation.turns)
    assert (right.der, right.jer, right.people, right.voices) == (0, 0, 2, 2)
    nobody = rates(conversation, [])
    assert nobody.der == pytest.approx(1)
    one = rates(conversation, [Turn(turn.start_s, turn.end_s, "x") for turn in conversation.turns])
    assert 0.1 < one.der < 1 and one.jer >= 0.5


@pytest.mark.slow
def test_most_speech_goes_to_the_right_voice(people, tmp_path):
    if not can_make_voice():
        pytest.skip("resemblyzer or onnx is not installed")
    encoder, same_voice = load_voice_encoder(Settings(models_dir=tmp_path)), find_engine("ge2e").same_voice
    found = []
    for names, seed in ((("2412", "jfk"), 3), (("1088", "first", "linda"), 4), (("1272", "2412", "jfk", "linda"), 5)):
        conversation = mix({name: people[name] for name in names}, turns=3 * len(names), seed=seed)
        found.append(rates(conversation, answer(conversation.samples, encoder, same_voice)))
    # Measured: docs/VOICES.md. One voice for everybody would give 0.4 and more.
    assert np.mean([each.der for each in found]) < 0.2, found
    assert all(abs(each.voices - each.people) <= 2 for each in found), found


@pytest.mark.slow
def test_no_stranger_s_voice_is_named_on_clean_or_degraded_speech(people, tmp_path):
    """10 000 trials; docs/VOICES.md has those with more people and longer recordings."""
    if not can_make_voice():
        pytest.skip("resemblyzer or onnx is not installed")
    encoder, limits = load_voice_encoder(Settings(models_dir=tmp_path)), find_engine("ge2e").voice_thresholds
    short = {name: [np.concatenate(recordings)[: 14 * 16000]] for name, recordings in people.items()}
    found = trials(looks_of(short, encoder), sorted(short), limits)
    assert len(found) == len(WAYS)
    assert sum(each.strangers for each in found) >= 10_000
    assert [each.named for each in found] == [0] * len(WAYS), found
    assert found[0].missed < found[0].own / 4, "most people are recognised by their own voice"


def test_strangers_and_enrolled_people_are_told_apart_on_every_kind_of_sound():
    chance = np.random.default_rng(2)
    directions = {name: chance.normal(size=64) for name in "abcd"}

    looks = {
        name: dict.fromkeys(
            ("clean", "noise, 10 dB", "Opus, 8 kb/s", "telephone", "room, 0.6 s"),
            np.array([v / np.linalg.norm(v) for v in direction + chance.normal(0, 0.3, (12, 64))], np.float32),
        )
        for name, direction in directions.items()
    }
    found = trials(looks, sorted(looks), VoiceThresholds(known=0.8, ambiguous=0.7, unlike=0.5, apart=0.05), count=600)
    assert sum(each.strangers for each in found) >= 600
    assert [each.named for each in found] == [0] * 5
    assert [each.missed for each in found] == [0] * 5
    careless = trials(looks, sorted(looks), VoiceThresholds(known=-1, ambiguous=-1, unlike=-1, apart=0), count=600)
    assert all(each.named == each.strangers for each in careless)
    with pytest.raises(EvaluationError, match="two people"):
        trials(looks, ["a"], VoiceThresholds(known=0.8, ambiguous=0.7, unlike=0.5, apart=0.05))


def test_people_are_read_from_folders_and_split_into_halves(tmp_path):
    for name in ("ada", "bob", "cyd"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "one.wav", np.zeros((8000, 2), np.float32), 8000)
    people = read_people(tmp_path)
    assert {name: len(each[0]) for name, each in people.items()} == {"ada": 16000, "bob": 16000, "cyd": 16000}
    assert parted(people) == (["ada", "cyd"], ["bob"])
    with pytest.raises(EvaluationError, match="no two folders"):
        read_people(tmp_path / "ada")


@pytest.mark.parametrize("way", ["noise, 10 dB", "Opus, 8 kb/s", "telephone", "room, 0.6 s"])
def test_degraded_sound_keeps_its_length_and_is_still_sound(way):
    samples = (0.1 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.float32)
    spoilt = WAYS[way](samples, np.random.default_rng(0))
    assert len(spoilt) == len(samples)
    assert np.isfinite(spoilt).all()
    assert 0.02 < np.sqrt(np.mean(np.square(spoilt))) < 0.2
    assert not np.array_equal(spoilt, samples)


def test_the_command_reports_and_writes_all_numbers(tmp_path, monkeypatch):
    info = EngineInfo(id="ge2e", role="voice_encoder", title="Pitch", licence="MIT", dimension=32)
    people = ("ada", "bob", "cyd", "dan")
    looks = {name: dict.fromkeys(WAYS, np.eye(4, 32, dtype=np.float32)[[at] * 12]) for at, name in enumerate(people)}
    monkeypatch.setattr("castline.engines.choose.load_voice_encoder", lambda _: SimpleNamespace(info=info))
    monkeypatch.setattr(eval_voices, "looks_of", lambda *_: looks)
    monkeypatch.setattr(eval_voices, "conversations", lambda _: [])
    monkeypatch.setattr(
        eval_voices,
        "told_apart",
        lambda _, __, limits: [Told(same_voice=at, der=0.1, jer=0.2, conversations=4, right=3) for at in limits],
    )
    for name in people:
        (tmp_path / "voices" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "voices" / name / "one.wav", np.zeros(16000, np.float32), 16000)
    numbers = tmp_path / "numbers.json"
    words = ["eval", "voices", str(tmp_path / "voices"), "--trials", "100", "--json", str(numbers)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "voices  4 people; Pitch" in done.output
    assert "3 of 4" in done.output
    written = json.loads(numbers.read_text())
    assert (written["engine"], written["people"]) == ("ge2e", 4)
    assert written["told"].keys() == {"choose", "report"}
    assert sum(each["strangers"] for each in written["strangers"]) > 0
    refused = CliRunner().invoke(app, ["eval", "voices", str(tmp_path / "nowhere")])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
