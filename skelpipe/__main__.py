"""`python -m skelpipe` is `skelpipe`."""

from skelpipe.cli import main

if __name__ == "__main__":
    main(prog_name="skelpipe")
