"""Where engines compute: on the processor, or on a GPU with CUDA (``CASTLINE_DEVICE``).

Never run on a GPU: what is tested is that the choice reaches each library.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Literal

from castline.errors import DeviceMissing

_COUNT = "import ctranslate2; print(ctranslate2.get_cuda_device_count())"
_COUNT_S = 60.0


def device_of(asked: str, library: str, sees_gpu: Callable[[], bool]) -> Literal["cpu", "cuda"]:
    """What a library is to compute on: ``auto`` is the GPU if the library sees one.

    Args:
        asked: ``castline.settings.Settings.device``.
        sees_gpu: whether the library can use a GPU here; not called if it does not matter.

    Raises:
        DeviceMissing: ``cuda``, and it sees none.
    """
    if asked == "cpu":
        return "cpu"
    if sees_gpu():
        return "cuda"
    if asked == "cuda":
        raise DeviceMissing(f"CASTLINE_DEVICE=cuda: {library} sees no GPU here")
    return "cpu"


def gpu_environment(gpu: str) -> dict[str, str]:
    """The variables that show a process one GPU alone, as ``nvidia-smi`` numbers or names it; none for no name."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu} if gpu else {}


def gpus_seen(gpu: str = "") -> int:
    """How many GPUs a process would see that is shown one alone, or has this process's environment.

    Asked in another process, because the answer depends on the environment when CUDA is first used.
    """
    environment = {**os.environ, **gpu_environment(gpu)}
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _COUNT],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COUNT_S,
            check=True,
        )
        return int(asked.stdout)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        said = getattr(error, "stderr", b"") or b""
        why = said.decode(errors="replace").strip()
        last = why.rpartition("\n")[2] or type(error).__name__
        raise DeviceMissing(f"CTranslate2 cannot count the GPUs here: {last}", detail=why) from error
