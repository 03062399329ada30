"""
Exporter: the program in the Pod that mounts a volume, and the only one that touches people's files.

It knows no hub, no store and no cluster, so that what a hostile file may break has nothing else in it.
"""
