"""What training costs, in the currency of equal budgets: gradients of one particle's potential."""

from __future__ import annotations

from study.schema.unit import Unit
from study.spec.knobs import hparams


def cost(unit: Unit) -> float:
    """Particle-gradient evaluations of a unit's training, if no replicate diverges."""
    hp = hparams(unit.configuration.method, unit.configuration.knobs)
    return float(hp.gradients_until(hp.updates) * len(unit.seeds))


def budgets(spent: dict[str, float]) -> str:
    """`kl 1.2e+06, jko 1.3e+06 particle-gradient evaluations (largest / smallest 1.08)`, of an arm each."""
    each = ", ".join(f"{arm} {value:.3g}" for arm, value in spent.items())
    ratio = f" (largest / smallest {max(spent.values()) / min(spent.values()):.2f})" if min(spent.values()) > 0 else ""
    return f"{each} particle-gradient evaluations{ratio if len(spent) > 1 else ''}"
