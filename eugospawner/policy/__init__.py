"""
The rules: pure functions over frozen values.

Nothing in this package does I/O, reads a clock or knows a framework (import-linter keeps that);
what a rule needs, `now` included, comes in as an argument, and what it decides goes out as a
value. The form, the REST path, the services and the command line call the same functions, so
they can never disagree. Source: docs of the design, §§1, 2 and 5.
"""
