"""`python -m wavejit`."""

from wavejit.cli import main

main()
