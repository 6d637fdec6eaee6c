"""The help pages of all verbs, jobs and what is done with jobs."""

import re

import pytest

from swath.arguments import usage
from swath.cli import VERBS


def pages():
    import swath.config
    from swath.launch.sagemaker.verbs import ACTIONS, model_of
    from swath.launch.sagemaker.verbs import VERBS as JOBS

    return {name: getattr(swath.config, verb.settings) for name, verb in VERBS.items()} | {
        f"sagemaker {name}": model_of(name) for name in (*JOBS, *ACTIONS)
    }


@pytest.mark.parametrize("verb", pages())
def test_the_help_of_a_verb_explains_every_setting_and_begins_with_what_stands_without_a_flag(verb):
    model = pages()[verb]
    assert [name for name, field in model.model_fields.items() if not field.description] == []
    left = [line.split()[0] for line in usage(model, verb).splitlines() if re.match("  [A-Z-]", line)]
    flags = [word.startswith("--") for word in left]
    assert flags == sorted(flags)
