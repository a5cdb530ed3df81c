"""The `data` section: a built-in data set, or images on disk."""

from __future__ import annotations

import os
from typing import Any

from models.datasets import DATASETS
from models.disk.options import HELD_OUT, KINDS, kind_of, problems, resolved
from study.spec.reading import Reader
from study.spec.yaml_text import Document

SPLITS = ("train", "search", "confirm")


def base_of(document: Document) -> str:
    """What paths of data are relative to: the study's file, so that both may move together; with --set, where it is
    typed."""
    typed = any(path[:1] == ("data",) for path in document.options)
    return "" if typed else os.path.dirname(document.name)


def read_data(reader: Reader, base: str) -> tuple[dict[str, Any], str, dict[str, int]]:
    """The section with defaults filled in; the data set's name or the kind of images on disk, "" where it is wrong; and
    the sizes of its splits, as far as they are known before the data are looked at."""
    value = reader.raw.get("data")
    if isinstance(value, dict) and (kind := kind_of(value)):
        found = list(problems(value, base))
        for key, message in found:
            reader.report(("data", *key), message)
        if found:
            return {"name": "", "size": None}, "", {}
        data = resolved(value, base)
        return data, kind, {split: data["splits"][split] for split in HELD_OUT}
    nested = isinstance(value, dict)
    given = reader.mapping(("data",), ("name", "size", *KINDS)) if nested else {"name": value}
    name, size = given.get("name"), given.get("size")
    where = ("data", "name") if nested else ("data",)
    if name is None:
        reader.report(where, f"missing; expected one of {', '.join(DATASETS)}")
    elif not isinstance(name, str) or name not in DATASETS:
        reader.unknown(where, name, DATASETS, "data set")
    else:
        info = DATASETS[name]
        if problem := info.size_problem(size):
            reader.report(("data", "size"), problem)
        return ({"name": name, "size": info.default_size if size is None else size}, name,
                {split: getattr(info, split) for split in SPLITS})
    return {"name": "", "size": None}, "", {}
