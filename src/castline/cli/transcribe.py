"""``castline-transcribe``: the published client's commands, for this service and for the published one.

Inputs and outputs are presigned with the caller's own S3 keys, so the service gets no keys.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import Field
from pydantic_settings import BaseSettings

from castline.aws import presigner
from castline.cli.connect import console, friendly_errors, say_on_stderr
from castline.cli.plain import Commands
from castline.errors import ServiceError
from castline.service.asked import ENDED, PASSING, PROGRESS

if TYPE_CHECKING:
    import httpx

#: The longest a presigned URL may live.
_PRESIGNED_S = 7 * 24 * 3600 - 1
_POLL_S = 1.0
#: While one waits for hours, the service may be started again, or a proxy be short of it: that long.
_PATIENCE_S = 300.0


class Keys(BaseSettings):
    """What the client reads from the environment."""

    token: str = Field("", validation_alias="TRANSCRIPTION_TOKEN")
    """``user:secret``."""
    s3_access_key: str = ""
    s3_secret_key: str = ""


app = Commands(
    no_args_is_help=True,
    help="A client of a transcription queue. TRANSCRIPTION_TOKEN has the token, S3_ACCESS_KEY and S3_SECRET_KEY the "
    "keys that URLs are presigned with.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonOutput = Annotated[bool, typer.Option("--json", help="One line of JSON.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end, and exit with 1 if it is not 'finished'.")]
Priority = Annotated[int, typer.Option(min=0, max=2, help="2 is done before 1, and 1 before 0.")]
Language = Annotated[str, typer.Option(help="auto, en, de …")]
Model = Annotated[str | None, typer.Option(help="tiny.en, small …; default: the server's own choice.")]
S3Endpoint = Annotated[str, typer.Argument(help="URL of the S3 endpoint.")]
Bucket = Annotated[str, typer.Argument(help="Bucket of the sound.")]
Object = Annotated[str, typer.Argument(help="Key of the sound, or an http(s) URL.")]
OutputBucket = Annotated[str | None, typer.Option("--output_bucket", "--output-bucket", help="Default: the input's.")]
Json = Annotated[str | None, typer.Option("--json", help="Key, or an http(s) URL.")]
Vtt = Annotated[str | None, typer.Option("--vtt", help="Key, or an http(s) URL.")]
Txt = Annotated[str | None, typer.Option("--txt", help="Key, or an http(s) URL.")]
Csv = Annotated[str | None, typer.Option("--csv", help="Key, or an http(s) URL.")]
Meta = Annotated[str | None, typer.Option("--meta", help="Key, or an http(s) URL.")]


@app.callback()
def main(context: typer.Context, endpoint: Annotated[str, typer.Argument(help="URL of the service.")]) -> None:
    say_on_stderr()  # stdout has the answers
    console.is_interactive = console.is_terminal and not console.is_dumb_terminal  # rich had asked stdout
    context.obj = endpoint


@app.command("list")
def list_(context: typer.Context, json_: JsonOutput = False) -> None:
    """List your jobs."""
    with friendly_errors(), _client(context) as client:
        _print(list(_jobs(client)), compact=json_)


@app.command()
def purge(context: typer.Context) -> None:
    """Delete all your jobs; running ones are canceled."""
    with friendly_errors(), _client(context) as client:
        for job in list(_jobs(client)):
            _answer(client.delete(f"transcription/{job['id']}"))


@app.command()
def info(context: typer.Context, job_id: str, json_: JsonOutput = False) -> None:
    """Show one job; this deletes a job that has ended, if it was submitted with notification type poll."""
    with friendly_errors(), _client(context) as client:
        _print(_answer(client.get(f"transcription/{job_id}")), compact=json_)


@app.command()
def delete(context: typer.Context, job_id: str) -> None:
    """Delete or cancel a job."""
    with friendly_errors(), _client(context) as client:
        _print(_answer(client.delete(f"transcription/{job_id}")))


@app.command()
def lock(context: typer.Context, on: Annotated[Literal["on", "off"], typer.Argument()]) -> None:
    """Refuse new jobs, or accept them again; for administrators."""
    with friendly_errors(), _client(context) as client:
        _print(_answer(client.get("transcription/lock" if on == "on" else "transcription/unlock")))


@app.command()
def whisper(
    context: typer.Context,
    s3_endpoint: S3Endpoint,
    input_bucket: Bucket,
    input_object: Object,
    output_bucket: OutputBucket = None,
    priority: Priority = 1,
    language: Language = "en",
    model: Model = None,
    json_: Json = None,
    vtt: Vtt = None,
    txt: Txt = None,
    meta: Meta = None,
    wait: Wait = False,
) -> None:
    """Submit a job for openai-whisper."""
    outputs = {"json": json_, "vtt": vtt, "txt": txt, "meta": meta}
    asked = {"engine": "openai-whisper", "priority": priority, "language": language, "model": model}
    _submit(context, asked, s3_endpoint, (input_bucket, input_object), (output_bucket, outputs), wait=wait)


@app.command()
def whispercpp(
    context: typer.Context,
    s3_endpoint: S3Endpoint,
    input_bucket: Bucket,
    input_object: Object,
    output_bucket: OutputBucket = None,
    priority: Priority = 1,
    language: Language = "en",
    model: Model = None,
    json_: Json = None,
    vtt: Vtt = None,
    txt: Txt = None,
    csv: Csv = None,
    meta: Meta = None,
    wait: Wait = False,
) -> None:
    """Submit a job for whisper.cpp."""
    outputs = {"json": json_, "vtt": vtt, "txt": txt, "csv": csv, "meta": meta}
    asked = {"engine": "whisper.cpp", "priority": priority, "language": language, "model": model}
    _submit(context, asked, s3_endpoint, (input_bucket, input_object), (output_bucket, outputs), wait=wait)


@app.command()
def submit(
    context: typer.Context,
    job: Annotated[Path, typer.Argument(help="A file with the job as JSON, as the API takes it; - for stdin.")],
    wait: Wait = False,
) -> None:
    """Submit a job from a file."""
    with friendly_errors():
        text = typer.get_text_stream("stdin").read() if str(job) == "-" else job.read_text()
        try:
            body = json.loads(text)
        except ValueError as error:
            raise ServiceError(f"{job} is not JSON: {error}") from error
        _post(context, body, wait=wait)


def _submit(
    context: typer.Context,
    options: Mapping[str, Any],
    s3_endpoint: str,
    source: tuple[str, str],
    target: tuple[str | None, Mapping[str, str | None]],
    *,
    wait: bool,
) -> None:
    """Submit a job whose input and outputs are objects.

    Args:
        source: bucket and key.
        target: bucket, by default the input's, and keys by format.
    """
    bucket, outputs = target
    with friendly_errors():
        urls = _presigned(s3_endpoint, *source, bucket or source[0], outputs)
        found = {key: each for key, each in {**options, **urls}.items() if each is not None}
        _print(found)
        _post(context, {"version": "1", "notification_type": "poll", "options": found}, wait=wait)


def _post(context: typer.Context, body: Any, *, wait: bool) -> None:
    with _client(context) as client:
        job = _answer(client.post("transcription/", json=body))
        if wait:
            job = _wait(client, job)
        _print(job)
        if wait and job["state"] != "finished":
            raise typer.Exit(1)


def _wait(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it has ended. Fetching it then deletes it, so the last answer is the one to keep."""
    start = time.monotonic()
    with console.status(job["message"]) as status:
        while job["state"] not in ENDED:
            time.sleep(_POLL_S)
            answer = _patiently(client, f"transcription/{job['id']}")
            job = _answer(answer)
            share = answer.headers.get(PROGRESS)  # the published service does not say
            heard = f"{job['state']}, {float(share):.0%}" if share else job["state"]
            status.update(f"{heard}, {time.monotonic() - start:.0f} s")
    return job


