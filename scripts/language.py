#!/usr/bin/env python3
"""How the sources read, in figures: fragments among doc comments, one-word function names, and so on.

    scripts/language.py                 prints the table of docs/style.md for src/
    scripts/language.py --check         also fails where one of the first three figures is worse than there
    scripts/language.py --list WHAT     the places behind a figure: fragments, functions, types, tuples, undocumented

Unit tests (an inline `#[cfg(test)] mod`) do not count. A doc comment is a fragment when its first word
is one of FRAGMENT_STARTS. The compiler asks for documentation of what leaves the crate alone; here every `pub` item
counts, fields aside. Python 3.9 or newer, standard library only.
"""

import argparse
import re
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "style.md"

FRAGMENT_STARTS = frozenset(
    "What Whether Where How Who Which Its Of Why When As Their They It By On From To Those That With "
    "Without In Until At Nobody Nothing One Something Everything Whatever Whoever There These".split()
)
# Names that traits and networks prescribe, or that are local to a module by convention.
SHARED_TYPE_NAMES = frozenset(
    "Params Config In Out Item Err Error Target State Output ObservableState Reply InnerBackend "
    "Record".split()
)

VISIBILITY = r"\s*(?:pub(?:\([^)]*\))? )?"
TYPE = re.compile(VISIBILITY + r"(?:struct|enum|trait|type) (\w+)")
FUNCTION = re.compile(VISIBILITY + r"(?:const )?(?:async )?(?:unsafe )?fn (\w+)")
SETTER = re.compile(r"\((mut )?self, .*\) -> Self")
TUPLE_LET = re.compile(r"\s*let (?:mut )?\(.*\) = \(")
CLOSURE = re.compile(r"\s*let (?:mut )?\w+ = (?:move )?\|")
TEST_ATTRIBUTE = re.compile(r"#\[cfg\((?:all\()?test")
DOCUMENTED = re.compile(r"\s*pub (?:(?:const|async|unsafe) )*(?:fn|struct|enum|trait|type|const|static) \w")
MODULE = re.compile(VISIBILITY + r"mod \w+ *\{")


@dataclass
class Figures:
    """Counts over all files, and the places behind them."""

    file_lines: list = field(default_factory=list)
    code_lines: int = 0
    doc_comments: int = 0
    functions: int = 0
    fragments: list = field(default_factory=list)
    one_word: list = field(default_factory=list)
    tuples: list = field(default_factory=list)
    undocumented: list = field(default_factory=list)
    closures: int = 0
    types: dict = field(default_factory=lambda: defaultdict(list))

    def repeated_types(self):
        return {name: places for name, places in self.types.items() if len(places) > 1}

    def repeated_in_one_room(self):
        repeated = []
        for name, places in self.types.items():
            rooms = [place.split("/")[0] for place in places]
            repeated += [(name, room) for room in set(rooms) if rooms.count(room) > 1]
        return repeated

    def fragment_percent(self):
        return 100 * len(self.fragments) / max(1, self.doc_comments)

    def one_word_percent(self):
        return 100 * len(self.one_word) / max(1, self.functions)


def lines_before_tests(lines):
    for number, (line, following) in enumerate(zip(lines, lines[1:])):
        if TEST_ATTRIBUTE.match(line) and MODULE.match(following):
            return number
    return len(lines)


def count_file(path, name, figures):
    lines = path.read_text(encoding="utf-8").splitlines()
    figures.file_lines.append(len(lines))
    previous_is_doc = False
    has_doc = False
    in_attribute = False
    counted = lines[: lines_before_tests(lines)]
    figures.code_lines += len(counted)
    for number, line in enumerate(counted, start=1):
        place = f"src/{name}:{number}"
        stripped = line.strip()
        is_doc = stripped.startswith("///")
        if is_doc and not previous_is_doc:
            first_word = stripped[3:].strip().split(" ")[0]
            if first_word:
                figures.doc_comments += 1
                if first_word.strip(".,:;`") in FRAGMENT_STARTS:
                    figures.fragments.append(f"{place}: {stripped}")
        previous_is_doc = is_doc
        if DOCUMENTED.match(line) and not has_doc:
            figures.undocumented.append(f"{place}: {stripped}")
        if stripped.startswith("#[") or in_attribute:
            in_attribute = not (stripped.endswith("]") or stripped.startswith("#[") and "]" in stripped)
        elif is_doc or not stripped.startswith("//"):
            has_doc = is_doc
        if found := TYPE.match(line):
            if found[1] not in SHARED_TYPE_NAMES:
                figures.types[found[1]].append(name)
        if found := FUNCTION.match(line):
            figures.functions += 1
            # A builder's setter has the name of its field, as the Rust API guidelines have it (C-BUILDER).
            if "_" not in found[1] and not SETTER.search(line):
                figures.one_word.append(f"{place}: {found[1]}")
        if TUPLE_LET.match(line):
            figures.tuples.append(f"{place}: {stripped}")
        figures.closures += bool(CLOSURE.match(line))


def count(src):
    figures = Figures()
    for path in sorted(src.rglob("*.rs")):
        count_file(path, path.relative_to(src).as_posix(), figures)
    if not figures.file_lines:
        sys.exit(f"language: {src} holds no Rust file; run it from a checkout")
    return figures


def table(figures):
    rows = [
        ("doc comments that begin as fragments", f"{figures.fragment_percent():.1f} %"),
        ("function names of one word", f"{figures.one_word_percent():.1f} %"),
        ("public items without documentation", f"{len(figures.undocumented)}"),
        ("type names defined more than once", len(figures.repeated_types())),
        ("type names defined more than once in one room", len(figures.repeated_in_one_room())),
        ("tuple-lets", len(figures.tuples)),
        ("named closures", figures.closures),
        ("lines, without unit tests", figures.code_lines),
        ("files", len(figures.file_lines)),
        ("median and largest file, in lines",
         f"{statistics.median(figures.file_lines):.0f}, {max(figures.file_lines)}"),
    ]
    return "\n".join(["| figure | value |", "|---|---|"] + [f"| {a} | {b} |" for a, b in rows])


def recorded(label):
    found = re.search(rf"^\| {re.escape(label)} \| ([0-9.]+)(?: %)? \|$", TABLE.read_text(), re.MULTILINE)
    if not found:
        sys.exit(f"language: {TABLE} has no row `{label}`; paste the printed table there")
    return float(found[1])


def worse(figures):
    """Lines about figures that are worse than docs/style.md records."""
    for label, now in [
        ("doc comments that begin as fragments", figures.fragment_percent()),
        ("function names of one word", figures.one_word_percent()),
        ("public items without documentation", len(figures.undocumented)),
    ]:
        limit = recorded(label)
        if round(now, 1) > limit:
            yield f"{label}: {now:.1f}, {limit} in docs/style.md; `--list` names the places"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--src", type=Path, default=ROOT / "src")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--list", choices=["fragments", "functions", "types", "tuples", "undocumented"])
    arguments = parser.parse_args()
    figures = count(arguments.src)
    if arguments.list:
        places = {
            "fragments": figures.fragments,
            "functions": figures.one_word,
            "types": [f"{name}: {', '.join(at)}" for name, at in figures.repeated_types().items()],
            "tuples": figures.tuples,
            "undocumented": figures.undocumented,
        }[arguments.list]
        print("\n".join(places))
        return
    print(table(figures))
    if arguments.check and (complaints := list(worse(figures))):
        sys.exit("\n".join(f"language: {line}" for line in complaints))


if __name__ == "__main__":
    main()
