"""
Quota service: what is used, what is left, and who steers it.

- `observed`, `rules`, `service`: what Kubernetes shows bound is settled every minute
- `views`: what pages, API and command line say of it
"""
