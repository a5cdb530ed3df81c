"""The `evaluation` section: when and with how much a model is judged, and by which networks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from models.data.datasets import info_of
from models.measures.table import Measure
from study.schema.unit import Evaluation
from study.spec.check_data import SPLITS
from study.spec.knobs import is_number
from study.spec.places import SECTIONS
from study.spec.problems import Path
from study.spec.reading import Reader

WHERE = ("evaluation",)
FEATURES = (*WHERE, "features")
MOST_AIS_STEPS = 100_000


def read_evaluation(reader: Reader, data: str, sizes: Mapping[str, int], has_confirm: bool,
                    chains: Mapping[str, int], base: str) -> Evaluation:
    """Samples are as many as 256 by default, or as the smallest split has that they are compared with, or as an arm has
    persistent chains (`chains`): its samples are those. base: what the path of features is relative to."""
    given = reader.mapping(WHERE, SECTIONS["evaluation"])
    split = reader.word((*WHERE, "split"), given.get("split", "search"), tuple(sizes) or SPLITS)
    splits = {split, "confirm"} if has_confirm else {split}
    room, smallest = min((sizes[name], name) for name in splits) if sizes else (256, split)
    samples = reader.whole(WHERE, "samples", min([256, room, *chains.values()]), 2)
    if data and samples > room:
        reader.report((*WHERE, "samples"), f"found {samples}, expected at most {room}: the {smallest} split of "
                                           f"{data} has no more")
    arm = min(chains, key=chains.__getitem__, default="")
    if arm and chains[arm] < samples <= room:
        reader.report((*WHERE, "samples"), f"found {samples}, expected at most particles = {chains[arm]} of "
                                           f"arm {arm} (chain: persistent)")
    if given.get("features") is not None and (info := info_of(data)) and not info.sizes:
        reader.report(FEATURES, f"found an extractor of images, expected none: {data} is data in the plane")
    return Evaluation(points=reader.whole(WHERE, "points", 20, 1), samples=samples,
                      long_run=reader.whole(WHERE, "long_run", 10, 1), split=split,
                      ais_steps=reader.whole(WHERE, "ais_steps", 0, 0, MOST_AIS_STEPS),
                      features=_features(reader, base) if given.get("features") is not None else None,
                      measures=_measures(reader, given.get("measures"), data, samples))


def _measures(reader: Reader, value: Any, data: str, samples: int) -> list[str]:
    """Those from outside that data of this name or kind can have."""
    found: dict[str, Measure] = {}
    for i, place in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
        where: Path = (*WHERE, "measures", i) if isinstance(value, list) else (*WHERE, "measures")
        if not isinstance(place, str) or ":" not in place:
            reader.report(where, f"found {place!r}, expected package.module:name: built-in ones are taken anyway")
            continue
        one: Measure | None = reader.find(where, "measure", place)
        if one is None:
            continue
        info = info_of(data)
        here = "plane" if info and not info.sizes else "images"
        if twin := next((other for other, m in found.items() if m.family == one.family), ""):
            reader.report(where, f"found {place!r}, expected another family than {one.family}, which {twin} has")
        elif data and here not in one.places:
            reader.report(where, f"found {place!r}, expected a measure of {here}, what {data} is: it states places "
                                 f"{', '.join(one.places)}")
        elif data and "data's density" in one.needs and not (info and info.density):
            reader.report(where, f"found {place!r}, which needs the data's density: that of {data} is not known")
        elif one.least > samples:
            reader.report(where, f"found {place!r}, which needs evaluation.samples >= {one.least}, found {samples}")
        found[place] = one
    return list(found)


def _features(reader: Reader, base: str) -> dict[str, Any]:
    """The user's extractor, as `FeatureFile` takes it; the file itself is opened by the plan."""
    given = reader.mapping(FEATURES, SECTIONS["evaluation.features"])
    file, checksum = given.get("file"), given.get("sha256")
    if not isinstance(file, str) or not file or "\0" in file:
        reader.report((*FEATURES, "file"), f"found {file!r}, expected the path of an archive of torch.export.save")
        file = ""
    if not isinstance(checksum, str) or not re.fullmatch("[0-9A-Fa-f]{64}", checksum):
        reader.report((*FEATURES, "sha256"), f"found {checksum!r}, expected the file's checksum, 64 hex digits "
                                             "(sha256sum FILE prints it)")
        checksum = ""
    if given.get("size") is None:
        reader.report((*FEATURES, "size"), "missing; expected how many pixels a side the network takes")
    channels = reader.whole(FEATURES, "channels", 3, 1, 16)
    return {"file": os.path.abspath(os.path.join(base, os.path.expanduser(file))), "sha256": checksum.lower(),
            "size": reader.whole(FEATURES, "size", 32, 1, 2048), "channels": channels,
            "mean": _levels(reader, given, "mean", channels), "sd": _levels(reader, given, "sd", channels)}


def _levels(reader: Reader, given: Mapping[str, Any], key: str, channels: int) -> list[float]:
    """One number, or one a channel."""
    value = given.get(key, 0.5)
    numbers = value if isinstance(value, list) else [value]
    if len(numbers) not in (1, channels) or not all(is_number(n) and (key == "mean" or n > 0) for n in numbers):
        reader.report((*FEATURES, key), f"found {value!r}, expected a number{' > 0' if key == 'sd' else ''}, or "
                                        f"{channels} of them, one a channel")
        return [0.5]
    return [float(n) for n in numbers]
