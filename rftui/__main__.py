"""`python -m rftui` is `rft`."""

from rftui.cli.app import main

if __name__ == "__main__":
    main()
