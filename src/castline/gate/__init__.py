"""The gate of the local stack: who may request what from the emulator."""
