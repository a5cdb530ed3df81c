"""Before any test imports torch: one thread, and no product phones home."""

import os

os.environ.update(OMP_NUM_THREADS="1", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true",
                  RAY_USAGE_STATS_ENABLED="0")
