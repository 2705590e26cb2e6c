"""A plugin for LAPD: what it registers. Every module here is imported when LAPD starts, so keep them light."""

from collections.abc import Callable

from lapd import hookimpl
from lapd.hookspecs import Generator, Judge, TaskFolder
from lapd_plugin_template.generator import PluginTemplateGenerator
from lapd_plugin_template.items import TASK
from lapd_plugin_template.judge import PluginTemplateJudge


@hookimpl
def lapd_register_tasks(register: Callable[[TaskFolder], None]) -> None:
    register(TaskFolder("plugin_template", TASK))


@hookimpl
def lapd_register_judges(register: Callable[[Judge], None]) -> None:
    register(PluginTemplateJudge())


@hookimpl
def lapd_register_generators(register: Callable[[Generator], None]) -> None:
    register(PluginTemplateGenerator())
