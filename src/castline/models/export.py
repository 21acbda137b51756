"""Writes PyTorch nets as ONNX. Build time only: the one module of the project that imports torch.

    python -m castline.models.export mtcnn <models folder>
    python -m castline.models.export facenet <models folder> <state_dict.pt>

The nets are those of facenet-pytorch (MIT): P-, R- and O-Net with the weights in its wheel, and
InceptionResnetV1. The run-time analyser never imports this module; it starts it as a process of its
own (``castline.models.prepare``), so torch's memory goes away with it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from castline.models.locate import FACENET_FILE, MTCNN_FILES

#: Modules that facenet-pytorch imports at its top level and that its nets never use. torchvision is
#: always replaced (its PyPI build does not fit a CPU build of torch); the rest only when absent.
_UNUSED = (
    "torchvision",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.ops",
    "torchvision.ops.boxes",
    "requests",
    "requests.adapters",
    "PIL",
    "PIL.Image",
)
_OPSET = 17


class _Stub(ModuleType):
    """A module that has every name, so that ``from it import anything`` works."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}")


@contextmanager
def facenet_pytorch_shim() -> Iterator[None]:
    """Make ``import facenet_pytorch`` possible without the packages it names and does not need here.

    Only while the context is open; ``sys.modules`` is put back afterwards.
    """
    absent = {
        name
        for name in {module.partition(".")[0] for module in _UNUSED}
        if name == "torchvision" or importlib.util.find_spec(name) is None
    }
    stubbed = [module for module in _UNUSED if module.partition(".")[0] in absent]
    before = {name: sys.modules.get(name) for name in stubbed}
    for name in stubbed:
        stub = _Stub(name)
        stub.__path__ = []
        sys.modules[name] = stub
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def import_facenet_pytorch() -> ModuleType:
    """The ``facenet_pytorch`` package, imported under the shim."""
    with facenet_pytorch_shim(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("facenet_pytorch")


class _Normalised(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A net of MTCNN that takes RGB 0..255 and normalises it itself, as the reference does outside."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.net((pixels - 127.5) * 0.0078125)


def export_mtcnn(folder: Path) -> list[Path]:
    """Write P-, R- and O-Net as ONNX into ``folder``.

    Inputs ``pixels``: float32 (n, 3, h, w), RGB 0..255; n is free, h and w too for P-Net, 24 x 24
    for R-Net, 48 x 48 for O-Net. Outputs as in the reference, each with a leading batch axis:
    box offsets (4), landmarks (10; O-Net only), probabilities (no face, face).
    """
    package = import_facenet_pytorch()
    plans = (
        ("pnet", package.PNet, 48, ("offsets", "probabilities")),
        ("rnet", package.RNet, 24, ("offsets", "probabilities")),
        ("onet", package.ONet, 48, ("offsets", "landmarks", "probabilities")),
    )
    written = []
    for name, net_class, side, outputs in plans:
        net = _Normalised(net_class(pretrained=True).eval())
        axes: dict[str, dict[int, str]] = {"pixels": {0: "n"}, **{output: {0: "n"} for output in outputs}}
        if name == "pnet":
            axes["pixels"] |= {2: "h", 3: "w"}
            for output in outputs:
                axes[output] |= {2: "cells_y", 3: "cells_x"}
        path = folder / MTCNN_FILES[name]
        _write(net, torch.zeros(2, 3, side, side), path, "pixels", outputs, axes)
        written.append(path)
    return written


def export_facenet(folder: Path, state_dict: Path | None) -> Path:
    """Write InceptionResnetV1 as ONNX into ``folder``.

    Input ``faces``: float32 (n, 3, 160, 160), RGB, (x - 127.5) / 128. Output ``embeddings``:
    float32 (n, 512), unit L2 norm.

    Args:
        state_dict: facenet-pytorch's weights file; None leaves the net random (for tests).
    """
    package = import_facenet_pytorch()
    net = package.InceptionResnetV1(pretrained=None)
    if state_dict is not None:
        weights = torch.load(state_dict, map_location="cpu", weights_only=True)
        # The file also holds the classifier over the training identities, which a bare net has not.
        net.load_state_dict({key: value for key, value in weights.items() if not key.startswith("logits.")})
    path = folder / FACENET_FILE
    axes = {"faces": {0: "n"}, "embeddings": {0: "n"}}
    _write(net.eval(), torch.zeros(2, 3, 160, 160), path, "faces", ("embeddings",), axes)
    return path


def _write(
    net: torch.nn.Module,
    example: torch.Tensor,
    path: Path,
    input_name: str,
    outputs: Sequence[str],
    axes: dict[str, dict[int, str]],
) -> None:
    """Export beside the target and rename: readers see the old file or the whole new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The TorchScript exporter calls itself legacy and traces shape checks; the other one needs
            # a further package and gains nothing for these nets.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net,
                (example,),
                str(temporary),
                input_names=[input_name],
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=_OPSET,
                dynamo=False,
            )
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m castline.models.export``."""
    parser = argparse.ArgumentParser(prog="python -m castline.models.export", description=__doc__)
    parser.add_argument("net", choices=("mtcnn", "facenet"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("state_dict", type=Path, nargs="?")
    options = parser.parse_args(arguments)
    if options.net == "mtcnn":
        export_mtcnn(options.folder)
    elif options.state_dict is None:
        parser.error("facenet needs the path of its state_dict")
    else:
        export_facenet(options.folder, options.state_dict)


if __name__ == "__main__":
    main()
