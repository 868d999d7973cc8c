"""What each operator means, as functions of the value that a pointer found; ``None`` is a missing property.

A function is made once for an expression and called for each device, so everything that depends on the
expression alone happens when it is made. The reasons for these meanings stand in
``docs/decisions/2026-11-23-eligibility-semantics.md``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

from topics.documents.selection import ItemExpression, ItemSelector, LabelExpression, PropertyExpression, Scalar
from topics.eligibility.pointers import finder
from topics.quantity import number_of

Holds: TypeAlias = Callable[[Any], bool]
Matches: TypeAlias = Callable[[Any], int]
"""Which of an expression's values a scalar equals, as a set of bits; 0 for none, and for what is no scalar."""

T = TypeVar("T")

_MAX_TEXT = 10**300  # an integer beyond is not written out: Python refuses to, and no document holds one


def text_of(scalar: Scalar) -> str | None:
    """A scalar as JSON writes it, a text without quotes; ``None`` for an integer beyond all documents."""
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    if isinstance(scalar, int) and not -_MAX_TEXT < scalar < _MAX_TEXT:
        return None
    return str(scalar)


def matcher(values: Sequence[Scalar]) -> Matches:
    """Equality with ``values``: texts by their characters, numbers by their value (``4000m`` is 4), truth
    values as ``true`` and ``false``. What kind of equality it is, the property decides."""
    texts: dict[str, int] = {}
    numbers: dict[int | Fraction, int] = {}
    flags: dict[bool, int] = {}
    for index, value in enumerate(values):
        bit = 1 << index
        text, number = text_of(value), number_of(value)
        if text is not None:
            texts[text] = texts.get(text, 0) | bit
        if number is not None:
            numbers[number] = numbers.get(number, 0) | bit
        if text in ("true", "false"):
            flags[text == "true"] = flags.get(text == "true", 0) | bit

    def matches(value: Any) -> int:
        kind = type(value)
        if kind is str:
            return texts.get(value, 0)
        if kind is int:
            return numbers.get(value, 0)
        if kind is bool:
            return flags.get(value, 0)
        number = number_of(value) if kind is float else None
        return 0 if number is None else numbers.get(number, 0)

    return matches


def conjunction(tests: Iterable[Callable[[T], bool]]) -> Callable[[T], bool]:
    """All of the tests hold; of no tests, always."""
    every = tuple(tests)
    if len(every) == 1:
        return every[0]

    def all_hold(value: T) -> bool:
        for test in every:  # noqa: SIM110  (a generator takes three times as long)
            if not test(value):
                return False
        return True

    return all_hold


def holds_of(expression: PropertyExpression | ItemExpression | LabelExpression) -> Holds:
    """Whether an expression holds for the value that its key found."""
    if isinstance(expression, PropertyExpression) and expression.operator in ("ContainsAll", "ContainsAny"):
        if expression.item_selector is None:
            return _contains_values(expression.values, every=expression.operator == "ContainsAll")
        if expression.operator == "ContainsAny" or expression.item_selector.combinations == 1:
            return _contains_item(expression.item_selector)
        return Combinations(expression.item_selector).complete
    return _simple(expression.operator, expression.values)


def _simple(operator: str, values: Sequence[Scalar]) -> Holds:
    match operator:
        case "In":
            matches = matcher(values)
            return lambda value: matches(value) != 0
        case "NotIn":  # holds for a missing property, as in Kubernetes
            matches = matcher(values)
            return lambda value: matches(value) == 0
        case "Exists":
            return lambda value: value is not None
        case "DoesNotExist":
            return lambda value: value is None
        case "Gt" | "Lt":
            return _compares(operator, values[0])
    raise ValueError(f"operator {operator} is for lists")


