"""What MLflow holds as tidy frames."""
