"""The one error that a user's input can cause, and nothing else can."""


class InputError(ValueError):
    """Input that wavejit refuses: a file, a field, a shape, an argument.

    The message is one sentence for the person who gave the input. It names the file (where there is
    one), the field, what was found and what was expected. The command line prints it and exits with 2.
    """
