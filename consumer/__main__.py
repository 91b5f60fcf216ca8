"""`python -m consumer` is `capi`."""

from consumer.cli import main

main()
