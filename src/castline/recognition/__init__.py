"""From frames to people: analysing frames, tracks, who somebody is, and how far a face can be trusted.

What assembly needs of it (tracks, cuts, sightings, identity, confidence, grade) loads no model library.
"""
