"""The pure function (manifest, parts, gallery) -> result. Names are bound here and only here."""

from castline.assembly.assemble import Assembly, assemble, main_embedder

__all__ = ["Assembly", "assemble", "main_embedder"]
