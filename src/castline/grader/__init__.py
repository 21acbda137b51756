"""Grades a deployment: are its functions and buckets as they should be, and are its answers right?"""
