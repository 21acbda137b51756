"""Turns sound into words with times: engines of the Whisper family, and how one is chosen."""
