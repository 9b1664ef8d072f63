"""``python -m vrrpd`` is the ``vrrpd`` command."""

import gc
import signal
import sys


def main() -> int:
    """Runs the command line; Ctrl-C while it is still being loaded ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until the daemon takes the signal over, there is nothing to clean up.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What is made until a daemon has started stays: looking for garbage in it is time lost. The daemon then enables it.
    gc.disable()
    from vrrpd.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
