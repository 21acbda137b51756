"""Weights: where they are found, how they get there, and how nets are made of them. No model is loaded here."""
