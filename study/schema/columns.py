"""Names of columns. A record is one row of a replicate, at an evaluation point (stage `train`) or at its end (`final`);
its measures each have a name of their own (`kid_clf64_256`)."""

from __future__ import annotations

STEP_SIZE, MCMC_STEPS = CELL = "step_size", "mcmc_steps"  # knobs by which every report tells cells apart
DELTA_MIN, DELTA_MED = (tuple(f"delta_{direction}{end}" for end in ("", "_low", "_high"))
                        for direction in ("min", "med"))
LIMITS = DELTA_MIN + DELTA_MED  # of the step size, as columns of a record: see `Limit`

SEED, STAGE, UPDATE = "seed", "stage", "update"
TRAIN, FINAL = "train", "final"  # stages
VERDICT, REASON, FLAGS = "verdict", "reason", "flags"  # how it ended: see docs/metrics
DIVERGED_AT = "diverged_at"  # the update, of final records; null: it survived
BLOCK = "block"  # seeds that were trained together, `0-5`: not in the file, of which it is the name
KAPPA = "kappa"
WALL, CPU, LONG_RUN, GRADIENTS = "wall_seconds", "cpu_seconds", "long_run_seconds", "particle_gradients"
COSTS = (WALL, CPU, LONG_RUN, GRADIENTS)  # of one replicate; replicates of a block share the elapsed time
SPENT = "spent_"  # before a cost: all replicates together

WHOLE, TEXT = (SEED, UPDATE), (STAGE, VERDICT, REASON, FLAGS)  # int64 and strings; all others are float64
NOT_MEASURED = (BLOCK, *WHOLE, *TEXT, DIVERGED_AT, *LIMITS)  # columns that are no measure
