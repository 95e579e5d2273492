"""Simulators: what a policy costs on a workload that somebody published; no platform needed."""