def _compares(operator: str, limit: Scalar) -> Holds:
    bound = number_of(limit)
    assert bound is not None, "the document was checked: Gt and Lt take a quantity"
    if operator == "Gt":
        # For whole numbers x > 3.5 is x > 3: integers compare ten times as fast as fractions.
        floor = math.floor(bound)

        def is_greater(value: Any) -> bool:
            if type(value) is int:
                return value > floor
            number = number_of(value)
            return number is not None and number > bound

        return is_greater
    ceiling = math.ceil(bound)

    def is_less(value: Any) -> bool:
        if type(value) is int:
            return value < ceiling
        number = number_of(value)
        return number is not None and number < bound

    return is_less


def _contains_values(values: Sequence[Scalar], *, every: bool) -> Holds:
    matches = matcher(values)
    wanted = (1 << len(values)) - 1

    def contains(items: Any) -> bool:
        if type(items) is not list:
            return False
        found = 0
        for item in items:
            found |= matches(item)
            if found and (not every or found == wanted):
                return True
        return False

    return contains


def missing_values(values: Sequence[Scalar], items: Any) -> list[Scalar]:
    """Those of ``values`` that the list does not contain; all of them if it is no list."""
    matches = matcher(values)
    found = 0
    for item in items if isinstance(items, list) else ():
        found |= matches(item)
    return [value for index, value in enumerate(values) if not found >> index & 1]


def _on_item(expression: ItemExpression) -> Holds:
    find, holds = finder(expression.key), holds_of(expression)
    return lambda item: holds(find(item))


def _contains_item(selector: ItemSelector) -> Holds:
    fits = conjunction(_on_item(expression) for expression in selector.match_expressions)

    def contains(items: Any) -> bool:
        if type(items) is not list:
            return False
        for item in items:  # noqa: SIM110  (a generator takes three times as long)
            if type(item) is dict and fits(item):
                return True
        return False

    return contains


class Combinations:
    """``ContainsAll`` with an ``itemSelector``: for each combination of one value of each ``In`` expression
    there is an item that satisfies the selector with ``In`` narrowed to those values.

    Each item is looked at once and marks the combinations it stands for, so the work is that of the items and
    not items times combinations; a document has at most ``MAX_COMBINATIONS`` of them.
    """

    def __init__(self, selector: ItemSelector) -> None:
        chosen = [item for item in selector.match_expressions if item.operator == "In"]
        self._values = [item.values for item in chosen]
        self._matchers = [(finder(item.key), matcher(item.values)) for item in chosen]
        self._others = conjunction(_on_item(item) for item in selector.match_expressions if item.operator != "In")
        self._total = selector.combinations

    def complete(self, items: Any) -> bool:
        """Whether every combination has its item."""
        if len(self._matchers) == 1:
            return self._marked(items) == (1 << self._total) - 1
        return len(self._covered(items)) == self._total

    def missing(self, items: Any) -> Iterator[tuple[Scalar, ...]]:
        """The combinations without an item, in the order of the document: one value of each ``In``."""
        covered = self._covered(items)
        for at in itertools.product(*(range(len(values)) for values in self._values)):
            if at not in covered:
                yield tuple(values[index] for values, index in zip(self._values, at, strict=True))

    def _marked(self, items: Any) -> int:
        """The covered combinations as a set of bits, where there is only one ``In``: the usual case."""
        ((find, matches),) = self._matchers
        found = 0
        for item in items if type(items) is list else ():
            if type(item) is dict:
                mask = matches(find(item))
                if mask and self._others(item):
                    found |= mask
        return found

    def _covered(self, items: Any) -> set[tuple[int, ...]]:
        if len(self._matchers) == 1:
            return {(index,) for index in _bits(self._marked(items))}
        covered: set[tuple[int, ...]] = set()
        seen: set[tuple[int, ...]] = set()
        for item in items if type(items) is list else ():
            if type(item) is not dict:
                continue
            masks = tuple([matches(find(item)) for find, matches in self._matchers])
            # Items alike in what the In expressions look at cover alike.
            if masks in seen or not all(masks) or not self._others(item):
                continue
            seen.add(masks)
            covered.update(itertools.product(*map(_bits, masks)))
            if len(covered) == self._total:
                break
        return covered


def _bits(mask: int) -> tuple[int, ...]:
    return tuple([index for index in range(mask.bit_length()) if mask >> index & 1])
