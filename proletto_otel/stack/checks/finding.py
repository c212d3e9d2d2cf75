"""What a check says: where, what is wrong, and what to do."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

ERROR, WARNING = "error", "warning"
Texts = Mapping[str, str]
"""Path below the stack's folder -> text of the file."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    path: str
    problem: str
    fix: str
    level: str = ERROR
    """`error`: the stack, or a part of it, does not start or does not work."""


class _UniqueKeys(yaml.SafeLoader):
    """A loader that takes no key twice, as the servers do."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key, _ in node.value:
        # `<<` is no key of the mapping: `flatten_mapping` below puts in what it names.
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        name = loader.construct_object(key)
        if name in seen:
            raise yaml.MarkedYAMLError(None, None, f"the key {name!r} stands twice", key.start_mark)
        seen.add(name)
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


_UniqueKeys.add_constructor("tag:yaml.org,2002:map", _mapping)


@functools.lru_cache(maxsize=256)
def load(text: str) -> Any:
    """A YAML document; not to be changed, several checks read the same one.

    Raises:
        yaml.YAMLError: it does not parse, or has a key twice.
    """
    return yaml.load(text, _UniqueKeys)  # a SafeLoader: it builds plain values only


def documents(texts: Texts, folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, document) of every YAML file below *folder* that parses."""
    for path, text in texts.items():
        if path.startswith(folder) and path.endswith((".yaml", ".yml")):
            try:
                # One that does not parse is reported by `checks.files`.
                found = load(text)
            except yaml.YAMLError:
                continue
            if isinstance(found, Mapping):
                yield path, found
