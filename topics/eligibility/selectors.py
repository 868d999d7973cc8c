"""Which devices a selector selects, a rule takes, a reference names; and of each part that fails, why.

The compiled forms are for many devices: all that depends on the document is done once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from topics.documents.selection import (
    LabelExpression,
    LabelSelector,
    PropertyExpression,
    PropertySelector,
    Rule,
    Selector,
    SelectorExpression,
)
from topics.eligibility.operators import conjunction, holds_of
from topics.eligibility.pointers import finder
from topics.eligibility.subject import Subject
from topics.eligibility.wording import Explain, Finding, cut, explainer
from topics.errors import Reason

Suits = Callable[[Subject], bool]


class Clause(NamedTuple):
    """One expression, compiled: its place in the document, whether it holds, and why it does not."""

    path: str
    holds: Suits
    explain: Callable[[Subject], Finding]


def selects(selector: Selector, subject: Subject) -> bool:
    """Whether an agent selector selects the device; for many devices compile it."""
    return compile_selector(selector)(subject)


def compile_selector(selector: Selector) -> Suits:
    """A function that says of each device whether the selector selects it."""
    return conjunction(clause.holds for clause in selector_clauses(selector))


def unselected(selector: Selector, subject: Subject, *, path: str = "spec.agents.selector") -> tuple[Reason, ...]:
    """Every reason why the selector does not select the device (code ``selector``); empty if it does."""
    return tuple(
        reason_of(clause.path, "selector", clause.explain(subject), subject.device)
        for clause in selector_clauses(selector, path)
        if not clause.holds(subject)
    )


def refers(reference: str, subject: Subject) -> bool:
    """Whether a reference names the device: ``id``, ``gateway/id``, or ``gateway/*`` for all behind a gateway.

    An id alone names the device behind a gateway too, for it is unique on the bus; the gateway itself is
    not among those behind it.
    """
    gateway, slash, device = reference.rpartition("/")
    if not slash:
        return device == subject.device
    return gateway == subject.gateway and device in ("*", subject.device)


def compile_references(references: Iterable[str]) -> Suits:
    """A function that says whether any of the references names a device; it takes no longer for many."""
    named = frozenset(references)

    def refers_to(subject: Subject) -> bool:
        if subject.device in named:
            return True
        gateway = subject.gateway
        return gateway is not None and (f"{gateway}/{subject.device}" in named or f"{gateway}/*" in named)

    return refers_to


def selector_clauses(selector: Selector, path: str = "") -> tuple[Clause, ...]:
    """The compiled parts of an agent selector: labels, and labels or properties by their keys."""
    return (
        *_match_labels(selector.match_labels, path),
        *(
            _expression(item, f"{path}.matchExpressions[{index}]", label=not item.on_property)
            for index, item in enumerate(selector.match_expressions)
        ),
    )


def rule_clauses(rule: Rule, path: str) -> tuple[Clause, ...]:
    """The compiled parts of an eligibility rule; all of them must hold."""
    return (
        *_property_clauses(rule.property_selector, f"{path}.propertySelector"),
        *_label_clauses(rule.label_selector, f"{path}.labelSelector"),
    )


def reason_of(path: str, code: str, finding: Finding, device: str | None) -> Reason:
    """The reason with a finding's words."""
    message, required, available, hint = finding
    return Reason(
        path=path, code=code, message=message, required=required, available=available, hint=hint, device=device
    )


def _property_clauses(selector: PropertySelector | None, path: str) -> Iterable[Clause]:
    for index, item in enumerate(selector.match_expressions if selector else ()):
        yield _expression(item, f"{path}.matchExpressions[{index}]", label=False)


def _label_clauses(selector: LabelSelector | None, path: str) -> Iterable[Clause]:
    if selector is not None:
        yield from _match_labels(selector.match_labels, path)
        for index, item in enumerate(selector.match_expressions):
            yield _expression(item, f"{path}.matchExpressions[{index}]", label=True)


def _match_labels(labels: Mapping[str, str], path: str) -> Iterable[Clause]:
    for key, value in labels.items():
        # What Kubernetes says of matchLabels: each is an In with a single value.
        yield _expression(
            LabelExpression(key=key, operator="In", values=(value,)), f"{path}.matchLabels.{cut(key)}", label=True
        )


def _expression(item: PropertyExpression | LabelExpression | SelectorExpression, path: str, *, label: bool) -> Clause:
    holds, key = holds_of(item), item.key
    if label:

        def find_label(subject: Subject) -> str | None:
            return subject.labels.get(key)

        return Clause(path, lambda subject: holds(subject.labels.get(key)), _explain(item, find_label, label=True))
    find = finder(key)
    return Clause(
        path,
        lambda subject: holds(find(subject.properties)),
        _explain(item, lambda subject: find(subject.properties), label=False),
    )


def _explain(
    item: PropertyExpression | LabelExpression, find: Callable[[Subject], Any], *, label: bool
) -> Callable[[Subject], Finding]:
    made: list[Explain] = []  # the words are made ready when they are first needed: most never are

    def explain(subject: Subject) -> Finding:
        if not made:
            made.append(explainer(item, label=label))
        return made[0](find(subject))

    return explain
