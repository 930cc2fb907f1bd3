"""``python -m gpulr``."""

from gpulr.cli import main

if __name__ == "__main__":
    main()
