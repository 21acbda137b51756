"""The whole local stack: emulator, Lambda host and deployment, started and ended as one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from castline.errors import LocalStackError
from castline.gate.credentials import Credentials, Keyring, ensure_credentials, read_credentials
from castline.gate.private import UMASK, open_private, private_folder
from castline.local.access import aws_client
from castline.local.engine import REGION, Engine, is_ready
from castline.local.state import Keep, ProcessId, StackState, exclusive, read_state, state_path, write_state
from castline.local.watchdog import Watchdog
from castline.settings import Settings, variable, written

if TYPE_CHECKING:  # imports that only the process running a stack needs are made there
    from castline.local.deploy import Deployment
    from castline.local.lambda_host import LambdaHost

logger = logging.getLogger(__name__)

#: What every function imports, and what the analyser needs for its first unit.
_PRELOAD = (
    "castline.handler",
    "castline.stages",
    "castline.engines.choose",
    "castline.recognition.analyse",
    "castline.media.pictures",
    "onnxruntime",
    "faster_whisper",
)
_DETACHED_START_S = 120.0
_STOP_S = 20.0


class LocalStack:
    """A stack that this process runs (``start``), or one that already runs (``attach``).

    Args:
        slots: processes per function.
        prewarm: start the processes of the two stages with the stack instead of with their first event.
        template: a template other than the project's.
        parameters: template parameters that win over the settings.
        keep: how long it stays (``StackState``); its controller sees to that.
    """

    def __init__(
        self,
        settings: Settings,
        slots: int = 2,
        *,
        prewarm: bool = False,
        template: Path | None = None,
        parameters: dict[str, str] | None = None,
        keep: Keep = "always",
    ) -> None:
        self.settings = settings
        self._template = template
        self._parameters = parameters or {}
        self._slots = slots
        self._prewarm = prewarm
        self._keep = keep
        self._state: StackState | None = None
        self._resources: contextlib.ExitStack | None = None
        self._clients: dict[tuple[str, Credentials], Any] = {}
        self._credentials: Credentials | None = None
        self._deployer: Credentials | None = None
        self.host: LambdaHost | None = None

    @classmethod
    def attach(cls, settings: Settings) -> LocalStack:
        """Attach to the stack that runs in ``settings.state_dir``, whatever its process.

        Raises:
            LocalStackError: no stack is running.
        """
        state = read_state(settings.state_dir)
        if state is None or not is_ready(state.endpoint_url):
            raise LocalStackError(f"no stack is running in {settings.state_dir}; start one with: castline up")
        stack = cls(settings)
        stack._state = state
        stack._credentials = read_credentials(settings.state_dir)
        return stack

    @property
    def endpoint_url(self) -> str:
        """Where the emulated AWS answers.

        Raises:
            LocalStackError: the stack is not running.
        """
        if self._state is None:
            raise LocalStackError("the stack is not running")
        return self._state.endpoint_url

    @property
    def alive(self) -> bool:
        """Whether the emulator and the stack's controller are running."""
        return self._state is not None and self._state.engine.alive and self._state.controller.alive

    @cached_property
    def deployment(self) -> Deployment:
        """The template with its parameters; most commands that attach never need it.

        Raises:
            LocalStackError: no template, or a parameter it does not know.
        """
        from castline.local.deploy import Deployment

        return Deployment.of(self.settings, template=self._template, **self._parameters)

    @property
    def function_names(self) -> dict[str, str]:
        """Function name by the template's logical id."""
        return self.deployment.resolver.function_names()

    @property
    def credentials(self) -> Credentials:
        """The user's keys, for everything except deploying.

        Raises:
            LocalStackError: the stack is not running.
        """
        if self._credentials is None:
            raise LocalStackError("the stack is not running")
        return self._credentials

    @property
    def environment(self) -> dict[str, str]:
        """Variables that direct every AWS tool to this stack."""
        where = {"AWS_ENDPOINT_URL": self.endpoint_url, "AWS_DEFAULT_REGION": REGION}
        return {**where, **self.credentials.environment}

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator with the user's keys; one per service, safe to share between threads."""
        return self._client(service, self.credentials)

    def deployer(self, service: str) -> Any:
        """Like ``client``, but with the key that may change code and configuration.

        Raises:
            LocalStackError: this process did not start the stack.
        """
        if self._deployer is None:
            raise LocalStackError("only the process that started the stack can deploy to it")
        return self._client(service, self._deployer)

    def start(self) -> Self:
        """Start emulator and host under this process's control, and deploy the template.

        Raises:
            LocalStackError: a stack already runs in this state folder, the port is taken, the emulator does not start,
                or the deployment differs from the template.
        """
        from castline.local.lambda_host import LambdaHost

        state_dir = self.settings.state_dir
        with contextlib.ExitStack() as undo:
            undo.enter_context(exclusive(state_dir))
            watchdog = undo.enter_context(Watchdog())
            host = LambdaHost(state_dir, watchdog, _PRELOAD)
            undo.callback(host.stop)
            host.start()
            user, deployer = ensure_credentials(state_dir), Credentials.random()
            engine = Engine(state_dir, self.settings.port, Keyring(user, deployer), watchdog)
            undo.callback(engine.stop)
            engine.start({name: host.url(name) for name in self.function_names.values()})
            undo.callback(self._close)
            self.host, self._credentials, self._deployer = host, user, deployer
            self._state = StackState(
                controller=ProcessId.of(os.getpid()),
                engine=ProcessId.of(engine.pid),
                port=engine.port,
                keep=self._keep,
                settings=settings_environment(self.settings),
            )
            self._deploy()
            # Metrics must not delay the end: the host stops before the emulator.
            undo.callback(host.stop)
            host.publish_metrics(aws_client(self.endpoint_url, "cloudwatch", user))
            write_state(state_dir, self._state)
            undo.callback(state_path(state_dir).unlink, missing_ok=True)
            self._resources = undo.pop_all()
        return self

    def redeploy(self, **parameters: str) -> None:
        """Apply the template again, with other parameters, to the stack of this process."""
        self.deployment = replace(self.deployment, values={**self.deployment.values, **parameters})
        self._deploy()

    def stop(self) -> None:
        """End every process of the stack and wait until they are gone. Safe to call again."""
        if self._resources is not None:
            self._resources.close()
            self._resources = None
        elif self._state is not None:
            _end(self._state)
            state_path(self.settings.state_dir).unlink(missing_ok=True)
            self._close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _deploy(self) -> None:
        if self.host is None:
            raise LocalStackError("only the process that started the stack can deploy to it")
        from castline.local.deploy import deploy, function_specs

        deploy(self.deployment, self.deployer)
        layer = ffmpeg_layer(self.settings.state_dir)
        specs = function_specs(self.deployment, self.deployer, layer_path=(layer,) if layer else (), slots=self._slots)
        self.host.configure(
            specs,
            endpoint_url=self.endpoint_url,
            credentials=self.credentials,
            extra_environment=settings_environment(self.settings),
            prewarm=self._stages() if self._prewarm else False,
            mappings=self.deployment.mappings,
            sqs=self.client("sqs"),
            retry_s=self.settings.retry_s,
        )

    def _stages(self) -> dict[str, int]:
        """How many processes the first media file needs; one splits it."""
        return {self.settings.splitter_function: 1, self.settings.analyser_function: self._slots}

    def _client(self, service: str, credentials: Credentials) -> Any:
        if (service, credentials) not in self._clients:
            self._clients[service, credentials] = aws_client(self.endpoint_url, service, credentials)
        return self._clients[service, credentials]

    def _close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._state = self._credentials = self._deployer = self.host = None


