"""The door of the local stack: who may ask the emulator for what."""
