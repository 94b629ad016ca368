"""Hostile chat templates: each costs its own conversation and nothing else."""

from __future__ import annotations

import threading

import httpx
import pytest
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from appliance.errors import EngineUnavailableError
from appliance.llama.rendering import RefusedByTemplateError, Renderer
from tests.simulators.engine_process import EngineProcess, put_model
from tests.simulators.tiny_gguf import TEMPLATE

MESSAGES = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "Grüße 🙂"}]
MOST = 100_000
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"
NESTED = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
ENDLESS = {
    "loops": NESTED,
    "one operation in C": "{% set n = messages|length + 7 %}{{ n ** (n ** n) }}",
}
GREEDY = {
    "a range beyond all bounds": "{% for a in range(10 ** 9) %}x{% endfor %}",
    "a string doubled for ever": (
        "{% set ns = namespace(x='a') %}"
        "{% for i in range(90) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"
    ),
    "a string times a number": "{{ 'a' * (messages|length * 10 ** 12) }}",
    "a width": "{{ 'a'|center(10 ** 12) }}",
    "a format": "{{ '%999999999999d' % messages|length }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a loop that calls itself": (
        "{% for a in messages|batch(1) recursive %}{{ loop(a) }}{% endfor %}"
    ),
    "words without end": "{{ lipsum(n=10 ** 6) }}",
}
AT_LOAD = {
    "too deep to parse": "{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}",
    "a constant that never ends": "{{ 9 ** (9 ** 9) }}",
    "blocks in blocks": "{% if true %}" * 200 + "{% endif %}" * 200,
    "not a template": "{% for %}",
}
ESCAPES = {
    "classes": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "a filter's way": "{{ (messages|attr('__class__')).__mro__ }}",
    "a change of the conversation": "{{ messages.append(messages[0]) }}",
    "a loaded template": "{% import '/etc/passwd' as x %}",
}
ORACLE = (
    TEMPLATE,
    "{{ bos_token }}\n  {% if tools %}t{% endif %}\n{{ messages|tojson }}{{ eos_token }}\n",
    "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m }}{% endfor %}",
    "{% generation %}{{ messages[0]['content'] | trim }}{% endgeneration %}",
    "{%- set s = namespace(n=0) -%}{% for m in messages %}{% set s.n = 2 %}{% endfor %}{{ s.n }}",
    "{{ strftime_now('%Y') | length }}{{ messages[1:] | tojson(indent=2) }}",
)


def renderer(template: str) -> Renderer:
    return Renderer(template, eos="</s>", bos="<s>")


@pytest.mark.parametrize("template", ORACLE)
def test_a_template_reads_as_it_does_in_llama_cpp(template: str) -> None:
    """What a template writes is what llama-cpp-python's own formatter writes."""
    expected = Jinja2ChatFormatter(template, eos_token="</s>", bos_token="<s>")
    assert renderer(template).render(MESSAGES, MOST) == expected(messages=MESSAGES).prompt  # type: ignore[arg-type]


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_a_template_that_does_not_end_is_ended(template: str) -> None:
    """A loop, or one long operation that lets no Python run, is ended by processor time."""
    with pytest.raises(EngineUnavailableError, match="too much time or memory"):
        renderer(template).render(MESSAGES, MOST)


@pytest.mark.parametrize("template", GREEDY.values(), ids=GREEDY)
def test_a_template_that_grows_is_ended(template: str) -> None:
    """Whatever grows without end hits a limit of its own process, and is told as an error."""
    with pytest.raises((EngineUnavailableError, RefusedByTemplateError)):
        renderer(template).render(MESSAGES, MOST)


def test_a_template_that_writes_on_and_on_is_stopped() -> None:
    """Output beyond what any context holds is refused while it is written."""
    template = "{% for a in range(99999) %}{{ a }}{% endfor %}"
    with pytest.raises(RefusedByTemplateError, match="more than 1000 characters"):
        renderer(template).render(MESSAGES, 1_000)


@pytest.mark.parametrize("template", AT_LOAD.values(), ids=AT_LOAD)
def test_a_template_that_cannot_be_compiled_is_not_loaded(template: str) -> None:
    """A template that hangs, grows or fails while it is compiled never becomes a model's."""
    with pytest.raises(EngineUnavailableError):
        renderer(template)


@pytest.mark.parametrize("template", ESCAPES.values(), ids=ESCAPES)
def test_a_template_reaches_nothing_of_python(template: str) -> None:
    """A way out of the sandbox is an error; behind it lies a process without files or sockets."""
    with pytest.raises((EngineUnavailableError, RefusedByTemplateError)):
        renderer(template).render(MESSAGES, MOST)


def test_the_next_conversation_is_answered() -> None:
    """After a conversation that ended the process, the next one is rendered in a new one."""
    attacked = renderer(
        "{% if messages|length > 1 %}{{ 'a' * (messages|length * 10 ** 12) }}{% endif %}" + PLAIN
    )
    with pytest.raises(EngineUnavailableError):
        attacked.render(MESSAGES, MOST)
    assert attacked.render(MESSAGES[:1], MOST) == "be kind"


def test_a_process_that_was_killed_is_replaced() -> None:
    """A template process that something else ended is started again without an error."""
    attacked = renderer(PLAIN)
    assert attacked._child is not None
    attacked._child._process.kill()
    attacked._child._process.wait()
    assert attacked.render(MESSAGES[:1], MOST) == "be kind"


def test_a_template_cannot_steer_a_terminal() -> None:
    """A template's own words reach people without control characters."""
    with pytest.raises(RefusedByTemplateError) as caught:
        renderer(r"{{ raise_exception('no\u001b[2J\u202e\n' * 2) }}").render(MESSAGES, MOST)
    assert str(caught.value) == "no[2Jno[2J"


def test_nothing_of_one_conversation_shows_in_another() -> None:
    """A template that wants to keep a conversation finds nothing of it in the next one."""
    nosy = renderer(
        "{% if kept is defined %}{{ kept }}{% endif %}{% set kept = messages[0].content %}"
        "{% if namespace.kept is defined %}{{ namespace.kept }}{% endif %}"
    )
    assert nosy.render(MESSAGES, MOST) == ""
    assert nosy.render(MESSAGES, MOST) == ""


def test_a_hostile_template_costs_one_answer(engine: EngineProcess) -> None:
    """While a template runs wild in one question, the engine answers the others to their end."""
    wild = "{% if 'boom' in messages[-1]['content'] %}" + NESTED + "{% endif %}" + TEMPLATE
    digest = put_model(engine.library, template=wild, context=4096)
    engine.start()

    def ask(text: str, tokens: int) -> httpx.Response:
        messages = [{"role": "user", "content": text}]
        body = {"model": digest, "messages": messages, "max_tokens": tokens}
        return engine.post("/v1/chat/completions", body)

    answers: list[httpx.Response] = []
    long = threading.Thread(target=lambda: answers.append(ask("hello", 500)))
    long.start()
    hostile = ask("boom", 1)
    long.join()
    assert (hostile.status_code, hostile.json()["error"]["code"]) == (503, "engine_unavailable")
    assert answers[0].json()["usage"]["completion_tokens"] == 500
    assert ask("hello", 1).status_code == 200
