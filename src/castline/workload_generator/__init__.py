"""Uploads media under a load pattern, waits for the results, and reports how long they took."""
