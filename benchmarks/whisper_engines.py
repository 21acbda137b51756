"""The three Whisper engines compared, on nets with random weights of the true dimensions.

What is measured does not depend on what a net has learnt: the encoder on a window of thirty seconds, one greedy token,
memory. Each engine runs in its own process with two threads, and they take turns, so that all see the same noise. The
milliseconds per token are those of the tokens between the 20th and the 84th, so that the prompt and the preparation of
the cross-attention do not count.

``python -m benchmarks.whisper_engines <engine> <file or folder>`` is such a process: it loads, reports that, and then
answers one command per line. How each engine is driven to a fixed number of tokens is in ``ENGINES``: the end of
text is suppressed and their number bounded.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

THREADS, TURNS, FEW, MANY = 2, 5, 20, 84
_SIZES = ("tiny", "base")

Engine = tuple[Callable[[], object], Callable[[int], int]]
"""Encode thirty seconds; and decode so many tokens of what was encoded last, returning how many they were."""


def run(folder: Path) -> dict[str, object]:
    """Milliseconds for the encoder and per token, resident memory; each the median of several turns."""
    from benchmarks import random_whisper as made
    from castline.engines.speech.declared import FASTER_WHISPER, OPENAI_WHISPER, WHISPER_CPP

    work = folder / "whisper"
    work.mkdir()
    found: dict[str, object] = {"threads": THREADS, "turns": TURNS, "window_s": 30}
    for size, dims in zip(_SIZES, (made.TINY, made.BASE), strict=True):
        net = made.random_net(dims)
        paths = {
            FASTER_WHISPER.id: made.write_ctranslate2(work / FASTER_WHISPER.file(size), net),
            WHISPER_CPP.id: made.write_ggml(work / WHISPER_CPP.file(size), net),
            OPENAI_WHISPER.id: made.write_openai(work / OPENAI_WHISPER.file(size), net),
        }
        found[size] = _side_by_side(paths)
    return found


def _side_by_side(paths: dict[str, Path]) -> dict[str, dict[str, float]]:
    workers = {name: _Worker(name, path) for name, path in paths.items()}
    encoder: dict[str, list[float]] = {name: [] for name in paths}
    token: dict[str, list[float]] = {name: [] for name in paths}
    try:
        for turn in range(TURNS + 1):
            for name, worker in workers.items():
                encode = worker.ask("encode")
                few, many = worker.ask(str(FEW)), worker.ask(str(MANY))
                if turn:  # the first one warms up
                    encoder[name].append(encode)
                    token[name].append((many - few) / (MANY - FEW))
        return {
            name: {
                "encoder_ms": statistics.median(encoder[name]),
                "token_ms": statistics.median(token[name]),
                "resident_mb": worker.ask("resident"),
                "load_s": worker.load_s,
            }
            for name, worker in workers.items()
        }
    finally:
        for worker in workers.values():
            worker.close()


class _Worker:
    """One engine, in its own process."""

    def __init__(self, name: str, path: Path) -> None:
        root = Path(__file__).resolve().parents[1]
        argv = [sys.executable, "-m", "benchmarks.whisper_engines", name, str(path)]
        self._process = subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.load_s = self._answer()

    def ask(self, command: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended: {self._process.wait()}")
        return float(json.loads(line))

    def close(self) -> None:
        self._process.communicate()


# --- what runs in the workers -------------------------------------------------------------------------


def _faster_whisper(path: Path) -> Engine:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel

    model = WhisperModel(str(path), device="cpu", compute_type="int8", cpu_threads=THREADS, local_files_only=True)
    mels = np.zeros((1, model.model.n_mels, 3000), np.float32)
    prompt = [model.hf_tokenizer.token_to_id(f"<|{name}|>") for name in _PROMPT]
    end = model.hf_tokenizer.token_to_id("<|endoftext|>")
    heard: list[Any] = []

    def encode() -> None:
        heard[:] = [model.model.encode(StorageView.from_array(mels))]

    def decode(count: int) -> int:
        # CTranslate2 writes half of max_length, as the reference implementation writes half of its context.
        [result] = model.model.generate(heard[0], [prompt], beam_size=1, max_length=2 * count, suppress_tokens=[end])
        return len(result.sequences_ids[0])

    return encode, decode


def _whisper_cpp(path: Path) -> Engine:
    """Without its decoding loop: one pass of the decoder per token, whichever token it is."""
    import _pywhispercpp as library

    context = library.whisper_init_from_file_with_params(str(path), library.whisper_context_default_params())
    silence = np.zeros(30 * 16_000, np.float32)
    library.whisper_pcm_to_mel(context, silence, len(silence), THREADS)
    prompt = [library.whisper_token_sot(context), *range(3)]

    def encode() -> None:
        assert library.whisper_encode(context, 0, THREADS) == 0

    def decode(count: int) -> int:
        for past in range(len(prompt) + count):
            token = prompt[past] if past < len(prompt) else past
            assert library.whisper_decode(context, token, 1, past, THREADS) == 0
        return count

    return encode, decode


def _openai_whisper(path: Path) -> Engine:
    import torch
    import whisper

    torch.set_num_threads(THREADS)
    model = whisper.load_model(str(path), device="cpu")
    mels = torch.zeros(1, model.dims.n_mels, 3000)
    end = whisper.tokenizer.get_tokenizer(model.is_multilingual).eot
    heard: list[Any] = []

    def encode() -> None:
        with torch.no_grad():
            heard[:] = [model.encoder(mels)]

    def decode(count: int) -> int:
        options = whisper.DecodingOptions(
            language="en", sample_len=count, suppress_tokens=[end], without_timestamps=True, fp16=False
        )
        [result] = model.decode(heard[0], options)
        return len(result.tokens)

    return encode, decode


_PROMPT = ("startoftranscript", "en", "transcribe", "notimestamps")

ENGINES: dict[str, Callable[[Path], Engine]] = {
    "faster-whisper": _faster_whisper,
    "whisper.cpp": _whisper_cpp,
    "openai-whisper": _openai_whisper,
}


def _resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def _serve(name: str, path: Path) -> None:
    """Load, and report the seconds it took; then answer one command per line, in milliseconds or MiB."""
    began = time.perf_counter()
    encode, decode = ENGINES[name](path)
    print(json.dumps(time.perf_counter() - began), flush=True)
    for command in map(str.strip, sys.stdin):
        if command == "resident":
            print(json.dumps(_resident_mb()), flush=True)
            continue
        began = time.perf_counter()
        if command == "encode":
            encode()
        else:
            assert decode(int(command)) == int(command)
        print(json.dumps((time.perf_counter() - began) * 1000), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
