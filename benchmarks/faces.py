"""Detecting and embedding faces in 720p frames, against facenet-pytorch used the usual way.

The usual way, which the course project behind this pipeline teaches: ``mtcnn.detect(image)`` for the boxes,
``mtcnn(image, return_prob=True)`` again for the face itself, then InceptionResnetV1, all in PyTorch. Castline embeds
with the same net and the same (random) weights, as ONNX. Each way runs in its own process with two threads, and they
take turns, so that all see the same noise.

``python -m benchmarks.faces <way> <folder>`` is such a process: it reports when its first frame is done, and then
answers commands. Frames are decoded beforehand; decoding is measured only in the start.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

FRAMES, TURNS, STARTS, THREADS = 8, 7, 5, 2
#: Frames that Castline's analyser passes to its detector at once.
_GROUP = 4
_WEIGHTS, _NET = "random.pt", "facenet-vggface2.onnx"
#: Of the crop, in pixels; Castline's, also given to facenet-pytorch.
_MARGIN = 32

Frames = list[Any]
Faces = list[tuple[list[float], list[float]]]
"""Per frame: the box and the embedding of its largest face."""
Way = Callable[[Frames], Faces]


def run(folder: Path) -> dict[str, object]:
    """Milliseconds per frame, seconds to the first result, peak memory; and the ratios that matter."""
    from benchmarks.common import DEMO, ROOT, ffmpeg
    from castline.weights.prepare import ensure_dlib, ensure_mtcnn

    work = folder / "faces"
    work.mkdir()
    # Each of these frames shows somebody: facenet-pytorch's batches may not contain a frame without a face.
    scaled = "fps=1/2,scale=1280:720"
    ffmpeg("-ss", 3, "-i", DEMO, "-vf", scaled, "-frames:v", FRAMES, work / "%02d.png")
    ensure_mtcnn(work)
    ensure_dlib(work)
    subprocess.run([sys.executable, "-m", "benchmarks.faces", "weights", work], cwd=ROOT, check=True)
    starts, peaks, steps = _starts(work)
    workers = {way: _Worker(way, work) for way in WAYS}
    try:
        agreement = _agreement(workers["torch 40"].ask("faces"), workers["castline 40"].ask("faces"))
        times = {way: {"single": [], "batch": []} for way in WAYS}
        for turn in range(TURNS + 1):
            for mode in ("single", "batch"):
                for way, worker in workers.items():
                    took = worker.ask(mode)["ms"]
                    if turn:  # the first one warms up
                        times[way][mode].append(took)
        shares = {way: worker.ask("shares") for way, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    return {
        "frames": FRAMES,
        "threads": THREADS,
        "agreement": agreement,
        "ways": {
            way: {
                "single_ms": statistics.median(times[way]["single"]),
                "batch_ms": statistics.median(times[way]["batch"]),
                "start_s": statistics.median(starts[way]),
                "peak_single_mb": peaks[way][0],
                "peak_batch_mb": peaks[way][1],
            }
            for way in WAYS
        },
        "shares_of_time": shares,
        "peak_mb_after": steps,
        "ratios": [_ratios(theirs, ours, times, starts, peaks) for theirs, ours in PAIRS],
    }


def _ratios(
    theirs: str,
    ours: str,
    times: dict[str, dict[str, list[float]]],
    starts: dict[str, list[float]],
    peaks: dict[str, tuple[float, float]],
) -> dict[str, object]:
    def middle(a: list[float], b: list[float]) -> float:
        return statistics.median(x / y for x, y in zip(a, b, strict=True))

    return {
        "reference": theirs,
        "castline": ours,
        "single_faster": middle(times[theirs]["single"], times[ours]["single"]),
        "batch_faster": middle(times[theirs]["batch"], times[ours]["batch"]),
        "start": middle(starts[ours], starts[theirs]),
        "peak_single": peaks[ours][0] / peaks[theirs][0],
        "peak_batch": peaks[ours][1] / peaks[theirs][1],
    }


def _starts(
    work: Path,
) -> tuple[dict[str, list[float]], dict[str, tuple[float, float]], dict[str, dict[str, float]]]:
    """Seconds from starting each way's process to its first frame's faces, and its peak memory in MiB.

    The memory is that of a new process after one frame and after one batch, and the growth between the two.
    """
    starts: dict[str, list[float]] = {way: [] for way in WAYS}
    peaks, steps = {}, {}
    for turn in range(STARTS + 1):
        for way in WAYS:
            began = time.perf_counter()
            worker = _Worker(way, work)
            if turn:  # the first one fills the page cache
                starts[way].append(time.perf_counter() - began)
            else:
                steps[way] = worker.ready
                peaks[way] = (worker.ready["first frame"], worker.ask("batch")["peak_mb"])
            worker.close()
    return starts, peaks, steps


def _agreement(theirs: list[Any], ours: list[Any]) -> dict[str, float]:
    """How far apart the two are on the largest face of each frame: checks that both do the same work."""
    boxes = [abs(a - b) for x, y in zip(theirs, ours, strict=True) for a, b in zip(x[0], y[0], strict=True)]
    cosines = [sum(a * b for a, b in zip(x[1], y[1], strict=True)) for x, y in zip(theirs, ours, strict=True)]
    return {"largest_box_difference_px": max(boxes), "least_cosine": min(cosines)}


class _Worker:
    """One way, in its own process."""

    def __init__(self, way: str, work: Path) -> None:
        root = Path(__file__).resolve().parents[1]
        argv = [sys.executable, "-m", "benchmarks.faces", way, str(work)]
        self._process = subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self._answer()

    def ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended: {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate()


# --- what runs in the workers -------------------------------------------------------------------------


def _castline(work: Path, embedder: str) -> Way:
    import onnxruntime  # noqa: F401  (so that its memory is counted separately)

    from castline.engines.choose import load_detector, load_embedder
    from castline.recognition import analyse  # noqa: F401
    from castline.settings import Settings

    _step("imports")
    settings = Settings(models_dir=work, min_face_px=40, threads=THREADS, embedder=embedder)
    detect = _timed("detect", load_detector(settings).detect)
    _step("detector")
    embed = _timed("embed", load_embedder(settings).embed)
    _step("embedder")

    def process(images: Frames) -> Faces:
        largest: Faces = []
        for start in range(0, len(images), _GROUP):
            group = images[start : start + _GROUP]
            for image, faces in zip(group, detect(group), strict=True):
                vectors = embed(image, faces)
                areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in faces]
                best = areas.index(max(areas))
                largest.append((faces[best].box.tolist(), vectors[best].tolist()))
        return largest

    return process


_seconds: dict[str, float] = {}
_steps: dict[str, float] = {}


def _step(name: str) -> None:
    _steps[name] = _peak_mb()


def _timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; its time is added up under a name."""

    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        result = work(*arguments, **options)
        _seconds[name] = _seconds.get(name, 0.0) + time.perf_counter() - began
        return result

    return timed


