"""Every file in events/, as `sam local invoke` would send it, through the stage of its function."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from castline import keys
from castline.records import Manifest, Usage
from castline.stages import analyse_event, failure_event, load_models_event, split_event

_FOLDER = Path(__file__).parents[2] / "events"
_MEDIA = "week1/lesson1/video0.mp4"
_UNICODE = "wöche 1/a+b 100% c.mp4"
_RUN = "0123456789abcdef"
_LETTER = b"this is a letter, not a film"


def _splits(world: Any, event: dict[str, Any], *media: str) -> None:
    for key in media:
        world.upload(key, _LETTER)
    assert split_event(event, world.store, world.settings) == {"runs": [world.run(key) for key in media]}


def _sidecar(world: Any, event: dict[str, Any]) -> None:
    world.upload(f"{_MEDIA}.json", b'{"language": "en"}')
    _splits(world, event, _MEDIA)
    assert world.request(_MEDIA).options.language == "en"


def _identify(world: Any, event: dict[str, Any]) -> None:
    world.upload(_UNICODE, _LETTER)
    answer = {"execution": world.run(_UNICODE), "bucket": "castline-input", "media": _UNICODE}
    assert split_event(event, world.store, world.settings) == answer


def _split_step(world: Any, event: dict[str, Any]) -> None:
    world.upload(_MEDIA, _LETTER)
    answer = {"bucket": "castline-stage-1", "prefix": f"{_MEDIA}/{world.run(_MEDIA)}/"}
    answer |= {"units": [], "ranges": []}
    assert split_event(event, world.store, world.settings) == answer


def _no_plan(world: Any, event: dict[str, Any]) -> None:
    assert split_event(event, world.store, world.settings) == {"runs": []}
    assert world.keys_in("castline-stage-1") == []


def _frames(world: Any, event: dict[str, Any]) -> None:
    unit = keys.UnitId(_MEDIA, _RUN, "frames", 0)
    world.store.put("castline-stage-1", unit.stage1_key, world.zip_of(t0="red"))
    answer = analyse_event(event, world.store, world.settings, world.engines)
    assert answer == {"parts": ["frames-0000"], "assembled": []}


def _audio(world: Any, event: dict[str, Any]) -> None:
    unit = keys.UnitId(_MEDIA, _RUN, "audio", 0)
    world.store.put("castline-stage-1", unit.stage1_key, world.flac())
    world.store.put("castline-stage-1", keys.options_key(_MEDIA, _RUN), world.settings.options().to_json())
    answer = analyse_event(event, world.store, world.settings, world.engines)
    assert answer == {"parts": ["audio-0000"], "assembled": []}


def _manifest(world: Any, event: dict[str, Any]) -> None:
    world.upload(_MEDIA)
    request = world.request(_MEDIA)
    usage = Usage(stage="split", seconds=1, memory_mb=1024)
    manifest = Manifest(run=_RUN, source=request.source, options=request.options, probe=None, units=(), usage=usage)
    world.store.put("castline-stage-1", keys.manifest_key(_MEDIA, _RUN), manifest.to_json())
    answer = analyse_event(event, world.store, world.settings, world.engines)
    assert answer == {"parts": [], "assembled": [_MEDIA]}


def _classic(world: Any, event: dict[str, Any]) -> None:
    world.store.put("castline-stage-1", "test_00.jpg", world.picture("black"))
    settings = world.settings.model_copy(update={"profile": "classic"})
    assert analyse_event(event, world.store, settings, world.engines) == {"answers": ["test_00.txt"]}
    assert world.store.get("castline-output", "test_00.txt") == b"Unknown"


def _failure(world: Any, event: dict[str, Any]) -> None:
    world.upload(_MEDIA)
    assert failure_event(event, world.store, world.settings) == {"recorded": [_MEDIA]}


def _models(world: Any, event: dict[str, Any]) -> None:
    folder = world.settings.models_dir
    world.store.put("castline-gallery", ".models/net.onnx", b"net")
    sums = f"{hashlib.sha256(b'net').hexdigest()}  net.onnx\n"
    world.store.put("castline-gallery", ".models/SHA256SUMS", sums.encode())
    answer = load_models_event(event, world.store, world.settings)
    assert answer == {"written": ["net.onnx"], "kept": [], "bytes": 3}
    assert (folder / "net.onnx").read_bytes() == b"net"


_TAKES: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "eventbridge_video": lambda world, event: _splits(world, event, _UNICODE),
    "failure_analyser": _failure,
    "failure_splitter": _failure,
    "input_multipart": lambda world, event: _splits(world, event, "long.mkv"),
    "input_not_media": _splits,
    "input_sidecar": _sidecar,
    "input_sidecar_removed": lambda world, event: _splits(world, event, _MEDIA),
    "input_two_records": lambda world, event: _splits(world, event, "a.mp4", "b.mp3"),
    "input_unicode_plus_space": lambda world, event: _splits(world, event, _UNICODE),
    "input_video": lambda world, event: _splits(world, event, _MEDIA),
    "input_zero_bytes": _splits,
    "model_loader": _models,
    "stage1_audio": _audio,
    "stage1_classic": _classic,
    "stage1_frames": _frames,
    "stage1_manifest": _manifest,
    "step_identify": _identify,
    "step_split": _split_step,
    "stage1_range": _no_plan,
    "step_unit": _frames,
}


def test_every_file_is_covered_by_a_stage() -> None:
    assert {path.stem for path in _FOLDER.glob("*.json")} == set(_TAKES)


@pytest.mark.parametrize("name", sorted(_TAKES))
def test_a_stage_accepts_it(name: str, world: Any, tmp_path: Path) -> None:
    world.settings = world.settings.model_copy(update={"models_dir": tmp_path / "models"})
    _TAKES[name](world, json.loads((_FOLDER / f"{name}.json").read_text()))
