"""Turns hostile media into frames and audio for speech recognition: probe, one decode, units as they become ready."""

from castline.media.pieces import AudioPiece, FramesPiece, MotionPiece, Piece
from castline.media.probe import probe
from castline.media.proxy import is_played, make_proxy
from castline.media.split import split, split_part
from castline.media.summary import SplitSummary

__all__ = [
    "AudioPiece",
    "FramesPiece",
    "MotionPiece",
    "Piece",
    "SplitSummary",
    "is_played",
    "make_proxy",
    "probe",
    "split",
    "split_part",
]
