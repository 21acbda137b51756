"""Faces in real pictures, and synthetic tracks: the fixtures of tests/assembly and tests/engines."""

from tests.assembly.conftest import make
from tests.engines.faces.conftest import astronaut, detector, embedder, hopper, lfw, make_face

__all__ = ["astronaut", "detector", "embedder", "hopper", "lfw", "make", "make_face"]
