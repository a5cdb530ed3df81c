"""Slips that people make in a study's file: each is answered by how it is written right, at its own line."""

from __future__ import annotations

import pytest

from study.spec import loads
from study.spec.places import _MEANT, OTHER_NAMES, SECTIONS, belongs
from study.spec.problems import SpecError

HEAD = "study: s\ndata: gaussians8\nmethod: kl\n"  # so what a test adds begins on line 4
GRID = HEAD + "design: {replicates: 2, step_size: 0.1}\n"


def problem(text: str, *overrides: str) -> str:
    """The one sentence in which a spec is refused."""
    with pytest.raises(SpecError) as caught:
        loads(text, "s.yaml", overrides)
    line, = caught.value.problems
    return line


# --set

@pytest.mark.parametrize("value", ["", " ", "# a remark"])
def test_an_option_without_a_value_does_not_become_the_default(value: str) -> None:
    assert problem(GRID, f"design.replicates={value}") == (
        "--set design.replicates: found nothing after the =, expected a value, or --set design.replicates=null if null "
        "is meant")
    assert loads(GRID, overrides=["design.replicates=null"]).replicates("design") == 6


@pytest.mark.parametrize("key", ["design..replicates", ".seed", "seed.", "."])
def test_a_key_with_an_empty_part(key: str) -> None:
    assert problem(GRID, f"{key}=1") == (
        f"--set {key}: found a key with an empty part, expected names with one dot between them, such as "
        "design.replicates")


# Text, numbers, lists.

@pytest.mark.parametrize("name", ["42", "1.10", "true", "0x1F", "1e5"])
def test_a_name_that_yaml_takes_for_a_number_goes_into_quotes_as_it_was_written(name: str) -> None:
    line = problem(GRID.replace("study: s", f"study: {name}"))
    assert line.startswith("s.yaml:1: study: found ") and line.endswith(f'; write it in quotes: study: "{name}"')
    assert problem(GRID, f"study={name}").endswith(f"""; write it in quotes: --set 'study="{name}"'""")
    assert loads(GRID, overrides=[f'study="{name}"']).study == name
    assert "quotes" not in problem(GRID.replace("method: kl", f"method: [{name}]")), "no method has such a name"
    assert "quotes" not in problem(GRID, "study=a/b")
    assert "quotes" not in problem(GRID.replace("study: s", f"study: {name}"), "study=a/b")


@pytest.mark.parametrize(("value", "end"), [
    ("'1e-3'", "expected a number > 0; write it without quotes: 1e-3"), ("5%", "expected a number > 0; write 0.05"),
    ('"0,5"', "expected a number > 0; write a decimal with a point, 0.5, and a list in brackets, [0,5]"),
    ('"0.1, 0.2"', "expected a number > 0; write a list in brackets: [0.1, 0.2]"), ("0.1f", "expected a number > 0")])
def test_a_number_as_text(value: str, end: str) -> None:
    assert problem(f"{HEAD}design: {{lr_f: {value}}}\n").endswith(end)


@pytest.mark.parametrize(("value", "end"), [
    ("1e3", "found 1000.0, expected a whole number >= 1; write 1000"), ("1'000", "write 1000"),
    ("1,000", "write 1000"), ("'20'", "write it without quotes: 20"), ("20.5", "expected a whole number >= 1"),
    ("'20.5'", "expected a whole number >= 1"), ("50%", "expected a whole number >= 1")])
def test_a_whole_number_otherwise(value: str, end: str) -> None:
    assert problem(f"{GRID}train:\n  updates: {value}\n").endswith(end)
    assert problem(f"{GRID}evaluation:\n  points: {value}\n").endswith(end)


def test_several_words_are_a_list() -> None:
    assert problem(GRID.replace("method: kl", "method: kl, jko")) == (
        "s.yaml:3: method: unknown method 'kl, jko'; write a list in brackets: [kl, jko]")
    assert problem(GRID + "search: {objective: 'energy_distance, wall_seconds'}\n").endswith(
        "write a list in brackets: [energy_distance, wall_seconds]")


