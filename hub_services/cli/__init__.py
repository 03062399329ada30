"""
The command line `eugo`: what the pages show and do, from a shell.

It asks the services' APIs with a token of the hub and says what they say, word for word; nothing is
decided and nothing is computed here. Source: features F69, F99 to F102, F121, L11.
"""
