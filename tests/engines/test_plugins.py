"""An engine in a separate package is found, listed, chosen by name and used, without changing a line of Castline."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

ROOT = Path(__file__).parents[2]

#: All that a package of two engines needs: one module and its entry points.
_MODULE = '''
from dataclasses import replace
import numpy as np
from castline.engines import (
    Engine, EngineInfo, ModelNotFound, Segment, Thresholds, Transcription, VoiceThresholds, Word
)


class Parrot(Engine):
    """Says what stands behind its id, once a second."""

    info = EngineInfo(id="parrot", role="transcriber", title="Parrot", licence="MIT", languages=("*",), word_times=True)
    argument = "WORD"

    def survey(self, settings):
        return replace(self.info, source="here", reason="it needs no weights")

    def load(self, argument, settings, *, asked=True):
        if not argument:
            raise ModelNotFound("a parrot needs a word")
        return _Loaded(argument, self.info)


class _Loaded:
    def __init__(self, word, info):
        self.word, self.info = word, info

    def transcribe(self, speech):
        words = [Word(start_s=at, end_s=at + 0.5, text=" " + self.word, probability=0.9)
                 for at in range(len(speech.samples) // 16000)]
        return Transcription("en", (Segment(start_s=0, end_s=len(words), text=self.word, words=tuple(words)),))


class Corners(Engine):
    """Knows faces by where the picture is bright."""

    info = EngineInfo(id="corners", role="embedder", title="Corners", licence="MIT", trained_on="nothing", dimension=16)
    thresholds = Thresholds(known=0.99, ambiguous=0.98, same_track=0.5, moved=0.9, cluster=0.995, poor=0.001)

    def survey(self, settings):
        return replace(self.info, source="here", reason="it needs no weights")

    def load(self, argument, settings, *, asked=True):
        return self

    def embed(self, image, faces):
        def vector(face):
            x0, y0, x1, y1 = (max(int(value), 0) for value in face.box)
            part = image[y0:y1, x0:x1].mean(axis=2)
            grid = np.array([cell.mean() for row in np.array_split(part, 4) for cell in np.array_split(row, 4, axis=1)])
            return (grid - grid.mean()) / max(float(np.linalg.norm(grid - grid.mean())), 1e-6)
        return np.array([vector(face) for face in faces], np.float32).reshape(len(faces), 16)


class Throat(Engine):
    """Knows voices by what they whistle beside their words, in eight steps from 3 to 7 kHz."""

    info = EngineInfo(id="throat", role="voice_encoder", title="Throat", licence="MIT", dimension=8)
    same_voice = 0.5
    voice_thresholds = VoiceThresholds(known=0.9, ambiguous=0.8, unlike=0.5, apart=0.1)

    def survey(self, settings):
        return replace(self.info, source="here", reason="it needs no weights")

    def load(self, argument, settings, *, asked=True):
        return self

    def embed_voices(self, samples, windows):
        def vector(start, end):
            spectrum = np.abs(np.fft.rfft(samples[int(start * 16000):int(end * 16000)], 16000))[3000:7000]
            return np.eye(8, dtype=np.float32)[int(spectrum.argmax()) // 500]
        return np.array([vector(*window) for window in windows], np.float32).reshape(len(windows), 8)


class Impostor(Parrot):
    info = EngineInfo(id="mtcnn", role="transcriber", title="Not MTCNN", licence="MIT")
'''
_ENTRY_POINTS = """[castline.engines]
parrot = tiny_engines:Parrot
corners = tiny_engines:Corners
throat = tiny_engines:Throat
impostor = tiny_engines:Impostor
broken = tiny_engines.no_such_module:Engine
nothing = tiny_engines:np
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed in it, as by pip."""
    return _installed(tmp_path_factory.mktemp("site"), "tiny_engines", _MODULE, _ENTRY_POINTS)


def _installed(folder: Path, module: str, text: str, entry_points: str) -> Path:
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return folder


def _run(site: Path, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "300", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_it_is_listed_and_a_broken_one_harms_no_other(site: Path) -> None:
    done = _run(site, "-m", "castline", "models", "list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    rows = {tuple(line.split()[:2]): at for at, line in enumerate(lines)}
    assert ("transcriber", "parrot") in rows
    corners = rows["embedder", "corners"]
    for part in ("16", "0.990", "0.980"):
        assert part in lines[corners].split()
    assert "MIT" in lines[corners + 1], "further remarks stand below the table"
    assert not any("Not MTCNN" in line for line in lines)
    assert ("detector", "mtcnn") in rows


def test_it_is_chosen_by_name_and_used(site: Path, models_dir: Path) -> None:
    program = (
        "import json, castline\n"
        "from castline.settings import settings\n"
        "result = castline.analyse('examples/demo.mp4', settings=settings())\n"
        "print(json.dumps([result.engines['transcriber'], result.engines['embedder'],"
        " sorted({word.text.strip() for s in result.transcript.segments for word in s.words or ()}),"
        " len(result.people)]))"
    )
    chosen = {"CASTLINE_TRANSCRIBER": "parrot:hello", "CASTLINE_EMBEDDER": "corners", "CASTLINE_INTERVAL_S": "5"}
    done = _run(site, "-c", program, CASTLINE_MODELS_DIR=str(models_dir), **chosen)
    assert done.returncode == 0, done.stderr
    transcriber, embedder, words, people = json.loads(done.stdout.splitlines()[-1])
    assert (transcriber, embedder, words) == ("parrot", "corners", ["hello"])
    assert people > 0


def test_voices_are_told_apart_by_another_encoder(
    site: Path, models_dir: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """Two who whistle differently are two speakers, and the enrolled one has her name."""
    whistle = (
        "[0:a]aresample=16000,volume=0.5[a];sine=f={}:r=16000,volume=0.15[b];[a][b]amix=duration=first:normalize=0"
    )
    for name, start, hertz in (("first", 1, 3250), ("second", 5, 5250), ("ada", 1, 5300)):
        cut = ("-ss", start, "-t", 4, "-i", ROOT / "examples" / "demo.mp4")
        ffmpeg(*cut, "-filter_complex", whistle.format(hertz), tmp_path / f"{name}.wav")
    (tmp_path / "list").write_text("file first.wav\nfile second.wav\n")
    ffmpeg("-f", "concat", "-i", tmp_path / "list", tmp_path / "both.wav")
    program = (
        "import json, pathlib, castline\n"
        "from castline.engines.process import process_engines\n"
        "from castline.library import listen\n"
        "from castline.people import voice_in_file\n"
        "from castline.records import KnownVoice\n"
        "from castline.settings import settings\n"
        "from castline.storage import MemoryStore\n"
        f"folder, config = pathlib.Path({str(tmp_path)!r}), settings()\n"
        "voice = voice_in_file(folder / 'ada.wav', config, process_engines(config, MemoryStore()), 1.5)\n"
        "ada = KnownVoice(name='Ada', key='', voice=voice)\n"
        "result = listen(folder / 'both.wav', settings=config, speakers='auto', voices=[ada])\n"
        "print(json.dumps([result.engines['voice_encoder'], [each.name for each in result.transcript.speakers]]))"
    )
    chosen = {"CASTLINE_TRANSCRIBER": "parrot:hello", "CASTLINE_VOICE_ENCODER": "throat"}
    done = _run(site, "-c", program, CASTLINE_MODELS_DIR=str(models_dir), **chosen)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["throat", ["Speaker 1", "Ada"]]


def test_it_refuses_in_its_own_words(site: Path) -> None:
    program = (
        "from castline.engines.choose import load_transcriber, load_embedder\n"
        "from castline.errors import ModelNotFound\n"
        "from castline.settings import Settings\n"
        "for load, name in ((load_transcriber, 'parrot'), (load_transcriber, 'corners'), (load_transcriber, 'owl')):\n"
        "    try: load(Settings(transcriber=name))\n"
        "    except ModelNotFound as error: print(error.message)\n"
    )
    done = _run(site, "-c", program)
    assert done.returncode == 0, done.stderr
    asked, other, unknown = done.stdout.splitlines()
    assert asked == "a parrot needs a word"
    assert other == "corners is an engine of the role embedder, not transcriber"
    assert unknown.startswith("there is no transcriber 'owl'; known: auto, faster-whisper[:MODEL], ")
    assert "parrot[:WORD]" in unknown


#: An engine and a family of engines whose weights are downloaded: the weights are the word that they say.
_WEIGHTS = b"whoo"
_OWL = """
from castline.engines import Download, Family, Hearing, ModelCorrupt, listen
from tiny_engines import EngineInfo, ModelNotFound, Parrot, Word, _Loaded, replace


