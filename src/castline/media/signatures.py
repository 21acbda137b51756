"""Recognises files that are not media by their first bytes: pictures, documents, error pages, lists of other files."""

from __future__ import annotations

import re
from pathlib import Path

from castline.errors import ForbiddenMedia, NotMedia

_HEAD_BYTES = 4096
_LISTS = (b"#EXTM3U", b"ffconcat version", b"v=0\r\n", b"[playlist]")
_LIST_ROOTS = ("mpd", "assetmap", "asx", "smil", "smoothstreamingmedia", "playlist")
_ROOT = re.compile(rb"<(?!\?|!--)(!doctype\s+\w+|[A-Za-z][\w.-]*)", re.IGNORECASE)
_PICTURES = (
    (b"GIF8", "a GIF picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"{\\rtf", "a text document"),
    (b"\x03ds2", "a DS2 dictation, whose coding is not public (its own software saves it as WAV or MP3)"),
)
_HEIF = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")


def refuse_what_is_no_media(path: Path) -> None:
    """Check the head of a file before any demuxer reads it.

    Raises:
        NotMedia: empty, a picture, a document, a page.
        ForbiddenMedia: a playlist or another list of files.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise NotMedia("the file is empty")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(_LISTS):
        raise ForbiddenMedia("the file is a playlist that refers to other files; upload the media itself")
    if text.startswith(b"<"):
        _refuse_markup(text)
    if what := _picture(head):
        raise NotMedia(f"the file is {what}, whatever its name says; video and sound are taken")


def _picture(head: bytes) -> str | None:
    if head.startswith(b"\x89PNG") and b"acTL" in head:
        return "an animated PNG picture"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "a WebP picture"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        return "a HEIF or AVIF picture"
    if head.startswith(b"BM") and head[6:10] != b"\0\0\0\0":
        return None  # two letters prove nothing; the next eight bytes are a size, and zeros
    return next((what for start, what in _PICTURES if head.startswith(start)), None)


def _refuse_markup(text: bytes) -> None:
    found = _ROOT.search(text)
    root = found[1].decode().lower() if found else ""
    if root in _LIST_ROOTS:
        raise ForbiddenMedia("the file is a list that refers to other files; upload the media itself")
    if root == "svg":
        raise NotMedia("the file is an SVG picture, whatever its name says; video and sound are taken")
    if "html" in root:
        raise NotMedia("the file is a web page (HTML); was an error page saved instead of the media?")
    if text.startswith(b"<?xml"):
        said = re.search(rb"<Code>([A-Za-z]{1,60})</Code>", text)
        answer = f", an answer that says {said[1].decode()}" if said else ""
        raise NotMedia(f"the file is an XML document{answer}; was it saved instead of the media?")
