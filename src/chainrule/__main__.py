"""`python -m chainrule`: the command line, where the `chainrule` program is not on the PATH."""

from chainrule.cli import main

if __name__ == "__main__":
    main()
