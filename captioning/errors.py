"""The one exception that a person is meant to read."""


class UserError(Exception):
    """Something the user can mend: the message names the file or field and the remedy. Shown without a traceback."""
