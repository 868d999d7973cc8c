"""Why an expression does not hold, in words: what it asks for, and what the device has instead.

Everything in it comes from whoever wrote the document or the device, so each text and each list is cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from topics.documents.selection import ItemExpression, ItemSelector, LabelExpression, PropertyExpression, Scalar
from topics.eligibility.operators import Combinations, missing_values, text_of
from topics.eligibility.pointers import finder, tokens_of
from topics.quantity import format_bytes, number_of

MAX_TEXT = 60
"""Most characters of one value or key."""

MAX_LISTED = 5
"""Most entries of one enumeration; then how many more there are."""

MAX_MISSING = 3
"""Most missing combinations that are spelled out."""

NONE = "none"

_USE_CONTAINS = "the property is a list: ask with ContainsAny or ContainsAll"
_MEMORY = 200  # findings that one expression remembers: of many devices, most have what others have too


class Finding(NamedTuple):
    """One expression that does not hold: a sentence, what is required, what there is, what to do."""

    message: str
    required: str | None = None
    available: str | None = None
    hint: str | None = None


Explain = Callable[[Any], Finding]


def explainer(expression: PropertyExpression | ItemExpression | LabelExpression, *, label: bool = False) -> Explain:
    """A function that says of a found value (``None``: missing) why the expression does not hold for it.

    It is to be asked only for values for which it does not hold.
    """
    name = f"label {cut(expression.key)}" if label else cut(expression.key)
    if isinstance(expression, PropertyExpression) and expression.operator in ("ContainsAll", "ContainsAny"):
        if expression.item_selector is None:
            return _values_explainer(name, expression)
        return _items_explainer(name, expression.operator, expression.item_selector)
    wants = f"{name} {_wants(expression.operator, expression.values)}; the device has "
    required = _required(expression.operator, expression.values)
    if expression.operator in ("Gt", "Lt"):
        return _comparison_explainer(wants, required, expression.values[0])
    asks_equality = expression.operator in ("In", "NotIn")

    def explain(value: Any) -> Finding:
        shown = _shown(value)
        is_list = asks_equality and isinstance(value, list)
        return Finding(wants + shown, required, shown, _USE_CONTAINS if is_list else None)

    return _remembering(explain)


def cut(text: str) -> str:
    """The text, with its end cut off where it is longer than ``MAX_TEXT``."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."


def enumerated(texts: Iterable[str], last: str = ", ") -> str:
    """``a, b, c`` (or ``a, b or c``), each once; beyond ``MAX_LISTED`` only how many more there are."""
    unique = list(dict.fromkeys(texts))
    if not unique:
        return NONE
    if len(unique) > MAX_LISTED:
        return ", ".join(unique[:MAX_LISTED]) + f" and {len(unique) - MAX_LISTED} more"
    return ", ".join(unique[:-1]) + last + unique[-1] if len(unique) > 1 else unique[0]


def item_text(item: dict[str, Any], keys: Sequence[str]) -> str:
    """The texts of an object under some of its keys: ``gpu NVIDIA A2``."""
    return " ".join([_scalar(item[key]) for key in keys if key in item])


def _remembering(explain: Explain) -> Explain:
    """Remember what was said of texts and numbers: making a sentence takes longer than finding it again."""
    memory: dict[str | int, Finding] = {}

    def remembered(value: Any) -> Finding:
        if type(value) is not str and type(value) is not int:
            return explain(value)
        found = memory.get(value)
        if found is None:
            found = explain(value)
            if len(memory) < _MEMORY:
                memory[value] = found
        return found

    return remembered


def _comparison_explainer(wants: str, required: str, limit: Scalar) -> Explain:
    # A limit in powers of 1024 is one of bytes: nobody compares 8589934592 with 10Gi.
    in_bytes = isinstance(limit, str) and limit.endswith("i")

    def explain(value: Any) -> Finding:
        if value is None:
            return Finding(wants + NONE, required, NONE)
        number = number_of(value)
        if number is None:
            return Finding(f"{wants}{_shown(value)}, which is no number or quantity", required, _shown(value))
        shown = format_bytes(number) if in_bytes and type(value) is int and value >= 0 else _shown(value)
        return Finding(wants + shown, required, shown)

    return _remembering(explain)


def _values_explainer(name: str, expression: PropertyExpression) -> Explain:
    required = _required(expression.operator, expression.values)
    every = expression.operator == "ContainsAll"

    def explain(value: Any) -> Finding:
        shown = _shown(value)
        lacking = missing_values(expression.values, value) if every else expression.values
        wants = f"{name} must contain {_listed(lacking, ' and ' if every else ' or ')}"
        return Finding(f"{wants}; the device has {shown}{_no_list(value)}", required, shown)

    return _remembering(explain)


