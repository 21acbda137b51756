"""Faces of real pictures, and made-up tracks: the same as its neighbours have."""

from tests.assembly.conftest import make
from tests.engines.faces.conftest import astronaut, detector, embedder, hopper, lfw, make_face

__all__ = ["astronaut", "detector", "embedder", "hopper", "lfw", "make", "make_face"]
