"""Names that become a topic level, an object name or a client id, checked before they do.

A device id or deployment name is exactly one MQTT topic level, so it never holds ``/ + # $``,
spaces or control characters, and it is bounded. Deployment and component names are also the stem
of Kubernetes object names and labels: they follow the DNS label rule (RFC 1123, 63 characters).
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

MAX_ID_LENGTH = 63

_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")
_DEVICE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\Z")


def check_dns_label(name: str) -> str:
    """Return ``name`` if it is a DNS label (RFC 1123); raise ``ValueError`` saying why not."""
    if len(name) > MAX_ID_LENGTH or not _DNS_LABEL.match(name):
        raise ValueError(
            f"{_shown(name)} is not a name of 1 to {MAX_ID_LENGTH} characters from a-z, 0-9 and '-' "
            "that starts and ends with a letter or digit"
        )
    return name


def check_device_id(device: str) -> str:
    """Return ``device`` if it can be one topic level and a client id; raise ``ValueError`` if not."""
    if len(device) > MAX_ID_LENGTH or not _DEVICE_ID.match(device):
        raise ValueError(
            f"{_shown(device)} is not a device id of 1 to {MAX_ID_LENGTH} characters from A-Z, a-z, "
            "0-9, '.', '_' and '-' that starts and ends with a letter or digit"
        )
    return device


def check_device_ref(ref: str) -> str:
    """Return ``ref`` if it names a device (``id``, or ``gateway/id``) or all of a gateway's (``gateway/*``).

    Raises ``ValueError`` saying why not.
    """
    gateway, slash, device = ref.rpartition("/")
    if slash:
        check_device_id(gateway)
    if not (slash and device == "*"):
        check_device_id(device)
    return ref


def check_label_key(key: str) -> str:
    """Return ``key`` if it is a Kubernetes label key (optional DNS prefix, then a name)."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _DNS_SUBDOMAIN.match(prefix)):
        raise ValueError(f"label key {_shown(key)} has a prefix that is no DNS name")
    if not _LABEL_NAME.match(name):
        raise ValueError(f"label key {_shown(key)} is not 1 to 63 characters from A-Z, a-z, 0-9, '.', '_', '-'")
    return key


def check_label_value(value: str) -> str:
    """Return ``value`` if it is a Kubernetes label value: empty, or the same form as a label name."""
    if value and not _LABEL_NAME.match(value):
        raise ValueError(f"label value {_shown(value)} is not at most 63 characters from A-Z, a-z, 0-9, '.', '_', '-'")
    return value


def client_id(role: str, name: str) -> str:
    """The MQTT client id of a program: injective, and only ``[A-Za-z0-9_-]`` (NATS refuses more).

    ``.`` and ``_`` of the name are written ``_2E`` and ``_5F``, so two ids never share a client id.
    """
    return f"fleetbus-{role}-{name.replace('_', '_5F').replace('.', '_2E')}"


def _shown(text: str) -> str:
    """The text as it may stand in an error message: quoted and bounded."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


DeploymentName = Annotated[str, AfterValidator(check_dns_label)]
ComponentName = Annotated[str, AfterValidator(check_dns_label)]
Namespace = Annotated[str, AfterValidator(check_dns_label)]
DeviceId = Annotated[str, AfterValidator(check_device_id)]
DeviceRef = Annotated[str, AfterValidator(check_device_ref)]
LabelKey = Annotated[str, AfterValidator(check_label_key)]
LabelValue = Annotated[str, AfterValidator(check_label_value)]
