"""Routes that answer with the transcript: with OpenAI's own client, and with whisper-asr-webservice's requests."""

from __future__ import annotations

import base64
import io
import itertools
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import soundfile
import webvtt

from castline import library
from castline.settings import Settings
from castline.weights.prepare import can_make_voice
from tests.service.conftest import CHECKOUT, Running, running, service_settings, until

pytestmark = pytest.mark.usefixtures("needs_whisper")


@pytest.fixture(scope="module")
def client(service: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.state.tokens.add("grace"), max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def text(clip: Path, needs_whisper: None) -> str:
    """What is said in the clip, according to the library."""
    said = library.transcribe(clip, settings=Settings(transcriber="faster-whisper:tiny.en")).text
    assert len(said.split()) > 3
    return said


def test_json(client: openai.OpenAI, clip: Path, text: str) -> None:
    found = client.audio.transcriptions.create(file=clip, model="whisper-1")
    assert found.text == text
    assert found.usage is not None and found.usage.type == "duration" and found.usage.seconds == 4


def test_verbose_json(client: openai.OpenAI, clip: Path, text: str) -> None:
    found = client.audio.transcriptions.create(
        file=clip, model="tiny.en", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert found.text == text
    assert found.duration == pytest.approx(4.0, abs=0.1)
    assert found.language == "en"
    assert found.segments is not None and found.words is not None
    assert " ".join(word.word for word in found.words) == text
    assert all(0 <= word.start <= word.end <= 4.1 for word in found.words)
    assert found.segments[0].text.strip() in text
    words = client.audio.transcriptions.create(
        file=clip, model="faster-whisper:tiny.en", response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert words.segments is None and words.words == found.words


def test_text_srt_and_vtt(client: openai.OpenAI, clip: Path, text: str) -> None:
    create = client.audio.transcriptions.create
    assert create(file=clip, model="whisper-1", response_format="text") == f"{text}\n"
    cues = webvtt.from_string(create(file=clip, model="whisper-1", response_format="vtt"))
    assert " ".join(cue.text.replace("\n", " ") for cue in cues) == text
    assert re.match(r"1\n00:00:0\d,\d{3} --> ", create(file=clip, model="whisper-1", response_format="srt"))


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # whisper-1, by its maker
def test_options_reach_the_engine(client: openai.OpenAI, clip: Path) -> None:
    found = client.audio.transcriptions.create(
        file=clip,
        model="whisper-1",
        language="en",
        prompt="About cameras.",
        temperature=0.5,
        extra_body={"hotwords": "Ada"},
    )
    assert found.text
    with pytest.raises(openai.BadRequestError, match="does not know the language 'de'"):
        client.audio.transcriptions.create(file=clip, model="whisper-1", language="de")
    with pytest.raises(openai.BadRequestError, match="cannot translate"):
        client.audio.translations.create(file=clip, model="whisper-1")


def test_a_stream_sends_text_as_it_is_transcribed(
    client: openai.OpenAI, ffmpeg: Callable[..., None], clip: Path, tmp_path: Path
) -> None:
    longer = tmp_path / "longer.ogg"  # three chunks
    ffmpeg("-i", CHECKOUT / "examples" / "demo.mp4", "-vn", "-t", 24, "-c:a", "libopus", longer)
    events = list(client.audio.transcriptions.create(file=longer, model="gpt-4o-transcribe", stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) >= 2
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert "".join(deltas) == done.text
    plain = client.audio.transcriptions.with_raw_response.create(file=clip, model="whisper-1", stream=True)
    assert plain.headers["content-type"] == "application/json"  # whisper-1 ignores it


def test_diarized_json(client: openai.OpenAI, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    clip = tmp_path / "longer.flac"
    ffmpeg("-ss", 1, "-i", CHECKOUT / "examples" / "demo.mp4", "-t", 9, "-vn", "-ar", 16000, "-ac", 1, clip)
    found = client.audio.transcriptions.create(file=clip, model="whisper-1", response_format="diarized_json")
    assert [segment.type for segment in found.segments] == ["transcript.text.segment"] * len(found.segments)
    assert " ".join(segment.text.strip() for segment in found.segments) == found.text
    speakers = {segment.speaker for segment in found.segments}
    assert speakers <= {"Speaker 1", "Speaker 2", "Speaker 3", "Unknown"}
    assert ("Speaker 1" in speakers) == can_make_voice()
    events = list(
        client.audio.transcriptions.create(
            file=clip, model="gpt-4o-transcribe-diarize", response_format="diarized_json", stream=True
        )
    )
    said = [event.model_dump() for event in events if event.type == "transcript.text.segment"]
    assert said == [segment.model_dump() for segment in found.segments]
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == found.text
    assert events[-1].type == "transcript.text.done" and events[-1].text == found.text


def _data_url(path: Path) -> str:
    return f"data:audio/flac;base64,{base64.b64encode(path.read_bytes()).decode()}"


@pytest.mark.skipif(not can_make_voice(), reason="resemblyzer or onnx is not installed")
def test_known_speakers_are_named_and_others_are_not(
    client: openai.OpenAI, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    clip, own, noise = tmp_path / "longer.flac", tmp_path / "own.flac", tmp_path / "noise.flac"
    film = CHECKOUT / "examples" / "demo.mp4"
    ffmpeg("-ss", 1, "-i", film, "-t", 9, "-vn", "-ar", 16000, "-ac", 1, clip)
    ffmpeg("-ss", 1, "-i", film, "-t", 6, "-vn", "-ar", 16000, "-ac", 1, own)
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=3:a=0.1", "-ar", 16000, "-ac", 1, noise)
    asked = {"file": clip, "model": "whisper-1", "response_format": "diarized_json"}
    found = client.audio.transcriptions.create(
        **asked, known_speaker_names=["Ada"], known_speaker_references=[_data_url(own)]
    )
    assert {segment.speaker for segment in found.segments} & {"Ada"}
    other = tmp_path / "other.flac"  # somebody with another vocal tract
    ffmpeg("-i", own, "-af", "asetrate=11500,aresample=16000,atempo=1.39", other)
    found = client.audio.transcriptions.create(
        **asked, known_speaker_names=["Bob"], known_speaker_references=[_data_url(other)]
    )
    assert {segment.speaker for segment in found.segments} <= {"Speaker 1", "Speaker 2", "Speaker 3", "Unknown"}
    with pytest.raises(openai.BadRequestError, match="one reference for each name"):
        client.audio.transcriptions.create(**asked, known_speaker_names=["Ada"])
    with pytest.raises(openai.BadRequestError, match="data URLs"):
        client.audio.transcriptions.create(**asked, known_speaker_names=["Ada"], known_speaker_references=["ada.wav"])
    with pytest.raises(openai.BadRequestError, match="too little to know a voice by"):
        client.audio.transcriptions.create(
            **asked, known_speaker_names=["Ada"], known_speaker_references=[_data_url(noise)]
        )


@pytest.mark.skipif(not can_make_voice(), reason="resemblyzer or onnx is not installed")
def test_references_as_large_as_ten_seconds_are(
    client: openai.OpenAI, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """Four of ten seconds, in stereo: as CDs have them, and in 24 bits and 48 kHz; what is larger is refused."""
    clip, film = tmp_path / "longer.flac", CHECKOUT / "examples" / "demo.mp4"
    ffmpeg("-ss", 1, "-i", film, "-t", 9, "-vn", "-ar", 16000, "-ac", 1, clip)
    urls = []
    for codec, rate in (("pcm_s16le", 44100), ("pcm_s24le", 48000), ("pcm_f32le", 48000)):
        path = tmp_path / f"{codec}.wav"
        sound = ["-af", "apad=whole_dur=10", "-ac", 2, "-ar", rate, "-c:a", codec]  # one voice for six seconds
        ffmpeg("-ss", 1, "-t", 6, "-i", film, "-vn", *sound, path)
        urls.append(_data_url(path).replace("audio/flac", "audio/wav"))
    cd, studio, much = urls
    assert 2.3e6 < len(cd) < 2.4e6 and 3.8e6 < len(studio) < 3.9e6 and len(much) > 5e6

    def ask(*references: str) -> Any:
        names = [f"Ada {number}" for number in range(len(references))]
        asked = {"file": clip, "model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}
        return client.audio.transcriptions.create(
            **asked, known_speaker_names=names, known_speaker_references=list(references)
        )

    assert {segment.speaker for segment in ask(cd).segments} & {"Ada 0"}
    assert ask(studio, studio, cd, studio).segments
    with pytest.raises(openai.BadRequestError, match="4096") as raised:
        ask(much)
    assert set(raised.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "there is no model 'gpt-9' here"),
        ({"model": "faster-whisper:../../x"}, openai.NotFoundError, "there is no model"),
        ({"model": "whisper-1", "include": ["logprobs"]}, openai.BadRequestError, "include"),
        ({"model": "whisper-1", "response_format": "yaml"}, openai.BadRequestError, "response_format"),
        (
            {"model": "whisper-1", "timestamp_granularities": ["year"]},
            openai.BadRequestError,
            "timestamp_granularities",
        ),
        ({"model": "whisper-1", "temperature": 7}, openai.BadRequestError, "temperature"),
    ],
)
def test_errors_have_openai_s_form(
    client: openai.OpenAI, asked: dict[str, object], error: type[openai.APIStatusError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        client.audio.transcriptions.create(file=("a.wav", b"x"), **asked)  # type: ignore[call-overload]
    assert set(raised.value.body) == {"message", "type", "param", "code"}


def test_a_file_that_is_not_media_is_a_bad_request(client: openai.OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="not in a known audio or video format") as raised:
            client.audio.transcriptions.create(
                file=("a.wav", b"This is a letter.\n" * 50), model="gpt-transcribe", stream=stream
            )
        assert raised.value.code == "not_media"


def test_a_wrong_key_is_openai_s_error(service: Running) -> None:
    with (
        openai.OpenAI(base_url=f"{service.url}/v1", api_key="ada:wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as raised,
    ):
        stranger.models.list()
    assert raised.value.code == "invalid_api_key"


def test_models(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"whisper-1", "gpt-transcribe", "faster-whisper:tiny.en"} <= names
    assert client.models.retrieve("whisper-1").id == "whisper-1"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_a_client_that_hangs_up_ends_its_work(service: Running, long_clip: Path) -> None:
    with service.client() as ada:
        until(lambda: service.state.pool.busy == 0)
        with pytest.raises(httpx.ReadTimeout), long_clip.open("rb") as file:
            form = {"model": "whisper-1"}
            ada.post("/v1/audio/transcriptions", files={"file": file}, data=form, timeout=httpx.Timeout(60, read=2))
        until(lambda: service.state.pool.busy == 0, 20)
        until(lambda: not list((service.state.service.folder / "uploads").iterdir()))


def test_a_worker_that_dies_costs_one_retry_here_too(service: Running, clip: Path, text: str) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        with service.client() as ada, clip.open("rb") as file:
            answers.append(ada.post("/v1/audio/transcriptions", files={"file": file}, data={"model": "whisper-1"}))

    for pid in service.state.pool.pids:  # a new worker takes longer, so that it is caught
        os.kill(pid, signal.SIGKILL)
    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: service.state.pool.busy and service.state.pool.pids)
    os.kill(service.state.pool.pids[0], signal.SIGKILL)
    thread.join()
    assert answers[0].json()["text"] == text


def test_only_a_limited_number_may_wait(tmp_path: Path, clip: Path) -> None:
    with running(service_settings(tmp_path, waiting=1)) as up, up.client() as ada:
        up.state.pool.submit = lambda _: False  # type: ignore[method-assign]
        with clip.open("rb") as file:
            refused = ada.post("/v1/audio/transcriptions", files={"file": file}, data={"model": "whisper-1"})
    assert refused.status_code == 503
    assert refused.json()["error"]["type"] == "server_error"


def test_asr(service: Running, clip: Path, text: str) -> None:
    samples, rate = soundfile.read(clip, dtype="int16")
    assert rate == 16_000
    with service.client() as ada:

        def asr(content: bytes, **query: object) -> httpx.Response:
            return ada.post("/asr", params=query, files={"audio_file": ("voice note.ogg", content)})

        found = asr(clip.read_bytes())
        assert found.text.replace("\n", " ").strip() == text
        assert found.headers["content-type"].startswith("text/plain")
        assert found.headers["asr-engine"] == "faster-whisper:tiny.en"
        for output in ("srt", "json"):
            whole = asr(clip.read_bytes(), output=output, language="en", task="transcribe", vad_filter="true").text
            plain = asr(samples.tobytes(), output=output, language="en", encode="false").text
            assert whole == plain and whole
        told = asr(clip.read_bytes(), diarize="true", min_speakers=1, max_speakers=2, output="txt").text
        assert re.sub(r"\[Speaker \d\]: ", "", told).replace("\n", " ").strip() == text
        assert (
            asr(b"This is a letter.\n" * 50).json()["detail"] == "the content is not in a known audio or video format"
        )
        for content, encode in ((clip.read_bytes(), "true"), (samples.tobytes(), "false")):
            said = ada.post("/detect-language", params={"encode": encode}, files={"audio_file": io.BytesIO(content)})
            assert said.json() == {"detected_language": "english", "language_code": "en", "confidence": 1.0}


@pytest.mark.skipif(not os.environ.get("LONG"), reason="runs only with LONG=1: two hours of speech")
@pytest.mark.timeout(4 * 3600)
def test_two_hours_are_one_answer(service: Running, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    """The demo's speech repeated, with a real engine: transcribed to the end."""
    path = tmp_path / "long.mp3"
    # Not -stream_loop: between its turns there are gaps of 63 ms, and an MP3 has none, so 19 s would be missing.
    again = ["-af", "aloop=loop=-1:size=1000000", "-t", 7200]
    ffmpeg("-i", CHECKOUT / "examples" / "demo.mp4", "-vn", *again, "-ac", 1, "-b:a", "32k", path)
    token = service.state.tokens.add("grace")
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=token, max_retries=0, timeout=4 * 3600) as client:
        found = client.audio.transcriptions.create(file=path, model="whisper-1", response_format="verbose_json")
    assert found.duration == pytest.approx(7200, abs=1)
    assert found.segments and found.segments[-1].end > 7170
    starts = [segment.start for segment in found.segments]
    assert max(after - before for before, after in itertools.pairwise(starts)) < 60
