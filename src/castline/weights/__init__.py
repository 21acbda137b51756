"""Weights: where they are found, how they are fetched, and how nets are made from them. No model is loaded here."""
