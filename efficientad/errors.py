"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Bad input. The message is one sentence that names the fix; the command line prints it and exits with 2."""
