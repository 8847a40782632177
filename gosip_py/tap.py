"""The options of `twistd gosip`, and the service that they ask for."""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import ClassVar

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.python import usage

from gosip_py.config import BadSettings, Settings, load
from gosip_py.service.server import Server

__all__ = ["Options", "makeService"]


class Options(usage.Options):
    """What may stand behind `twistd gosip`; bad settings are refused here, before anything is opened."""

    optParameters: ClassVar = [
        ["config", "c", None, "TOML file with the settings; every option and its default is in etc/gosip.toml."],
        ["data-dir", "d", "data", "Directory of the database, certificates and recordings; made when it is missing."],
    ]

    settings: Settings

    def postOptions(self) -> None:
        try:
            self.settings = load(Path(self["config"]) if self["config"] is not None else None)
        except BadSettings as error:
            raise usage.UsageError(f"bad settings:\n{error}") from None


def makeService(options: Options) -> IService:
    """The whole server, not yet started."""
    _spare_the_collector()
    _allow_many_connections()
    return Server(reactor, options.settings, Path(options["data-dir"]).absolute())


def _allow_many_connections() -> None:
    """As many open files as the system lets this process have: each phone on TCP or TLS is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _spare_the_collector() -> None:
    """Look for cycles less often.

    What a message makes is freed by its count, and calls live for seconds or hours. With Python's thresholds a sixth of
    the processor time of a call went into looking at live calls; see docs/performance.md.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 5)
