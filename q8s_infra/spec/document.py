"""YAML that anybody may have written: what can't be read is told with its place in the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """Safe YAML in which no key stands twice (PyYAML takes the last one) and no error is without its line."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping, refused where a key of it stands twice."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number; what YAML 1.1 reads in base 8 or 60 is refused: it is hardly meant."""
        number: int = super().construct_yaml_int(node)
        digits = node.value.lstrip("+-")
        if ":" in digits or re.fullmatch("0[0-9_]+", digits):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"{node.value} is read as the number {number}: write that, or in quotes if it is text",
                node.start_mark,
            )
        return number

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value; what PyYAML hands to int(), date() and others, and they refuse, is an error of the file."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(None, None, f"is no {kind}", node.start_mark) from None


Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)


def text_of(path: Path) -> str:
    """A file's text.

    Raises:
        ValueError: there is none, and why.
    """
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is no text in UTF-8: byte {error.start} is none") from None
    except ValueError as error:
        raise ValueError(f"is no file's name: {error}") from None


def content_of(text: str, loader: type[Loader] = Loader) -> Any:
    """What a YAML text holds.

    Raises:
        ValueError: it is none, and where.
    """
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"is no valid YAML: {error}") from None
    except RecursionError:
        raise ValueError("is no YAML that can be read: too many levels") from None
