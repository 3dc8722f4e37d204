"""`python -m trivet`."""

from trivet.cli.main import main

main()
