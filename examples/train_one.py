"""Train one method on one data set, without a study:  python examples/train_one.py

Three replicates of JKO flow on eight Gaussians; a line at each of four points, and every measure at the end.
"""

import models

UPDATES, SAMPLES = 400, 256


def main(updates: int = UPDATES) -> None:
    data = models.load_data("gaussians8")
    method = models.build("jko", data, updates=updates, step_size=0.15)
    metrics = models.SampleMetrics(data, SAMPLES)
    for state, _ in models.fit(method, data, seeds=[0, 1, 2], points=[updates * k // 4 for k in (1, 2, 3, 4)]):
        samples = models.sample(method, state, SAMPLES)  # (replicates, SAMPLES, 2)
        print(f"update {state.update}: {metrics.primary} " + " ".join(f"{metrics(x):.4f}" for x in samples))
    for name, value in metrics.all(samples[0]).items():
        print(f"{name:>24} {value:.4f}")


if __name__ == "__main__":
    main()
