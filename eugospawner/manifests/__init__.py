"""
Manifests: from a decision to Kubernetes objects, pure.

Every builder returns a plain dict in Kubernetes' own (camelCase) words, so that it can be
compared, printed and sent by any client. Nothing here asks the cluster or the clock.
Source: docs of the design, §§5, 6 and 9.
"""
