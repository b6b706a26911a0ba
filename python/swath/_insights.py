"""What a study shows: sentences with their evidence."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field
from typing import Any, Iterator

from ._read import query


@dataclass(frozen=True)
class Insight:
    """One sentence: ``numbers`` and the ids in ``trials`` are its evidence.

    ``kind`` is its subject, such as ``"importance"``; ``chart`` is the plot that shows it, for
    ``swath plot``; ``caution`` is a reason to read it with care, or ``None``.
    """

    kind: str
    text: str
    chart: str
    caution: "str | None" = None
    numbers: "dict[str, Any]" = field(default_factory=dict)
    trials: "list[int]" = field(default_factory=list)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Insights:
    """The sentences about a study, the most important subject first."""

    study: str
    level: float
    insights: "list[Insight]"

    def __iter__(self) -> "Iterator[Insight]":
        return iter(self.insights)

    def __len__(self) -> int:
        return len(self.insights)

    def __getitem__(self, index: int) -> Insight:
        return self.insights[index]

    def of(self, kind: str) -> "list[Insight]":
        """Returns the sentences on one subject."""
        return [insight for insight in self.insights if insight.kind == kind]

    def __str__(self) -> str:
        return "\n".join(f"• {insight.text}" for insight in self.insights)

    def _repr_html_(self) -> str:
        items = []
        for insight in self.insights:
            text = html.escape(insight.text)
            if insight.caution:
                text += f"<br><small>caution: {html.escape(insight.caution)}</small>"
            items.append(f"<li>{text}</li>")
        return f"<ul>{''.join(items)}</ul>" if items else "<p>nothing to say yet</p>"


def insights(study: "str | os.PathLike[str]", *arguments: str) -> Insights:
    """Returns what ``swath insights`` says about a study."""
    answer = query("insights", study, *arguments)
    known = Insight.__dataclass_fields__
    found = [
        Insight(**{name: value for name, value in insight.items() if name in known})
        for insight in answer["insights"]
    ]
    return Insights(answer["study"], answer["level"], found)
