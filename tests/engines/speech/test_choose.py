"""Which engine is chosen, from where, and what is reported about it. Nets are as small as possible."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from castline.engines import plugins
from castline.engines.choose import choices, load_transcriber, names_pattern, survey
from castline.engines.speech.choose import ensure_model
from castline.engines.speech.declared import (
    FASTER_WHISPER,
    MODELS,
    WHISPER_CPP,
    Family,
    families,
)
from castline.engines.speech.faster_whisper_engine import REQUIRED_FILES
from castline.engines.speech.find import find_model
from castline.errors import ModelCorrupt, ModelNotFound, NoSpeechEngine
from castline.settings import Settings
from castline.weights.downloads import DOWNLOADS, Download
from castline.weights.packages import PACKAGES

Make = Callable[..., Path]

every_family = pytest.mark.parametrize("family", families(), ids=[family.id for family in families()])


@pytest.fixture
def nonsense(tmp_path: Path) -> Make:
    """Makes files and folders that look complete but contain nonsense."""

    def make(name: str, *, without: str = "") -> Path:
        path = tmp_path / name
        if not name.startswith("faster-whisper"):
            path.write_text("nonsense")
            return path
        path.mkdir()
        for file in (*REQUIRED_FILES, "vocabulary.json"):
            if file != without:
                (path / file).write_text("nonsense")
        return path

    return make


@pytest.fixture(autouse=True)
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no package contained weights; test_packages.py has those."""
    for name in list(PACKAGES):
        monkeypatch.delitem(PACKAGES, name)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _settings(folder: Path, name: str) -> Settings:
    return Settings(models_dir=folder, transcriber=name, threads=1)


@pytest.mark.parametrize(
    ("models", "best"),
    [
        ([], None),
        (["tiny", "small", "base"], "small"),
        (["base.en", "tiny"], "base.en"),
        (["base.en", "base"], "base"),
        (["large-v3", "large-v3-turbo"], "large-v3-turbo"),
        (["mine", "tiny.en"], "tiny.en"),
        (["mine"], "mine"),
    ],
)
@every_family
def test_the_best_model_of_the_folder(
    family: Family, models: list[str], best: str | None, nonsense: Make, tmp_path: Path
) -> None:
    for model in models:
        nonsense(family.file(model))
    (tmp_path / "whisper-large").write_text("of no family")
    assert find_model(family, tmp_path) == (tmp_path / family.file(best) if best else None)


