"""A run: what was asked for, what it consists of, when it is complete, and how it is published."""
