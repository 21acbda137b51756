"""Pictures in, faces with embeddings out: detectors and embedders, and how one is chosen."""
