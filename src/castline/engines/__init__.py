"""Engines: what a detector, an embedder and a transcriber must be able to do, and ours.

``base`` has the interfaces, ``process`` the engines of one process, ``report`` which engines are here and why.
Importing a declaration loads no model library.
"""
