"""Clients' requests reach the engine, and its answers reach them: with an engine that records its requests, translates,
and waits for the test."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import webvtt

from castline.engines import plugins
from castline.records import SpeechOptions
from castline.service.asked import ACCEPTED, JobRequest
from castline.settings import Settings
from tests.conftest import at_scale
from tests.service.conftest import CHECKOUT, Bucket, Running, job, running, service_settings, until

_MODULE = """
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from castline.engines.base import EngineInfo, Transcription
from castline.engines.plugins import Engine
from castline.records import Segment, SpokenLanguage, Word


class Echo(Engine):
    info = EngineInfo(id="echo", role="transcriber", title="Echo", licence="MIT", languages=("*",), word_times=True,
                      translates=True, prompts=True)
    argument = "FOLDER"

    def survey(self, settings):
        return replace(self.info, source="here", reason="it needs no weights")

    def load(self, argument, settings, *, asked=True):
        seen = [os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")]
        with (Path(argument) / "loaded").open("a") as file:
            file.write(json.dumps([settings.device, *seen]) + "\\n")
        return Loaded(Path(argument), self.info)


class Loaded:
    def __init__(self, folder, info):
        self.folder, self.info, self.waits, self.asked, self.kept = folder, info, 0, "", b""

    def transcribe(self, speech):
        asked = speech.options
        with (self.folder / "asked").open("a") as file:
            file.write(asked.model_dump_json() + "\\n")
        self.waits = self.waits + 1 if asked.prompt == self.asked else 1
        self.asked = asked.prompt
        if asked.prompt == "much":
            self.kept = bytes(range(256)) * (300 << 12)
        if asked.prompt and asked.prompt.startswith("wait") and self.waits == 1 + ("once" not in asked.prompt):
            (self.folder / "gate").read_bytes()  # a pipe: until somebody writes
        word = "english" if asked.task == "translate" else "wort"
        said = [Word(start_s=at, end_s=at + 0.5, text=f" {word}{at}", probability=0.9)
                for at in range(len(speech.samples) // 16000)]
        return Transcription(
            asked.language or "de",
            tuple(Segment(start_s=w.start_s, end_s=w.end_s, text=w.text.strip(), words=(w,)) for w in said),
            () if asked.language else (SpokenLanguage(code="de", probability=0.75, seconds=len(said)),),
        )
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the engine writes; it is installed there, for this process and its workers, which get its path."""
    made = tmp_path_factory.mktemp("echo")
    (made / "echo_engine.py").write_text(_MODULE)
    info = made / "echo_engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[castline.engines]\necho = echo_engine:Echo\n")
    sys.path.insert(0, str(made))
    plugins._all.cache_clear()
    yield made
    sys.path.remove(str(made))
    plugins._all.cache_clear()


def settings(folder: Path) -> Settings:
    return Settings(transcriber=f"echo:{folder}", chunk_s=10)


@pytest.fixture(scope="module")
def service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(service_settings(tmp_path_factory.mktemp("service")), settings(folder)) as up:
        yield up


@pytest.fixture
def asked(folder: Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """The engine's last request, without defaults."""
    (folder / "asked").unlink(missing_ok=True)

    def last() -> dict[str, Any]:
        found = json.loads((folder / "asked").read_text().splitlines()[-1])
        usual = SpeechOptions().model_dump(mode="json")
        return {name: found[name] for name in usual if found[name] != usual[name]}

    return last


SAID, TRANSLATED = "wort0 wort1 wort2 wort3", "english0 english1 english2 english3"


def test_options_of_openais_api(service: Running, clip: Path, asked: Callable[[], dict[str, Any]]) -> None:
    with service.client() as ada:

        def ask(route: str = "transcriptions", **data: Any) -> str:
            files = {"file": clip.read_bytes()}
            answer = ada.post(f"/v1/audio/{route}", files=files, data={"model": "whisper-1"} | data)
            assert answer.status_code == 200, answer.text
            return str(answer.json()["text"])

        assert ask() == SAID and asked() == {}
        assert ask(language="fr", prompt="Cameras.") == SAID
        assert asked() == {"language": "fr", "prompt": "Cameras."}
        before = "Alexandra said that " * 5000  # what was said so far, as many clients send it
        ask(prompt=before)
        kept = asked()["prompt"]
        assert before.strip().endswith(kept) and 980 < len(kept) <= 1000 and kept.split()[0] in before.split()
        ask(**{"keywords[]": ["Hedy", " Ada "], "hotwords": "Grace, Mary,"})
        assert asked() == {"hotwords": ["Hedy", "Ada", "Grace", "Mary"]}
        ask(**{"languages[]": ["it"]})
        assert asked() == {"language": "it"}
        ask(**{"languages[]": ["it", "fr"]})
        assert asked() == {}, "the engine detects which of them it is"
        assert ask("translations", prompt="Cameras.") == TRANSLATED
        assert asked() == {"task": "translate", "prompt": "Cameras."}


def test_it_is_listed_and_can_be_named(service: Running, clip: Path) -> None:
    with service.client() as ada:
        assert "echo" in [each["id"] for each in ada.get("/v1/models").json()["data"]]
        assert ada.get("/v1/models/echo").json()["id"] == "echo"

        def ask(model: str) -> Any:
            return ada.post("/v1/audio/transcriptions", files={"file": clip.read_bytes()}, data={"model": model})

        assert ask("echo").json()["text"] == SAID
        assert (ask("echo:loud").status_code, "without a model" in ask("echo:loud").text) == (404, True)
        engines = ada.get("/openapi.json").json()["components"]["schemas"]["JobOptions"]["properties"]["engine"]["enum"]
        assert {"auto", "openai-whisper", "whisper.cpp", "faster-whisper", "echo"} <= set(engines)


def test_a_job_names_it_and_gets_our_formats(service: Running, bucket: Bucket, clip: Path) -> None:
    bucket.files["clip.flac"] = clip.read_bytes()
    outputs = {"txt_url": bucket.url("echo.txt")}
    with service.client() as ada:
        options = {"engine": "echo", "language": "auto", "model": None, "outputs": outputs}
        answer = ada.post("/transcription/", json=job(bucket, options=options))
        assert answer.status_code == 200, answer.text
        text = until(lambda: bucket.got("echo.txt"))
        refused = ada.post("/transcription/", json=job(bucket, options=options | {"engine": "owl"}))
        assert (refused.status_code, "echo" in refused.text) == (422, True)
    assert text.decode().split() == SAID.split()


def test_a_stored_job_whose_engine_is_gone_ends_with_an_error(service: Running, bucket: Bucket) -> None:
    body = JobRequest.model_validate(job(bucket, options={"engine": "owl"}), context=ACCEPTED)
    stored = service.state.jobs.add("ada", body)
    with service.client() as ada:
        ended = until(lambda: (found := ada.get(f"/transcription/{stored.id}").json())["finish_time"] and found)
    assert (ended["state"], ended["message"]) == ("error", "there is no engine 'owl' here")


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # whisper-1, by its maker
def test_translations_in_every_format(service: Running, clip: Path) -> None:
    token = service.state.tokens.add("grace")
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=token, max_retries=0) as client:
        create = client.audio.translations.create
        assert create(file=clip, model="whisper-1").text == TRANSLATED
        assert create(file=clip, model="whisper-1", response_format="text").split() == TRANSLATED.split()
        verbose = create(file=clip, model="whisper-1", response_format="verbose_json")
        assert verbose.text == TRANSLATED and verbose.segments
        cues = webvtt.from_string(create(file=clip, model="whisper-1", response_format="vtt"))
        assert " ".join(cue.text for cue in cues).split() == TRANSLATED.split()
        assert create(file=clip, model="whisper-1", response_format="srt").startswith("1\n00:00:00,000 --> ")


def test_options_of_the_asr_webservice(service: Running, clip: Path, asked: Callable[[], dict[str, Any]]) -> None:
    with service.client() as ada:

        def ask(**query: str) -> str:
            answer = ada.post("/asr", params=query, files={"audio_file": clip.read_bytes()})
            assert answer.status_code == 200, answer.text
            return answer.text

        assert ask(task="translate", language="de", initial_prompt="Cameras.").split() == TRANSLATED.split()
        assert asked() == {"task": "translate", "language": "de", "prompt": "Cameras."}
        rows = [row.split("\t") for row in ask(output="tsv", task="translate").splitlines()]
        assert rows[0] == ["start", "end", "text"]
        assert " ".join(text for _, _, text in rows[1:]).split() == TRANSLATED.split()
        assert all(int(start) < int(end) for start, end, _ in rows[1:])
        cues = webvtt.from_string(ask(output="vtt"))
        assert " ".join(cue.text for cue in cues).split() == SAID.split()
        found = ada.post("/detect-language", files={"audio_file": clip.read_bytes()})
        assert found.json() == {"detected_language": "german", "language_code": "de", "confidence": 0.75}


def test_a_job_s_language(service: Running, bucket: Bucket, clip: Path, asked: Callable[[], dict[str, Any]]) -> None:
    bucket.files["clip.flac"] = clip.read_bytes()
    with service.client() as ada:
        for language, heard in (("auto", {}), ("es", {"language": "es"})):
            options = {"engine": "auto", "model": None, "language": language}
            made = ada.post("/transcription/", json=job(bucket, options=options)).json()
            path = f"/transcription/{made['id']}"
            found = until(lambda path=path: (got := ada.get(path).json())["finish_time"] and got)
            assert found["state"] == "finished", found
            assert asked() == heard
            assert found["language_used"] == (language if heard else "de")


def test_a_job_s_times_are_the_database_s(
    folder: Path, tmp_path: Path, bucket: Bucket, clip: Path, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a host whose clock is an hour ahead, as it says itself; a worker is sent the time it has to tell others."""
    bucket.files["clip.flac"] = clip.read_bytes()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    outputs = {"json_url": bucket.url("out.json"), "meta_url": bucket.url("meta.json")}
    options = {"engine": "auto", "model": None, "outputs": outputs}
    with running(service_settings(tmp_path, database=postgresql_database), settings(folder)) as up, up.client() as ada:
        made = ada.post("/transcription/", json=job(bucket, options=options)).json()
        found = until(lambda: (got := ada.get(f"/transcription/{made['id']}").json())["finish_time"] and got)
    assert found["state"] == "finished", found
    assert abs(found["queue_time"] - real()) < 600
    assert found["queue_time"] <= found["start_time"] <= found["finish_time"] < real() + 1
    assert found["processing_time"] == pytest.approx(found["finish_time"] - found["start_time"], abs=0.01)
    assert json.loads(bucket.got("meta.json") or b"")["finish_time"] == pytest.approx(found["finish_time"])


def test_work_that_cannot_be_begun_is_answered(
    folder: Path, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: here a file is where the folder of the work should be. And as on a machine that has no memory
    for another process. Later the same service works again.
    """
    with running(service_settings(tmp_path), settings(folder)) as up, up.client() as ada:

        def ask() -> httpx.Response:
            form = {"model": "whisper-1"}
            files = {"file": clip.read_bytes()}
            return ada.post("/v1/audio/transcriptions", files=files, data=form, timeout=60)

        (tmp_path / "work").write_bytes(b"")
        refused = ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        (tmp_path / "work").unlink()

        def start(_: object) -> None:
            raise BlockingIOError(errno.EAGAIN, "no more processes")

        with monkeypatch.context() as full:
            full.setattr(multiprocessing.get_context("spawn").Process, "start", start)
            assert ask().status_code == 503
        assert ask().json()["text"] == SAID


def test_a_worker_is_replaced_after_its_limits(folder: Path, tmp_path: Path, clip: Path) -> None:
    """After the second task, and after one that leaves it with much memory; not before."""
    limits = service_settings(tmp_path, worker_jobs=2, worker_memory_mb=256)
    with running(limits, settings(folder)) as up, up.client() as ada:
        found = []
        for prompt in ("", "", "much"):
            form = {"model": "whisper-1", "prompt": prompt}
            answer = ada.post("/v1/audio/transcriptions", files={"file": clip.read_bytes()}, data=form)
            assert answer.json()["text"] == SAID
            until(lambda: up.state.pool.busy == 0)
            found.append(len(up.state.pool.pids))
        assert found == [1, 0, 0]


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """Three chunks."""
    path = tmp_path_factory.mktemp("longer") / "longer.ogg"
    ffmpeg("-i", CHECKOUT / "examples" / "demo.mp4", "-vn", "-t", 24, "-c:a", "libopus", path)
    return path


@pytest.fixture
def gate(folder: Path) -> Iterator[Callable[[], None]]:
    """Opens the gate before the second chunk."""
    path = folder / "gate"
    os.mkfifo(path)
    yield lambda: threading.Thread(target=path.write_bytes, args=(b"go",), daemon=True).start()
    path.unlink()


def test_a_stream_sends_text_before_the_engine_has_finished(
    service: Running, gate: Callable[[], None], longer: Path
) -> None:
    """The engine receives the second chunk only when the first one's text has been received."""
    token = service.state.tokens.add("grace")
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=token, max_retries=0, timeout=600) as client:
        asked = {"file": longer, "model": "gpt-4o-transcribe", "prompt": "wait"}
        events = iter(client.audio.transcriptions.create(**asked, stream=True))
        first = next(events)
        assert first.type == "transcript.text.delta"
        gate()
        rest = list(events)
    deltas = [first.delta, *(event.delta for event in rest if event.type == "transcript.text.delta")]
    assert len(deltas) >= 2
    assert rest[-1].type == "transcript.text.done" and "".join(deltas) == rest[-1].text


@pytest.mark.parametrize("prompt", ["wait at once", "wait between"])
def test_a_stream_without_news_sends_comments(
    service: Running, gate: Callable[[], None], longer: Path, monkeypatch: pytest.MonkeyPatch, prompt: str
) -> None:
    """Comments, which no client shows, before the first event and between events: proxies would otherwise close it."""
    monkeypatch.setattr("castline.service.voice._QUIET_S", 0.0)
    form = {"model": "gpt-4o-transcribe", "prompt": prompt, "stream": "true"}
    with (
        service.client() as ada,
        ada.stream("POST", "/v1/audio/transcriptions", data=form, files={"file": longer.read_bytes()}) as answer,
    ):
        lines = filter(None, answer.iter_lines())
        if prompt == "wait between":
            next(line for line in lines if line.startswith("data: "))
        assert next(lines).startswith(": ")
        gate()
        told = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert told[-1]["type"] == "transcript.text.done"


def test_a_client_that_hangs_up_ends_its_stream_and_leaves_nothing(
    service: Running, gate: Callable[[], None], longer: Path
) -> None:
    form = {"model": "gpt-4o-transcribe", "prompt": "wait for nobody", "stream": "true"}
    with service.client() as ada:
        files = {"file": longer.read_bytes()}
        with ada.stream("POST", "/v1/audio/transcriptions", data=form, files=files) as answer:
            next(answer.iter_lines())
            assert service.state.pool.busy == 1
        until(lambda: service.state.pool.busy == 0)
        until(lambda: not list((service.state.service.folder / "uploads").iterdir()))


@pytest.mark.usefixtures("gate")
def test_each_worker_sees_its_gpu_alone(
    folder: Path, longer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real workers say what they see, where CUDA would look; CTranslate2, in its own process, says there are two."""
    (tmp_path / "ctranslate2.py").write_text(
        "import os\nget_cuda_device_count = lambda: int(os.environ['CUDA_VISIBLE_DEVICES'] in ('0', '1'))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (folder / "loaded").unlink(missing_ok=True)
    limits = service_settings(tmp_path / "service", workers=0, gpus=("0", "1"))
    with running(limits, settings(folder).model_copy(update={"device": "cuda"})) as up, up.client() as ada:

        def ask() -> None:
            form = {"model": "whisper-1", "prompt": "wait at once"}
            ada.post("/v1/audio/transcriptions", files={"file": longer.read_bytes()}, data=form)

        both = [threading.Thread(target=ask, daemon=True) for _ in range(2)]  # they wait until the workers end
        for each in both:
            each.start()
        found = until(lambda: len(said := _lines(folder / "loaded")) == 2 and said)
        up.state.pool.stop()
        for each in both:
            each.join()
    assert sorted(map(json.loads, found)) == [["cuda", "0", "PCI_BUS_ID"], ["cuda", "1", "PCI_BUS_ID"]]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("where", ["terminal", "pipe"])
def test_a_client_waiting_for_a_job_sees_its_progress(
    folder: Path, bucket: Bucket, gate: Callable[[], None], longer: Path, tmp_path: Path, where: str
) -> None:
    """While the engine waits before the second of three chunks; in a pipe, only the answer is printed."""
    bucket.files["longer.ogg"] = longer.read_bytes()
    asked = job(bucket, "longer.ogg", options={"engine": "auto", "model": None}, notification_type="poll")
    (tmp_path / "job.json").write_text(json.dumps(asked))
    waits = settings(folder).model_copy(update={"prompt": f"wait, {where}"})
    with running(service_settings(tmp_path / "service"), waits) as up, up.client() as ada:
        token = str(ada.headers["Authorization"]).partition(" ")[2]
        command = "from castline.cli.transcribe import run; run()"
        argv = [sys.executable, "-c", command, up.url, "submit", str(tmp_path / "job.json"), "--wait"]
        ours, theirs = os.openpty() if where == "terminal" else os.pipe()
        client = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "TRANSCRIPTION_TOKEN": token},
        )
        os.close(theirs)
        [made] = until(lambda: ada.get("/transcription/").json())
        path = f"/transcription/{made['id']}"
        share = float(until(lambda: _above_zero(ada.get(path).headers.get("Castline-Progress"))))
        assert 0.25 < share < 0.5
        shown = b""
        if where == "terminal":
            while f"running, {share:.0%}".encode() not in shown:
                shown += os.read(ours, 4096)
        gate()
        answer, _ = client.communicate(timeout=60)
        if where == "pipe":
            assert os.read(ours, 4096) == b""
        os.close(ours)
    assert client.returncode == 0
    assert json.loads(answer)["state"] == "finished"


def _above_zero(header: str | None) -> str | None:
    return header if header and float(header) else None


@pytest.mark.parametrize("route", ["/v1/audio/transcriptions", "/asr"])
def test_a_long_file_is_one_answer_with_constant_memory(
    service: Running, tmp_path: Path, asked: Callable[[], dict[str, Any]], folder: Path, route: str
) -> None:
    """Twenty minutes, two hours with LONG=1: sent as it is read, cut into chunks, and answered at the end;
    neither the service nor its worker ever holds all of the sound, of which a minute is 2 MB."""
    seconds = at_scale(1200, 7200)
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        ten = np.zeros(160_000, np.int16)
        ten[:96_000] = 8000 * np.sin(np.arange(96_000) * (2 * np.pi * 440 / 16000))  # and four seconds of silence
        for _ in range(seconds // 10):
            sound.writeframes(ten.tobytes())
    with service.client() as ada:
        ada.post("/asr", files={"audio_file": _minute(path, tmp_path)})  # loads what is loaded once
        [worker] = service.state.pool.pids
        before = {pid: _peak_mb(pid, reset=True) for pid in (os.getpid(), worker)}
        with path.open("rb") as file:
            name, form = ("audio_file", {}) if route == "/asr" else ("file", {"model": "whisper-1"})
            answer = ada.post(route, files={name: file}, data=form)
        after = {pid: _peak_mb(pid) for pid in before}
    assert answer.status_code == 200, answer.text
    assert seconds - 20 < len(answer.text.split()) <= seconds + 20, "a word for each second"
    assert len((folder / "asked").read_text().splitlines()) > seconds // 20
    for pid, mb in after.items():
        assert mb - before[pid] < (20 if pid == os.getpid() else 120), (pid, before, after)


def _minute(path: Path, folder: Path) -> bytes:
    with wave.open(str(path)) as sound, wave.open(str(folder / "minute.wav"), "wb") as cut:
        cut.setparams(sound.getparams())
        cut.writeframes(sound.readframes(60 * 16000))
    return (folder / "minute.wav").read_bytes()


def _peak_mb(pid: int, *, reset: bool = False) -> float:
    """A process's peak resident memory since the last reset."""
    if reset:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    [line] = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
