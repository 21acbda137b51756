"""Grades a deployment: checks its functions and buckets, and whether its answers are right."""
