"""The `gosip` command: run the server, show what it can do, and the few things an administrator does at a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.scripts import twistd

from gosip_py import __version__, commands, demo
from gosip_py.config import BadSettings, load

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 only when it did what was asked."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.perform(options)
    except BadSettings as error:
        print(f"gosip: bad settings:\n{error}", file=sys.stderr)
        return 2
    except commands.CommandFailed as error:
        print(f"gosip: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gosip", description="A telephony server.")
    parser.add_argument("--version", action="version", version=f"gosip {__version__}")
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_server_commands(words)
    _add_user_commands(words.add_parser("user", help="people").add_subparsers(required=True, metavar="ACTION"))
    _add_device_commands(words.add_parser("device", help="phones").add_subparsers(required=True, metavar="ACTION"))
    return parser


def _add_server_commands(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = words.add_parser("run", help="run the server in the foreground, as `twistd -n gosip` does")
    _add_places(run)
    run.set_defaults(perform=_run)
    check = words.add_parser("check-config", help="say what is wrong with the settings, or that nothing is")
    _add_places(check)
    check.set_defaults(perform=_check_config)
    show = words.add_parser("demo", help="start a server and two phones here, make a call, show what happened")
    show.set_defaults(perform=lambda options: demo.run())


def _add_user_commands(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = words.add_parser("add", help="add a person; the password is asked for, or read from standard input")
    add.add_argument("login", help="short name: people are called by it")
    add.add_argument("--email", default="")
    add.add_argument("--name", default="", help="the name that is shown")
    add.add_argument("--role", choices=("admin", "user"), default="user")
    _add_places(add)
    add.set_defaults(perform=lambda options: commands.add_user(_place(options), options))
    passwd = words.add_parser("passwd", help="set a new password; every session of that person ends")
    passwd.add_argument("login", help="login or e-mail address")
    _add_places(passwd)
    passwd.set_defaults(perform=lambda options: commands.set_password(_place(options), options))


def _add_device_commands(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = words.add_parser("add", help="add a phone; its SIP password is printed once")
    add.add_argument("owner", help="login of the person whose phone it is")
    add.add_argument("username", help="SIP user name, which is also its extension")
    add.add_argument("--name", default="", help="the name that is shown")
    add.add_argument("--type", default="softphone")
    _add_places(add)
    add.set_defaults(perform=lambda options: commands.add_device(_place(options), options))


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", type=Path, help="TOML file with the settings")
    parser.add_argument("--data-dir", "-d", type=Path, default=Path("data"), help="directory of the database (data)")


def _place(options: argparse.Namespace) -> commands.Place:
    return commands.Place(load(options.config), options.data_dir.absolute())


def _run(options: argparse.Namespace) -> int:
    sys.argv[1:] = ["--nodaemon", "--pidfile=", "gosip", "--data-dir", str(options.data_dir)]
    if options.config is not None:
        sys.argv += ["--config", str(options.config)]
    twistd.run()
    return 0


def _check_config(options: argparse.Namespace) -> int:
    load(options.config)
    print("The settings are good.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
