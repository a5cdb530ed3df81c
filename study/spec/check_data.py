"""The `data` section: a built-in data set, or images on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from models.data.datasets import DATASETS, info_of
from models.data.disk.options import HELD_OUT, KINDS, kind_of, problems, resolved
from models.registry import FindError
from study.spec.places import unknown
from study.spec.problems import nearest
from study.spec.reading import Reader
from study.spec.written import as_number
from study.spec.yaml_text import Document

SPLITS = ("train", "search", "confirm")
NUMBERS = ("size", "channels", "refuse_broken")  # keys of images on disk that take one


def base_of(document: Document, key: str = "data") -> str:
    """What paths of a section are relative to: the study's file, so that both may move together; with --set, where it
    is typed."""
    typed = any(path[:1] == (key,) for path in document.options)
    return "" if typed else os.path.dirname(document.name)


def read_data(reader: Reader, base: str) -> tuple[dict[str, Any], str, dict[str, int]]:
    """The section with defaults filled in; the data set's name or the kind of images on disk, "" where it is wrong; and
    the sizes of its splits, as far as they are known before the data are looked at."""
    value = reader.raw.get("data")
    if isinstance(value, dict) and (kind := kind_of(value)):
        found = list(problems(value, base, lambda key, here: unknown(key, here, section="data"),
                              reader.needs_data))
        for key, message in found:
            path = ("data", *key)
            if key[-1] in (*KINDS, "column"):
                message += reader.in_quotes(path)
            elif key[-1] in NUMBERS:
                message += as_number(value.get(key[-1]), whole=key[-1] != "refuse_broken")
            reader.report(path, message)
        if found:
            return {"name": "", "size": None}, "", {}
        data = resolved(value, base)
        return data, kind, {split: data["splits"][split] for split in HELD_OUT}
    nested = isinstance(value, dict)
    given = reader.mapping(("data",), ("name", "size", *KINDS)) if nested else {"name": value}
    name, size = given.get("name"), given.get("size")
    where = ("data", "name") if nested else ("data",)
    if name is None:
        if not any(path[:1] == ("data",) for path, _ in reader.problems):
            reader.report(where, f"missing; expected {_choices()}")
    elif not isinstance(name, str) or (name not in DATASETS and ":" not in name):
        near = nearest(name, DATASETS, 0.7)
        reader.report(where, f"unknown data set {name!r}; " + (f"did you mean {near}?" if near else
                                                               f"expected {_choices(name)}"))
    else:
        try:
            info = info_of(name)
        except FindError as wrong:
            reader.report(where, str(wrong))
            return {"name": "", "size": None}, "", {}
        assert info is not None
        if problem := info.size_problem(size):
            reader.report(("data", "size"), problem + (as_number(size, whole=True) if info.sizes else ""))
        if lacks := info.lacks():
            reader.report(where, lacks)
        return ({"name": name, "size": info.default_size if size is None else size}, name,
                {split: getattr(info, split) for split in SPLITS})
    return {"name": "", "size": None}, "", {}


def shape_of(kind: str, data: Mapping[str, Any]) -> tuple[int, ...]:
    """(C, H, W) or (2,), of data that `read_data` found to be of this name or kind."""
    info = info_of(kind)
    return info.shape(data["size"]) if info else (data["channels"], data["size"], data["size"])


def _choices(name: Any = None) -> str:
    """The data sets by name, and how to name images on disk: those at a path that stands for a name, say."""
    name = name if isinstance(name, str) else ""
    path = name if os.sep in name else "PATH"
    kind = name if name in KINDS else "parquet" if path.endswith(".parquet") else "folder"
    return (f"one of {', '.join(DATASETS)}, package.module:Name, or images on disk, such as "
            f"{{{kind}: {path}, size: 32, channels: 3}}")