def test_a_wrong_section_is_one_problem() -> None:
    assert problem(GRID + "confirm: yes\n") == "s.yaml:5: confirm: found 'yes', expected a mapping"
    assert problem(GRID + "compare_at: 0.1\n") == "s.yaml:5: compare_at: found 0.1, expected a mapping"
    assert problem(GRID + "compare_at: {step_size: [0.1], mcmc_steps: 20}\n") == (
        "s.yaml:5: compare_at: found step_size [0.1] with mcmc_steps 20, expected a cell of kl: 0.1 with 20")


@pytest.mark.parametrize(("data", "end"), [
    ("svhn", "rings, package.module:Name, or images on disk, such as {folder: PATH, size: 32, channels: 3}"),
    ("/my/images", "such as {folder: /my/images, size: 32, channels: 3}"),
    ("a/b.parquet", "such as {parquet: a/b.parquet, size: 32, channels: 3}"),
    ("cifar10", "such as {cifar10: PATH, size: 32, channels: 3}"),
    ("{path: x, size: 8}", "data.path: unknown key; did you mean folder?"),
    ("{name: digits, channels: 1}", "data.channels: unknown key; expected one of name, size, folder, classes, "
                                    "parquet, cifar10")])
def test_data_that_have_no_such_name(data: str, end: str) -> None:
    assert problem(GRID.replace("data: gaussians8", f"data: {data}")).endswith(end)


# What is almost YAML: the line of the fault, not the one at which a parser gives up.

@pytest.mark.parametrize(("text", "sentence"), [
    ("study:one\ndata: gaussians8\n", "1: not valid YAML: found study:one; write a colon and a space: study: one"),
    ("study:one\ndata:moons\nmethod: kl\n",
     "1: not valid YAML: found study:one; write a colon and a space: study: one"),
    (GRID + "train:\n  updates:5\n  width: 4\n",
     "6: not valid YAML: found updates:5; write a colon and a space: updates: 5"),
    (GRID + "train:\n  width: 4\n  updates:5\n\n",
     "7: not valid YAML: found updates:5; write a colon and a space: updates: 5"),
    (HEAD + "seed:3\n# a remark\nbaseline:kl\ndesign: {}\n",
     "4: not valid YAML: found seed:3; write a colon and a space: seed: 3"),
    (GRID + "seed = 3\n", "5: not valid YAML: found seed = 3; write a colon and a space: seed: 3"),
    (GRID + "train:\n  updates:5\n",
     "5: train: found 'updates:5', expected a mapping; write a colon and a space: updates: 5"),
    (GRID + "train: {updates:5, width: 4}\n",
     "5: train.updates:5: found a key without a value; write a colon and a space: updates: 5"),
    (GRID + "train: {lr_f: 0,1}\n", "5: train.1: found a key without a value: a comma ends a value; write a decimal "
                                    "with a point, and a list in brackets"),
    ("study:one", "1: found 'study:one', expected a mapping with the keys study, data, method, ...; write a colon and "
                  "a space: study: one"),
    (GRID + "train:\n\tupdates: 5\n", "6: column 1: not valid YAML: found a tab, expected spaces"),
    (GRID + "train:\n  updates: 5\n   width: 4\n", "7: column 9: not valid YAML: mapping values are not allowed here; "
                                                  "expected the indentation of the keys beside it"),
    ("<<<<<<< HEAD\n" + GRID + "=======\n",
     "1: not valid YAML: found <<<<<<<, the mark of a merge conflict, expected one of its sides"),
    (GRID + "question: is it: so\n", "5: column 16: not valid YAML: mapping values are not allowed here; text with a "
                                     "colon in it stands in quotes"),
    (GRID + "question: 'is it\nseed: 3\n", "7: column 1: not valid YAML: while scanning a quoted scalar found "
                                           "unexpected end of stream, begun on line 5"),
    (GRID + "\u00a0seed: 3\n", "5: ?: found the character #x00a0, which nobody sees, in a key, expected plain letters "
                               "and spaces; write the line again"),
])
def test_what_is_almost_yaml(text: str, sentence: str) -> None:
    assert problem(text) == f"s.yaml:{sentence}"


@pytest.mark.parametrize("text", [
    "\ufeff" + GRID, GRID.replace("\n", "\r\n"), GRID.replace("\n", "\r"), f"---\n{GRID}...\n",
    GRID + "train:\nseed:\n",
    GRID + "question: see http://x.y, a:b = c\n", '{"study": "s", "data": "moons", "method": "kl", "design": {}}'])
