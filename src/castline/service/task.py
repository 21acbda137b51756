"""``castline task``: one job in one task, described by its environment, under the published contract (docs/SERVICE.md).

The result is ``s3://BUCKET_NAME/decoded/<TAG>.json`` in the shape of Google's speech API. It is also posted to
RETURN_URL, if there is one, as a file in a form.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from castline.aws import client
from castline.errors import CastlineError, MediaError, ServiceError, StorageError
from castline.library import listen
from castline.records import Result
from castline.service.run_task import TaskSettings
from castline.service.settings import ServiceSettings
from castline.service.wire import Rules, fetch, post_file
from castline.settings import Settings

logger = logging.getLogger(__name__)

NOT_MEDIA = 101
_TRIES = 3
_LANGUAGES = {"eng": "en", "afr": "af", "zul": "zu", "sto": "st", "mul": None}


def run_task(task: TaskSettings, service: ServiceSettings, settings: Settings) -> int:
    """Transcribe, write the result, and send it if requested.

    Returns:
        The exit status: 0, or 101 if the input is not media.

    Raises:
        CastlineError: it could not be fetched, read or written.
    """
    rules = Rules.of(service)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "input"
        s3 = client("s3")
        if task.object_url not in ("", "none"):
            fetch(task.object_url, source, rules)
        else:
            _download(s3, task, source, rules.max_bytes)
        try:
            threads = settings.model_copy(update={"threads": task.num_threads})
            speakers = "voices" if task.dia == "yes" else "off"
            result = listen(source, settings=threads, language=_LANGUAGES[task.dec_lang], speakers=speakers)
        except MediaError as error:
            logger.error("not media: %s", error.message)
            return NOT_MEDIA
    key = f"decoded/{task.tag}.json"
    body = json.dumps(google_shape(result)).encode()
    try:
        s3.put_object(Bucket=task.bucket_name, Key=key, Body=body, ContentType="application/json")
    except (ClientError, BotoCoreError) as error:
        raise StorageError(f"s3://{task.bucket_name}/{key} could not be written: {error}") from error
    if task.return_url not in ("", "none"):
        _tell(task, key, body, rules)
    return 0


def google_shape(result: Result) -> dict[str, Any]:
    """``{"results": [{"alternatives": [{transcript, confidence, words}]}]}``: a result per segment."""
    return {
        "results": [
            {
                "alternatives": [
                    {
                        "transcript": segment.text.strip(),
                        "confidence": _mean([word.probability or 0.0 for word in segment.words]),
                        "words": [
                            {
                                "startTime": f"{word.start_s:.3f}s",
                                "endTime": f"{word.end_s:.3f}s",
                                "word": word.text.strip(),
                                "confidence": word.probability or 0.0,
                                **({"speaker": segment.speaker} if segment.speaker else {}),
                            }
                            for word in segment.words
                        ],
                    }
                ]
            }
            for segment in result.transcript.segments
            if not segment.suspect
        ]
    }


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


def _download(s3: Any, task: TaskSettings, into: Path, max_bytes: int) -> None:
    try:
        size = s3.head_object(Bucket=task.bucket_name, Key=task.object_path)["ContentLength"]
        if size > max_bytes:
            raise ServiceError(f"the input has {size} bytes, more than {max_bytes}")
        s3.download_file(task.bucket_name, task.object_path, str(into))
    except (ClientError, BotoCoreError) as error:
        raise StorageError(f"s3://{task.bucket_name}/{task.object_path} could not be read: {error}") from error


def _tell(task: TaskSettings, key: str, body: bytes, rules: Rules) -> None:
    """Post the result, with up to three attempts; 200 ends them. The result is in the bucket either way."""
    headers = {
        "X-API-KEY": task.fe_api_key,
        "USER-ID": task.user_id,
        "JOB-ID": task.job_id,
        "S3-PATH": f"{task.bucket_name}/{key}",
        "STATUS": "SUCCESS",
    }
    for _ in range(_TRIES):
        try:
            status = post_file(task.return_url, f"{task.tag}.json", body, headers, rules)
        except CastlineError as error:
            logger.warning("the result was not taken: %s", error.message)
            continue
        if status == 200:
            return
        logger.warning("the result was not taken: %s", status)
