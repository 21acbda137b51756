"""Writes FaceNet as ONNX. Build time only: no other face model needs torch.

    python -m castline.weights.export <state_dict.pt> <target.onnx>

The net is InceptionResnetV1 of facenet-pytorch (MIT). The run-time analyser never imports this module; it starts it as
a separate process (``castline.weights.facenet``), so that torch's memory is freed with it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from castline.weights.facenet import digest
from castline.weights.onnx_file import set_weights
from castline.weights.whole import whole_file

#: Modules that facenet-pytorch imports at its top level but that its nets never use. torchvision is always replaced
#: (its PyPI build does not fit a CPU build of torch); the others only if they are absent.
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
    """Make ``import facenet_pytorch`` possible without the packages that it imports but does not need here.

    Only while the context is open; ``sys.modules`` is restored afterwards.
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


def export_facenet(target: Path, state_dict: Path | None) -> Path:
    """Write InceptionResnetV1 as ONNX to ``target``, atomically.

    Input ``faces``: float32 (n, 3, 160, 160), RGB, (x - 127.5) / 128. Output ``embeddings``:
    float32 (n, 512), unit L2 norm.

    Args:
        state_dict: facenet-pytorch's weights file; None leaves the net random (for tests).
    """
    package = import_facenet_pytorch()
    net = package.InceptionResnetV1(pretrained=None)
    if state_dict is not None:
        weights = torch.load(state_dict, map_location="cpu", weights_only=True)
        # The file also contains the classifier over the training identities, which the bare net lacks.
        net.load_state_dict({key: value for key, value in weights.items() if not key.startswith("logits.")})
    # Warnings are ignored: the TorchScript exporter calls itself legacy and traces shape checks; the other one needs
    # another package and gains nothing for this net.
    with whole_file(target) as file, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (torch.zeros(2, 3, 160, 160),),
            str(file),
            input_names=["faces"],
            output_names=["embeddings"],
            dynamic_axes={"faces": {0: "n"}, "embeddings": {0: "n"}},
            opset_version=_OPSET,
            dynamo=False,
        )
        if state_dict is not None:
            set_weights(file, digest(state_dict))
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m castline.weights.export``."""
    parser = argparse.ArgumentParser(prog="python -m castline.weights.export", description=__doc__)
    parser.add_argument("state_dict", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    export_facenet(options.target, options.state_dict)


if __name__ == "__main__":
    main()