def _file(name, max_bytes, sha256, file=""):
    return Download("Owl", "{url}/" + name, file or "owl/" + name, max_bytes, sha256, "MIT")


class Owl(Parrot):
    info = EngineInfo(id="owl", role="transcriber", title="Owl", licence="MIT", languages=("*",), word_times=True)
    argument = "MODEL"
    downloads = {{
        "owl:small": (_file("word.txt", {size}, "{sha256}"),),
        "owl:changed": (_file("changed.txt", 100, "{sha256}"),),
        "owl:long": (_file("long.txt", {size}, "{sha256}"),),
        "yunet": (_file("not-yours.txt", 100, "{sha256}"),),
    }}

    def load(self, argument, settings, *, asked=True):
        file = settings.models_dir / "owl" / "word.txt"
        if not file.is_file():
            raise ModelNotFound("castline models fetch owl:small")
        return _Loaded(file.read_text(), self.info)


class Cockatoos(Family):
    downloads = {{"cockatoo:small": (_file("word.txt", {size}, "{sha256}", "cockatoo-small.txt"),)}}


COCKATOO = Cockatoos(
    EngineInfo(id="cockatoo", role="transcriber", title="Cockatoo", licence="MIT", languages=("en",), word_times=True),
    "owl_engine", "cockatoo-", ".txt", "owl_engine:Cockatoo",
)


