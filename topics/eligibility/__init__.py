"""Which devices suit a selector, a rule or a reference, and why not. Pure, and fast for many devices.

``Subject`` prepares a device; ``topics.requirements`` puts capacity and rules together.
"""

from topics.eligibility.selectors import compile_references, compile_selector, refers, selects, unselected
from topics.eligibility.subject import Subject, properties_of, subject_of

__all__ = [
    "Subject",
    "compile_references",
    "compile_selector",
    "properties_of",
    "refers",
    "selects",
    "subject_of",
    "unselected",
]