def _torchvision() -> None:
    """The two torchvision functions that facenet-pytorch needs, for machines whose torch does not fit torchvision.

    ``batched_nms`` is written for speed (torchvision's is compiled), and its share of the time is reported.
    """
    import numpy as np
    import torch

    def batched_nms(boxes: Any, scores: Any, groups: Any, threshold: float) -> Any:
        if not len(boxes):
            return torch.empty(0, dtype=torch.int64)
        # Groups are shifted apart, so that one pass serves all.
        apart = (boxes + (groups.to(boxes) * (boxes.max() + 1))[:, None]).numpy()
        order = torch.sort(scores, descending=True, stable=True).indices.numpy()
        x0, y0, x1, y1 = np.ascontiguousarray(apart[order].T)
        area = (x1 - x0) * (y1 - y0)
        alive, kept = np.arange(len(order)), []
        while alive.size:
            best, rest = alive[0], alive[1:]
            kept.append(order[best])
            width = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest])
            height = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest])
            shared = np.maximum(width, 0) * np.maximum(height, 0)
            alive = rest[shared <= np.float32(threshold) * (area[best] + area[rest] - shared)]
        return torch.from_numpy(np.array(kept))

    def to_tensor(picture: Any) -> Any:
        return torch.from_numpy(picture.transpose(2, 0, 1)).contiguous()

    functional = ModuleType("torchvision.transforms.functional")
    boxes = ModuleType("torchvision.ops.boxes")
    functional.to_tensor, boxes.batched_nms = to_tensor, _timed("of it suppression", batched_nms)  # type: ignore[attr-defined]
    sys.modules |= {
        "torchvision": ModuleType("torchvision"),
        "torchvision.transforms": SimpleNamespace(functional=functional),  # type: ignore[dict-item]
        "torchvision.transforms.functional": functional,
        "torchvision.ops": ModuleType("torchvision.ops"),
        "torchvision.ops.boxes": boxes,
    }