def running_stack(settings: Settings) -> LocalStack | None:
    """The stack that runs in ``settings.state_dir``, or None."""
    try:
        return LocalStack.attach(settings)
    except LocalStackError:
        return None


def start_detached(
    settings: Settings,
    slots: int = 2,
    *,
    keep: Keep = "always",
    prewarm: bool = False,
    waiting: subprocess.Popen[bytes] | None = None,
) -> LocalStack:
    """Start a stack in a process of its own, which outlives this one.

    Args:
        keep: how long it stays (``StackState``).
        waiting: a process of ``castline.local --when-told`` to use, if it still runs.

    Raises:
        LocalStackError: it did not start; the log's end is in ``detail``.
    """
    log_path = settings.state_dir.resolve() / "logs" / "stack.log"
    private_folder(settings.state_dir)
    private_folder(log_path.parent)
    asked = ["--slots", str(slots), "--keep", keep] + ["--prewarm"] * prewarm
    environment = {
        **os.environ,
        **settings_environment(settings),
        "CASTLINE_STATE_DIR": str(settings.state_dir.resolve()),
    }
    with open_private(log_path, os.O_TRUNC) as log:
        process = _told(waiting, asked, environment, log_path) or subprocess.Popen(
            [sys.executable, "-m", "castline.local", *asked],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=UMASK,
        )
    deadline = time.monotonic() + _DETACHED_START_S
    while time.monotonic() < deadline and process.poll() is None:
        state = read_state(settings.state_dir)
        if state is not None and state.controller.pid == process.pid:
            # From here on it is independent; without this, Popen would warn that nobody waits for it.
            process.returncode = 0
            return LocalStack.attach(settings)
        time.sleep(0.02)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()  # its watchdog ends the rest
            process.wait()
    tail = log_path.read_text(errors="replace")[-4000:].strip()
    reason = tail.splitlines()[-1] if tail else f"see {log_path}"
    raise LocalStackError(f"the stack did not start: {reason}", detail=tail)


def _told(
    waiting: subprocess.Popen[bytes] | None, asked: list[str], environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes] | None:
    """The waiting process, once it knows what it is to do; None if there is none any more."""
    if waiting is None or waiting.stdin is None:
        return None
    orders = {"arguments": asked, "environment": environment, "folder": str(Path.cwd()), "log": str(log)}
    try:
        with waiting.stdin as pipe:
            pipe.write(json.dumps(orders).encode() + b"\n")
    except OSError:  # it has ended
        waiting.wait()
        return None
    return waiting


def settings_environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from the defaults, as environment variables with absolute paths."""
    environment = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is None or name in ("function_name", "memory_mb"):
            continue
        environment[variable(name)] = str(value.resolve()) if isinstance(value, Path) else written(value)
    return environment


def ffmpeg_layer(state_dir: Path) -> Path | None:
    """The local substitute for the ffmpeg layer: a ``bin`` folder with imageio-ffmpeg's program.

    Returns:
        None if that package is not installed; then the system's ffmpeg is used.
    """
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    folder = private_folder(state_dir.resolve() / "layers" / "ffmpeg" / "bin")
    link = folder / "ffmpeg"
    try:
        program = Path(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:  # the wheel has no binary for this machine
        return None
    found = shutil.which(str(program))
    if found is None:
        return None
    link.unlink(missing_ok=True)
    link.symlink_to(Path(found).resolve())
    return folder


def _end(state: StackState) -> None:
    """End the stack of another process: first ask, then kill."""
    for signal_, patience_s in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, 5.0)):
        if not state.controller.alive:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.controller.pid, signal_)
        deadline = time.monotonic() + patience_s
        while state.controller.alive and time.monotonic() < deadline:
            time.sleep(0.05)
    deadline = time.monotonic() + 5.0  # the watchdog ends the rest
    while state.engine.alive and time.monotonic() < deadline:
        time.sleep(0.05)
