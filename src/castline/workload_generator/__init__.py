"""Uploads media under a load pattern, waits for the results, and tells how long they took."""
