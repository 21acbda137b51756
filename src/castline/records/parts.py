"""Stage 2: faces with embeddings, words with times, and the people we know. No names in parts."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from castline.records.base import Box, Count, Failure, Grade, Milliseconds, Notice, Number, Point, Record, Seconds
from castline.records.units import Usage

if TYPE_CHECKING:  # a third of what the records take to import, and most programs read none of these
    import numpy as np
    from numpy.typing import NDArray


class Embedding(Record):
    """A face embedding. ``data``: base64 of little-endian float32, unit L2 norm."""

    model: str
    data: str = Field(max_length=64 * 1024)

    @field_validator("data")
    @classmethod
    def _is_vector(cls, data: str) -> str:
        import numpy as np

        if not np.isfinite(np.frombuffer(base64.b64decode(data, validate=True), dtype="<f4")).all():
            raise ValueError("an embedding is finite")
        return data

    @classmethod
    def of(cls, model: str, vector: NDArray[np.float32]) -> Self:
        return cls(model=model, data=base64.b64encode(vector.astype("<f4").tobytes()).decode())

    @property
    def space(self) -> tuple[str, int]:
        """Embeddings of one space can be compared: those of one model and one length."""
        return self.model, len(self.data)

    def vector(self) -> NDArray[np.float32]:
        """Shape (d,), float32."""
        import numpy as np

        return np.frombuffer(base64.b64decode(self.data), dtype="<f4")


class Face(Record):
    """One detection.

    Attributes:
        box: fractions of the frame, clipped to it.
        landmarks: left eye, right eye, nose, left mouth corner, right mouth corner (as seen in the
            picture), fractions of the frame.
        score: detector's probability, 0..1.
        size_px: shorter side of the box in pixels of the analysed frame.
        sharpness: variance of the Laplacian of the aligned grey crop; below ~50 is blurred.
        detail: variance of the second derivative of the same crop, in the direction in which it is least; below ~12
            it is smeared, dark or soft.
        blocking: how much the borders of a codec's blocks stand out; 1 is not at all, from 2 on they are plain to see.
        noise: how grainy the smoothest part of the same crop is, over its contrast; below ~0.04 in good light.
        burnt: share of the box's pixels in which a colour is as bright as it can be, 0..1; below ~0.15 in good light.
        quality: 0..1, weight of this face's vote (size, sharpness, pose, score).
        crop: base64 JPEG of the face with margin, kept for the best face of each person of a unit.
    """

    box: Box
    landmarks: tuple[Point, Point, Point, Point, Point]
    score: Number
    size_px: Number
    sharpness: Number
    detail: Number = 100.0
    blocking: Number = 1.0
    noise: Number = 0.0
    burnt: Number = 0.0
    quality: Number
    embedding: Embedding
    crop: str | None = None

    @field_validator("crop")
    @classmethod
    def _is_base64(cls, crop: str | None) -> str | None:
        base64.b64decode(crop or "", validate=True)
        return crop


class FrameFaces(Record):
    """One analysed frame.

    Attributes:
        look: brightness and colours of the whole frame in 192 characters, so that assembly can tell cuts
            (``recognition/cuts.py``); None says nothing.
    """

    time_ms: Milliseconds
    faces: tuple[Face, ...]
    look: str | None = Field(None, pattern=r"^[A-Za-z0-9+/]{192}$")


class Word(Record):
    """Times in seconds; relative to the chunk inside a part, to the media in a result.

    Attributes:
        text: without the white space around it.
        space: the white space before it in the text, or none.
    """

    start_s: Seconds
    end_s: Seconds
    text: Annotated[str, StringConstraints(strip_whitespace=True)]
    probability: Number | None = None
    space: str = Field(" ", exclude_if=lambda space: space == " ")

    @property
    def written(self) -> str:
        return self.space + self.text


def spell(words: Iterable[Word]) -> str:
    """The text that words make."""
    return "".join(word.written for word in words).strip()


class Segment(Record):
    """A sentence, or as much of one as is said without a long pause.

    Attributes:
        words: in order; they spell the text. Others are kept as they are, and nothing is timed by them (``spelled``).
        avg_logprob: mean of the logarithms of the words' probabilities.
        no_speech_prob: of the window the segment was heard in.
        compression_ratio: bytes of the text over bytes of it compressed; above 2.4 it repeats itself.
        suspect: likely invented. It is marked and kept.
        language: where it was found out.
    """

    start_s: Seconds
    end_s: Seconds
    text: str
    words: tuple[Word, ...] = ()
    avg_logprob: Number | None = None
    no_speech_prob: Number | None = None
    compression_ratio: Number | None = None
    suspect: bool = False
    language: str | None = None

    @field_validator("words")
    @classmethod
    def _spaced(cls, words: tuple[Word, ...], info: ValidationInfo) -> tuple[Word, ...]:
        text = str(info.data.get("text", ""))
        return words if _spells(words, text) else spaced(text, words)

    @property
    def spelled(self) -> bool:
        """Whether there are words, and the text is made of them."""
        return bool(self.words) and _spells(self.words, self.text)


_APART = "{0,48}"  # characters; a text of a million spaces is not gone through for every word


def _spells(words: Sequence[Word], text: str) -> bool:
    return spell(words) == text.strip()


def spaced(text: str, words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Words that do not say what is between them, with the spaces and the punctuation of the text they are of."""
    found: list[Word] = []
    at = 0
    for word in words:
        between = re.compile(rf"(\W{_APART}?)(\s{_APART}){re.escape(word.text)}").match(text, at)
        if between is None:
            return words
        at = between.end()
        if found:
            found[-1] = found[-1].model_copy(update={"text": found[-1].text + between[1]})
            found.append(word.model_copy(update={"space": between[2]}))
        else:
            found.append(word.model_copy(update={"text": between[0].strip()}))
    if found and not re.search(r"\w", text[at:]):
        found[-1] = found[-1].model_copy(update={"text": (found[-1].text + text[at:]).strip()})
    return tuple(found)


