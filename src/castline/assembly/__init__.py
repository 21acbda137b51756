"""The pure function (manifest, parts, gallery) -> result. Names are bound here and only here."""

from castline.assembly.assemble import Assembly, assemble, main_embedder, timeline_of, visible_during
from castline.assembly.stitch import excerpt, words_of

__all__ = ["Assembly", "assemble", "excerpt", "main_embedder", "timeline_of", "visible_during", "words_of"]
