"""The course project's contract on the real stack, with a client that knows nothing of Castline."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from castline.local.stack import LocalStack
from castline.settings import Settings

pytestmark = pytest.mark.e2e

GALLERY = Path(__file__).resolve().parents[2] / "examples" / "gallery"
SUBJECT, PASSER_BY = "Grace Hopper", "Eileen Collins"
_WIDTH, _HEIGHT, _FPS, _FRAMES = 854, 480, 25, 60


def _photo(name: str, width: int) -> np.ndarray:
    image = cv2.imread(str(GALLERY / name / "close.jpg"))
    assert image is not None
    return cv2.resize(image, (width, round(image.shape[0] * width / image.shape[1])), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def passed_by(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the subject, swaying; during the first half second, somebody larger walks past in front."""
    path = tmp_path_factory.mktemp("classic") / "test_00.mp4"
    rng = np.random.default_rng(5)
    wall = cv2.resize(rng.integers(60, 190, (12, 20, 3), np.uint8), (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
    subject, passer = _photo(SUBJECT, 200), _photo(PASSER_BY, 330)[:_HEIGHT]
    argv = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24"]
    argv += ["-s", f"{_WIDTH}x{_HEIGHT}", "-r", str(_FPS), "-i", "pipe:0", "-pix_fmt", "yuv420p", str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        assert process.stdin
        for at in range(_FRAMES):
            frame = wall.copy()
            x, y = 560 + round(6 * np.sin(at / 5)), 150
            frame[y : y + subject.shape[0], x : x + subject.shape[1]] = subject[: _HEIGHT - y]
            if at < _FPS // 2:
                left = 40 + 30 * at
                width = min(passer.shape[1], _WIDTH - left)
                frame[: passer.shape[0], left : left + width] = passer[:, :width]
            process.stdin.write(frame.tobytes())
    assert process.returncode == 0
    return path


class Client:
    """Any client of the contract: plain boto3 and the published names."""

    def __init__(self, stack: LocalStack, prefix: str) -> None:
        self.stack = stack
        self.s3, self.lambda_ = stack.client("s3"), stack.client("lambda")
        self.input, self.stage1, self.output = (f"{prefix}-{name}" for name in ("input", "stage-1", "output"))

    def keys(self, bucket: str) -> list[str]:
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def answers(self, count: int, timeout_s: float = 600) -> dict[str, str]:
        deadline = time.monotonic() + timeout_s
        while len(self.keys(self.output)) < count and time.monotonic() < deadline:
            time.sleep(0.2)
        found = {}
        for key in self.keys(self.output):
            found[key] = self.s3.get_object(Bucket=self.output, Key=key)["Body"].read().decode()
        return found


@pytest.fixture(scope="module")
def client(make_settings: Callable[..., Settings]) -> Iterator[Client]:
    settings = make_settings(profile="classic", prefix="1225754101")
    with LocalStack(settings, slots=2, prewarm=True) as stack:
        client = Client(stack, settings.prefix)
        for name in (SUBJECT, PASSER_BY):
            for photo in ("mirrored.jpg", "turned.jpg"):
                body = (GALLERY / name / photo).read_bytes()
                client.s3.put_object(Bucket=settings.gallery_bucket, Key=f"{name}/{photo}", Body=body)
        yield client


def test_the_parts_of_the_contract_exist_and_are_empty(client: Client) -> None:
    for name in ("video-splitting", "face-recognition"):
        assert client.lambda_.get_function(FunctionName=name)["Configuration"]["FunctionName"] == name
    for bucket in (client.input, client.stage1, client.output):
        client.s3.head_bucket(Bucket=bucket)
        assert client.keys(bucket) == []


def test_one_video_one_frame_one_name(client: Client, passed_by: Path, odd_media: dict[str, Path]) -> None:
    started = datetime.now(UTC) - timedelta(minutes=1)
    client.s3.upload_file(str(passed_by), client.input, "test_00.mp4")
    client.s3.upload_file(str(odd_media["no-audio.mp4"]), client.input, "test_01.mp4")  # shows nobody
    client.s3.upload_file(str(odd_media["text.mp4"]), client.input, "test_02.mp4")  # is not a video
    answers = client.answers(3)
    assert answers == {"test_00.txt": SUBJECT, "test_01.txt": "Unknown", "test_02.txt": "Unknown"}
    assert client.keys(client.stage1) == ["test_00.jpg", "test_01.jpg"]
    body = client.s3.get_object(Bucket=client.stage1, Key="test_00.jpg")["Body"].read()
    frame = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert frame is not None
    assert frame.shape == (_HEIGHT, _WIDTH, 3)
    for metric in ("Duration", "ConcurrentExecutions"):
        assert _points(client, metric, started), metric


def _points(client: Client, metric: str, started: datetime) -> list[Any]:
    deadline = time.monotonic() + 300
    while True:
        found = client.stack.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": "face-recognition"}],
            StartTime=started,
            EndTime=datetime.now(UTC) + timedelta(minutes=5),
            Period=60,
            Statistics=["Average", "Maximum"],
        )["Datapoints"]
        if found or time.monotonic() > deadline:
            return list(found)
        time.sleep(0.5)
