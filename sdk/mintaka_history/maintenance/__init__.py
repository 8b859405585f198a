"""Maintenance of the database: partitions, retention, unused names, the feed of changes, the counts of flow runs.

Every function here does one short transaction, so that other writers wait for it for milliseconds at most, and repeating it,
or ending it in the middle, ends in the same state. The API runs it (`mintaka_api.maintenance`).
"""
