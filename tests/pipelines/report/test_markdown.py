import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pipelines.report.markdown import as_markdown, fenced

HOSTILE = [
    *("<img src=x onerror=alert(1)>", "a|b", "[x](javascript:alert(1))", "![x](y)", "**a**", "`a`"),
    *("a\n\n# b", "\\|", "&lt;", "<!-- -->", "a\\](b)", "```", "<https://a.b>", "mae", "vit_base"),
]
TEXT = st.text() | st.lists(st.sampled_from(HOSTILE), max_size=3).map("".join)


def shown(text: str) -> tuple[str, set[str]]:
    """The text that a table's one cell shows, and the tags around it."""
    table = f"| head |\n|---|\n| a{as_markdown(text)} |\n"
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(table)
    return html, set(re.findall(r"<(\w+)", html))


@given(text=TEXT)
def test_a_name_stays_text_in_one_cell(text: str) -> None:
    html, tags = shown(text)
    assert tags <= {"table", "thead", "tbody", "tr", "th", "td", "em"}
    assert html.count("<td>") == 1


@pytest.mark.parametrize("name", ["mae", "timm:vit_base_patch16", "knn[mae]", "runs/a-b.pth"])
def test_usual_names_are_as_they_were(name: str) -> None:
    assert as_markdown(name) == name


@given(text=st.text(alphabet="`a \n~<|"))
def test_code_does_not_end_its_block(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(fenced(text))
    assert [token.type for token in tokens] == ["fence"]
