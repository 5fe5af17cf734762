"""Orchestration: command line, Prefect flow, stage processes, MLflow tracking, reports."""
