"""The pages of the demo's site: a small tea shop whose prices, titles and shelves change from revision to revision.

Everything follows from the revision number alone, so that a second run over the same revisions sees the same pages.
"""

from __future__ import annotations

import html

import attrs

MAX_REVISIONS = 50
"""More than anyone watches in a demo; it bounds what a site holds."""


@attrs.frozen
class Product:
    """One thing on sale, over time."""

    path: str
    shelf: str
    titles: tuple[tuple[int, str], ...]
    """(first revision, title), oldest first."""
    base_cents: int
    step_cents: int
    """What each revision adds to the price; 0 for a price that stays."""
    first: int = 1
    last: int = MAX_REVISIONS

    def on_sale(self, revision: int) -> bool:
        """Whether this revision of the site shows it."""
        return self.first <= revision <= self.last

    def title(self, revision: int) -> str:
        """What it is called in this revision."""
        return [title for since, title in self.titles if since <= revision][-1]

    def price(self, revision: int) -> str:
        """What it costs in this revision."""
        cents = self.base_cents + self.step_cents * (revision - 1)
        return f"{cents // 100}.{cents % 100:02d} EUR"


SHELVES = {"/tea.html": "Tea", "/ware.html": "Ware"}
PRODUCTS = (
    Product("/tea/assam.html", "/tea.html", ((1, "Assam, second flush"),), 1290, 35),
    Product("/tea/sencha.html", "/tea.html", ((1, "Sencha"), (3, "Sencha, new harvest")), 1450, 0),
    Product("/tea/keemun.html", "/tea.html", ((1, "Keemun"),), 1180, -20, last=2),
    Product("/tea/rooibos.html", "/tea.html", ((1, "Rooibos"),), 790, 15, first=3),
    Product("/ware/kettle.html", "/ware.html", ((1, "Steel kettle"), (2, "Steel kettle, 1.2 l")), 4900, 0),
    Product("/ware/cup.html", "/ware.html", ((1, "Cup of stoneware"),), 950, 25, last=3),
    Product("/ware/pot.html", "/ware.html", ((1, "Cast-iron pot"),), 6400, -150, first=4),
)


def pages(revision: int) -> dict[str, str]:
    """Every page of one revision, path to HTML.

    Args:
        revision: 1 to ``MAX_REVISIONS``.
    """
    if not 1 <= revision <= MAX_REVISIONS:
        msg = f"revision must be 1 to {MAX_REVISIONS}, got {revision}"
        raise ValueError(msg)
    shown = [product for product in PRODUCTS if product.on_sale(revision)]
    made = {"/": _page("Tea and ware", f"Catalogue, revision {revision}.", list(SHELVES.items()))}
    for path, name in SHELVES.items():
        on_shelf = [product for product in shown if product.shelf == path]
        links = [(product.path, product.title(revision)) for product in on_shelf]
        made[path] = _page(name, f"{len(on_shelf)} on this shelf.", [*links, ("/", "back to the front")])
    for product in shown:
        text = f"Price {product.price(revision)}."
        made[product.path] = _page(product.title(revision), text, [(product.shelf, "back to the shelf")])
    return made


def _page(title: str, text: str, links: list[tuple[str, str]]) -> str:
    items = "\n".join(f'<li><a href="{html.escape(path)}">{html.escape(name)}</a></li>' for path, name in links)
    head = f"<!doctype html>\n<html><head><title>{html.escape(title)}</title></head>\n"
    body = f"<body><h1>{html.escape(title)}</h1>\n<p>{html.escape(text)}</p>\n<ul>\n{items}\n</ul></body>"
    return f"{head}{body}</html>\n"
