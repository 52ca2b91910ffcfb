"""A report as a list of blocks, written once and rendered as Markdown and as one self-contained HTML page."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.report import markdown_table


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Text; `warning` makes it stand out."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Items:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table; `bad` are the indices of rows that stand out, `left` of columns with text."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    bad: frozenset[int] = frozenset()
    left: frozenset[int] = frozenset({0})


@dataclass(frozen=True)
class Figure:
    """A figure, by its name without the ending."""

    name: str
    caption: str


@dataclass(frozen=True)
class Details:
    """Blocks that a page shows only when asked."""

    summary: str
    blocks: Sequence[Block]


Block = Heading | Paragraph | Items | Table | Figure | Details


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return Markdown; figures are links to PNG files beside it."""
    parts = []
    for block in blocks:
        match block:
            case Heading(level, text):
                parts.append(f"{'#' * level} {text}")
            case Paragraph(text, warning):
                parts.append(f"> **{text}**" if warning else text)
            case Items(items):
                parts.append("\n".join(f"- {item}" for item in items))
            case Table():
                rows = [[cell.replace("|", "\\|") for cell in row] for row in block.rows]
                parts.append(markdown_table(list(block.titles), rows))
            case Figure(name, caption):
                parts.append(f"![{caption}]({name}.png)\n\n*{caption}*")
            case Details(summary, inner):
                parts.append(
                    f"<details>\n<summary>{html.escape(summary)}</summary>\n\n{to_markdown(inner)}\n</details>"
                )
    return "\n\n".join(parts) + "\n"


def inline(text: str) -> str:
    """Return text as HTML; `code` and **strong** are the only marks."""
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


def anchor(text: str) -> str:
    """Return what a link to a heading says."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def html_blocks(blocks: Sequence[Block], figures: Mapping[str, str]) -> str:
    """Return the body's HTML; `figures` holds each figure's SVG."""
    parts = []
    for block in blocks:
        match block:
            case Heading(level, text):
                parts.append(f'<h{level} id="{anchor(text)}">{inline(text)}</h{level}>')
            case Paragraph(text, warning):
                parts.append(
                    f'<p class="warning">{inline(text)}</p>' if warning else f"<p>{inline(text)}</p>"
                )
            case Items(items):
                parts.append("<ul>" + "".join(f"<li>{inline(item)}</li>" for item in items) + "</ul>")
            case Table():
                parts.append(html_table(block))
            case Figure(name, caption):
                parts.append(f"<figure>{figures[name]}<figcaption>{inline(caption)}</figcaption></figure>")
            case Details(summary, inner):
                parts.append(
                    f"<details><summary>{inline(summary)}</summary>{html_blocks(inner, figures)}</details>"
                )
    return "\n".join(parts)


def html_table(table: Table) -> str:
    """Return a table in a box that scrolls by itself."""

    def cell(tag: str, column: int, text: str) -> str:
        side = ' class="text"' if column in table.left else ""
        return f"<{tag}{side}>{inline(text)}</{tag}>"

    head = "".join(cell("th", column, title) for column, title in enumerate(table.titles))
    body = "".join(
        f"<tr{' class=bad' if index in table.bad else ''}>"
        + "".join(cell("td", column, text) for column, text in enumerate(row))
        + "</tr>"
        for index, row in enumerate(table.rows)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --soft: #59636e; --line: #d1d9e0;
  --band: #f6f8fa; --bad: #ffebe9; --bad-ink: #a40e26; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9198a1;
  --line: #3d444d; --band: #151b23; --bad: #3c1618; --bad-ink: #ff9492; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1, h2, h3 { line-height: 1.25; margin: 2.2em 0 0.6em; }
h1 { margin-top: 0.3em; }
h2 { border-bottom: 1px solid var(--line); padding-bottom: 0.25em; }
p, li { max-width: 52rem; }
code { font-size: 0.88em; background: var(--band); padding: 0.1em 0.3em; border-radius: 4px; }
nav { display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; }
a { color: inherit; }
.warning { background: var(--bad); color: var(--bad-ink); border-left: 4px solid currentColor;
  padding: 0.7em 1em; font-weight: 600; }
.scroll { overflow-x: auto; margin: 1em 0; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.28rem 0.65rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { background: var(--band); font-weight: 600; vertical-align: bottom; white-space: normal; }
th.text, td.text { text-align: left; }
td.text { white-space: normal; min-width: 8rem; max-width: 26rem; }
tbody tr:hover { background: var(--band); }
tr.bad { background: var(--bad); }
figure { margin: 1.5em 0; overflow-x: auto; }
figure svg { display: block; max-width: 100%; height: auto; min-width: 40rem; color: var(--ink); }
figcaption, .soft { color: var(--soft); font-size: 0.9rem; max-width: 52rem; }
details { margin: 0.8em 0; }
summary { cursor: pointer; font-weight: 600; }
"""


def to_html(title: str, blocks: Sequence[Block], figures: Mapping[str, str]) -> str:
    """Return one page that needs nothing else: style and figures are in it."""
    links = "".join(
        f'<a href="#{anchor(block.text)}">{inline(block.text)}</a>'
        for block in blocks
        if isinstance(block, Heading) and block.level == 2
    )
    first, *rest = blocks
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>\n"
        f"{html_blocks([first], figures)}\n<nav>{links}</nav>\n{html_blocks(rest, figures)}\n</body></html>\n"
    )