class SpokenLanguage(Record):
    """A language that was found out.

    Attributes:
        code: Whisper's code, which is ISO 639-1 for nearly all languages.
        probability: 0..1, mean over the windows it was found in, weighted with their speech.
        seconds: how long its words are.
    """

    code: str
    probability: Number
    seconds: Seconds


class Voices(Record):
    """What voices sound like in the windows of a chunk.

    Attributes:
        model: id of the encoder.
        windows: ``(start_s, end_s)`` in seconds of the chunk, in order of time.
        data: base64 of little-endian float16, a row of unit L2 norm per window.
    """

    model: str
    windows: tuple[tuple[Seconds, Seconds], ...]
    data: str = Field(max_length=8 * 1024 * 1024)

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        import numpy as np

        flat = np.frombuffer(base64.b64decode(self.data, validate=True), dtype="<f2")
        rows = len(self.windows)
        if not np.isfinite(flat).all() or (len(flat) % rows if rows else len(flat)):
            raise ValueError("there is a finite row for every window")
        return self

    @classmethod
    def of(cls, model: str, windows: Sequence[tuple[float, float]], vectors: NDArray[np.float32]) -> Self:
        data = base64.b64encode(vectors.astype("<f2").tobytes()).decode()
        return cls(model=model, windows=tuple((round(start, 3), round(end, 3)) for start, end in windows), data=data)

    @property
    def space(self) -> tuple[str, int]:
        """Rows of one space can be compared: those of one model and one length."""
        return self.model, len(base64.b64decode(self.data)) // (2 * len(self.windows) or 1)

    def vectors(self) -> NDArray[np.float32]:
        """Shape (len(windows), d), float32."""
        import numpy as np

        flat = np.frombuffer(base64.b64decode(self.data), dtype="<f2").astype(np.float32)
        return flat.reshape(len(self.windows), -1) if self.windows else flat.reshape(0, 0)


