"""A run: its request, what it consists of, when it is complete, and how it is published."""
