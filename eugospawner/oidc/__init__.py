"""OpenID Connect: what a provider says of somebody, believed only after every check."""
