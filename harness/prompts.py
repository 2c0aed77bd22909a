r"""What stands around a question: versioned forms, part of a run's identity. Text that changes gets a new version.

| form | what the model reads |
|---|---|
| plain | the task's own prompt, for base models: often with a worked example |
| question | the question and nothing else |
| boxed | the question, then the request to reason step by step and to put the answer within \boxed{} |
| chat | the same as a user's message in the model's own chat template |

Only `plain` has stop strings, those of the task: a base model goes on to make up the next problem. Training and
evaluation, here and through lm-eval, take their prompts from this file.
"""

from __future__ import annotations

from dataclasses import dataclass

from .types import InputError, Task

QUESTION = "{question}"  # its place in a template; replaced literally, so that other braces are just braces
BOXED = QUESTION + "\nPlease reason step by step, and put your final answer within \\boxed{}."


@dataclass(frozen=True)
class PromptForm:
    """A template, or the task's own where it is None; `chat` puts it into the model's chat template."""

    name: str  # as in a run's configuration: form@version
    template: str | None
    chat: bool = False

    def text(self, task: Task, question: str) -> str:
        """The prompt, without a chat template around it."""
        return (task.prompt if self.template is None else self.template).replace(QUESTION, question)

    def stops(self, task: Task) -> tuple[str, ...]:
        """Strings that end a response; they and what follows are not part of the answer."""
        return task.stops if self.template is None else ()


FORMS = {
    form.name: form
    for form in (
        PromptForm("plain@1", None),
        PromptForm("question@1", QUESTION),
        PromptForm("boxed@1", BOXED),
        PromptForm("chat@1", BOXED, chat=True),
    )
}


def prompt_form(name: str) -> PromptForm:
    """The form of that name and version; without a version the newest.

    >>> prompt_form("boxed").name
    'boxed@1'
    """
    found = [form for form in FORMS if name in (form, form.partition("@")[0])]
    if not found:
        raise InputError(
            f"prompt={name!r} is not valid: expected one of {', '.join(FORMS)}, with or without its version"
        )
    return FORMS[found[-1]]
