"""One photo to enrol: the face it is about, described and graded."""

from __future__ import annotations

from castline.engines.process import EngineSet
from castline.errors import GalleryError, UnitError
from castline.records import PhotoEmbedding

#: Brands of HEIC files, which are often called .jpg.
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


def embed_photo(body: bytes, engines: EngineSet) -> PhotoEmbedding:
    """The face a photo to enrol is about, clear or poor; bystanders do not matter if it clearly dominates.

    Raises:
        GalleryError: not a picture, no face, several of which none dominates, or a useless one.
    """
    from castline.media.pictures import decode_jpeg
    from castline.recognition.analyse import MAX_SIDE, analyse_frames
    from castline.recognition.dominant import dominant, most_prominent_first
    from castline.recognition.grade import grade_of

    try:
        image = decode_jpeg(body)
    except UnitError as error:
        heic = body[4:8] == b"ftyp" and body[8:12] in _HEIC
        why = error.message.replace("a frame cannot be decoded", "not a picture we can read")
        raise GalleryError("a HEIC photo, which is not supported; save it as JPEG" if heic else why) from error
    (frame,) = analyse_frames([(0, image)], engines.detector, engines.embedder, max_image_side=MAX_SIDE)
    face = dominant(frame.faces)
    if face is None:
        several = len(most_prominent_first(frame.faces))
        found = f"{several} faces in the photo, none of which dominates" if several else "no face found in the photo"
        raise GalleryError(f"{found}; enrol photos that show one person" if several else found)
    grade = grade_of(face)
    if grade == "useless":
        seen = f"{face.size_px:.0f} px, sharpness {face.sharpness:.0f}"
        raise GalleryError(f"the face in the photo is too small or too blurred to recognise anybody by ({seen})")
    return PhotoEmbedding(model=face.embedding.model, data=face.embedding.data, grade=grade)
