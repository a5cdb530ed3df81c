"""The options of the command line, and their help."""

from __future__ import annotations

import argparse

from models.registry import METHODS
from study.store.files import DEFAULT_STORAGE

MOST = 2**53  # whole numbers that are exact wherever they go


def parser() -> argparse.ArgumentParser:
    """Of `python -m study.launch`."""
    made = argparse.ArgumentParser(prog="python -m study.launch", description="Run a study, or continue it: finished "
                                     "work is never run again.", epilog="Exit codes: 0 finished, 1 a unit of work was "
                                     "lost, 2 bad input, 130 interrupted (the same command continues).")
    made.add_argument("--space", required=True, metavar="FILE", help="the study, as YAML (see search_spaces/)")
    only_look = made.add_mutually_exclusive_group()
    only_look.add_argument("--dry-run", action="store_true", help="print the plan, predicted limits and cost; stop")
    only_look.add_argument("--status", action="store_true", help="print what is finished, running and left; start "
                           "nothing")
    only_look.add_argument("--diff", metavar="FILE", help="print where each arm's effective settings differ from those "
                           "of another study, such as one of search_spaces/presets; start nothing")
    _add_places(made)
    made.add_argument("--address", metavar="ADDR", help="a Ray cluster's address, or auto (default: this machine)")
    made.add_argument("--max-concurrent", type=_positive, metavar="N", help="at most so many units at once (default: "
                        "as many as there are CPUs for)")
    made.add_argument("--insecure", action="store_true", help="go to a cluster that others can reach without a token")
    volume = made.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="no line for each unit, no live view")
    volume.add_argument("--verbose", action="store_true", help="let Ray and its workers speak, too")
    return made


def restore_parser() -> argparse.ArgumentParser:
    """Of `python -m study.restore`."""
    made = argparse.ArgumentParser(prog="python -m study.restore", description="Write finished units of work that the "
                                   "storage lost, or that are damaged there, again from what MLflow shows.",
                                   epilog="Exit codes: 0 done, 2 bad input, or nothing that can be restored, "
                                   "130 interrupted (the same command goes on).")
    made.add_argument("--space", required=True, metavar="FILE", help="the study, as YAML (see search_spaces/)")
    _add_places(made)
    return made


def sample_parser() -> argparse.ArgumentParser:
    """Of `python -m study.sample`."""
    made = argparse.ArgumentParser(
        prog="python -m study.sample", description="Sample from a network that a study has trained: by default from "
        "the replicate with the best primary measure, of the configuration with the best mean. Writes samples.png "
        "(the first 64), samples.npy (all) and samples.json (what they are of).",
        epilog="Exit codes: 0 done, 2 bad input, 130 interrupted.")
    _add_kept(made)
    which = made.add_mutually_exclusive_group()
    which.add_argument("--arm", metavar="NAME", help="the best of this arm (default: of all arms)")
    which.add_argument("--trial", metavar="HASH", help="this configuration: the first digits of its hash, as MLflow "
                       "and the report show it")
    made.add_argument("--replicate", type=_whole, metavar="SEED", help="with --trial: of this training seed (default: "
                      "the best)")
    made.add_argument("-n", type=_positive, metavar="N", help="how many samples (default: 64, or as many as there are "
                      "persistent chains)")
    made.add_argument("--steps", type=_positive, metavar="T", help="of fresh chains from the reference (default: as "
                      "training sees them: persistent chains as they stand, else fresh chains of mcmc_steps)")
    made.add_argument("--seed", type=_whole, default=0, metavar="S", help="of the samples' chance (default: "
                      "%(default)s)")
    made.add_argument("--out", default="samples", metavar="DIR", help="where to write (default: ./%(default)s)")
    return made


def new_parser() -> argparse.ArgumentParser:
    """Of `python -m study.new`."""
    made = argparse.ArgumentParser(
        prog="python -m study.new", description="Look at your own images, and write a small study of them that can be "
        "launched as it is: size, channels and splits that fit.",
        epilog="Exit codes: 0 done, 2 bad input, 130 interrupted.")
    images = made.add_mutually_exclusive_group(required=True)
    images.add_argument("--images", metavar="DIR", help="a folder of images, at any depth")
    images.add_argument("--parquet", metavar="FILE", help="Parquet files with a column of encoded images: one, a "
                        "folder of them, or a pattern")
    made.add_argument("--classes", action="store_true", help="with --images: each folder in DIR has the images of a "
                      "class, by which a classifier is trained to judge samples")
    made.add_argument("--column", default="image", help="with --parquet: the images' column (default: %(default)s)")
    made.add_argument("--out", metavar="FILE", help="the study's file (default: its name with .yaml, in this folder)")
    made.add_argument("--force", action="store_true", help="write it where there is such a file already")
    made.add_argument("--study", metavar="NAME", help="the study's name (default: that of the images' folder or file)")
    made.add_argument("--size", type=_positive, metavar="N", help="pixels a side, 8 to 64 (default: the images' own, "
                      "at most 16, so that it ends in minutes; time grows with its square)")
    made.add_argument("--method", nargs="+", default=["kl", "jko"], choices=METHODS, metavar="NAME", help="which to "
                      f"compare, of {', '.join(METHODS)} (default: kl jko)")
    return made


def measure_parser() -> argparse.ArgumentParser:
    """Of `python -m study.measure`."""
    made = argparse.ArgumentParser(
        prog="python -m study.measure", description="Take measures of what a study has trained, where its networks are "
        "kept, and add them to its records and to MLflow. What is there already is not taken again.",
        epilog="Exit codes: 0 done, 2 bad input, 130 interrupted (the same command goes on).")
    _add_kept(made)
    made.add_argument("--add", nargs="+", required=True, metavar="MEASURE", help="names such as kid_clf64_512, with "
                      "the number of samples (docs/metrics/table.md), or package.module:name, a measure of your own")
    _add_stores(made)
    return made


def _add_kept(made: argparse.ArgumentParser) -> None:
    made.add_argument("--study", required=True, metavar="NAME", help="the study's name")
    made.add_argument("--storage", default=DEFAULT_STORAGE, metavar="URI", help="where the study's launches left "
                      "their files: a path or s3://... (default: %(default)s)")
    made.add_argument("--modules", default=".", metavar="DIR", help="where your own modules lie, of a study that "
                      "imports some (default: this folder)")
    made.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda or cuda:1 (default: %(default)s)")


def _add_places(made: argparse.ArgumentParser) -> None:
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="replace a value of the file, such as design.replicates=10; may be given again")
    made.add_argument("--storage", default=DEFAULT_STORAGE, metavar="URI", help="where units of work leave "
                      "their files: a path or s3://... (default: %(default)s)")
    _add_stores(made)


def _add_stores(made: argparse.ArgumentParser) -> None:
    made.add_argument("--tracking-uri", metavar="URI", help="MLflow's store or server (default: "
                        "MLFLOW_TRACKING_URI where that is set, else mlflow.db in this folder); a server has to answer "
                        "at a study's first launch, and may come and go afterwards")
    made.add_argument("--takeover", action="store_true", help="take the study from a launch that seems to hold it on "
                        "an object store, at once (without it: after it has been silent for 30 s)")


def _positive(text: str) -> int:
    return _whole(text, 1)


def _whole(text: str, least: int = 0) -> int:
    if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from {least} to {MOST}")
    return int(text)
