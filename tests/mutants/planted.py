"""The list: what is broken, where, and which test must fail. `python -m tests.mutants` runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLOSED, CONTRACT = "tests/models/test_closed_forms.py::test_", "tests/models/test_contract.py::test_"
LAW, PROOFS = "tests/models/test_law.py::test_", "tests/models/test_proofs.py::test_"
AFFINE, FLOWS = "tests/models/test_affine_generator.py::test_", "tests/models/test_flows.py::test_"
AIS, SIGNALS = "tests/models/test_ais.py::test_", "tests/models/test_signals.py::test_"
CHAINS, LONG_RUN = "tests/models/test_chains.py::test_", "tests/models/test_long_run.py::test_"
DECISIONS, VERDICT = "tests/models/test_decisions.py::test_", "tests/models/test_verdict.py::test_"
QUALITY, SPREAD = "tests/models/test_quality.py::test_", "tests/models/test_local_sd.py::test_"
STABILITY, TERMS = "tests/models/test_divergence.py::test_", "tests/models/test_terms.py::test_"
KEPT = "tests/models/test_contract.py::Test{}::test_{}"
PULL = "without_f_only_the_reference_pulls"
ALONE = KEPT.format("kl", "fused_replicates_of_an_mlp_equal_solo_bit_for_bit")


@dataclass(frozen=True)
class Mutant:
    """One planted fault: in `file`, `old` becomes `new`, and the node `test` must fail."""

    name: str
    file: str  # below models/
    old: str
    new: str
    test: str
    why: str  # why one could write it so, or what it would do to a study

    def check(self) -> None:
        """Raises ValueError where the old text does not occur exactly once, or would not change."""
        found = (ROOT / "models" / self.file).read_text(encoding="utf-8").count(self.old)
        if found != 1 or self.old == self.new:
            raise ValueError(f"{self.name}: found the old text {found} times in {self.file}, expected it once")


MUTANTS = (
    # E3
    Mutant("drift without 1/2", "langevin.py", "eta, spread = step_size**2 / 2,", "eta, spread = step_size**2,",
           KEPT.format("kl", PULL), "delta^2 grad U against delta noise samples at half the temperature"),
    Mutant("noise too wide by sqrt 2", "langevin.py", "step_size * math.sqrt(temperature)",
           "step_size * math.sqrt(2 * temperature)", CLOSED + "temperature_scales_the_variance",
           "sqrt(2 eta) and sqrt(2) delta are easily mixed"),
    Mutant("temperature not under a root", "langevin.py", "step_size * math.sqrt(temperature)",
           "step_size * temperature", CLOSED + "temperature_scales_the_variance", "right at tau = 1 only"),
    Mutant("temperature in the drift", "langevin.py", "drift = eta * gradient",
           "drift = eta * gradient / temperature", CLOSED + "temperature_scales_the_variance",
           "a proper sampler of another step size: tau would be counted twice"),
    Mutant("particles clamped", "langevin.py", "x = x - drift\n", "x = (x - drift).clamp(-1, 1)\n",
           CLOSED + "discrete_langevin_keeps_its_own_variance[0.5]",
           "hides divergence, and no density has these samples"),
    Mutant("T + 1 steps", "langevin.py", "for k in range(steps):", "for k in range(steps + 1):",
           KEPT.format("kl", PULL), "budgets would not be equal"),
    Mutant("virial without temperature", "langevin.py", "/ (temperature * dim) if temperature",
           "/ dim if temperature", PROOFS + "the_virial_is_one_at_equilibrium_of_any_temperature",
           "the gauge would call tempered chains wrong"),
    Mutant("acceptance of the way back", "langevin.py",
           "(_inner(forward, forward) - _inner(backward, backward))",
           "(_inner(backward, backward) - _inner(forward, forward))",
           CLOSED + "discrete_langevin_keeps_its_own_variance[1.5]", "Metropolis ratio upside down"),
    Mutant("noise shared between replicates", "noise.py", "row.normal_(generator=generator)",
           "row.normal_(generator=self.generators[0])", ALONE, "replicates would not be independent"),
    Mutant("streams of chance not apart", "noise.py", "[seed, STREAMS.index(stream), index]",
           "[seed, 0, index]", PROOFS + "streams_and_seeds_are_apart",
           "the first particles would be the first weights"),
    # E1, E2
    Mutant("reference never applied", "methods/method.py",
           "return f_values - x.square().flatten(2).sum(-1) / (2 * self.hp.sigma**2)", "return f_values",
           KEPT.format("jko", PULL), "p(x) ~ exp f(x) need not be a density"),
    Mutant("reference applied twice", "methods/method.py", "return -self.log_density(nets.f(point), point)",
           "return -self.log_density(self.log_density(nets.f(point), point), point)", KEPT.format("amortized", PULL),
           "the potential adds what the log-density holds already"),
    Mutant("sigma for sigma^2", "methods/method.py", "(2 * self.hp.sigma**2)", "(2 * self.hp.sigma)",
           TERMS + "the_reference_has_its_width_in_the_potential_and_where_chains_start[0.7]",
           "right at sigma = 1 only"),
    Mutant("persistent chain never re-drawn", "methods/method.py", "< self.hp.refresh", "< 0",
           TERMS + "where_chains_start", "`refresh` would do nothing"),
    Mutant("data chain from the reference", "methods/method.py", "            return x_data\n", "            pass\n",
           TERMS + "where_chains_start", "contrastive divergence would be `chain: noise`"),
    # E4
    Mutant("sign of E4", "methods/kl.py", "f_negatives.mean(1) - f_data.mean(1)",
           "f_data.mean(1) - f_negatives.mean(1)", TERMS + "kl_loss_has_its_sign", "f would fall on the data"),
    Mutant("drifted negatives in the chain", "methods/kl.py", "Draw(x, x, self.drifted(nets, x), None, None, info), x",
           "Draw(x, x, y := self.drifted(nets, x), None, None, info), y",
           TERMS + "the_pool_keeps_where_chains_ended_not_where_negatives_drifted",
           "the control would be another sampler"),
    Mutant("one drift step whatever n", "methods/method.py", "point, None, self.hp.negatives_drift,", "point, None, 1,",
           PROOFS + "negatives_drift_by_n_noise_free_steps", "right at n = 1 only"),
    Mutant("data noise added twice", "training/step.py", "hp.data_noise * noise.normal(*x_data.shape[1:])",
           "hp.data_noise * (noise.normal(*x_data.shape[1:]) + noise.normal(*x_data.shape[1:]))",
           TERMS + "smoothing_and_the_energy_penalty_by_value", "varsigma would be larger by sqrt 2"),
    Mutant("energy penalty on data alone", "methods/kl.py", "(f_data.square().mean(1) + f_negatives.square().mean(1))",
           "f_data.square().mean(1)", TERMS + "smoothing_and_the_energy_penalty_by_value",
           "half of the published term"),
    # E6
    Mutant("sign of the penalty", "methods/jko.py", "kl.loss + penalty_weight(method) * velocity",
           "kl.loss - penalty_weight(method) * velocity", PROOFS + "the_penalty_enters_with_plus_and_c_eta",
           "fact 2: rewards a steep f"),
    Mutant("weight eta for eta / 2", "methods/jko.py", "hp.jko_weight * hp.step_size**2 / 2",
           "hp.jko_weight * hp.step_size**2", PROOFS + "the_penalty_enters_with_plus_and_c_eta",
           "every limit of E13 would move by a factor"),
    Mutant("penalty without a graph", "methods/jko.py", "create_graph=True", "retain_graph=True",
           CLOSED + "jko_at_half_the_step_is_kl_with_drifted_negatives_to_second_order",
           "a penalty that shows in the loss and trains nothing"),
    Mutant("penalty at data for particles", "methods/jko.py",
           'if where == "synthesis":\n        return squared_gradient(method, nets, draw.point)',
           'if where == "synthesis":\n        return squared_gradient(method, nets, x_data)',
           TERMS + "the_penalty_is_taken_where_it_says", "R1 under another name, with a limit of 1.81 s"),
    Mutant("both places summed", "methods/jko.py", "squared_gradient(method, nets, x_data)) / 2",
           "squared_gradient(method, nets, x_data))", TERMS + "the_penalty_is_taken_where_it_says",
           "unequal weight between arms"),
    Mutant("one interpolate a batch", "methods/jko.py", "noise.uniform(x_data.shape[1], ", "noise.uniform(1, ",
           TERMS + "the_penalty_is_taken_where_it_says", "every pair would be mixed alike"),
    Mutant("penalty averaged over pixels", "methods/jko.py", "gradient.square().flatten(2).sum(-1).mean(1)",
           "gradient.square().flatten(2).mean(-1).mean(1)", TERMS + "the_penalty_is_taken_where_it_says",
           "the weight would shrink with the image"),
    # E8 to E12
    Mutant("latent reference without 1/2", "methods/hidden.py", "z.square().sum(-1) / 2 - nets.f",
           "z.square().sum(-1) - nets.f", KEPT.format("hidden", PULL), "z would come from N(0, I / 2)"),
    Mutant("regression moves x_T too", "methods/hidden.py", "(x.detach() - nets.upsampler(z))",
           "(x - nets.upsampler(z))", PROOFS + "regression_moves_g_and_holds_where_the_chain_ended",
           "without sg, g could shrink the target"),
    Mutant("regression moves nothing", "methods/hidden.py", "(x.detach() - nets.upsampler(z))",
           "(x - nets.upsampler(z).detach())", PROOFS + "regression_moves_g_and_holds_where_the_chain_ended",
           "sg on the wrong side"),
    Mutant("sign of E11", "methods/hidden.py", "return -nets.f(nets.upsampler(z))", "return nets.f(nets.upsampler(z))",
           CONTRACT + "a_small_step_of_g_does_what_its_equation_says[hidden-potential]", "g would flee from f"),
    Mutant("hidden regression on z_T", "methods/hidden.py", "regression_loss(nets, draw.z_start, draw.x)",
           "regression_loss(nets, draw.z, draw.x)", PROOFS + "hidden_regression_starts_where_the_chain_started",
           "x is g(z_T): the loss would be 0"),
    Mutant("ggcn's image chain from the old z", "methods/ggcn.py", "super().run(nets, z, noise,",
           "super().run(nets, start, noise,", KEPT.format("ggcn", PULL), "the chain in z would be for nothing"),
    Mutant("ggcn's pool keeps the start", "methods/ggcn.py", "info=draw.info._replace(clip_fraction=clipped)), z",
           "info=draw.info._replace(clip_fraction=clipped)), start",
           TERMS + "ggcn_learns_g_on_the_pair_of_both_chains_ends", "persistent chains that never move"),
    # the update
    Mutant("Adam's moments shared", "training/adam.py", "torch._foreach_sqrt(self.second)",
           "torch._foreach_sqrt([s.mean(0, keepdim=True).expand_as(s) for s in self.second])", ALONE,
           "one loud replicate would slow the others"),
    Mutant("clipping by all replicates' norm", "training/step.py", "(clip / norm).clamp",
           "(clip / norm.norm()).clamp", TERMS + "gradient_clipping_is_each_replicates_own",
           "the bound would depend on the number of seeds"),
    Mutant("a frozen replicate steps", "training/adam.py",
           "t.copy_(torch.where(alive.reshape(-1, *[1] * (t.dim() - 1)), t, b))",
           "t.copy_(t)", TERMS + "a_frozen_replicate_is_held_whole", "0 * NaN does not hold parameters"),
    Mutant("gap of the drifted negatives", "training/step.py", "            f_particles = nets.f(draw.x)",
           "            f_particles = flow.f_negatives",
           TERMS + "the_gap_is_that_of_the_particles[2]", "the arm would look better by construction"),
    Mutant("gap across a step of f", "training/step.py", "draw, x_data, flow, f_particles, norm_f, learned)\n    if",
           "draw, x_data, flow, nets.f(draw.x), norm_f, learned)\n    if",
           TERMS + "the_gap_is_that_of_the_particles[0]", "a step shifts f's level: the control arm swung"),
    Mutant("one order of data for all seeds", "training/batches.py", '[seed, STREAMS.index("data"), epoch]',
           '[0, STREAMS.index("data"), epoch]', PROOFS + "streams_and_seeds_are_apart",
           "intervals across seeds too narrow"),
    Mutant("checkpoint without chance", "training/checkpoint.py", 'generator.set_state(tensors[f"generator.{r}"])',
           "pass", KEPT.format("kl", "two_and_two_updates_through_a_checkpoint_are_four"),
           "a resumed run would be another"),
    # E13 and the measures
    Mutant("kappa without 1/2", "stability/divergence.py", "return step_size**2 / 2 * length",
           "return step_size**2 * length", STABILITY + "kappa_is_eta_times_the_largest_curvature_of_each_replicate",
           "alarms at half the step"),
    Mutant("alarmed norms in the window", "stability/divergence.py", "enters = ~(alarmed | broken)", "enters = ~broken",
           STABILITY + "alarmed_norms_do_not_raise_the_median", "a diverging run would silence its own alarm"),
    Mutant("variance of exact Langevin", "stability/law.py", "temperature / (curvature * (1 - kappa / 2))",
           "temperature / curvature", LAW + "discrete_langevin_variance", "fact 3"),
    Mutant("drift counted once in the law", "stability/law.py", "(1 - kappa) ** (2 * terms.drift)",
           "(1 - kappa) ** terms.drift", LAW + "negatives_drift_kappa[1.0]", "variances shrink by the square"),
    Mutant("penalty halved in the law", "stability/law.py", "b = 4 * w * kappa * terms.q - shrink",
           "b = 2 * w * kappa * terms.q - shrink", LAW + "jko_limit_up_to_one_eighth[0.0625]",
           "2s at c = 1/4 instead of 1/8"),
    Mutant("biased KID", "measures/quality/distances.py", "float(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))",
           "float(k.mean())", QUALITY + "kid_mmd_and_energy_distance_are_the_literal_double_loops",
           "a V-statistic: real against real would not be 0"),
    # what a reader is told: verdicts, the measures behind them, and quality
    Mutant("penalty moves its particles", "methods/jko.py", "point = point.detach().requires_grad_()",
           "point = point if point.requires_grad else point.requires_grad_()",
           FLOWS + "the_penalty_holds_its_particles_fixed[3.0]", "the total derivative is half of E6's"),
    Mutant("log-determinant in z", "methods/hidden.py", "return z.square().sum(-1) / 2 - nets.f",
           "return z.square().sum(-1) / 2 + (1 + z.square()).log().sum(-1) - nets.f",
           AFFINE + "the_potential_in_z_has_no_log_determinant", "right in x only; the model is defined in z"),
    Mutant("spread of x_T for that of g(z)", "training/step.py", "_spread(nets.upsampler(draw.z_start))",
           "_spread(draw.x)", AFFINE + "training_an_affine_g_by_regression_collapses_it",
           "noise alone keeps x_T wide: a collapsed g would not be flagged"),
    Mutant("one loud update diverges", "stability/divergence.py", "torch.where(loud >= LOUDER_UPDATES, 2, -1)",
           "torch.where(loud >= 1, 2, -1)", DECISIONS + "what_lives_is_not_called_diverged[one_spike]",
           "every spike would end a replicate"),
    Mutant("masked from kappa 1", "stability/divergence.py", "np.median(gauge[known]) > UNSTABLE",
           "np.median(gauge[known]) > 1", DECISIONS + "what_lives_is_not_called_diverged[clipped_but_sound]",
           "1 is where feedback inverts, 2 where the sampler breaks"),
    Mutant("a batch's chance in the swing", "stability/verdict.py",
           "float(rest @ rest) / (len(rest) - 2) - 2 / batch_size)", "float(rest @ rest) / (len(rest) - 2))",
           VERDICT + "the_noise_of_a_batch_is_no_swing", "small batches would oscillate by construction"),
    Mutant("one bad update is a swing", "stability/verdict.py", "        kept[worst] = False\n", "        break\n",
           VERDICT + "each_kind_is_named[stable-spike]", "the square of one outlier"),
    Mutant("collapse needs every sign", "stability/verdict.py", "(narrow or few or", "(narrow and few or",
           VERDICT + "each_kind_is_named[collapsed-collapsed]", "one lost mode in two is collapse enough"),
    Mutant("spread corrected the wrong way", "stability/local_sd.py", "per_direction = np.sqrt(raw / shrink)",
           "per_direction = np.sqrt(raw * shrink)", SPREAD + "known_spreads_are_found[pixel]",
           "the bias of neighbours would count twice"),
    Mutant("spread about the global mean", "stability/local_sd.py", "neighbours - neighbours.mean(1, keepdims=True)",
           "neighbours - x.mean(0)", SPREAD + "a_mode_counts_and_not_the_distance_between_modes",
           "the limit would be that of the whole data set"),
    Mutant("chains not split", "measures/chains.py", "np.concatenate([draws[:, :n // 2], draws[:, -(n // 2):]])",
           "draws", CHAINS + "chains_that_differ_in_place_scale_or_time_are_told",
           "a common drift would look converged"),
    Mutant("R-hat without folding", "measures/chains.py", "scores(abs(halves - np.median(halves)))",
           "scores(halves - np.median(halves))", CHAINS + "chains_that_differ_in_place_scale_or_time_are_told",
           "chains of other widths would look converged"),
    Mutant("autocorrelation counted once", "measures/chains.py", "tau = -1 + 2 * np.minimum",
           "tau = -1 + np.minimum", CHAINS + "the_autocorrelation_time_of_an_ar1_is_its_closed_form[0.5]",
           "ESS too large by up to two"),
    Mutant("autocorrelation time in records", "measures/long_run.py", "c.iat * run.every", "c.iat",
           LONG_RUN + "the_autocorrelation_time_of_langevin_on_a_gaussian[0.1-800]",
           "right where every step is recorded"),
    Mutant("a long run too long", "measures/long_run.py", "min(every, steps - done)", "every",
           LONG_RUN + "watched_chains_are_those_of_one_run[plane-kl]", "T would depend on how often one records"),
    Mutant("AIS without temperature", "measures/evaluation.py", "return method.potential(state.nets, x) / tau",
           "return method.potential(state.nets, x)", AIS + "the_bounds_are_of_the_model_at_its_temperature[0.25]",
           "the likelihood of another model than E3 samples; of a barely trained one it is nearly the same"),
    Mutant("log Z_0 without 1/2", "measures/ais.py", "math.prod(shape) / 2 * math.log(2",
           "math.prod(shape) * math.log(2", AIS + "log_z_of_gaussians_lies_between_the_bounds_and_both_are_close",
           "off by the reference's entropy"),
    Mutant("reverse weights not turned", "measures/ais.py", "log_z0 - reverse.log_mean", "log_z0 + reverse.log_mean",
           AIS + "log_z_of_gaussians_lies_between_the_bounds_and_both_are_close", "E w is Z_0 / Z there"),
    Mutant("kinetic energy without 1/2", "measures/ais.py",
           "at.log_density(b) - momentum.square().flatten(2).sum(-1) / 2",
           "at.log_density(b) - momentum.square().flatten(2).sum(-1)",
           AIS + "the_transition_leaves_its_density_invariant_and_moves", "an acceptance that keeps no density"),
    Mutant("response gap over a variance", "measures/signals.py", "a.var(1).sum(-1).sqrt()", "a.var(1).sum(-1)",
           SIGNALS + "response_gap_of_known_laws", "a gap with units"),
    Mutant("signal to noise of one micro-batch", "measures/signals.py", "(variance.clamp_min(0) / MICRO_BATCHES)",
           "variance.clamp_min(0)", SIGNALS + "where_only_chance_moves_f_it_is_a_t_statistic", "low by root 8"),
    Mutant("cross term of FD once", "measures/quality/frechet.py", "- 2 * cross", "- cross",
           QUALITY + "fd_is_the_closed_form_by_sqrtm", "of one law it would be tr S"),
    Mutant("covariances over n", "measures/quality/frechet.py", "math.sqrt(len(z) - 1)", "math.sqrt(len(z))",
           QUALITY + "fd_is_the_closed_form_by_sqrtm", "other code divides by n - 1"),
    Mutant("a row its own neighbour", "measures/quality/manifold.py", "np.partition(within, k, axis=1)[:, k]",
           "np.partition(within, k - 1, axis=1)[:, k - 1]",
           QUALITY + "precision_recall_density_and_coverage_are_their_definitions", "k - 1 under the name of k"),
    Mutant("ties are farther", "measures/quality/memory.py",
           '(np.searchsorted(held_out, samples, "left") + np.searchsorted(held_out, samples, "right")) / 2',
           'np.searchsorted(held_out, samples, "left")', QUALITY + "memory_is_the_pairwise_rank_statistic",
           "equal distances would look like memorisation"),
    Mutant("null of copies over m", "measures/quality/memory.py", "j / (m + 1))", "j / m)",
           QUALITY + "without_memorisation_memory_is_a_half_and_its_tail_is_exact", "m + 1 gaps between m points"),
)
