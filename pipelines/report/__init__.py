"""The report: everything in it is read back from MLflow."""
