"""Hub-managed services; each is a small package: rules, loop or handlers, wiring."""
