"""What a stage takes of the machine, as MLflow's system metrics."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from pipelines.tracking.tracker import Tracker

logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # it tells of every start


@contextmanager
def monitored(tracker: Tracker, run_id: str) -> Iterator[None]:
    """Within the block processor, memory, disk, network and GPUs are measured every ten seconds.

    It ends early, with a warning, if the tracking server is away.
    """
    monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=tracker.uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
