"""Sound in, words with times out: engines of the Whisper family, and how one is chosen."""