class Cockatoo:
    def __init__(self, file, *, threads, info):
        self.word, self.info = file.read_text(), info
        if "!" in self.word:
            raise ModelCorrupt(f"{{file}} is damaged")

    def transcribe(self, speech):
        def hear(wanted, language):  # its weights, once in each window of speech
            return [Hearing((Word(start_s=0.5, end_s=1.0, text=" " + self.word, probability=0.9),), "en")
                    for each in wanted]
        return listen(speech.samples, hear, "en")
"""


class _Shelf(BaseHTTPRequestHandler):
    bodies: ClassVar = {"/word.txt": _WEIGHTS, "/changed.txt": b"boo!", "/long.txt": _WEIGHTS * 2}

    def do_GET(self) -> None:
        body = self.bodies.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def owls(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Both packages' folders; this machine serves the download."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Shelf)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    folder = tmp_path_factory.mktemp("owls")
    url = f"http://127.0.0.1:{server.server_port}"
    digest = hashlib.sha256(_WEIGHTS).hexdigest()
    module = _OWL.format(url=url, size=len(_WEIGHTS), sha256=digest)
    entry_points = "[castline.engines]\nowl = owl_engine:Owl\ncockatoo = owl_engine:COCKATOO\n"
    _installed(folder, "owl_engine", module, entry_points)
    yield f"{site}{os.pathsep}{folder}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_declared_downloads_are_fetched_and_used(owls: str, models_dir: Path, tmp_path: Path) -> None:
    here = {"PYTHONPATH": owls, "CASTLINE_MODELS_DIR": str(tmp_path)}
    listed = _run(tmp_path, "-m", "castline", "models", "list", "--json", **here)
    assert listed.returncode == 0, listed.stderr
    weights = {row["weights"]: row for row in json.loads(listed.stdout)["weights"]}
    assert weights["owl:small, changed, long"]["from"].startswith("127.0.0.1")
    assert "127.0.0.1" not in weights["yunet"]["from"], "our engine's name stays ours"

    done = _run(tmp_path, "-m", "castline", "models", "fetch", "owl:small", **here)
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stdout
    assert (tmp_path / "owl" / "word.txt").read_bytes() == _WEIGHTS
    program = (
        "import castline\n"
        "found = castline.transcribe('examples/demo.mp4')\n"
        "print({word.text for segment in found.segments for word in segment.words})"
    )
    heard = _run(tmp_path, "-c", program, CASTLINE_TRANSCRIBER="owl:small", **here)
    assert heard.stdout.strip() == "{'whoo'}", heard.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("owl:changed", "owl/changed.txt from 127.0.0.1"),
        ("owl:long", "over the limit of 4"),
        ("owl:none", "owl:small"),
    ],
)
def test_a_download_other_than_declared_is_not_kept(owls: str, name: str, words: str, tmp_path: Path) -> None:
    done = _run(tmp_path, "-m", "castline", "models", "fetch", name, PYTHONPATH=owls, CASTLINE_MODELS_DIR=str(tmp_path))
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert not list(tmp_path.rglob("*.txt"))


_TRANSCRIBED = (
    "import castline\n"
    "from castline.settings import settings\n"
    "found = castline.transcribe('examples/demo.mp4', settings=settings())\n"
    "print(found.engine, {word.text for segment in found.segments for word in segment.words})"
)


def test_a_family_is_listed_fetched_and_used(owls: str, tmp_path: Path) -> None:
    """Its models are found by their file names, fetched when named, and fetched again when damaged."""

    def says(name: str) -> str:
        done = _run(tmp_path, "-c", _TRANSCRIBED, CASTLINE_TRANSCRIBER=name, **here)
        return done.stdout.strip() if done.returncode == 0 else done.stderr

    def listed() -> str:
        done = _run(tmp_path, "-m", "castline", "models", "list", "--json", **here)
        return next(row["reason"] for row in json.loads(done.stdout)["engines"] if row["engine"] == "cockatoo")

    here = {"PYTHONPATH": owls, "CASTLINE_MODELS_DIR": str(tmp_path)}
    assert listed() == f"its weights are not in {tmp_path}"
    assert "`castline models fetch cockatoo:small`" in says("cockatoo")
    assert "cockatoo:squawk" not in says("cockatoo:squawk")
    assert says("cockatoo:small") == "cockatoo {'whoo'}"
    assert listed() == "small, in the models folder"
    (tmp_path / "cockatoo-own.txt").write_text("hello")
    assert says("cockatoo:own") == "cockatoo {'hello'}"
    (tmp_path / "cockatoo-small.txt").write_text("!")
    assert says("cockatoo:small") == "cockatoo {'whoo'}"


def test_a_family_without_a_rank_is_used_only_if_named(owls: str, tmp_path: Path) -> None:
    (tmp_path / "cockatoo-own.txt").write_text("hello")
    program = (
        "from castline.engines.speech.find import search\n"
        "from castline.settings import settings\n"
        "print([found.family.id for found in search(settings().models_dir).found if not found.package])"
    )
    done = _run(tmp_path, "-c", program, PYTHONPATH=owls, CASTLINE_MODELS_DIR=str(tmp_path))
    assert done.stdout.strip() == "[]", done.stderr