def _torch(work: Path, min_face: int) -> Way:
    import torch

    torch.set_num_threads(THREADS)
    _torchvision()
    import facenet_pytorch

    _step("imports")
    mtcnn = facenet_pytorch.MTCNN(min_face_size=min_face, margin=_MARGIN)
    detect, extract = _timed("detect", mtcnn.detect), _timed("detect again and extract", mtcnn.__call__)
    _step("detector")
    resnet = facenet_pytorch.InceptionResnetV1(pretrained=None).eval()
    resnet.load_state_dict(torch.load(work / _WEIGHTS))
    net = _timed("embed", resnet)
    _step("embedder")

    def process(images: Frames) -> Faces:
        with torch.no_grad():
            if len(images) == 1:
                boxes, _ = detect(images[0])
                face, _ = extract(images[0], return_prob=True)
                return [(boxes[0].tolist(), net(face[None])[0].tolist())]
            boxes, _ = detect(images)
            faces, _ = extract(images, return_prob=True)
            vectors = net(torch.stack(list(faces)))
            return [(list(map(float, box[0])), vector.tolist()) for box, vector in zip(boxes, vectors, strict=True)]

    return process


WAYS: dict[str, Callable[[Path], Way]] = {
    "torch 20": lambda work: _torch(work, 20),
    "torch 40": lambda work: _torch(work, 40),
    "castline 40": lambda work: _castline(work, f"facenet-vggface2:{work / _NET}"),
    "castline 40, int8": lambda work: _castline(work, "facenet-vggface2-int8"),
    "castline 40, dlib": lambda work: _castline(work, "dlib-resnet-v1"),
}
"""The number is the smallest face looked for, pixels: 20 is facenet-pytorch's default, 40 is Castline's."""

PAIRS = (
    ("torch 20", "castline 40"),
    ("torch 40", "castline 40"),
    ("torch 20", "castline 40, int8"),
    ("torch 20", "castline 40, dlib"),
)


def _make_weights(work: Path) -> None:
    import torch

    from castline.engines.faces import quantize
    from castline.engines.faces.mtcnn import MtcnnDetector
    from castline.engines.faces.onnx_embedders import FaceNetEmbedder
    from castline.weights.export import export_facenet, import_facenet_pytorch
    from castline.weights.facenet import int8, onnx_file
    from castline.weights.prepare import ensure_mtcnn

    torch.manual_seed(0)
    torch.save(import_facenet_pytorch().InceptionResnetV1(pretrained=None).state_dict(), work / _WEIGHTS)
    net = export_facenet(work / _NET, work / _WEIGHTS)
    embedder = FaceNetEmbedder(net)
    faces = quantize.calibration_faces(quantize.PORTRAITS, MtcnnDetector(ensure_mtcnn(work)), embedder)
    quantize.quantize_facenet(net, onnx_file(int8("facenet-vggface2"), work), faces)


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _serve(way: Way, work: Path) -> None:
    """Process the first frame and report it; then answer one command per line."""
    import cv2

    paths = sorted(work.glob("*.png"))

    def decode(path: Path) -> Any:
        return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)

    way([decode(paths[0])])
    _step("first frame")
    _seconds.clear()
    print(json.dumps(_steps), flush=True)
    images = [decode(path) for path in paths]
    processing = 0.0
    for command in map(str.strip, sys.stdin):
        answer: object
        if command == "faces":
            answer = [way([image])[0] for image in images]
            _seconds.clear()
        elif command == "shares":
            answer = {name: seconds / processing for name, seconds in _seconds.items()}
        else:
            began = time.perf_counter()
            for group in [[image] for image in images] if command == "single" else [images]:
                way(group)
            took = time.perf_counter() - began
            processing += took
            answer = {"ms": took * 1000 / len(images), "peak_mb": _peak_mb()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _name, _folder = sys.argv[1], Path(sys.argv[2])
    if _name == "weights":
        _make_weights(_folder)
    else:
        _serve(WAYS[_name](_folder), _folder)
