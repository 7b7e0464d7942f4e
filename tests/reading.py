r"""How long a chapter is to read, and what of its form can be counted.

`python tests/reading.py 04` says it of one chapter, without a number of all.
The main line is everything but sections whose title ends with "(second reading)" and the
exercises. Minutes: one for 200 words, one for ten lines of open code, two for a displayed
formula.
"""

import math
import re
import sys
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.M | re.S)
DISPLAY = re.compile(r"\$\$.*?\$\$", re.S)
MINUTES = re.compile(r"^\| .* \| (\d+)(?: \+ (\d+) second reading)? \| .* \|$", re.M)
SECOND = "(second reading)"
LINES, WORDS, SENTENCE, PARAGRAPH, LONGEST = 25, 4500, 40, 120, 120


def body(text):
    r"""The text below its header."""
    return text.split("---\n", 2)[2]


def sections(text):
    r"""The pieces between headings: (level, title, content), code never a heading."""
    hidden = CELL.sub(lambda m: re.sub(r"^#", "\0", m[0], flags=re.M), body(text))
    pieces = re.split(r"^(#{1,4}) ([^\n]*)\n", hidden, flags=re.M)
    for marks, title, content in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        yield len(marks), title, content.replace("\0", "#")


def parted(text):
    r"""(main line, second reading): each the joined contents of its sections."""
    main, second, inside = [], [], None  # inside: the level of what is not the main line
    for level, title, content in sections(text):
        if inside is not None and level <= inside[0]:
            inside = None
        if inside is None and (title.endswith(SECOND) or title == "Exercises"):
            inside = (level, title)
        if inside is None:
            main.append(content)
        elif inside[1] != "Exercises":
            second.append(content)
    return "\n".join(main), "\n".join(second)


def prose(content):
    r"""Text without code, displays, tables and addresses; a formula counts as a word."""
    content = DISPLAY.sub("", CELL.sub("", content))
    content = re.sub(r"\$[^$]*\$", "x", content)
    content = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", content)
    return "\n".join(line for line in content.splitlines() if not line.startswith("|"))


def open_cells(content):
    r"""Sources of the cells that a reader sees without opening them."""
    for cell in CELL.findall(content):
        if "source_hidden" not in cell:
            yield "\n".join(
                line for line in cell.splitlines() if not re.match(r":\w+: ", line)
            ).strip()


def minutes(content):
    r"""Minutes for its words, open code and displayed formulas, up to the next 5."""
    words = len(prose(content).split())
    lines = len("\n".join(open_cells(content)).splitlines())
    found = words / 200 + lines / 10 + 2 * len(DISPLAY.findall(CELL.sub("", content)))
    return 5 * math.ceil(found / 5)


def sentences(content):
    r"""The sentences of the prose that are longer than `SENTENCE` words."""
    for paragraph in re.split(r"\n\s*\n", prose(content)):
        for one in re.split(r"(?<=[.?!:])\s+|\n(?=[-\d])", paragraph):
            if len(one.split()) > SENTENCE:
                yield " ".join(one.split())


def faults(text):
    r"""What is too long in a chapter, or says less than it could, in words."""
    main, second = parted(text)
    wrong = [
        f"a cell of {len(source.splitlines())} lines, {LINES} at most: {source[:50]!r}"
        for source in open_cells(main + second)
        if len(source.splitlines()) > LINES
    ]
    words = len(prose(main).split())
    if words > WORDS:
        wrong.append(f"{words} words in the main line, {WORDS} at most")
    wrong += [f"a sentence of more than {SENTENCE} words: {s}" for s in sentences(main)]
    wrong += [
        f"a paragraph of more than {PARAGRAPH} words: {' '.join(p.split()[:9])}"
        for p in re.split(r"\n\s*\n", prose(main))
        if len(p.split()) > PARAGRAPH and not p.lstrip().startswith(("-", "1."))
    ]
    said = MINUTES.search(text)
    wanted = (minutes(main), minutes(second) if second.strip() else 0)
    if not said or tuple(int(part or 0) for part in said.groups()) != wanted:
        wrong.append(f"its minutes are {wanted}, the table says {said and said.groups()}")
    if wanted[0] > LONGEST:
        wrong.append(f"{wanted[0]} minutes for the main line, {LONGEST} at most")
    wrong += [
        f"a printed {found}: print the number instead"
        for found in re.findall(r"print\([^\n]*, (?:True|False)\)", text)
    ]
    return wrong + ["noqa is for no reader"] * ("noqa" in text)


def main():
    for number in sys.argv[1:] or ["[0-9][0-9]"]:
        for path in sorted(NOTEBOOKS.glob(f"{number}_*.md")):
            text = path.read_text("utf-8")
            main, second = parted(text)
            print(
                f"{path.stem}: {len(prose(main).split())} words, {minutes(main)} minutes; "
                f"second reading {len(prose(second).split())} words, {minutes(second)}"
            )
            for fault in faults(text):
                print("   ", fault)


if __name__ == "__main__":
    main()