@pytest.mark.parametrize("lacking", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_an_incomplete_folder_does_not_count(lacking: str, nonsense: Make, tmp_path: Path) -> None:
    nonsense("faster-whisper-small", without=lacking)
    assert find_model(FASTER_WHISPER, tmp_path) is None
    whole = nonsense("faster-whisper-tiny")
    assert find_model(FASTER_WHISPER, tmp_path) == whole


def test_a_missing_folder_counts_as_empty(tmp_path: Path) -> None:
    assert find_model(FASTER_WHISPER, tmp_path / "nowhere") is None


def test_the_pattern_knows_the_names() -> None:
    valid = ["auto", *(family.id for family in families())]
    valid += [f"{family.id}:{model}" for family in families() for model in (*MODELS, "/a path/to.it")]
    pattern = re.compile(names_pattern("transcriber"))
    assert all(pattern.search(name) for name in valid)
    assert not any(
        pattern.search(name)
        for name in ("", "whisper", "whisper:x", "whisperXcpp", "auto:base", "faster-whisper:", "pocketsphinx")
    )
    written = [choice.removesuffix("[:MODEL]") for choice in choices("transcriber")]
    assert written == ["auto", *(family.id for family in families())]


def test_without_weights_there_is_no_engine_and_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(NoSpeechEngine, match="there is no speech engine here") as caught:
        load_transcriber(_settings(tmp_path, "auto"))
    assert caught.value.message.count(f"weights are not in {tmp_path}") == len(families())
    assert not caught.value.retryable


@every_family
def test_weights_in_the_folder_are_used_and_reported(family: Family, nets: Path, tmp_path: Path) -> None:
    _copy(nets / family.file("base"), tmp_path / family.file("base"))
    for name in ("auto", family.id, f"{family.id}:base"):
        info = load_transcriber(_settings(tmp_path, name)).info
        assert (info.id, info.source) == (f"{family.id}:base", str(tmp_path / family.file("base")))
        assert str(tmp_path) in info.reason
        assert info.reason.endswith("the best whose weights are here" if name == "auto" else "as asked for")


def test_auto_prefers_the_faster_engine(nets: Path, tmp_path: Path) -> None:
    for family in reversed(families()):
        _copy(nets / family.file("base"), tmp_path / family.file("base"))
        assert load_transcriber(_settings(tmp_path, "auto")).info.id == f"{family.id}:base"


@every_family
def test_a_user_s_own_model(family: Family, nets: Path, tmp_path: Path) -> None:
    path = nets / family.file("base")
    info = load_transcriber(_settings(tmp_path, f"{family.id}:{path}")).info
    assert info.source == str(path)
    _copy(path, tmp_path / family.file("mine"))
    assert load_transcriber(_settings(tmp_path, f"{family.id}:mine")).info.id == f"{family.id}:mine"


@every_family
def test_a_requested_engine_that_is_missing(family: Family, tmp_path: Path) -> None:
    instead = "CASTLINE_TRANSCRIBER=auto would find none either"
    with pytest.raises(
        ModelNotFound, match=rf"weights are not in .*models fetch {family.id}:base`.*{instead}"
    ) as caught:
        load_transcriber(_settings(tmp_path, family.id))
    assert not caught.value.retryable
    assert not isinstance(caught.value, NoSpeechEngine)
    with pytest.raises(ModelNotFound, match=rf"no model 'huge'.* tiny\.en; {instead}"):
        load_transcriber(_settings(tmp_path, f"{family.id}:huge"))


@pytest.mark.parametrize(
    "name",
    ["siri", "whisper", "whisper:/tmp", "pocketsphinx", "auto:/tmp", "", "Faster-Whisper", "faster-whisper:"],
)
def test_unknown_names_are_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="known: auto, faster-whisper") as caught:
        load_transcriber(_settings(tmp_path, name))
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("missing", families(), ids=[family.id for family in families()])
def test_an_engine_that_is_not_installed(missing: Family, nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = replace(missing, package="a_package_nobody_has")
    engines = tuple(family if known is missing else known for known in plugins._all())
    monkeypatch.setattr(plugins, "_all", lambda: engines)
    with pytest.raises(ModelNotFound, match=rf"not installed: pip install 'castline\[{missing.info.extra}\]'"):
        load_transcriber(_settings(nets, missing.id))
    assert load_transcriber(_settings(nets, "auto")).info.id != f"{missing.id}:base"


def test_a_model_without_a_known_digest_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no digest of whisper\.cpp:distil-large-v3 is known"):
        ensure_model(WHISPER_CPP, "distil-large-v3", tmp_path)


def test_the_survey_says_where_engines_would_come_from(nonsense: Make, tmp_path: Path) -> None:
    found = survey(Settings(models_dir=tmp_path), "transcriber")
    assert [info.id for info in found] == ["faster-whisper", "whisper.cpp", "openai-whisper"]
    assert [info.source for info in found] == ["", "", ""]
    assert all(info.reason.endswith(f"weights are not in {tmp_path}") for info in found)
    paths = [nonsense(family.file("tiny")) for family in families()]
    assert [info.source for info in survey(Settings(models_dir=tmp_path), "transcriber")] == list(map(str, paths))


def test_downloads_land_where_the_engines_look() -> None:
    for family in families():
        names = [name for name in DOWNLOADS if name.startswith(f"{family.id}:")]
        assert len(names) >= 10
        for name in names:
            model = name.partition(":")[2]
            assert model in MODELS
            assert {entry.file.partition("/")[0] for entry in DOWNLOADS[name]} == {family.file(model)}


class _Hub(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def hub(nets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub that serves the nets as ``base``; and the paths that were requested."""
    _Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, directory=str(nets)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    for family in families():
        path = nets / family.file("base")
        files = [path] if path.is_file() else sorted(path.iterdir())
        entries = [
            Download(
                title="a test model",
                url=f"http://127.0.0.1:{server.server_address[1]}/{file.relative_to(nets)}",
                file=str(file.relative_to(nets)),
                max_bytes=file.stat().st_size,
                sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
                licence="MIT",
            )
            for file in files
        ]
        monkeypatch.setitem(DOWNLOADS, f"{family.id}:base", tuple(entries))
    yield _Hub.asked
    server.shutdown()
    server.server_close()
    thread.join()


@every_family
def test_a_known_model_is_downloaded_once(family: Family, hub: list[str], tmp_path: Path) -> None:
    with pytest.raises(NoSpeechEngine):
        load_transcriber(_settings(tmp_path, "auto"))
    assert hub == []
    for _ in range(2):
        assert load_transcriber(_settings(tmp_path, f"{family.id}:base")).info.id == f"{family.id}:base"
    assert len(hub) == len(DOWNLOADS[f"{family.id}:base"])


@every_family
@pytest.mark.parametrize("engine", ["auto", "asked"])
def test_damaged_weights_are_fetched_again(family: Family, engine: str, hub, nets: Path, tmp_path: Path) -> None:
    path = tmp_path / family.file("base")
    _copy(nets / path.name, path)
    weights = path / "model.bin" if path.is_dir() else path
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    info = load_transcriber(_settings(tmp_path, "auto" if engine == "auto" else f"{family.id}:base")).info
    assert info.id == f"{family.id}:base"
    assert weights.read_bytes() == whole
    assert len(hub) == 1  # the damaged file and no other


@every_family
def test_weights_that_stay_damaged_are_a_clear_error(family: Family, hub, nets: Path, tmp_path: Path) -> None:
    path = tmp_path / family.file("base")
    entries = DOWNLOADS[f"{family.id}:base"]
    _copy(nets / path.name, path)
    damaged = path / "model.bin" if path.is_dir() else path
    damaged.write_bytes(b"nonsense")
    bad = tuple(replace(entry, url=entry.url + ".gone") for entry in entries)
    DOWNLOADS[f"{family.id}:base"] = bad
    with pytest.raises(ModelCorrupt, match=rf"{re.escape(str(path))} cannot be loaded.*fetching it again failed.*404"):
        load_transcriber(_settings(tmp_path, family.id))
    assert len(hub) == 1
    assert damaged.read_bytes() == b"nonsense"


@every_family
def test_a_user_s_damaged_file_is_left_alone(family: Family, hub, nonsense: Make, tmp_path: Path) -> None:
    own = nonsense(family.file("base"))
    with pytest.raises(ModelCorrupt, match=re.escape(str(own))):
        load_transcriber(_settings(tmp_path / "elsewhere", f"{family.id}:{own}"))
    assert hub == []
    mine = nonsense(family.file("mine"))
    with pytest.raises(ModelCorrupt, match=re.escape(str(mine))):
        load_transcriber(_settings(tmp_path, f"{family.id}:{mine}"))
    assert hub == []


@every_family
def test_a_refusing_hub_costs_little_and_the_alternative_is_named(
    family: Family, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entries = DOWNLOADS[f"{family.id}:base"]
    closed = tuple(replace(entry, url="http://127.0.0.1:9/closed") for entry in entries)
    monkeypatch.setitem(DOWNLOADS, f"{family.id}:base", closed)
    start = time.monotonic()
    with pytest.raises(ModelNotFound, match=r"cannot be reached.*auto would find none either") as caught:
        load_transcriber(_settings(tmp_path, f"{family.id}:base"))
    assert time.monotonic() - start < 60
    assert "\n" not in caught.value.message
