"""Names in Markdown: text that is shown as it is."""

import re

ESCAPES = (  # the first first: it is in the others
    ("\\", "\\\\"),
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("|", "\\|"),
    ("`", "\\`"),
    ("*", "\\*"),
    ("](", "]\\("),
)


def as_markdown(text: object) -> str:
    """A text that Markdown shows as it is: in a table's cell, without HTML and links of its own."""
    line = " ".join(str(text).split())
    for mark, shown in ESCAPES:
        line = line.replace(mark, shown)
    return line


def fenced(text: str) -> str:
    """A block of code, whose fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(longest + 1, 3)
    return f"{fence}\n{text}\n{fence}"
