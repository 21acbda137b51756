"""Models: which engines there are, where their files are found, and how they get there.

Importing this package loads no model library.
"""

from castline.models.catalogue import load_detector, load_embedder, survey
from castline.models.declared import ENGINES, engine
from castline.models.download import available, fetch, repair
from castline.models.downloads import DOWNLOADS, WHISPER, Download
from castline.models.facenet import ensure_facenet
from castline.models.prepare import ensure_dlib, ensure_mtcnn

__all__ = [
    "DOWNLOADS",
    "ENGINES",
    "WHISPER",
    "Download",
    "available",
    "engine",
    "ensure_dlib",
    "ensure_facenet",
    "ensure_mtcnn",
    "fetch",
    "load_detector",
    "load_embedder",
    "repair",
    "survey",
]
