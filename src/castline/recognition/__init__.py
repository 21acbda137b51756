"""From frames to people: analysing frames, tracks, identity, and how far a face can be trusted.

The modules that assembly needs (tracks, cuts, sightings, identity, confidence, grade) load no model library.
"""
