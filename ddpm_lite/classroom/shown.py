r"""Names and texts that students chose, shown so that they do nothing where they are read.

A folder may be named with line breaks, with letters that are no Unicode, or with a formula
for a spreadsheet; an error may say anything. What is shown is one line that a terminal, a
table, a page and a file name can hold.
"""

import hashlib
import re
import unicodedata

LONGEST = 2000  # characters of a text
_NAME = 100  # characters of a name
# Where a spreadsheet may see the start of a cell: at the start, and behind what some
# settings take for a separator. What it would run begins with one of these, also wide.
_RUN = r"(?=[=+\-@\uff1d\uff0b\uff0d\uff20])"
_FORMULA = re.compile(rf"(^\s*|[;,|]\s*){_RUN}")
_GUARDED = re.compile(rf"(^\s*|[;,|]\s*)'{_RUN}")


def plain(text, longest=LONGEST):
    r"""A text in one line: white space as one space, what cannot be printed as \x1b."""
    text = " ".join(str(text)[: 4 * longest].split())
    text = "".join(c if c.isprintable() else _escaped(c) for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "\u2026"


def name(text):
    r"""A name in one line, other names otherwise; equal ones in NFC and NFD are one."""
    text = unicodedata.normalize("NFC", text)
    shown = "".join(
        c if (c.isprintable() or c == "\u3000") and c != "\\" else _escaped(c) for c in text
    )
    if len(shown) <= _NAME:
        return shown
    return f"{shown[: _NAME - 10]}\u2026{_mark(text)}"


def cell(text):
    r"""A text for one cell of a CSV file, in which no spreadsheet finds a formula."""
    return _FORMULA.sub(lambda found: found[0] + "'", plain(text, 30_000))


def text_of(cell):
    r"""The text that `cell` made this of."""
    return _GUARDED.sub(r"\1", cell)


def file_name(text):
    r"""A name for a file: no path, no hidden file, at most 100 bytes, other for others."""
    safe = re.sub(r"[^\w .@+-]", "_", text).strip(" .-")
    while len(safe.encode("utf-8", "replace")) > 80:
        safe = safe[:-1]
    return safe if safe == text and safe else f"{safe or 'student'}-{_mark(text)}"


def _mark(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _escaped(c):
    code = ord(c)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8
        code -= 0xDC00
    if c == "\\":
        return r"\\"
    if code < 256:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
