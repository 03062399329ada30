"""
Kubernetes itself on one machine, for development: no Docker, no root, no other machine.

Upstream's programs are compiled from their published modules (`kubernetes/`), containers are local
processes behind the kubelet's standard interface (`runtime/`), and this package builds, starts,
supervises and stops all of it: `python -m devcluster`. Whoever talks to the cluster talks to the
real API server; nothing here answers for it.

It knows neither `eugospawner` nor `hub_services`. It isolates nothing from this machine and is no
place for anything but development. Design §8.
"""
