"""Every bad spec is answered by exact sentences: file, line, key, found, expected, nearest."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from study.spec import load, loads
from study.spec.knobs import METHODS
from study.spec.problems import SpecError

BASE = "study: s\ndata: digits\nmethod: [kl, jko]\n"  # lines 1 to 3, so what a test adds begins on line 4
GRID = BASE + "design: {step_size: [0.1, 0.2]}\n"
ARMS = "study: s\ndata: digits\ndesign: {step_size: [0.1, 0.2]}\n"


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        loads(text, "s.yaml", overrides)
    return list(caught.value.problems)


def test_the_bases_are_good() -> None:
    """So whatever is refused below is refused for what was added."""
    assert loads(GRID) and loads(ARMS + "method: kl\n")


# Files.

def problems_of_file(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(path)
    return [line.replace(str(path.parent), "DIR") for line in caught.value.problems]


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    assert problems_of_file(tmp_path / "jko.yaml") == ["DIR/jko.yaml: no such file"]
    (tmp_path / "jko2.yaml").touch()
    assert problems_of_file(tmp_path / "jko.yaml") == ["DIR/jko.yaml: no such file; did you mean DIR/jko2.yaml?"]
    assert problems_of_file(tmp_path / "no" / "jko.yaml") == ["DIR/jko.yaml: no such file"]
    (tmp_path / "link.yaml").symlink_to("nowhere.yaml")
    assert problems_of_file(tmp_path / "link.yaml") == ["DIR/link.yaml: a link to nowhere.yaml, where no file is"]


def test_a_directory(tmp_path: Path) -> None:
    assert problems_of_file(tmp_path / ".") == [f"{tmp_path}: is a directory, expected a YAML file".replace(
        str(tmp_path.parent), "DIR")]


@pytest.mark.parametrize("data, sentence", [
    (b"", "DIR/s.yaml: is empty, expected a study with the keys study, data, method, ..."),
    (b"# only a comment\n\n", "DIR/s.yaml: is empty, expected a study with the keys study, data, method, ..."),
    (b"~", "DIR/s.yaml: is empty, expected a study with the keys study, data, method, ..."),
    (b"study: s\n\x89PNG\r\n", "DIR/s.yaml:2: is not UTF-8 text (byte 0x89), expected a YAML file"),
    ("study: s".encode("utf-16"), "DIR/s.yaml:1: is not UTF-8 text (byte 0xff), expected a YAML file"),
    (b"study: s\n\0\0\0", "DIR/s.yaml:2: not valid YAML: unacceptable character #x0000"),
    (b"- study\n", "DIR/s.yaml:1: found a list, expected a mapping with the keys study, data, method, ..."),
    (b"study", "DIR/s.yaml:1: found 'study', expected a mapping with the keys study, data, method, ..."),
    (b"x" * 250_001, "DIR/s.yaml: is larger than 250,000 bytes, expected a study's YAML file"),
])
def test_a_file_that_is_no_study(tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "s.yaml").write_bytes(data)
    assert problems_of_file(tmp_path / "s.yaml") == [sentence]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").touch(mode=0)
    assert problems_of_file(tmp_path / "s.yaml") == ["DIR/s.yaml: cannot be read: Permission denied"]


# YAML.

@pytest.mark.parametrize("text, sentence", [
    ("study: [1,\ndata: 2\n",
     "s.yaml:3: column 1: not valid YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>', "
     "begun on line 1"),
    ("study: a: b\n", "s.yaml:1: column 9: not valid YAML: mapping values are not allowed here; text with a colon in "
                     "it stands in quotes"),
    ("study: *nowhere\n", "s.yaml:1: column 8: not valid YAML: found undefined alias 'nowhere'"),
    ("study: s\n---\nstudy: t\n",
     "s.yaml:2: column 1: not valid YAML: expected a single document in the stream but found another document"),
    ("%x\nstudy: s\n",
     "s.yaml:1: column 1: not valid YAML: found '%' at the beginning; text that begins with it stands in quotes"),
    ("[" * 800, "s.yaml:1: column 31: not valid YAML: nested more than 30 deep"),
    ("- " * 5000, "s.yaml:1: column 61: not valid YAML: nested more than 30 deep"),
    ("a: [" + "1," * 20_000 + "]", "s.yaml:1: column 20001: not valid YAML: more than 10,000 values"),
    ("study: &x [*x]\n", "s.yaml:1: study[0]: an alias inside its own anchor never ends; write the value out"),
    ("study: s\n? [a]\n: b\n", "s.yaml:2: ?: found a list or a mapping as a key, expected a name"),
    ("? [a]\n? [b]\n", "s.yaml:1: ?: found a list or a mapping as a key, expected a name"),
    ("study: s\n<<: {data: digits}\n", "s.yaml:2: <<: YAML 1.2 has no merge keys; write the keys out"),
    ("seed: " + "9" * 5000 + "\n", "s.yaml:1: seed: found '" + "9" * 40
     + "', expected a whole number of at most 9,007,199,254,740,992 in size"),
    ("seed: 0x" + "f" * 5000 + "\n", "s.yaml:1: seed: found '0x" + "f" * 38
     + "', expected a whole number of at most 9,007,199,254,740,992 in size"),
    ("seed: !!int ''\n", "s.yaml:1: seed: found '', expected a whole number of at most 9,007,199,254,740,992 in size"),
    ("seed: !!float x\n", "s.yaml:1: seed: found 'x', expected a number"),
    ('study: s\nquestion: "\\UFFFFFFFF"\n',
     "s.yaml:2: not valid YAML: \\UFFFFFFFF is no character"),
    ('question: "a\\ud800"\n', "s.yaml:1: question: found the character #xd800, expected text that can be printed"),
    ('study: s\n"\\e[31m": 1\n', "s.yaml:2: ?: found the character #x001b, expected text that can be printed"),
    ("%YAML 1.3\n---\nstudy: s\n",
     "s.yaml:1: not valid YAML: expected %YAML 1.2, or no such line"),
])
def test_text_that_is_not_plain_yaml(text: str, sentence: str) -> None:
    assert problems(text) == [sentence]


def test_aliases_cannot_nest_too_deep() -> None:
    layers = "".join(f"l{i}: &l{i} [*l{i - 1}]\n" for i in range(1, 300))
    line, = problems("l0: &l0 [x]\n" + layers)
    assert line.endswith("nested more than 30 deep once its aliases are written out")


def test_aliases_cannot_blow_up() -> None:
    layers = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 12))
    lines = problems("l0: &l0 [x]\n" + layers)
    assert len(lines) == 1 and lines[0].endswith("more than 10,000 values once its aliases are written out")


@pytest.mark.parametrize("tag", ["python/object/apply:os.system", "python/name:os.system", "set", "binary"])
def test_a_tag_never_runs_code(tag: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    assert problems(f"study: s\nquestion: !!{tag} ['touch {mark}']\n") == [
        f"s.yaml:2: question: found the tag !!{tag}, expected a plain value without a tag: nothing in a spec is run"]
    assert not mark.exists()


def test_a_duplicate_key_does_not_hide_other_problems() -> None:
    assert problems(GRID + "seed: 1\nseed: 2\nserch: 3\n") == [
        "s.yaml:5: seed: duplicate key, also on line 6; keep one",
        "s.yaml:7: serch: unknown key; did you mean search?"]


def test_a_data_set_s_name_is_no_key() -> None:
    said = problems(ARMS.replace("digits", "{digits: 16}") + "method: kl\n")
    assert "s.yaml:2: data.digits: unknown key; did you mean name: digits?" in said


# One problem each.

@pytest.mark.parametrize("more, sentence", [
    ("serch: {}", "5: serch: unknown key; did you mean search?"),
    ("step_size: 0.1", "5: step_size: unknown key; step_size belongs under train, design or search.space"),
    ("xyz: 1", "5: xyz: unknown key; expected one of study, question, import, data, method, arms, baseline, "
               "compare_at, seed, train, design, search, confirm, evaluation, resources, keep"),
    ("train: {betta: 1}", "5: train.betta: unknown knob; did you mean beta?"),
    ("train: {kl: {lr: 1}}", "5: train.kl.lr: unknown knob; did you mean lr_f?"),
    ("train: 5", "5: train: found 5, expected a mapping"),
    ("train: {kl: 5}", "5: train.kl: found 5, expected a mapping of knobs: kl is a method"),
    ("train: {hidden: {width: 8}}",
     "5: train.hidden: no arm of this study has the method hidden; its arms are kl, jko"),
    ("train: {batch_size: true}", "5: train.batch_size: found True, expected a whole number >= 2"),
    ("train: {decay: null}", "5: train.decay: found None, expected one of none, cosine, step; did you mean none?"),
    ("train: {batch_size: 6.4}", "5: train.batch_size: found 6.4, expected a whole number >= 2"),
    ("train: {lr_f: '0.1'}", "5: train.lr_f: found '0.1', expected a number > 0; write it without quotes: 0.1"),
    ("train: {lr_f: [0.1]}", "5: train.lr_f: found a list, expected one value"),
    ("train: {lr_f: .nan}", "5: train.lr_f: found nan, expected a number > 0"),
    ("train: {lr_f: .inf}", "5: train.lr_f: found inf, expected a number > 0"),
    ("train: {lr_f: 1e-200}", "5: train.lr_f: found 1e-200, expected a number >= 1e-12 and <= 1e+12"),
    ("train: {temperature: 1e200}", "5: train.temperature: found 1e+200, expected one <= 1e+12"),
    ("train: {updates: 10000000000000}", "5: train.updates: found 10000000000000, expected one <= 1e+12"),
    ("train: {adam_beta1: 1}", "5: train.adam_beta1: found 1, expected a number >= 0 < 1"),
    ("train: {spectral_norm: 1}", "5: train.spectral_norm: found 1, expected true or false"),
    ("train: {chain: persistant}", "5: train.chain: found 'persistant', expected one of persistent, noise, data; "
                                   "did you mean persistent?"),
    ("train: {beta: 1}", "5: train.beta: knob 'beta' does not exist in method kl; it exists in jko, hidden, amortized, "
                         "ggcn; move it into a branch, such as jko: {beta: ...}"),
    ("train: {kl: {beta: 1}}", "5: train.kl.beta: knob 'beta' does not exist in method kl; it exists in jko, hidden, "
                               "amortized, ggcn"),
    ("baseline: ggcn", "5: baseline: unknown arm 'ggcn'; expected one of kl, jko"),
    ("seed: -1", "5: seed: found -1, expected a whole number >= 0 and <= 2147483648"),
    ("question: 7", '5: question: found 7, expected text; write it in quotes: question: "7"'),
    ("arms: {kl: {}, b: {method: kl, data_noise: 0.1}}",
     "3: method: found both method and arms, expected one of them"),
    ("confirm: {top: 3}", "5: confirm.top: found 3, expected at most 2, the cells of the design of an arm"),
    ("confirm: {top: 1, exchange: 1}",
     "5: confirm.exchange: found 1 without a search: the cells of a design are the same for all arms as they are"),
    ("confirm: {top: 0}", "5: confirm.top: found 0, expected a whole number >= 1"),
    ("evaluation: {samples: 398}", "5: evaluation.samples: found 398, expected at most 397: the search split of digits "
                                   "has no more"),
    ("evaluation: {samples: 257}", "5: evaluation.samples: found 257, expected at most particles = 256 of arm kl "
                                   "(chain: persistent)"),
    ("evaluation: {split: test}", "5: evaluation.split: found 'test', expected one of train, search, confirm"),
    ("evaluation: {ais_steps: -1}", "5: evaluation.ais_steps: found -1, expected a whole number >= 0 and <= 100000"),
    ("evaluation: {features: {file: a.pt2, sha256: abc, size: 8}}",
     "5: evaluation.features.sha256: found 'abc', expected the file's checksum, 64 hex digits (sha256sum FILE prints "
     "it)"),
    ("evaluation: {features: {file: a.pt2, sha256: " + 64 * "a" + "}}",
     "5: evaluation.features.size: missing; expected how many pixels a side the network takes"),
    ("evaluation: {features: {file: a.pt2, sha256: " + 64 * "a" + ", size: 8, sd: 0}}",
     "5: evaluation.features.sd: found 0, expected a number > 0, or 3 of them, one a channel"),
    ("evaluation: {point: 3}", "5: evaluation.point: unknown key; did you mean points?"),
    ("resources: {cpu: 0}", "5: resources.cpu: found 0, expected a number > 0"),
    ("resources: {cpu: 1.0e-5}", "5: resources.cpu: found 1e-05, expected at least 0.0001, the least that Ray counts"),
    ("resources: {gpu: 1.0e-5}", "5: resources.gpu: found 1e-05, expected 0 or at least 0.0001, the least that Ray "
                                 "counts"),
    ("resources: {gpu: 1.5}", "5: resources.gpu: found 1.5, expected auto, a share of one GPU or a whole number: Ray "
                              "gives no part of a second one"),
    ("resources: {gpu: true}", "5: resources.gpu: found True, expected auto or a number >= 0"),
    ("train: {sigma: 0.1}", "4: design.step_size: 0.2 >= 2 sigma = 0.2: the reference alone breaks the chain; take a "
                            "smaller step_size"),
    ("train: {particles: 32}", "5: train.particles: found 32, expected at least batch_size = 64"),
    ("train: {jko: {beta: 1, jko_weight: 1}}",
     "5: train.jko.beta: beta and jko_weight both set the penalty's weight; give one"),
])
def test_a_problem_beside_a_design(more: str, sentence: str) -> None:
    assert problems(f"{GRID}{more}\n") == [f"s.yaml:{sentence}"]


@pytest.mark.parametrize("design, sentence", [
    ("{replicates: 0}", "design.replicates: found 0, expected a whole number >= 1 and <= 1000"),
    ("{replicats: 3}", "design.replicats: unknown knob; did you mean replicates?"),
    ("{step_size: []}", "design.step_size: found an empty list, expected at least one value"),
    ("{step_size: [0.1, -0.2]}", "design.step_size[1]: found -0.2, expected a number > 0"),
    ("{step_size: [1, 0.5, 1.0]}", "design.step_size[2]: 1.0 stands twice in the list"),
    ("{step_size: {log: [0.1, 1]}}", "design.step_size: found a mapping, expected a list of levels or one value; "
                                     "ranges belong to search.space"),
    ("{step_size: [[0.1]]}", "design.step_size[0]: found a list, expected one value"),
    ("{zip: {step_size: [0.1, 0.2], mcmc_steps: [5]}}",
     "design.zip: expected lists of equal length; step_size has 2, mcmc_steps has 1"),
    ("{zip: {step_size: [0.1]}}", "design.zip: expected two or more knobs with lists of equal length, such as "
                                  "{step_size: [0.1, 0.2], mcmc_steps: [20, 5]}"),
    ("{mcmc_steps: 5, zip: {step_size: [0.1, 0.2], mcmc_steps: [5, 20]}}",
     "design.zip.mcmc_steps: also given at design.mcmc_steps; keep one"),
    ("{lr_f: 0.1, zip: [{step_size: [0.1, 0.2], mcmc_steps: [5, 20]}, {lr_f: [0.1, 0.2], width: [4, 8]}]}",
     "design.zip[1].lr_f: also given at design.lr_f; keep one"),
    ("{zip: [{step_size: [0.1, 0.2], mcmc_steps: [5, 20]}, {step_size: [0.1, 0.2], width: [4, 8]}]}",
     "design.zip[1].step_size: also given at design.zip[0].step_size; keep one"),
    ("{zip: {step_size: [0.1, 0.2], mcmc_steps: [5, 20]}, jko: {mcmc_steps: 5}}",
     "design.jko.mcmc_steps: mcmc_steps is paired at design.zip; repeat the whole zip here"),
    ("{width: [" + ", ".join(map(str, range(1, 202))) + "], batch_size: [" + ", ".join(map(str, range(2, 102)))
     + "]}", "design: found 20,100 cells in arm kl, expected at most 20,000"),
    ("{step_size: [0.1, 2.5, 3.0]}", "design.step_size: 2.5 >= 2 sigma = 2: the reference alone breaks the chain; "
                                     "take a smaller step_size"),
    ("{sigma: [0.04, 1.0]}", "design.sigma: step_size 0.1 >= 2 sigma = 0.08: the reference alone breaks the chain; "
                             "take a smaller step_size"),
])
def test_a_problem_in_a_design(design: str, sentence: str) -> None:
    found = problems(f"{BASE}design: {design}\n")
    assert found[0] == f"s.yaml:4: {sentence}"
    assert len(found) == (2 if "20,100" in sentence else 1)  # a grid too large is too large in both arms


@pytest.mark.parametrize("search, sentence", [
    ("{sampler: cma}", "search.sampler: unknown sampler 'cma'; expected one of tpe, random, gp, nsga2"),
    ("{sampler: nsga}", "search.sampler: unknown sampler 'nsga'; did you mean nsga2?"),
    ("{trials: 0}", "search.trials: found 0, expected a whole number >= 1"),
    ("{replicates: 1001}", "search.replicates: found 1001, expected a whole number >= 1 and <= 1000"),
    ("{trails: 8}", "search.trails: unknown key; did you mean trials?"),
    ("{objective: fid}", "search.objective: unknown objective 'fid' for digits and evaluation.samples = 256; expected "
                         "one of primary, kid_clf64, kid_clf64_long, fd_clf64, precision_clf64, recall_clf64, "
                         "density_clf64, coverage_clf64, particle_gradients, wall_seconds"),
    ("{objective: kid_clf64_512}", "search.objective: unknown objective 'kid_clf64_512' for digits and "
                                   "evaluation.samples = 256; did you mean kid_clf64?"),
    ("{objective: [primary, kid_clf64]}", "search.objective[1]: kid_clf64 stands twice in the list"),
    ("{objective: [primary, null]}", "search.objective[1]: unknown objective None for digits and evaluation.samples = "
     "256; expected one of primary, kid_clf64, kid_clf64_long, fd_clf64, precision_clf64, recall_clf64, density_clf64, "
     "coverage_clf64, particle_gradients, wall_seconds"),
    ("{objective: [primary, fid], direction: [minimize, maximize]}", "search.objective[1]: unknown objective 'fid' for "
     "digits and evaluation.samples = 256; expected one of primary, kid_clf64, kid_clf64_long, fd_clf64, "
     "precision_clf64, recall_clf64, density_clf64, coverage_clf64, particle_gradients, wall_seconds"),
    ("{objective: []}", "search.objective: found 0 objectives, expected 1 to 3"),
    ("{objective: [primary, wall_seconds], prune: successive_halving}",
     "search.prune: found successive_halving with 2 objectives, expected one: a pruner compares single values"),
    ("{objective: kid_clf64_long, prune: successive_halving}",
     "search.prune: found successive_halving with kid_clf64_64_long, which has no value before the end of training; "
     "take prune: null"),
    ("{prune: hyperband}", "search.prune: found 'hyperband', expected one of successive_halving, null"),
    ("{objective: [primary, wall_seconds], prune: hyperband}",
     "search.prune: found 'hyperband', expected one of successive_halving, null"),
    ("{trials: true}", "search.trials: found True, expected a whole number >= 1"),
    ("{direction: max}", "search.direction: found 'max', expected one of minimize, maximize"),
    ("{direction: maximize}", "search.direction: found maximize, expected minimize: the smaller kid_clf64_256, the "
     "better"),
    ("{objective: [primary, recall_clf64], direction: minimize}",
     "search.direction: found minimize, expected maximize: the larger recall_clf64_256, the better"),
    ("{objective: [primary, wall_seconds], direction: [minimize]}",
     "search.direction: found 1 for 2 objectives, expected one each"),
    ("{constraints: [kappa]}", "search.constraints: found ['kappa'], expected a mapping"),
    ("{constraints: {kapa: 1}}", "search.constraints.kapa: unknown measure 'kapa' for digits and evaluation.samples = "
                                 "256; did you mean kappa?"),
    ("{constraints: {kappa: true}}", "search.constraints.kappa: found True, expected a finite number"),
    ("{constraints: {kappa: '1'}}", "search.constraints.kappa: found '1', expected a finite number; write it without "
                                    "quotes: 1"),
    ("{constraints: {primary: 1, kid_clf64: 2}}",
     "search.constraints.kid_clf64: kid_clf64_256 stands twice"),
    ("{diverged_value: .inf}", "search.diverged_value: found inf, expected a finite number or reference"),
    ("{objective: [primary, wall_seconds], diverged_value: 1}",
     "search.diverged_value: found 1 for 2 objectives, expected one each"),
    ("{space: [step_size]}", "search.space: found ['step_size'], expected a mapping"),
    ("{space: {betta: 1}}", "search.space.betta: unknown knob; did you mean beta?"),
    ("{space: {step_size: [0.1, 0.2]}}",
     "search.space.step_size: found a list, expected a value, {choice: [0.1, 0.2]} or {float: [low, high]}"),
    ("{space: {step_size: {log: [0, 1]}}}",
     "search.space.step_size.log: found 0, expected numbers > 0: it has no logarithm"),
    ("{space: {data_noise: {log: [-1, 1]}}}",
     "search.space.data_noise.log: found -1, expected numbers > 0: it has no logarithm"),
    ("{space: {step_size: {log: [0.5, 0.1]}}}",
     "search.space.step_size.log: found low 0.5 >= high 0.1, expected low < high"),
    ("{space: {step_size: {low: 1, high: 1}}}", "search.space.step_size: found low 1 >= high 1, expected low < high"),
    ("{space: {step_size: {low: 1}}}", "search.space.step_size: found the keys low, expected one of {low: a, high: b}, "
                                       "{log: [a, b]}, {int: [a, b]}, {float: [a, b]}, {choice: [...]}"),
    ("{space: {step_size: {log: 0.1}}}", "search.space.step_size.log: found 0.1, expected two numbers [low, high]"),
    ("{space: {step_size: {float: [0.1, .nan]}}}", "search.space.step_size.float[1]: found nan, expected a number > 0"),
    ("{space: {step_size: {float: [0.1, true]}}}",
     "search.space.step_size.float[1]: found True, expected a number > 0"),
    ("{space: {drift_clip: {float: [0.1, null]}}}", "search.space.drift_clip.float[1]: found None, expected a number"),
    ("{space: {refresh: {float: [0, 2]}}}", "search.space.refresh.float[1]: found 2, expected a number >= 0 <= 1"),
    ("{space: {mcmc_steps: {float: [1, 5]}}}",
     "search.space.mcmc_steps.float: mcmc_steps is a whole number, expected {int: [low, high]}"),
    ("{space: {temperature: {int: [1, 1.5]}}}", "search.space.temperature.int[1]: found 1.5, expected a whole number"),
    ("{space: {chain: {low: 0, high: 1}}}", "search.space.chain: chain has no order, expected {choice: [...]}"),
    ("{space: {chain: {choice: noise}}}", "search.space.chain.choice: found 'noise', expected a list of values"),
    ("{space: {chain: {choice: []}}}", "search.space.chain.choice: found an empty list, expected at least one value"),
    ("{space: {chain: {choice: [noise, Data]}}}", "search.space.chain.choice[1]: found 'Data', expected one of "
                                                  "persistent, noise, data; did you mean data?"),
    ("{space: {step_size: {float: [0.1, 3]}}}", "search.space.step_size: 3.0 >= 2 sigma = 2: the reference alone "
                                                "breaks the chain; take a smaller step_size"),
    ("{space: {particles: {int: [16, 128]}}}",
     "search.space.particles: found 16, expected at least batch_size = 64"),
    ("{space: {chain: {choice: [persistent, noise]}, refresh: {float: [0, 0.1]}}}",
     "search.space.refresh: has no effect with chain: noise; only persistent chains have a pool"),
])
def test_a_problem_in_a_search(search: str, sentence: str) -> None:
    assert problems(f"{BASE}search: {search}\n") == [f"s.yaml:4: {sentence}"]


@pytest.mark.parametrize("head, sentence", [
    ("data: digits\nmethod: kl", "1: study: missing; expected the study's name"),
    ("study: a b\ndata: digits\nmethod: kl", "1: study: found 'a b', expected a name of letters, digits, '.', '_' and "
                                             "'-', beginning with a letter or digit, at most 100 long"),
    ("study: ../up\ndata: digits\nmethod: kl", "1: study: found '../up', expected a name of letters, digits, '.', '_' "
                                               "and '-', beginning with a letter or digit, at most 100 long"),
    ("study: s\nmethod: kl", "1: data: missing; expected one of digits, mnist, faces, patches, gaussians8, "
                             "gaussians25, moons, rings, package.module:Name, or images on disk, such as {folder: "
                             "PATH, size: 32, channels: 3}"),
    ("study: s\nmethod: kl\ndata: digit", "3: data: unknown data set 'digit'; did you mean digits?"),
    ("study: s\nmethod: kl\ndata: {name: digits, size: 9}", "3: data.size: found 9, expected one of 8, 16"),
    ("study: s\nmethod: kl\ndata: {name: moons, size: 8}",
     "3: data.size: found 8, expected no size: these data are points in the plane"),
    ("study: s\nmethod: kl\ndata: {nam: digits, name: digits}", "3: data.nam: unknown key; did you mean name?"),
    ("study: s\ndata: digits", "1: method: missing; expected one or several of " + ", ".join(METHODS)),
    ("study: s\ndata: digits\nmethod: jk", "3: method: unknown method 'jk'; did you mean jko?"),
    ("study: s\ndata: digits\nmethod: [kl, kl]", "3: method[1]: kl stands twice in the list"),
    ("study: s\ndata: digits\narms: {}", "3: arms: found no arm, expected at least one"),
    ("study: s\ndata: digits\narms: {a: {method: klo}}", "3: arms.a.method: unknown method 'klo'; did you mean kl?"),
    ("study: s\ndata: digits\narms: {a: {data_noise: 1}}",
     "3: arms.a: method is missing; expected one of " + ", ".join(METHODS)),
    ("study: s\ndata: digits\narms: {a/b: {method: kl}}",
     "3: arms.a/b: expected a name of letters, digits, '+', '.', '_', '=' and '-', beginning with a letter or "
     "digit, at most 50 long"),
    ("study: s\ndata: digits\narms: {zip: {method: kl}}",
     "3: arms.zip: zip is a key of the spec; give the arm another name"),
    ("study: s\ndata: digits\narms: {kl: {method: jko}}",
     "3: arms.kl.method: found jko, expected kl: an arm named like a method is of it"),
    ("study: s\ndata: digits\narms: {a: {method: kl, beta: 1}}",
     "3: arms.a.beta: knob 'beta' does not exist in method kl; it exists in jko, hidden, amortized, ggcn"),
    ("study: s\ndata: digits\narms: {a: 3}", "3: arms.a: found 3, expected a mapping such as {method: kl, "
                                             "negatives_drift: 1}"),
])
def test_a_problem_in_the_head(head: str, sentence: str) -> None:
    assert problems(f"{head}\ndesign: {{}}\n") == [f"s.yaml:{sentence}"]


def test_no_phase() -> None:
    assert problems(BASE) == [
        "s.yaml:1: no phase; expected design (a grid, for claims) or search (Optuna, for finding), or both"]


def test_a_shared_value_that_one_method_does_not_know() -> None:
    assert problems("study: s\ndata: digits\nmethod: [kl, hidden]\ndesign: {chain: data}\n") == [
        "s.yaml:4: design.chain: found 'data', expected one of persistent, noise in method hidden; move it into a "
        "branch"]


def test_frechet_distance_of_too_few_samples() -> None:
    more = "search: {objective: fd_clf64}\nevaluation: {samples: 127}\n"
    assert problems(BASE + more) == [
        "s.yaml:4: search.objective: fd_clf64 needs evaluation.samples >= 128, twice its features, found 127; take "
        "primary"]
    assert loads(BASE + more.replace("127", "128"))


def test_a_density_that_a_method_lacks() -> None:
    text = "study: s\ndata: moons\nmethod: [kl, hidden]\nsearch: {objective: kl_grid}\n"
    assert problems(text) == ["s.yaml:4: search.objective: kl_grid needs a density of the data space, which hidden "
                              "does not have; take primary"]


def test_two_names_for_one_arm() -> None:
    same = "same configuration as arm kl"
    assert problems(ARMS + "arms:\n  kl: {}\n  b: {method: kl, data_noise: 0}\n") == [
        f"s.yaml:6: arms.b: {same} in 2 of 2 cells of the design; change one of them"]
    assert problems(ARMS + "arms:\n  kl: {}\n  b: {method: kl}\n", "design.b={step_size: [0.2, 0.3, 0.4]}") == [
        f"s.yaml:6: arms.b: {same} in 1 of 3 cells of the design; change one of them"]
    search = "study: s\ndata: digits\nsearch: {space: {step_size: {log: [0.1, 1]}}}\narms:\n  kl:\n  b: {method: kl}\n"
    assert problems(search) == [f"s.yaml:6: arms.b: {same} and search space; change one of them".replace(
        "configuration as arm kl and search space", "configuration and search space as arm kl")]
    assert loads(search, overrides=["search.space.b={step_size: {log: [0.1, 1.5]}}"])


def test_searches_of_two_arms_that_may_ask_for_the_same() -> None:
    """A unit is one run in MLflow, of one arm. From a continuous range the same number never comes twice."""
    text = """\
