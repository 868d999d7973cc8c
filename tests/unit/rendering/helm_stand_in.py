"""A ``helm template`` made of the Helm SDK, for machines without the ``helm`` command.

It exists so that the plumbing of the command-line engine (arguments, files, output, errors) is always
tested; where a real ``helm`` is installed, that one is used. Usage as the real one's, options in any order.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import helm_python


def main(arguments: list[str]) -> int:
    """Render like ``helm template RELEASE CHART --namespace N --values FILE --include-crds``."""
    options, words = {}, []
    rest = iter(arguments)
    for word in rest:
        if word == "--include-crds":
            continue
        if word.startswith("--"):
            options[word] = next(rest)
        else:
            words.append(word)
    _template, release, chart_path = words
    values = json.loads(Path(options["--values"]).read_text("utf-8"))
    configuration = helm_python.Config(storage_driver="memory", kubeconfig_content="{}")
    try:
        chart = helm_python.Chart.load(chart_path)
        if chart.metadata.get("type") == "library":
            print("Error: library charts are not installable", file=sys.stderr)
            return 1
        for crd in chart.crds:
            print(f"---\n# Source: {crd['filename']}\n{crd['data']}")
        name, namespace = release, options["--namespace"]
        installed = configuration.install(chart, name, values, namespace=namespace, dry_run="client")
        print(installed["manifest"])
        for path, text in chart.render(values, name=name, namespace=namespace).items():
            if "helm.sh/hook" in text:
                print(f"---\n# Source: {path}\n{text}")
    except helm_python.HelmError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
