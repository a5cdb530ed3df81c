"""Which keys each section has, and where a key that stands in the wrong one, or has another program's name, belongs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from models.data.datasets import DATASETS
from models.data.disk import options
from models.networks.choice import own_knobs
from models.registry import NETWORKS
from study.spec.knobs import ALL_KNOBS, names_of
from study.spec.problems import nearest

SECTIONS: dict[str, tuple[str, ...]] = {  # "": the top level; beside knobs, where a section has them
    "": ("study", "question", "import", "data", "method", "arms", "baseline", "compare_at", "seed", "train", "design",
         "search", "confirm", "evaluation", "resources", "keep"),
    "design": ("replicates", "zip"),
    "search": ("replicates", "sampler", "trials", "equal", "objective", "direction", "constraints", "prune",
               "diverged_value", "space"),
    "confirm": ("top", "replicates", "exchange"),
    "evaluation": ("points", "samples", "long_run", "split", "ais_steps", "features", "measures"),
    "evaluation.features": ("file", "sha256", "size", "channels", "mean", "sd"),
    "resources": ("cpu", "gpu"),
    "data": ("name", *options.KINDS, *options.KEYS, "column"),
    "data.splits": options.HELD_OUT,
}
KNOBS_STAND = ("train", "design", "search.space")

# What this program calls a thing -> what IGEBM, JEM, CoopNets, short-run and improved-CD code, torchebm, Optuna, Ray
# and MLflow call it, in small letters and without `n_` or `num_` before it. A word may stand in several lines.
OTHER_NAMES: dict[str, str] = {
    "updates": "epochs epoch epoch_num max_epochs iterations iters iter max_iter max_iters max_iterations max_steps "
               "train_steps training_steps train_iters train_iterations total_steps gradient_steps max_t",
    "budget": "nfe max_nfe total_nfe max_gradients total_gradients gradient_budget compute compute_budget",
    "batch_size": "batch bs batchsize minibatch minibatch_size mini_batch_size train_batch_size",
    "micro_batch": "microbatch micro_batch_size microbatch_size grad_accum gradient_accumulation accumulation_steps "
                   "gradient_accumulation_steps accumulate_grad_batches chunk_size",
    "widths": "channel_list channels_list ch_mult channel_mult",
    "outputs": "output_dim out_dim nout out out_features",
    "blocks": "res_blocks num_res_blocks resblocks residual_blocks depth",
    "down": "downsample downsampling pooling resamp_with_conv",
    "init": "initializer initialization initialisation weight_init weights_init init_type init_weights",
    "width": "hidden_dim hidden_size hidden_channels hidden_units units filters base_channels ngf ndf nf nef ch",
    "lr_f": "lr learning_rate lr_init init_lr base_lr d_lr des_lr lr_d e_lr lr_e ebm_lr lr_ebm energy_lr lr_energy",
    "lr_g": "g_lr gen_lr lr_gen generator_lr lr_generator",
    "warmup": "warm_up warmup_steps warmup_iters warmup_updates lr_warmup warm_up_steps",
    "decay": "lr_decay lr_schedule schedule lr_scheduler cosine annealing",
    "ema": "ema_decay ema_rate ema_beta ema_half_life averaging weight_averaging moving_average polyak swa",
    "flip": "hflip horizontal_flip random_flip random_horizontal_flip mirror",
    "clamp": "clip_x clip_samples clamp_x clamp_data clip_range clamp_range",
    "move_clip": "max_move clip_move grad_step_clip pixel_clip",
    "anneal": "anneal_noise noise_anneal annealed noise_decay",
    "last_step": "denoise denoising final_denoise noise_free no_last_noise",
    "width_g": "ngf g_width gen_width gen_channels",
    "network_g": "generator gen netg arch_g g_arch",
    "widths_g": "g_channels gen_channel_list",
    "norm_g": "norm batch_norm batchnorm bn group_norm groupnorm",
    "adam_beta1_g": "beta1_g g_beta1 gen_beta1 betas",
    "steps_g": "n_gen g_steps gen_steps g_iters",
    "redraw": "redraw_negatives resample resample_negatives fresh_negatives",
    "posterior_steps": "g_l_steps langevin_step_num_gen posterior_mcmc_steps inference_steps",
    "posterior_step_size": "g_l_step_size posterior_lr inference_step_size",
    "posterior_sd": "sigma_g g_llhd_sigma llhd_sigma refsig_gen gen_sigma",
    "pretrain": "pretrain_steps pretrain_epochs warmup_g gen_warmup",
    "adam_beta1": "beta1 beta_1 b1 momentum betas adam_betas",
    "adam_beta2": "beta2 beta_2 b2 betas adam_betas",
    "step_size": "stepsize step eps epsilon delta dt alpha langevin_step langevin_step_size langevin_lr mcmc_step_size "
                 "mcmc_lr des_step_size e_l_step_size sgld_step_size sgld_lr step_lr sgld_std noise_scale noise_std",
    "mcmc_steps": "steps k langevin langevin_steps langevin_iters langevin_step_num langevin_step_num_des "
                  "mcmc_iters sgld_steps sgld_iters k_steps l_steps e_l_steps cd_steps cd_k chain_length chain_steps "
                  "inner_steps sampling_step sampling_steps sample_steps des_sample_steps shortrun_steps step_num",
    "temperature": "temp tau noise noise_level langevin_noise sgld_std noise_scale noise_std",
    "score_scale": "sgld_lr step_lr energy_scale",
    "data_noise": "noise input_noise image_noise data_epsilon data_std sigma_data smoothing",
    "energy_l2": "alpha l2 l2_coeff l2_reg l2_weight reg reg_weight energy_reg energy_regularization regularization",
    "drift_clip": "langevin_clip sgld_clip clip_langevin proj_norm grad_clamp clamp_grad",
    "grad_clip": "clip clip_grad clip_grad_norm clip_norm clip_gradients gradient_clip gradient_clip_val grad_norm "
                 "max_grad_norm max_norm",
    "spectral_norm": "sn spec_norm spectral use_sn",
    "precision": "dtype amp fp16 bf16 fp32 half mixed_precision use_amp",
    "particles": "buffer buffer_size buffer_len max_buffer replay replay_buffer replay_buffer_size replay_size "
                 "replay_batch reservoir reservoir_size chains persistent_chains pool pool_size capacity",
    "refresh": "reinit reinit_freq reinit_prob reinit_rate restart_prob reset_prob rejuvenate rejuvenation "
               "new_sample_ratio refresh_rate noise_frac",
    "sigma": "refsig ref_sig ref_sigma sigma_ref reference_sigma reference_std prior_std prior_sigma",
    "chain": "init_type chain_init mcmc_init langevin_init sampler_init persistent pcd persistent_cd",
    "latent_dim": "z nz z_dim zdim dim_z z_size latent_size latent_dims noise_dim code_dim",
    "latent_steps": "z_steps g_l_steps gen_sample_steps langevin_step_num_gen latent_mcmc_steps",
    "latent_step_size": "z_step_size g_l_step_size gen_step_size latent_step",
    "beta": "gp gp_weight gp_lambda lambda_gp lambda penalty penalty_weight grad_penalty gradient_penalty r1 r1_gamma",
    "jko_weight": "penalty penalty_weight",
    "seed": "random_seed random_state manual_seed rng_seed base_seed master_seed",
    "replicates": "seeds reps repeats repetitions replicas runs",
    "trials": "num_samples max_trials max_evals configs",
    "sampler": "search_alg search_algorithm tuner",
    "objective": "metric metrics objectives monitor",
    "direction": "mode directions",
    "constraints": "constraint constraints_func bounds feasible subject_to",
    "prune": "pruner pruning scheduler early_stopping asha hyperband",
    "space": "param_space search_space params parameters hyperparameters param_distributions config ranges",
    "design": "grid grid_search param_grid sweep factorial",
    "top": "top_k topk best n_best",
    "exchange": "swap cross transfer",
    "samples": "num_samples eval_samples sample_size fid_samples",
    "points": "eval_points eval_every eval_freq eval_interval log_every ckpt_every evaluations",
    "long_run": "longrun longrun_steps long_run_steps",
    "ais_steps": "ais temperatures",
    "cpu": "cpus cores threads cpus_per_trial",
    "gpu": "gpus gpus_per_trial device cuda accelerator",
    "resources": "resources_per_trial",
    "data": "dataset data_set dataset_name",
    "classes": "imagefolder image_folder labelled_folder",
    "folder": "path root dir directory data_dir data_root data_path dataset_path images image_dir image_folder",
    "size": "image_size img_size im_size imsize resolution res height pixels",
    "channels": "nc image_channels color colors grayscale",
    "splits": "val_size valid test_size valid_size val_split validation_split test_split holdout",
    "column": "image_column image_key img_column",
    "range": "value_range data_range pixel_range",
    "study": "name study_name experiment experiment_name exp_name project",
    "question": "description title hypothesis",
    "import": "imports modules py_modules packages plugins",
    "method": "model algorithm algo methods",
    "arms": "variants treatments conditions",
    "baseline": "control",
    "--storage": "storage storage_path local_dir out_dir output_dir outdir log_dir logdir save_dir exp_dir",
    "--tracking-uri": "tracking tracking_uri mlflow mlflow_tracking_uri",
    "--max-concurrent": "jobs workers max_concurrent max_concurrent_trials concurrency",
    "--address": "address ray_address",
}
_COUNT = re.compile(r"(n|num|nb|number_of)_")


def belongs(key: str) -> str:
    """Where a key stands, such as `under search or confirm`; "" for none of this program's."""
    sections = [name for name, keys in SECTIONS.items() if key in keys]
    networks = [name for name in NETWORKS if key in names_of(own_knobs(name))]
    if key in ALL_KNOBS or networks:
        sections += KNOBS_STAND
    under = [name for name in sections if name]
    named = f"under {', '.join(under[:-1])}{' or ' if under[1:] else ''}{under[-1]}" if under else ""
    named += f", with network: {' or '.join(networks)}" if networks else ""
    return " or ".join((["at the top level"] if "" in sections else []) + ([named] if named else []))


