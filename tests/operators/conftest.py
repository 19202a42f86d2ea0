"""A whole environment for operators: a mailbox, a base path, and the task runner."""

from __future__ import annotations

from support.orders import base_path, server
from support.tasks import run_task

__all__ = ["base_path", "run_task", "server"]