study: s
data: digits
search: {space: {mcmc_steps: {int: [2, 4]}, narrow: {mcmc_steps: 3}, step_size: {choice: [0.1, 1]}}}
arms:
  wide: {method: kl}
  narrow: {method: kl}
"""
    sentence = ("s.yaml:6: arms.narrow: its search may ask for the same configuration as arm wide's; give one of them "
                "a value, or a range, that the other lacks")
    assert problems(text) == [sentence]
    assert problems(text, "search.space.narrow={mcmc_steps: {int: [4, 9]}}") == [sentence]
    assert problems(text, "search.space.narrow={step_size: {choice: [1.0, 1.5]}}") == [sentence]
    for change in ("narrow={mcmc_steps: 5}", "narrow={mcmc_steps: {int: [5, 9]}}", "step_size={log: [0.1, 1]}",
                   "narrow={step_size: {choice: [0.2, 1.5]}}", "narrow={step_size: {log: [0.1, 1]}}"):
        assert loads(text, overrides=[f"search.space.{change}"]), change


def test_a_phase_may_not_undo_what_makes_an_arm() -> None:
    text = ARMS + "arms: {kl: {}, drift: {method: kl, negatives_drift: 1}}\n"
    assert problems(text, "design.negatives_drift=[0, 2]") == [
        "--set design.negatives_drift: arm drift fixes negatives_drift itself; move this into branches of the "
        "other arms"]


# --set

@pytest.mark.parametrize("override, sentence", [
    ("design.replicates=ten", "--set design.replicates: found 'ten', expected a whole number >= 1 and <= 1000"),
    ("design.replicates", "--set design.replicates: expected key=value, such as --set design.replicates=10"),
    ("", "--set '': expected key=value, such as --set design.replicates=10"),
    ("a\nb", "--set a b: expected key=value, such as --set design.replicates=10"),
    ("a" + ".a" * 40 + "=1", "--set a" + ".a" * 40 + ": found a key of 41 parts, expected at most 30"),
    ("=3", "--set =3: expected key=value, such as --set design.replicates=10"),
    ("design={step_sise: 1}", "--set design: design.step_sise: unknown knob; did you mean step_size?"),
    ("study.name=x", "--set study.name: study is not a mapping, so it has no key name"),
    ("seed=[1", "--set seed: found '[1', column 3: not valid YAML: while parsing a flow sequence expected ',' or ']', "
                "but got '<stream end>'"),
    ("seed=!!python/name:os.system x", "--set seed: found the tag !!python/name:os.system, expected a plain value "
                                       "without a tag: nothing in a spec is run"),
])
def test_an_option_is_named_as_it_was_written(override: str, sentence: str) -> None:
    assert problems(GRID, override) == [sentence]


# All at once, fast, and complete.

def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    text = GRID + "train: {betta: 1, lr_f: 0}\nevaluation: {samples: 0}\nseed: x\nsearch: {sampler: tpee}\n"
    assert problems(text, "confirm.top=0") == [
        "s.yaml:5: train.betta: unknown knob; did you mean beta?",
        "s.yaml:5: train.lr_f: found 0, expected a number > 0",
        "s.yaml:6: evaluation.samples: found 0, expected a whole number >= 2",
        "s.yaml:7: seed: found 'x', expected a whole number >= 0 and <= 2147483648",
        "s.yaml:8: search.sampler: unknown sampler 'tpee'; did you mean tpe?",
        "--set confirm.top: found 0, expected a whole number >= 1"]


def test_many_problems_are_the_first_hundred() -> None:
    lines = problems(GRID + "".join(f"k{i}: 1\n" for i in range(500)))
    assert len(lines) == 101 and lines[-1] == "s.yaml: these are the first 100 problems; there may be more"
    assert lines[0].startswith("s.yaml:5: k0: ") and lines[99].startswith("s.yaml:104: k99: ")


def test_long_words_are_cut_in_the_middle() -> None:
    line, = problems(GRID + "baseline: " + "a" * 5000 + "\n")
    assert len(line) < 2500 and "aaa ... aaa" in line


def test_a_study_that_nobody_meant() -> None:
    """Limits are on the whole, so that nothing takes minutes or all the memory."""
    levels = "[" + ", ".join(map(str, range(2, 6002))) + "]"
    assert problems(BASE.replace("[kl, jko]", "[kl, jko, hidden, ggcn]") + f"design: {{width: {levels}}}\n") == [
        "s.yaml:4: design: found 24,000 cells in 4 arms, expected at most 20,000 in all"]
    hundred = "[" + ", ".join(map(str, range(2, 102))) + "]"
    grid = f"design: {{width: {hundred}, batch_size: {hundred}, mcmc_steps: {hundred}}}\n"
    assert problems("study: s\ndata: digits\nmethod: kl\n" + grid) == [
        "s.yaml:4: design: found 1,000,000 cells in arm kl, expected at most 20,000"]
    arms = "".join(f"  a{i}: {{method: kl, updates: {i + 1}}}\n" for i in range(101))
    assert problems(ARMS + "arms:\n" + arms) == ["s.yaml:4: arms: found 101 arms, expected at most 100"]


def test_an_arm_gives_no_settings_that_are_not_confirmed_of_itself() -> None:
    text = "study: s\ndata: moons\nmethod: [kl, jko]\nsearch: {space: {step_size: {log: [0.1, 0.2]}}}\n"
    assert problems(text + "confirm: {top: 1, exchange: 2}\n") == [
        "s.yaml:5: confirm.exchange: found 2, expected at most 1, those of an arm that are confirmed (confirm.top)"]


def test_a_long_choice_is_checked_at_its_ends() -> None:
    """Null beside numbers: every combination of thousands of choices would take minutes."""
    many = "{choice: [null, " + ", ".join(map(str, range(1, 5000))) + "]}"
    text = f"study: s\ndata: digits\nmethod: jko\nsearch: {{space: {{beta: {many}, sigma: {{low: 1, high: 2}}}}}}\n"
    assert loads(text).search is not None
    assert problems(text.replace("beta:", "jko_weight: 1, beta:")) == [
        "s.yaml:4: search.space.beta: beta and jko_weight both set the penalty's weight; give one"]


def test_a_bad_spec_is_refused_without_heavy_imports(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(BASE + "serch: {}\n")
    code = ("import sys\nfrom study.spec import load\nfrom study.spec.problems import SpecError\n"
            f"try:\n    load({str(tmp_path / 's.yaml')!r})\nexcept SpecError as e:\n    print(len(e.problems))\n"
            "print(sorted({'torch', 'ray', 'optuna', 'mlflow', 'pandas', 'numpy', 'scipy'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])
    assert done.stdout == "2\n[]\n"


def test_corners_cover_every_knob_that_combinations_read() -> None:
    """What a knob says that it enters, against what `conflicts` really looks at."""
    class Watched(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            read.add(key)
            return super().get(key, default)

        def __contains__(self, key: object) -> bool:
            read.add(str(key))
            return super().__contains__(key)

    for cls in METHODS.values():
        read = set()
        for values in ({}, {"chain": "noise"}, {"flow": "kl"}, {"beta": 1.0}):
            cls.conflicts(Watched(values))
        assert read & {f.name for f in fields(cls)} <= cls.entering("conflicts")


def test_a_network_that_the_data_cannot_have_or_that_is_nowhere() -> None:
    plane = "study: s\ndata: rings\nmethod: [kl, jko]\n"
    sentence = "found convnet, expected mlp: points in the plane have no pixels"
    assert problems(plane + "train: {network: convnet}\ndesign: {step_size: [0.1]}") == [
        f"s.yaml:4: train.network: {sentence}"]
    assert problems(plane + "design: {network: [mlp, convnet]}") == [f"s.yaml:4: design.network: {sentence}"]
    assert problems(plane + "search: {space: {network: {choice: [mlp, convnet]}}}") == [
        f"s.yaml:4: search.space.network: {sentence}"]
    assert problems(plane + "train: {network: mylab.nets:Deep}\ndesign: {step_size: [0.1]}") == [
        "s.yaml:4: train.network: found 'mylab.nets:Deep', expected a module that can be imported: "
        "ModuleNotFoundError: No module named 'mylab'; a spec names it under import: mylab"]
    assert loads(GRID + "train: {network: mlp}\n").arms["kl"].hparams({}).network == "mlp"


OUTSIDE = "tests.models.test_new_method:Centred"


def test_a_method_from_outside_is_an_arm_with_its_own_knobs_or_a_sentence() -> None:
    text = "study: s\ndata: rings\ndesign: {step_size: [0.1, 0.2]}\n"
    found = loads(text + f"method: [kl, '{OUTSIDE}']\ntrain: {{Centred: {{centring: 0.5}}}}\n")
    assert {name: arm.method for name, arm in found.arms.items()} == {"kl": "kl", "Centred": OUTSIDE}
    assert found.arms["Centred"].full({})["centring"] == 0.5 and "centring" not in found.arms["kl"].full({})
    named = loads(text + f"arms: {{pulled: {{method: '{OUTSIDE}', centring: 0.5}}}}\n")
    assert named.arms["pulled"].hparams({}) == found.arms["Centred"].hparams({})
    assert problems(text + f"method: '{OUTSIDE}'\ntrain: {{centring: -1}}\n") == [
        "s.yaml:5: train.centring: found -1, expected a number >= 0"]
    assert problems(text + f"method: '{OUTSIDE}'\ntrain: {{centering: 1}}\n") == [
        "s.yaml:5: train.centering: unknown knob; did you mean centring?"]
    assert problems(text + f"method: [kl, '{OUTSIDE}s']\n") == [
        f"s.yaml:4: method[1]: found '{OUTSIDE}s', expected a method: tests.models.test_new_method has no Centreds; "
        "did you mean Centred?"]
    assert problems(text + "arms: {lost: {method: 'mylab.tempered:Tempered'}}\n") == [
        "s.yaml:4: arms.lost.method: found 'mylab.tempered:Tempered', expected a module that can be imported: "
        "ModuleNotFoundError: No module named 'mylab'; a spec names it under import: mylab"]