def unknown(key: str, here: Iterable[str], noun: str = "key", knobs: bool = False,
            section: str | None = None) -> str:
    """What is said of a key that may not stand here: what it is called, where it belongs, its nearest neighbour, or
    all that may. here: what may; knobs: whether knobs stand here, too, if not of the arms in question; section: its
    name, whose keys may depend on each other."""
    here = list(here)
    if section is not None and key in SECTIONS.get(section, ()):
        return f"unknown {noun}; expected one of {', '.join(here)}"
    if section == "data" and key in DATASETS:
        return f"unknown {noun}; did you mean name: {key}?"
    local = {*here, *(ALL_KNOBS if knobs else ())}
    meant = _meant(key)
    if inside := [word for word in meant if word in local]:
        return f"unknown {noun}; did you mean {' or '.join(inside)}?"
    if place := belongs(key):
        return f"unknown {noun}; {key} belongs {place}"
    if meant:
        return f"unknown {noun}; did you mean {' or '.join(map(_with_place, meant))}?"
    if near := nearest(key, here):
        return f"unknown {noun}; did you mean {near}?"
    if near := nearest(key, [word for words in (*SECTIONS.values(), ALL_KNOBS) for word in words]):
        return f"unknown {noun}; did you mean {_with_place(near)}?"
    return f"unknown {noun}; expected one of {', '.join(here)}"


def _with_place(word: str) -> str:
    return f"the option {word}" if word.startswith("--") else f"{word}, which belongs {belongs(word)}"


def _meant(key: str) -> list[str]:
    """What other programs' name of a thing is here, the likeliest first."""
    word = re.sub(r"[- ]", "_", key.strip().lower())
    bare = _COUNT.sub("", word, count=1) if _COUNT.match(word) else word
    if bare != word and word not in _MEANT and (bare in ALL_KNOBS or any(bare in keys for keys in SECTIONS.values())):
        return [bare]
    return _MEANT.get(word, _MEANT.get(bare, []))


_MEANT: dict[str, list[str]] = {}
for _here, _words in OTHER_NAMES.items():
    for _word in _words.split():
        _MEANT.setdefault(_word, []).append(_here)
