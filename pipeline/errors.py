"""The one kind of error that is shown to a person without a traceback."""


class UserError(Exception):
    """Something a person can mend: the message names the file or key, its value and the remedy.

    The command line prints it in a line or two and exits with status 2.
    """
