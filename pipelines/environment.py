"""Variables that the command line and its processes run with, unless the user has set them."""

ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Doubled pauses: a server may be away for four minutes.
    "PREFECT_CLIENT_MAX_RETRIES": "7",
    # A first start makes a database; a busy laptop takes longer than Prefect's 20 seconds.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Batches on huge pages: their allocation takes a third of the time.
    "THP_MEM_ALLOC_ENABLE": "1",
    # Progress is shown by us; a Prefect worker logs it (see prefect.yaml).
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}
