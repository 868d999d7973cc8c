"""What a device is selected by: labels, and properties named by JSON pointers. The documents only.

``topics.eligibility`` says what they mean. The names and operators are Margo's (1.0-rc, device
constraints), which took Kubernetes' node selectors as their model.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, model_validator

from topics.documents.base import Document
from topics.identifiers import LabelKey, LabelValue, check_label_key
from topics.quantity import number_of

MAX_VALUES = 100
"""Most values of one expression."""

MAX_EXPRESSIONS = 100
"""Most expressions of one selector: a rule is checked on every device."""

MAX_COMBINATIONS = 1_000
"""Most combinations of values that one ``ContainsAll`` may ask for: they multiply with each ``In`` expression."""

MAX_POINTER = 500
"""Most characters of a JSON pointer."""

_LONE_TILDE = re.compile("~(?![01])")

Scalar: TypeAlias = StrictBool | StrictInt | StrictFloat | str

LabelOperator = Literal["In", "NotIn", "Exists", "DoesNotExist"]
ItemOperator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
Operator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "ContainsAll", "ContainsAny"]


def check_pointer(pointer: str) -> str:
    """Return ``pointer`` if it is a JSON pointer (RFC 6901) to something; raise ``ValueError`` if not."""
    if not pointer.startswith("/") or len(pointer) > MAX_POINTER:
        raise ValueError(f"{pointer[:80]!r} is not a JSON pointer such as /memory or /cpus/0/architecture")
    if _LONE_TILDE.search(pointer):
        raise ValueError(f"{pointer[:80]!r} has a '~' that is neither '~0' (for ~) nor '~1' (for /)")
    return pointer


Pointer = Annotated[str, AfterValidator(check_pointer)]
Values = Annotated[tuple[Scalar, ...], Field(max_length=MAX_VALUES)]


def _check_values(operator: str, values: tuple[Scalar, ...]) -> None:
    if operator in ("Exists", "DoesNotExist") and values:
        raise ValueError(f"operator {operator} takes no values")
    if operator in ("Gt", "Lt") and (len(values) != 1 or number_of(values[0]) is None):
        raise ValueError(f"operator {operator} takes exactly one value, a number or a quantity")
    if operator in ("In", "NotIn") and not values:
        raise ValueError(f"operator {operator} needs at least one value")


def _check_combinations(count: int) -> None:
    if count > MAX_COMBINATIONS:
        raise ValueError(
            f"operator ContainsAll asks for an item for each combination of the 'In' values: these are {count}, "
            f"at most {MAX_COMBINATIONS} are taken; use ContainsAny, or several expressions with fewer values"
        )


class ItemExpression(Document):
    """One requirement on an item of a list; ``key`` is a pointer within the item."""

    key: Pointer
    operator: ItemOperator
    values: Values = ()

    @model_validator(mode="after")
    def _values_fit_operator(self) -> ItemExpression:
        _check_values(self.operator, self.values)
        return self


class ItemSelector(Document):
    """Selects items of a list; all expressions must hold for the same item."""

    match_expressions: Annotated[tuple[ItemExpression, ...], Field(min_length=1, max_length=MAX_EXPRESSIONS)]

    @property
    def combinations(self) -> int:
        """How many combinations of one value of each ``In`` expression there are."""
        return math.prod(len(item.values) for item in self.match_expressions if item.operator == "In")


class PropertyExpression(Document):
    """One requirement on a property of the device; ``key`` is a JSON pointer into its property document.

    ``ContainsAll`` and ``ContainsAny`` are for lists: with ``values`` for lists of scalars, with an
    ``itemSelector`` for lists of objects.
    """

    key: Pointer
    operator: Operator
    values: Values = ()
    item_selector: ItemSelector | None = None

    @model_validator(mode="after")
    def _values_fit_operator(self) -> PropertyExpression:
        if self.operator in ("ContainsAll", "ContainsAny"):
            if bool(self.values) == (self.item_selector is not None):
                raise ValueError(f"operator {self.operator} takes either 'values' or an 'itemSelector'")
            if self.operator == "ContainsAll" and self.item_selector is not None:
                _check_combinations(self.item_selector.combinations)
            return self
        if self.item_selector is not None:
            raise ValueError(f"operator {self.operator} takes no 'itemSelector': use ContainsAll or ContainsAny")
        _check_values(self.operator, self.values)
        return self


class PropertySelector(Document):
    """Selects devices by their properties; all expressions must hold."""

    match_expressions: Annotated[tuple[PropertyExpression, ...], Field(min_length=1, max_length=MAX_EXPRESSIONS)]


class LabelExpression(Document):
    """One requirement on a label, as in a Kubernetes label selector."""

    key: LabelKey
    operator: LabelOperator
    values: Annotated[tuple[str, ...], Field(max_length=MAX_VALUES)] = ()

    @model_validator(mode="after")
    def _values_fit_operator(self) -> LabelExpression:
        _check_values(self.operator, self.values)
        return self


class LabelSelector(Document):
    """Selects devices by their labels; all of it must hold."""

    match_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    match_expressions: Annotated[tuple[LabelExpression, ...], Field(max_length=MAX_EXPRESSIONS)] = ()


class Rule(Document):
    """One eligibility rule: its selectors are AND'd. Of several rules one has to hold."""

    property_selector: PropertySelector | None = None
    label_selector: LabelSelector | None = None

    @model_validator(mode="after")
    def _selects_something(self) -> Rule:
        if self.property_selector is None and self.label_selector is None:
            raise ValueError("a rule has a 'propertySelector', a 'labelSelector' or both")
        return self


class SelectorExpression(PropertyExpression):
    """One requirement of an agent selector: on a property if its key starts with ``/``, else on a label."""

    key: str

    @model_validator(mode="after")
    def _key_is_pointer_or_label(self) -> SelectorExpression:
        if self.on_property:
            check_pointer(self.key)
        else:
            check_label_key(self.key)
            if self.operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
                raise ValueError(
                    f"operator {self.operator} is for properties, whose key starts with '/', not for labels"
                )
        return self

    @property
    def on_property(self) -> bool:
        """Whether the key is a JSON pointer into the property document."""
        return self.key.startswith("/")


class Selector(Document):
    """An agent selector; all of it must hold. An empty one selects every device."""

    match_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    match_expressions: Annotated[tuple[SelectorExpression, ...], Field(max_length=MAX_EXPRESSIONS)] = ()
