"""Markup that cannot be injected: everything is escaped unless it has the type `Raw`, which only this module makes."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Raw:
    """Finished markup."""

    __slots__ = ("markup",)

    def __init__(self, markup: str) -> None:
        self.markup = markup

    def __str__(self) -> str:
        return self.markup


Child = Raw | str | int | None | Iterable["Child"]


def el(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Raw:
    """An element. Attribute names lose a trailing `_`, and `_` becomes `-`; `None` and `False` leave one out."""
    opening = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        assert not children
        return Raw(f"<{opening}>")
    return Raw(f"<{opening}>{render(children)}</{name}>")


def render(child: Child) -> str:
    """Markup of a child: text is escaped, lists are joined, `None` is nothing."""
    if child is None:
        return ""
    if isinstance(child, Raw):
        return child.markup
    if isinstance(child, str):
        return escape(child, quote=True)
    if isinstance(child, int):
        return str(child)
    return "".join(render(part) for part in child)


def join(*children: Child) -> Raw:
    """Several children as one."""
    return Raw(render(children))


def document(head: Child, body: Child) -> str:
    """A whole page."""
    return "<!doctype html>" + render(el("html", el("head", head), el("body", body), lang="en"))


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{escape(str(value), quote=True)}"'
