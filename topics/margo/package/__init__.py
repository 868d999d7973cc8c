"""Margo application packages: from an application description to a deployment spec.

``read_description`` → ``choose_profile`` → ``settle_parameters`` → ``spec_of``. Pure; finding the files of
a package is the command line's work.
"""

from topics.margo.package.choosing import Choice, choose_profile
from topics.margo.package.description import Description, Parameter, Profile, ProfileComponent, Schema, Setting, Target
from topics.margo.package.making import current_values, default_name, spec_of
from topics.margo.package.reading import is_description, read_description
from topics.margo.package.settling import settle_parameters

__all__ = [
    "Choice",
    "Description",
    "Parameter",
    "Profile",
    "ProfileComponent",
    "Schema",
    "Setting",
    "Target",
    "choose_profile",
    "current_values",
    "default_name",
    "is_description",
    "read_description",
    "settle_parameters",
    "spec_of",
]
