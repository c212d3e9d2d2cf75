"""`python -m proletto_otel COMMAND`: the commands are in `cli`."""

from proletto_otel.cli.group import cli

if __name__ == "__main__":
    cli(prog_name="python -m proletto_otel")
