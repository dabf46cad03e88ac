"""Schedules: documents that run at certain times, at intervals, or when data arrive."""
