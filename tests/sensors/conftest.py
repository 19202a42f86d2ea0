"""The environment of the operators' tests, for sensors."""

from __future__ import annotations

from support.orders import base_path, server
from support.tasks import run_task

__all__ = ["base_path", "run_task", "server"]
