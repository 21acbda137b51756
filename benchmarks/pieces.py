"""Small pieces of a large object, as when reading the sound of an hour of film: by signed URL, and by boto3.

The server answers with as many bytes as it is asked for, after the delay of S3 (docs.aws.amazon.com/AmazonS3,
"Performance guidelines": small objects in 100 to 200 ms).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import interleaved
from castline import aws
from castline.records import Source
from castline.runs.common import fetch
from castline.storage import S3Store

ANSWER_S = 0.15
_PIECES, _BYTES, _EVERY = 1000, 8000, 500_000
_SOURCE = Source(bucket="b", key="film.mp4", etag="e", version=None, size=_PIECES * _EVERY)
_SPANS = [(at, at + _BYTES) for at in range(0, _SOURCE.size, _EVERY)]
_KEYS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "secret"}
_SERVER = f"""
import asyncio
ANSWER = b"HTTP/1.1 206 Partial Content\\r\\nContent-Length: {_BYTES}\\r\\n\\r\\n" + bytes({_BYTES})
async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            await asyncio.sleep({ANSWER_S})
            writer.write(ANSWER)
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def run(folder: Path, repeats: int = 3) -> dict[str, float]:
    """Processor and wall-clock milliseconds per piece, and the ratio of boto3's to ours: medians of turns."""
    spent: dict[str, list[float]] = {"signed": [], "boto3": []}

    def measured(name: str, work: Callable[[], object]) -> Callable[[int], object]:
        def once(_: int) -> None:
            before = time.process_time()
            work()
            spent[name].append(time.process_time() - before)

        return once

    with served() as endpoint:
        client = aws.client("s3", endpoint=endpoint, keys=_KEYS)
        store = S3Store(client)
        ours, theirs, _ratio = interleaved(
            measured("signed", lambda: fetch(_SOURCE, _SPANS, folder / "signed", store)),
            measured("boto3", lambda: _by_boto3(client)),
            repeats,
        )
    signed, boto3 = (sorted(spent[name])[repeats // 2] for name in ("signed", "boto3"))
    return {
        "signed_cpu_ms": round(signed / _PIECES * 1e3, 3),
        "boto3_cpu_ms": round(boto3 / _PIECES * 1e3, 3),
        "boto3_over_signed_cpu": round(boto3 / signed, 2),
        "signed_ms": round(ours / _PIECES * 1e3, 3),
        "boto3_ms": round(theirs / _PIECES * 1e3, 3),
        "boto3_over_signed": round(theirs / ours, 1),
    }


@contextmanager
def served() -> Iterator[str]:
    """The URL of the server, which runs inside the context."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def _by_boto3(client: Any) -> None:
    def take(span: tuple[int, int]) -> None:
        found = client.get_object(Bucket="b", Key="film.mp4", Range=f"bytes={span[0]}-{span[1] - 1}", IfMatch='"e"')
        with closing(found["Body"]) as body:
            assert len(body.read()) == _BYTES

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(take, _SPANS))
