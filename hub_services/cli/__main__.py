"""``python -m hub_services.cli``: the same as `eugo`."""

from hub_services.cli.app import main

if __name__ == "__main__":
    main(prog_name="eugo")