def _patiently(client: httpx.Client, path: str) -> httpx.Response:
    """An answer; those that may pass, and none at all, only after a while."""
    import httpx

    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            answer = client.get(path)
            if answer.status_code not in PASSING or time.monotonic() > until:
                return answer
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
        time.sleep(_POLL_S)


def _presigned(
    endpoint: str, input_bucket: str, input_object: str, output_bucket: str, outputs: Mapping[str, str | None]
) -> dict[str, Any]:
    """``input`` and ``outputs`` as URLs; those that are URLs already stay."""
    keys = Keys()
    s3 = presigner(endpoint, keys.s3_access_key, keys.s3_secret_key)

    def url(method: str, bucket: str, key: str) -> str:
        if key.startswith(("http://", "https://")):
            return key
        signed: str = s3.generate_presigned_url(method, {"Bucket": bucket, "Key": key}, ExpiresIn=_PRESIGNED_S)
        return signed

    return {
        "input": url("get_object", input_bucket, input_object),
        "outputs": {f"{each}_url": url("put_object", output_bucket, key) for each, key in outputs.items() if key},
    }


@contextmanager
def _client(context: typer.Context) -> Iterator[httpx.Client]:
    """
    Raises:
        ServiceError: the service does not answer.
    """
    import httpx

    headers = {"Authorization": f"Bearer {Keys().token}"}
    with httpx.Client(base_url=context.obj, headers=headers, timeout=60, follow_redirects=True) as client:
        try:
            yield client
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(f"no answer from {context.obj}: {error}") from error


def _jobs(client: httpx.Client) -> Iterator[dict[str, Any]]:
    page, offset = 100, 0
    while found := _answer(client.get("transcription/", params={"offset": offset, "limit": page})):
        yield from found
        offset += page


def _answer(answer: httpx.Response) -> Any:
    """
    Raises:
        ServiceError: it is not 200, or no JSON.
    """
    try:
        body = answer.json()
    except ValueError as error:
        raise ServiceError(f"{answer.url} answered {answer.status_code}, and no JSON") from error
    if answer.status_code != 200:
        raise ServiceError(f"{answer.status_code}: {body.get('detail', body) if isinstance(body, dict) else body}")
    return body


def _print(found: Any, *, compact: bool = False) -> None:
    typer.echo(json.dumps(found, sort_keys=True) if compact else json.dumps(found, indent=2, sort_keys=True))


def run() -> None:
    """The command."""
    app()
