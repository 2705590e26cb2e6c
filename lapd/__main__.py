"""`python -m lapd`, for launchers that start modules."""

from lapd.cli import main

main()
