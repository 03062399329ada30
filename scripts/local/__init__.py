"""
What it takes to run this project on one machine: its tools, its processes, its demo.

The modules that `scripts/bootstrap.py` imports (`trouble`, `tools`, `environment`, `proxy`,
`options`) use the standard library only, because they run before anything is installed. The
others run in `.venv`. Nothing here is part of the product, and the product knows nothing of it:
on a real cluster the Helm chart does what stands here.
"""