def test_what_is_yaml_after_all(text: str) -> None:
    assert loads(text).study == "s"


# Keys of other sections, and other programs' names.

@pytest.mark.parametrize(("key", "sentence"), [
    ("train.seed", "unknown knob; seed belongs at the top level"),
    ("train.replicates", "unknown knob; replicates belongs under design, search or confirm"),
    ("train.samples", "unknown knob; samples belongs under evaluation"),
    ("design.trials", "unknown knob; trials belongs under search"),
    ("design.kl.baseline", "unknown knob; baseline belongs at the top level"),
    ("search.step_size", "unknown key; step_size belongs under train, design or search.space"),
    ("search.space.sampler", "unknown knob; sampler belongs under search"),
    ("confirm.seed", "unknown key; seed belongs at the top level"),
    ("evaluation.trials", "unknown key; trials belongs under search"),
    ("resources.points", "unknown key; points belongs under evaluation"),
    ("updates", "unknown key; updates belongs under train, design or search.space"),
    ("train.replicats", "unknown knob; did you mean replicates, which belongs under design, search or confirm?"),
    ("train.alpha", "unknown knob; did you mean step_size or energy_l2?"),
    ("search.n_trials", "unknown key; did you mean trials?"),
    ("train.n_trials", "unknown knob; did you mean trials, which belongs under search?"),
    ("design.num-seeds", "unknown knob; did you mean replicates?"),
    ("train.kl.lr", "unknown knob; did you mean lr_f?"),
    ("lr", "unknown key; did you mean lr_f, which belongs under train, design or search.space?"),
    ("resources.n_jobs", "unknown key; did you mean the option --max-concurrent?"),
    ("name", "unknown key; did you mean study?"),
])
def test_a_key_that_is_elsewhere_or_has_another_name(key: str, sentence: str) -> None:
    assert problem(GRID + "search: {}\nconfirm: {top: 1}\n", f"{key}=1") == f"--set {key}: {sentence}"


def test_any_key_in_any_other_section_is_led_home() -> None:
    """Every key of the spec under every section that has it not. `zip`, methods and arms are no such keys."""
    hosts = ("train", "design", "search", "confirm", "evaluation", "resources")
    for home, keys in SECTIONS.items():
        for host in hosts:
            for key in set(keys) - {*SECTIONS.get(host, ())}:
                line = problem(GRID + "search: {}\nconfirm: {top: 1}\n", f"{host}.{key}=1")
                assert belongs(key) in line or "did you mean" in line, line
                assert belongs(key) and (home in belongs(key) if home else "top level" in belongs(key))


@pytest.mark.parametrize(("foreign", "own"), [
    ("buffer_size", "particles"), ("reinit_freq", "refresh"), ("noise", "temperature"), ("learning_rate", "lr_f"),
    ("epochs", "updates"), ("n_epochs", "updates"), ("langevin_steps", "mcmc_steps"), ("num_steps", "mcmc_steps"),
    ("n_steps", "mcmc_steps"), ("sgld_lr", "step_size"), ("sgld_std", "step_size"), ("batch", "batch_size"),
    ("replay_buffer", "particles"), ("z_dim", "latent_dim"), ("nz", "latent_dim"), ("beta1", "adam_beta1")])
def test_names_of_the_field_lead_to_knobs(foreign: str, own: str) -> None:
    method = "ggcn" if own == "latent_dim" else "kl"
    line = problem(GRID.replace("kl", method), f"train.{foreign}=1")
    assert line.startswith(f"--set train.{foreign}: unknown knob; did you mean {own}"), line


def test_a_knob_of_other_methods_is_suggested_as_the_knob_that_it_is() -> None:
    """Given by its own name it is said which methods have it; here it would belong where it stands."""
    line = problem(GRID.replace("kl", "amortized"), "train.buffer_size=1")
    assert line == "--set train.buffer_size: unknown knob; did you mean particles?"


def test_every_other_name_leads_to_something_that_exists() -> None:
    for own in OTHER_NAMES:
        assert own.startswith("--") or belongs(own), own
    assert not [word for word in _MEANT if belongs(word) and word != "name"], "a key of this program's own"
