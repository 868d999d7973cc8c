"""Stand-ins for the controllers that install charts inside a cluster: Flux, the Helm controller of k3s, Argo CD.

Each follows its own kind in every namespace as the real one does, writes the status that the real one writes, and takes
off again what it installed when its object is deleted (a finalizer holds it so long). Instead of the chart
it installs one ConfigMap ``settings`` with the value ``text`` into the target namespace. An image with "missing" in
the values is a chart that cannot be installed.
"""

from __future__ import annotations

import json
import threading
from typing import Any, NamedTuple, Self

from tests.support.cluster_api import Api, ApiError, Follower, wait
from tests.support.controller_crds import DEFINITIONS
from topics.documents.base import JsonObject

_FINALIZER = "tests.example.com/installed"
_KINDS = {
    item["spec"]["names"]["kind"]: f"{item['spec']['group']}/{item['spec']['versions'][0]['name']}"
    for item in DEFINITIONS
}
_INSTALLING = ("HelmRelease", "HelmChart", "Application")


class Wish(NamedTuple):
    """What an object asks its controller for."""

    namespace: str
    create: bool
    values: JsonObject


class Controllers:
    """All of them, for the time of a ``with`` block; the definitions of their kinds are installed and stay."""

    def __init__(self, api: Api) -> None:
        self._api = api
        for definition in DEFINITIONS:
            api.apply(definition, manager="controllers", force=True)
        self._followers = [Follower(api, self._path(kind)) for kind in _KINDS]
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(kind, follower), name=f"stand-in for {kind}")
            for kind, follower in zip(_KINDS, self._followers, strict=True)
        ]

    def _path(self, kind: str) -> str:
        def served() -> str:
            try:
                return self._api.path(_KINDS[kind], kind, everywhere=True)
            except ApiError:
                return ""

        return wait(f"{kind} to be served", served)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for follower in self._followers:
            follower.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), f"the {thread.name} does not end"
        if self._errors:
            raise self._errors[0]

    def _run(self, kind: str, follower: Follower) -> None:
        try:
            for found in follower.objects():
                self._play({"apiVersion": _KINDS[kind], "kind": kind} | found)
        except BaseException as error:  # reported by the thread that ends the block
            self._errors.append(error)

    def _play(self, obj: JsonObject) -> None:
        try:
            if obj["metadata"].get("deletionTimestamp"):
                self._uninstall(obj)
            elif obj["kind"] not in _INSTALLING:
                self._report(obj, _conditions(obj, installed=True))
            else:
                self._install(obj)
        except ApiError as error:
            if error.code not in (404, 409):  # gone or changed meanwhile: the next event is of that
                raise

    def _install(self, obj: JsonObject) -> None:
        if _FINALIZER not in obj["metadata"].get("finalizers", []):
            finalizers = [*obj["metadata"].get("finalizers", []), _FINALIZER]
            version = obj["metadata"]["resourceVersion"]
            self._api.merge(obj, {"metadata": {"finalizers": finalizers, "resourceVersion": version}})
            return  # comes again
        wish = wish_of(obj)
        good = "missing" not in str(wish.values.get("image"))
        if good:
            if wish.create:
                self._api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wish.namespace}})
            self._api.apply(_settings(wish.namespace, str(wish.values.get("text"))), manager="helm", force=True)
        status = {"HelmRelease": _conditions, "HelmChart": self._job, "Application": _synced}[obj["kind"]]
        self._report(obj, status(obj, installed=good))

    def _uninstall(self, obj: JsonObject) -> None:
        if obj["kind"] in _INSTALLING:
            self._api.delete(_settings(wish_of(obj).namespace, ""))
        if obj["metadata"].get("finalizers"):
            self._api.merge(obj, {"metadata": {"finalizers": None}})

    def _report(self, obj: JsonObject, status: JsonObject) -> None:
        if obj.get("status") != status:
            # A merge keeps what it does not name, and the old conditions must go.
            self._api.merge(obj, {"status": status}, status=obj["kind"] != "Application")

    def _job(self, obj: JsonObject, installed: bool) -> JsonObject:
        """The Helm controller leaves the work to a job beside the HelmChart; the kubelet stand-in plays it."""
        image = "example/klipper-helm:1" if installed else "example/failing-helm:1"
        # One made anew may come before the job of its former life is collected.
        metadata = obj["metadata"]
        name = f"helm-install-{metadata['name']}-{metadata['uid'][:8]}-{metadata['generation']}"
        job = {
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": name, "namespace": obj["metadata"]["namespace"],
                "ownerReferences": [{"apiVersion": obj["apiVersion"], "kind": obj["kind"],
                                     "name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}],
            },
            "spec": {
                "backoffLimit": 0,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "helm", "image": image}]}},
            },
        }  # fmt: skip
        if self._api.get("batch/v1", "Job", name, obj["metadata"]["namespace"]) is None:
            self._api.create(job)
        return {"jobName": name}


def wish_of(obj: JsonObject) -> Wish:
    """What the object asks for, read as its controller reads it."""
    spec: JsonObject = obj["spec"]
    if obj["kind"] == "HelmRelease":
        return Wish(spec["targetNamespace"], spec["install"]["createNamespace"], spec.get("values", {}))
    if obj["kind"] == "HelmChart":
        values = json.loads(spec.get("valuesContent", "{}"))
        return Wish(spec["targetNamespace"], spec["createNamespace"], values)
    values = spec["source"]["helm"].get("valuesObject", {})
    create = "CreateNamespace=true" in spec["syncPolicy"]["syncOptions"]
    return Wish(spec["destination"]["namespace"], create, values)


def _settings(namespace: str, text: str) -> JsonObject:
    metadata = {"name": "settings", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": text}}


def _conditions(obj: JsonObject, installed: bool) -> JsonObject:
    generation = obj["metadata"]["generation"]
    ready: dict[str, Any] = {
        "type": "Ready", "status": "True" if installed else "False", "observedGeneration": generation,
        "reason": "InstallSucceeded" if installed else "InstallFailed",
        "message": "" if installed else "Helm install failed: ImagePullBackOff",
    }  # fmt: skip
    return {"observedGeneration": generation, "conditions": [ready]}


def _synced(obj: JsonObject, installed: bool) -> JsonObject:
    health = {"status": "Healthy"} if installed else {"status": "Degraded", "message": "ImagePullBackOff"}
    compared = {"source": obj["spec"]["source"], "destination": obj["spec"]["destination"]}
    return {"sync": {"status": "Synced", "comparedTo": compared}, "health": health}
