"""Measurements that choose and justify: speed, memory, presets. Never part of the tests."""
