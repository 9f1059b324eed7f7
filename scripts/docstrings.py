#!/usr/bin/env python3
"""Copies the docstrings of python/framefeed/_framefeed.pyi into the doc comments of python/src, for `help()`.

Editors read the stubs and `help()` reads the compiled module, so both have the same text. It is written in the stubs;
after a change there, run this script. python/tests/test_package.py compares the two.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUBS = ROOT / "python" / "framefeed" / "_framefeed.pyi"
SOURCES = sorted((ROOT / "python" / "src").glob("*.rs"))
CLASS = re.compile(r"#\[pyclass\(([^\]]*)\)\](?:\n#\[.*\])*\npub\(crate\) struct (\w+)")
STRUCT = re.compile(r"^pub\(crate\) struct (\w+)")
NAME = re.compile(r'\bname = "(\w+)"')
METHODS = re.compile(r"^impl (\w+)(?:<.*>)? \{")
FUNCTION = re.compile(r"^( *)(?:pub\(crate\) )?fn (\w+)")


def stub_docstrings() -> dict[str, str]:
    """By name, `Class.method` for methods. What is overloaded has one text."""
    found: dict[str, str] = {}

    def see(name: str, node: ast.ClassDef | ast.FunctionDef) -> None:
        text = ast.get_docstring(node)
        if text:
            found[name] = text

    for node in ast.parse(STUBS.read_text()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            see(node.name, node)
        for member in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(member, ast.FunctionDef):
                see(f"{node.name}.{member.name}", member)
    return found


def with_docs(lines: list[str], docstrings: dict[str, str], classes: dict[str, str]) -> list[str]:
    """The lines of a Rust file, with the doc comments of what Python sees in the place of those that were there."""
    written: list[str] = []
    owner: str | None = None  # of the methods that follow
    is_python = False
    for line in lines:
        name: str | None = None
        if line.startswith("}"):
            owner = None
        elif struct := STRUCT.match(line):
            name = classes.get(struct[1])
        elif methods := METHODS.match(line):
            owner = classes.get(methods[1]) if is_python else None
        elif function := FUNCTION.match(line):
            name = f"{owner}.{function[2]}" if owner and function[1] else None
            if "#[pyfunction]" in block(written):
                name = function[2]
        is_python = line.startswith("#[pymethods]")
        if name in docstrings:
            above = block(written)
            del written[len(written) - len(above) :]
            indent = line[: len(line) - len(line.lstrip())]
            written += [f"{indent}/// {text}".rstrip() for text in docstrings[name].split("\n")]
            written += [text for text in above if not text.strip().startswith("///")]
        written.append(line)
    return written


def block(lines: list[str]) -> list[str]:
    """The comments and attributes at the end of these lines: what belongs to the item that follows."""
    start = len(lines)
    while start > 0 and lines[start - 1].strip() and not METHODS.match(lines[start - 1]):
        start -= 1
    return lines[start:]


def main() -> int:
    docstrings = stub_docstrings()
    texts = {path: path.read_text() for path in SOURCES}
    classes: dict[str, str] = {}
    for text in texts.values():
        for options, rust in CLASS.findall(text):
            name = NAME.search(options)
            classes[rust] = name[1] if name else rust
    for path, text in texts.items():
        path.write_text("\n".join(with_docs(text.split("\n"), docstrings, classes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
