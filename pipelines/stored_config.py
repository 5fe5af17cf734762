"""A config that a run has dumped, read as data."""

import ast
from typing import Any


def parse_config(text: str) -> dict[str, Any]:
    """The content of a dumped config, of which nothing is executed.

    Raises:
        SyntaxError, ValueError: if it holds anything but literals and `dict(...)`.
    """
    content = {}
    try:
        for line in ast.parse(text).body:
            if not (isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)):
                raise ValueError(f"line {line.lineno} of a config is no assignment")
            content[line.targets[0].id] = _literal(line.value)
    except (TypeError, RecursionError, MemoryError) as error:  # odd arguments, or nested too deeply
        raise ValueError(f"a config holds what is no data: {error}") from error
    return renamed(content)


def renamed(content: dict[str, Any]) -> dict[str, Any]:
    """A config of an earlier version, by today's keys."""
    old = content.pop("pixels_of", None)
    if old is not None:
        content["protocol"] = "same" if old == "config" else "own"
    return content


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="dict"), args=args, keywords=keywords):
            named = {str(keyword.arg): _literal(keyword.value) for keyword in keywords}
            return dict(*map(_literal, args), **named)
        case ast.Dict(keys=keys, values=values):
            names = (ast.literal_eval(key) for key in keys if key is not None)
            return dict(zip(names, map(_literal, values), strict=True))
        case ast.List(elts=elements):
            return [_literal(element) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_literal(element) for element in elements)
    return ast.literal_eval(node)
