"""The same search as people would write it: Ray Tune, OptunaSearch, Repeater, MLflowLoggerCallback, a trial a seed.

    python -m benchmarks.peers.tune_study '{"trials": 16, "replicates": 6, ...}'

Each trial is the loop of a paper's code, measured seven times by the energy distance to held-out images.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

POINTS = 7


def train(config: dict[str, Any]) -> None:
    """One seed of one configuration."""
    import torch
    from ray import tune
    from ray.tune.search.repeater import TRIAL_INDEX

    from benchmarks.peers import network, plain_loop
    from models.data.load import load
    from models.measures.quality.distances import energy_distance

    torch.set_num_threads(1)
    torch.manual_seed(config[TRIAL_INDEX])
    data = load({"name": "digits"})
    f = network(data.shape, config["width"])
    held_out = data.search[:config["samples"]].reshape(-1, data.shape[0] * data.shape[1] * data.shape[2])
    pool = torch.randn(config["samples"], *data.shape)
    update = plain_loop(f, torch.tensor(data.train), config["batch_size"], config["mcmc_steps"], config["step_size"],
                        config["lr"], pool)
    for point in range(1, POINTS + 1):
        for _ in range(config["updates"] // POINTS):
            update()
        distance = energy_distance(pool.flatten(1).numpy(), held_out)
        tune.report({"energy_distance": distance, "update": point * (config["updates"] // POINTS)})


def main() -> None:
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search import Repeater
    from ray.tune.search.optuna import OptunaSearch

    settings = json.loads(sys.argv[1])
    trials, replicates = settings.pop("trials"), settings.pop("replicates")
    ray.init(num_cpus=settings.pop("cpus"), include_dashboard=False)
    space = {**settings, "step_size": tune.loguniform(0.05, 0.3), "lr": tune.loguniform(5e-4, 8e-3)}
    tuner = tune.Tuner(
        train, param_space=space,
        tune_config=tune.TuneConfig(metric="energy_distance", mode="min", num_samples=trials * replicates,
                                    search_alg=Repeater(OptunaSearch(seed=0), repeat=replicates), reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(Path.cwd() / "results"), verbose=0, callbacks=[
            MLflowLoggerCallback(tracking_uri=f"sqlite:///{Path.cwd()}/mlflow.db", experiment_name="peer")]))
    found = tuner.fit()
    print(len(found), found.num_errors, found.get_best_result().metrics["energy_distance"])


if __name__ == "__main__":
    main()
