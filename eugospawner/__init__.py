"""
What runs inside the hub: policy rules, manifests, store, and the spawner that joins them.

`policy` and `manifests` are pure; `settings`, `store` and the adapters translate between them
and JupyterHub, Kubernetes and SQL. Source: docs of the design, §1.
"""
