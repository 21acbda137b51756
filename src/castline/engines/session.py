"""ONNX Runtime sessions, with the thread policy and the device of the whole project in one place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from castline.engines.device import device_of
from castline.errors import ModelCorrupt, ModelNotFound

if TYPE_CHECKING:
    import onnxruntime

#: Beyond four threads the nets that we run are not faster.
MAX_THREADS = 4
_LIBRARY, _CPU, _CUDA = "ONNX Runtime (package onnxruntime-gpu)", "CPUExecutionProvider", "CUDAExecutionProvider"


def thread_count(threads: int) -> int:
    """Threads of one session: ``threads``, or for 0 the cores this process may use, at most four."""
    if threads > 0:
        return threads
    # The affinity mask, not cpu_count(): containers are often pinned to fewer cores than the host has.
    return min(MAX_THREADS, len(os.sched_getaffinity(0)))


def open_session(path: Path, threads: int = 0, device: str = "cpu") -> onnxruntime.InferenceSession:
    """Open an ONNX model.

    Args:
        path: the ``.onnx`` file.
        threads: threads inside one operator; 0 chooses automatically (``thread_count``).
        device: ``castline.settings.Settings.device``.

    Raises:
        ModelNotFound: no such file.
        ModelCorrupt: the file is not a model that ONNX Runtime can load.
        DeviceMissing: the device is ``cuda``, and ONNX Runtime cannot use a GPU here.
    """
    if not path.is_file():
        raise ModelNotFound(f"model file {path} does not exist")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count(threads)
    options.inter_op_num_threads = 1
    # Otherwise idle workers would spin and take the cores from the next model (and from other processes on the
    # machine).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Shapes change from call to call, so a stored allocation plan only occupies memory: 150 MB of it.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    chosen = device_of(device, _LIBRARY, lambda: _CUDA in onnxruntime.get_available_providers())
    providers = [_CUDA, _CPU] if chosen == "cuda" else [_CPU]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no common base below Exception
        raise ModelCorrupt(f"{path} is not a usable ONNX model", detail=str(error)) from error
    if chosen == "cuda":  # it was built for GPUs; without one, or without CUDA's libraries, it goes on without a word
        device_of(device, _LIBRARY, lambda: _CUDA in session.get_providers())
    return session
