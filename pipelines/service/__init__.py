"""Prefect runs benchmarks here: flows, slots, servers, workers, clusters."""
