"""The one exception a user may see without a traceback."""


class UserError(Exception):
    """A mistake of the user: says what was found, what was expected and what to do.

    The CLI prints the message without a traceback and exits with 2.
    """
