"""Stage 2: faces with embeddings, words with times, and the known people. Parts contain no names."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from castline.records.base import Box, Count, Failure, Grade, Milliseconds, Notice, Number, Point, Record, Seconds
from castline.records.units import Usage

if TYPE_CHECKING:  # a third of the records' import time, and most programs read none of these
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
        """The space of the embedding: only embeddings of one model and one length can be compared."""
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
        blocking: how much the borders of a codec's blocks stand out; 1 is not at all, from 2 on they are clearly
            visible.
        noise: grain of the smoothest part of the same crop, over its contrast; below ~0.04 in good light.
        burnt: share of the box's pixels in which a colour is saturated, 0..1; below ~0.15 in good light.
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
        look: brightness and colours of the whole frame in 192 characters, from which assembly finds cuts
            (``recognition/cuts.py``); None if unknown.
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
    """The text that words spell."""
    return "".join(word.written for word in words).strip()


class Segment(Record):
    """A sentence, or the part of one that is said without a long pause.

    Attributes:
        words: in order; normally they spell the text. Others are kept but not used for timing (``spelled``).
        avg_logprob: mean of the logarithms of the words' probabilities.
        no_speech_prob: that of the segment's window.
        compression_ratio: bytes of the text over its compressed bytes; above 2.4 it is repetitive.
        suspect: whether it is probably invented. It is marked and kept.
        language: set if it was detected.
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
        """Whether there are words, and they spell the text."""
        return bool(self.words) and _spells(self.words, self.text)


_APART = "{0,48}"  # characters; a text of a million spaces is not searched for every word


def _spells(words: Sequence[Word], text: str) -> bool:
    return spell(words) == text.strip()


def spaced(text: str, words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Words without recorded spaces, with the spaces and punctuation of their text."""
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
    """A detected language.

    Attributes:
        code: Whisper's code, which is ISO 639-1 for nearly all languages.
        probability: 0..1, mean over the windows in which it was detected, weighted by their speech.
        seconds: how long its words are.
    """

    code: str
    probability: Number
    seconds: Seconds


class Voices(Record):
    """Embeddings of the voices in the windows of a chunk.

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
        """The space of the rows: only rows of one model and one length can be compared."""
        return self.model, len(base64.b64decode(self.data)) // (2 * len(self.windows) or 1)

    def vectors(self) -> NDArray[np.float32]:
        """Shape (len(windows), d), float32."""
        import numpy as np

        flat = np.frombuffer(base64.b64decode(self.data), dtype="<f2").astype(np.float32)
        return flat.reshape(len(self.windows), -1) if self.windows else flat.reshape(0, 0)


class Speaking(Record):
    """An engine's score of whether a face produces the speech.

    Attributes:
        start_s, end_s: the watched stretch in seconds of the recording, also in parts.
        score: logits; above 0 it is likelier that the face speaks than that it does not.
        engine: id of the engine.
    """

    start_s: Seconds
    end_s: Seconds
    score: Number
    engine: str


class SpeakingFace(Speaking):
    """The same in parts, which have no tracks.

    Attributes:
        box: where the face is in the middle of the stretch, fractions of the frame.
    """

    box: Box


class FramesPart(Record):
    """Attributes:
    mouths: watched faces, if any.
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
        """The space of its embeddings; None without faces."""
        return next((face.embedding.space for frame in self.frames for face in frame.faces), None)


class Mouths(Record):
    """What was seen of mouths in a recording, if speakers were requested.

    Attributes:
        engine: id of the engine that watched them; None if there was none.
        warnings: times in seconds of the recording.
    """

    engine: str | None
    faces: tuple[SpeakingFace, ...] = ()
    warnings: tuple[Notice, ...] = ()
    usage: Usage


class AudioPart(Record):
    """Attributes:
    transcriber: id of the engine with its model; None if there was none.
    voices: set if telling voices apart was requested and possible.
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
    """The embedding of the face that a photo is about, with its grade; a useless one cannot be enrolled."""

    grade: Grade = "clear"


class KnownFace(Record):
    """One enrolled photo."""

    name: str
    photo: str
    embedding: Embedding
    grade: Grade = "clear"


class EnrolledVoice(Record):
    """The embedding of somebody's voice.

    Attributes:
        embedding: mean over its windows, unit L2 norm; its model is the encoder.
        voice_s: seconds of its speech.
    """

    embedding: Embedding
    voice_s: Seconds


class KnownVoice(Record):
    """One enrolled voice, with its person."""

    name: str
    key: str
    voice: EnrolledVoice


class Gallery(Record):
    """The known people, as embeddings of one face model, and of any voice models.

    Attributes:
        fingerprint: changes whenever a photo or a voice is added, removed or renamed.
        voices: set if voices are to be named.
    """

    model: str
    fingerprint: str
    faces: tuple[KnownFace, ...] = ()
    voices: tuple[KnownVoice, ...] = ()