def _items_explainer(name: str, operator: str, selector: ItemSelector) -> Explain:
    expressions = selector.match_expressions
    required = cut_long(f"{operator} item with {_selector_text(expressions)}")
    describe = _describer(expressions)
    combinations = Combinations(selector) if operator == "ContainsAll" and selector.combinations > 1 else None
    one = f"{name} must contain an item with {cut_long(_selector_text(expressions))}; the device has "
    told: dict[tuple[str, str], Finding] = {}

    def explain(value: Any) -> Finding:
        shown = describe(value) + _no_list(value)
        if combinations is None:
            wants = one
        else:
            few = list(itertools.islice(combinations.missing(value), MAX_MISSING + 1))
            texts = [cut_long(_selector_text(expressions, chosen)) for chosen in few[:MAX_MISSING]]
            more = "" if len(few) <= MAX_MISSING else ", and more"
            wants = f"{name} must contain an item with {', one with '.join(texts)}{more}; the device has "
        found = told.get((wants, shown))
        if found is None:
            found = Finding(wants + shown, required, shown)
            if len(told) < _MEMORY:
                told[wants, shown] = found
        return found

    return explain


def cut_long(text: str) -> str:
    """A text made of several parts, cut at ``MAX_LISTED`` times the length of one."""
    limit = MAX_TEXT * MAX_LISTED
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _describer(expressions: Sequence[ItemExpression]) -> Callable[[Any], str]:
    """The items of a list by what the expressions look at: ``gpu Intel, camera``."""
    finders = [finder(key) for key in dict.fromkeys(item.key for item in expressions)]
    names = ", ".join(_key(key) for key in dict.fromkeys(item.key for item in expressions[:MAX_LISTED]))

    def describe(value: Any) -> str:
        if not isinstance(value, list):
            return _shown(value)
        texts: dict[str, None] = {}
        for item in value:
            found = [found for find in finders if (found := find(item)) is not None]
            texts[" ".join([_shown(part) for part in found]) or f"an item without {names}"] = None
        return enumerated(texts)

    return describe


def _selector_text(expressions: Sequence[ItemExpression], chosen: Sequence[Scalar] | None = None) -> str:
    """``type gpu and manufacturer NVIDIA``; with ``chosen``, one value for each ``In``."""
    left = iter(chosen or ())
    parts = []
    for item in expressions[:MAX_LISTED]:
        values = (next(left),) if chosen is not None and item.operator == "In" else item.values
        parts.append(_item_wants(_key(item.key), item.operator, values))
    more = len(expressions) - MAX_LISTED
    return " and ".join(parts) + (f" and {more} more conditions" if more > 0 else "")


def _item_wants(key: str, operator: str, values: Sequence[Scalar]) -> str:
    match operator:
        case "In":
            return f"{key} {_listed(values, ' or ')}"
        case "NotIn":
            return f"{key} not {_listed(values, ' or ')}"
        case "Exists":
            return f"any {key}"
        case "DoesNotExist":
            return f"no {key}"
        case _:
            return f"{key} {'greater' if operator == 'Gt' else 'less'} than {_scalar(values[0])}"


def _wants(operator: str, values: Sequence[Scalar]) -> str:
    match operator:
        case "In":
            return f"must be {_listed(values, ' or ')}"
        case "NotIn":
            return f"must not be {_listed(values, ' or ')}"
        case "Exists":
            return "must be there"
        case "DoesNotExist":
            return "must not be there"
        case _:
            return f"must be {'greater' if operator == 'Gt' else 'less'} than {_scalar(values[0])}"


def _required(operator: str, values: Sequence[Scalar]) -> str:
    return f"{operator} {_listed(values)}" if values else operator


def _listed(values: Sequence[Scalar], last: str = ", ") -> str:
    return enumerated([_scalar(value) for value in values], last)


def _shown(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, list):
        texts: dict[str, None] = {}
        for item in value:
            texts[_scalar(item)] = None
        return enumerated(texts)
    return _scalar(value)


def _scalar(value: Any) -> str:
    if type(value) is str:
        return cut(value) if value else '""'
    if isinstance(value, dict):
        return cut(" ".join([_scalar(part) for part in itertools.islice(value.values(), MAX_LISTED)]) or "{}")
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "null"
    return cut(text_of(value) or "a very large number")


def _no_list(value: Any) -> str:
    return "" if value is None or isinstance(value, list) else ", which is no list"


def _key(pointer: str) -> str:
    tokens = tokens_of(pointer)
    return cut(tokens[0]) if len(tokens) == 1 and tokens[0] else cut(pointer)
