"""What MLflow keeps: runs, files, encoders, where they came from."""
