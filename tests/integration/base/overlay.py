"""
`helm-values/base` for a namespace of another name.

The base is bound to the namespace `eugo`. Tests (and clusters with several hubs) want it under other
names, side by side. The overlay renames exactly what is namespaced, the subjects of the bindings,
and the one ClusterRoleBinding that must exist once per namespace. Policies, PriorityClasses and the
ClusterRole are cluster-wide, the same for every namespace, and are left alone: kustomize's own
`namespace:` field would write a namespace into the policies and keep the subjects as they were.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import yaml

BASE = Path(__file__).resolve().parents[3] / "helm-values" / "base"


def reader_binding(namespace: str) -> str:
    """Return the name of the ClusterRoleBinding of *namespace*: what deleting it leaves behind."""
    return "eugo-hub-reader" if namespace == "eugo" else f"eugo-hub-reader-{namespace}"


def base_overlay(tmp_path: Path, namespace: str) -> Path:
    """
    Write an overlay of the base for *namespace* and return its folder, fit for `kubectl apply -k`.

    Args:
        tmp_path: An existing folder; the overlay becomes a folder of the namespace's name in it.
        namespace: A name that no other test uses.
    """
    folder = tmp_path.resolve() / namespace
    folder.mkdir()
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        # kustomize takes no absolute paths.
        "resources": [os.path.relpath(BASE, folder)],
        "patches": [
            _replace({"kind": "Namespace"}, "/metadata/name", namespace),
            _replace({"namespace": "eugo"}, "/metadata/namespace", namespace),
            _replace(
                {"kind": "RoleBinding|ClusterRoleBinding"}, "/subjects/0/namespace", namespace
            ),
            _replace({"kind": "ClusterRoleBinding"}, "/metadata/name", reader_binding(namespace)),
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


def _replace(target: dict[str, str], path: str, value: str) -> dict[str, object]:
    return {
        "target": target,
        "patch": json.dumps([{"op": "replace", "path": path, "value": value}]),
    }
