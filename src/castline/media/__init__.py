"""Hostile media in, frames and speech-ready audio out: probe, one decode, units as they get ready."""

from castline.media.probe import probe
from castline.media.split import AudioPiece, FramesPiece, Piece, SplitSummary, split

__all__ = ["AudioPiece", "FramesPiece", "Piece", "SplitSummary", "probe", "split"]
