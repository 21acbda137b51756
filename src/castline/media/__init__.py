"""Hostile media in, frames and speech-ready audio out: probe, one decode, units as they get ready."""

from castline.media.pieces import AudioPiece, FramesPiece, MotionPiece, Piece
from castline.media.probe import probe
from castline.media.split import split, split_part
from castline.media.summary import SplitSummary

__all__ = ["AudioPiece", "FramesPiece", "MotionPiece", "Piece", "SplitSummary", "probe", "split", "split_part"]