class Speaking(Record):
    """Whether a face makes the sound that is heard, as an engine saw it.

    Attributes:
        start_s, end_s: the moment or the stretch that was looked at, seconds of the recording, also in parts.
        score: logits; above 0 it is likelier that the face speaks than that it does not.
        engine: id of who says so.
    """

    start_s: Seconds
    end_s: Seconds
    score: Number
    engine: str


class SpeakingFace(Speaking):
    """As parts have it, which know no tracks.

    Attributes:
        box: where the face is in the middle of the stretch, fractions of the frame.
    """

    box: Box


class FramesPart(Record):
    """Attributes:
    mouths: faces that were watched, where somebody watched them.
    """

    kind: Literal["frames"] = "frames"
    unit: str
    detector: str
    embedder: str
    frames: tuple[FrameFaces, ...]
    mouths: tuple[SpeakingFace, ...] = Field((), exclude_if=lambda mouths: not mouths)
    usage: Usage

    @model_validator(mode="after")
    def _one_space(self) -> Self:
        spaces = {face.embedding.space for frame in self.frames for face in frame.faces}
        if len(spaces) > 1 or any(model != self.embedder for model, _ in spaces):
            raise ValueError("embeddings of one part are of its embedder and of one length")
        return self

    @property
    def space(self) -> tuple[str, int] | None:
        """What its embeddings can be compared with; None without faces."""
        return next((face.embedding.space for frame in self.frames for face in frame.faces), None)


class Mouths(Record):
    """What was seen of mouths in a recording, where somebody asked who speaks.

    Attributes:
        engine: id of what looked at them; None where there is none here.
        warnings: times in seconds of the recording.
    """

    engine: str | None
    faces: tuple[SpeakingFace, ...] = ()
    warnings: tuple[Notice, ...] = ()
    usage: Usage


class AudioPart(Record):
    """Attributes:
    transcriber: id of the engine with its model; None where there was none, and nobody listened.
    voices: where telling voices apart was asked for, and could be done.
    """

    kind: Literal["audio"] = "audio"
    unit: str
    transcriber: str | None
    language: str | None
    languages: tuple[SpokenLanguage, ...] = ()
    segments: tuple[Segment, ...]
    warnings: tuple[Notice, ...] = ()
    voices: Voices | None = Field(None, exclude_if=lambda voices: voices is None)
    usage: Usage


Part = Annotated[FramesPart | AudioPart, Field(discriminator="kind")]


class ErrorPart(Record):
    """A unit that is out of retries.

    Attributes:
        attempt: how many times it was given up.
    """

    unit: str
    error: Failure
    attempt: Count = 1


class PhotoEmbedding(Embedding):
    """Of the face that a photo is about, with its grade; a useless one is of no use in a gallery."""

    grade: Grade = "clear"


class KnownFace(Record):
    """One enrolled photo."""

    name: str
    photo: str
    embedding: Embedding
    grade: Grade = "clear"


class EnrolledVoice(Record):
    """What somebody's voice sounds like.

    Attributes:
        embedding: mean of the windows it was heard in, unit L2 norm; its model is the encoder.
        voice_s: how long it was heard.
    """

    embedding: Embedding
    voice_s: Seconds


class KnownVoice(Record):
    """One enrolled voice, and whose it is."""

    name: str
    key: str
    voice: EnrolledVoice


class Gallery(Record):
    """The people we know, as embeddings of one model of faces, and of any models of voices.

    Attributes:
        fingerprint: changes whenever a photo or a voice is added, removed or renamed.
        voices: where voices were to be named.
    """

    model: str
    fingerprint: str
    faces: tuple[KnownFace, ...] = ()
    voices: tuple[KnownVoice, ...] = ()
