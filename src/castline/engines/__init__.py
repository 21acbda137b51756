"""Engines: what a detector, an embedder and a transcriber must be able to do, and ours.

``base`` has the seams, ``process`` the engines of one process, ``report`` what is here and why. Importing a
declaration loads no model library.
"""
