"""kappa on quadratics of known spectrum; the divergence rule on sequences made by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.stability.divergence import REASONS, Monitor, kappa, masked, observe

DIM = 6


def spectra() -> Tensor:
    """(3, DIM, DIM) Hessians with largest curvatures 7, 0.5 and, in magnitude, 9."""
    rng = torch.Generator().manual_seed(0)
    values = torch.tensor([[7.0, 3, 2, 1, 0.5, 0.1], [0.5, 0.2, 0.1, 0.1, 0, 0], [2.0, -9, 1, 1, 1, 1]])
    turns = torch.linalg.qr(torch.randn(3, DIM, DIM, generator=rng, dtype=torch.float64))[0]
    return torch.einsum("rij,rj,rkj->rik", turns, values.double(), turns)


def quadratic(matrices: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.einsum("rni,rij,rnj->rn", x.flatten(2), matrices, x.flatten(2)) / 2


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def particles(replicates: int, n: int = 4) -> Tensor:
    return torch.randn(replicates, n, 1, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_kappa_is_eta_times_the_largest_curvature_of_each_replicate() -> None:
    found = kappa(quadratic(spectra()), particles(3), 0.5, generators(0, 1, 2), iterations=30)
    torch.testing.assert_close(found, 0.5**2 / 2 * torch.tensor([7.0, 0.5, 9.0]).double(), rtol=1e-5, atol=0)
    rough = kappa(quadratic(spectra()), particles(3), 0.5, generators(0, 1, 2))
    assert (rough <= found * (1 + 1e-9)).all() and (rough > 0.97 * found).all()


def test_kappa_takes_the_sharpest_particle() -> None:
    def quartic(x: Tensor) -> Tensor:  # curvature 3 x^2 in one dimension
        return x.pow(4).sum(-1) / 4

    x = torch.tensor([[[0.1], [-2.0], [1.0]]], dtype=torch.float64)
    torch.testing.assert_close(kappa(quartic, x, 1.0, generators(0)), torch.tensor([6.0]).double())


def test_kappa_fused_is_kappa_alone() -> None:
    matrices, x = spectra(), particles(3)
    fused = kappa(quadratic(matrices), x, 0.3, generators(5, 6, 7), iterations=3)
    for r in range(3):
        alone = kappa(quadratic(matrices[r:r + 1]), x[r:r + 1], 0.3, generators(5 + r), iterations=3)
        torch.testing.assert_close(fused[r:r + 1], alone, rtol=1e-12, atol=0)


def test_kappa_of_a_broken_replicate_leaves_the_others_alone() -> None:
    matrices = spectra()
    whole = kappa(quadratic(matrices), particles(3), 0.3, generators(0, 1, 2))
    matrices[1] = torch.nan
    found = kappa(quadratic(matrices), particles(3), 0.3, generators(0, 1, 2))
    assert found[1].isnan()
    torch.testing.assert_close(found[[0, 2]], whole[[0, 2]])


def test_kappa_of_a_flat_potential_is_zero() -> None:
    assert kappa(lambda x: 0 * x.square().sum(-1), torch.ones(1, 2, 3), 0.3, generators(0)) == 0


def run(norms: list[float], *, far: list[float] | None = None, finite: list[bool] | None = None,
        monitor: Monitor | None = None) -> list[str]:
    """Reasons, update by update, of one replicate beside a calm one that must never alarm."""
    monitor = Monitor.start(2, 600) if monitor is None else monitor
    reasons = []
    for i, norm in enumerate(norms):
        monitor, diverged, reason = observe(
            monitor, finite=torch.tensor([finite[i] if finite else True, True]), update_norm=torch.tensor([norm, 1.0]),
            particle_max=torch.tensor([far[i] if far else 1.0, 1.0]), data_max=torch.ones(2))
        assert diverged.tolist() == (reason >= 0).tolist()
        assert not diverged[1]
        reasons.append((*REASONS, "")[int(reason[0])])
    return reasons


CALM = [1.0, 1.2, 0.8] * 20


def test_one_spike_does_not_alarm() -> None:
    assert set(run([*CALM, 1e9, *CALM])) == {""}


def test_nine_loud_updates_do_not_alarm_and_ten_do() -> None:
    assert set(run([*CALM, *[1500.0] * 9, *CALM, *[1500.0] * 9])) == {""}
    assert run([*CALM, *[1500.0] * 10])[-2:] == ["", "update norm"]
    assert set(run([*CALM, *[900.0] * 30])) == {""}


def test_alarmed_norms_do_not_raise_the_median() -> None:
    """With W = 50, 40 loud norms that entered would be the majority, and the alarm would fall silent."""
    reasons = run([*CALM, *[1500.0] * 40])
    assert set(reasons[len(CALM) + 9:]) == {"update norm"}


def test_the_window_forgets() -> None:
    """After a window of larger, slowly grown norms the old scale no longer counts."""
    grown = [10.0 ** (i / 50) for i in range(301)]
    assert set(run([*grown, *[0.99e6] * 55, *[1.2e8] * 20])) == {""}


def test_three_updates_of_runaway_particles() -> None:
    assert run([1.0] * 7, far=[11.0, 11.0, 9.9, 11.0, 11.0, 11.0, 1.0]) == [*[""] * 5, "runaway particles", ""]


def test_non_finite_is_at_once_and_named_first() -> None:
    assert run([1.0, 1.0], finite=[True, False]) == ["", "non-finite"]
    assert run([1.0, float("nan")]) == ["", "non-finite"]
    assert run([1.0] * 2, far=[1.0, float("inf")]) == ["", "non-finite"]
    assert run([1.0] * 3, far=[11.0] * 3, finite=[True, True, False])[-1] == "non-finite"


def test_a_non_finite_norm_leaves_no_trace_in_the_window() -> None:
    monitor = Monitor.start(1, 600)
    for norm in (1.0, float("nan"), float("inf"), 2.0):
        one = torch.ones(1)
        monitor, _, _ = observe(monitor, finite=one.bool(), update_norm=torch.tensor([norm]), particle_max=one,
                                data_max=one)
    assert monitor.norms[0, :3].tolist() == [1.0, 2.0, float("inf")]
    assert monitor.filled.tolist() == [2]


def test_the_first_updates_have_no_scale() -> None:
    assert set(run([0.0] * 20 + [5.0] * 15)) == {""}


def test_windows() -> None:
    assert Monitor.start(3, 600).norms.shape == (3, 50)
    assert Monitor.start(3, 4000).norms.shape == (3, 200)


def test_masked_divergence() -> None:
    assert masked([0.0, 0.5, 0.5], [1.0, 5.0, 3.0])
    assert not masked([0.0, 0.5, 0.5], [1.0, 1.5, 30.0])
    assert not masked([0.05, 0.1, 0.0], [3.0, 5.0, 3.0])
    assert not masked([], [])


@pytest.mark.parametrize(("calm", "lost", "hidden"), [(15, 5, True), (17, 3, True), (9, 3, True), (0, 20, True),
                                                      (18, 2, False), (1, 2, True), (2, 1, False)])
def test_masked_divergence_is_judged_by_how_a_run_ends(calm: int, lost: int, hidden: bool) -> None:
    """`calm` evaluations, then `lost` ones: the last quarter, three at least, decides; what was before does not."""
    clipped, gauge = [0.0] * calm + [0.9] * lost, [0.3] * calm + [30.0] * lost
    assert masked(clipped, gauge) is hidden
    assert calm < 5 or not masked(clipped[::-1], gauge[::-1])  # it came back
    assert not masked([0.0] * len(gauge), gauge) and not masked(clipped, [0.3] * len(gauge))


def test_an_evaluation_without_a_gauge_does_not_reach_back_in_time() -> None:
    nan = float("nan")
    assert not masked([0.9] * 12, [30.0] * 9 + [nan] * 3)
    assert masked([0.9] * 12, [0.3] * 9 + [nan, 30.0, nan])
